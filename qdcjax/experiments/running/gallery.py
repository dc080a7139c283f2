"""All runs in a folder as the entries of a gallery."""

import html
import re
from pathlib import Path

from qdcjax.experiments.running.publish import VERDICTS, read_verdicts
from qdcjax.files import read_json
from qdcjax.reporting.gallery import Entry, write_gallery
from qdcjax.reporting.numbers import format_duration

_TITLE = re.compile("<title>(.*?)</title>")
_FIGURE = re.compile('<figure data-file="(.*?)"')


def write(folder: Path) -> Path:
    """Writes `gallery.html` of all finished runs in a folder, by their names.

    Raises:
      ValueError: there is none.
    """
    found = [entry(path.parent, folder) for path in sorted(folder.glob("*/report.html"))]
    if not found:
        raise ValueError(f"{folder} has no finished run: no folder in it has a report.html")
    return write_gallery(folder / "gallery.html", found)


def entry(run: Path, folder: Path) -> Entry:
    """A finished run, with the first figure of its report."""
    record, seconds = read_json(run / "config.json"), read_json(run / "timings.json")
    config = record["config"]
    seeds = config.get("seeds") or [config.get("seed", 0)]
    verdicts = read_verdicts(run) if (run / VERDICTS).exists() else []
    page = (run / "report.html").read_text(encoding="utf-8")
    figure = _FIGURE.search(page)
    return Entry(
        title=html.unescape(_TITLE.search(page).group(1)),
        facts=[
            run.name,
            f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}",
            record["device"],
            format_duration(sum(seconds.values())),
        ],
        link=(run / "report.html").relative_to(folder).as_posix(),
        command=record["command"],
        verdicts={of.prediction.name: (of.prediction.claim, of.outcome) for of in verdicts},
        figure=run / "figures" / html.unescape(figure.group(1)) if figure else None,
    )
