"""The report of a run: one HTML page that holds its figures, styles and scripts."""

import base64
import dataclasses
import hashlib
import math
import numbers
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
import markupsafe

from qdcjax.measures.intervals import Interval
from qdcjax.measures.predictions import Verdict
from qdcjax.reporting.browser import SolutionBrowser, browser_data
from qdcjax.reporting.figures import DPI
from qdcjax.reporting.numbers import FormattedNumber, format_duration, format_exact, format_number

TEMPLATES = Path(__file__).parent / "templates"
PIXELS_PER_INCH = 96


@dataclasses.dataclass(frozen=True)
class HeadlineRow:
    """A figure that a reader should take away.

    Attributes:
      name: what was measured, in words.
      value: the number, with its interval where it is an estimate.
      unit: `%` and `points` show a fraction times 100; any other unit is appended.
      note: how to read it, e.g. what it is compared with.
    """

    name: str
    value: float | Interval
    unit: str = ""
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of text and numbers.

    Attributes:
      columns: C headings.
      rows: rows of C cells: text, a number, an `Interval`, or None for an empty cell.
      caption: what it shows.
      units: C units of the columns' numbers as in `HeadlineRow`; empty for none.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str | float | Interval | None]]
    caption: str = ""
    units: Sequence[str] = ()

    def __post_init__(self):
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"table {self.caption!r}: a row has {len(row)} cells, not {len(self.columns)}"
                )
        if len(self.units) not in (0, len(self.columns)):
            raise ValueError(
                f"table {self.caption!r}: {len(self.units)} units for {len(self.columns)} columns"
            )


@dataclasses.dataclass(frozen=True)
class Plate:
    """A figure with its caption.

    Attributes:
      path: a PNG, as `figures.save` writes and returns it.
      caption: what to see in it.
    """

    path: Path
    caption: str


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the report: a title, a sentence, figures and tables.

    Attributes:
      title: short, for the table of contents too.
      text: what the section shows, a sentence or a paragraph.
      figures: plates in order.
      tables: tables, after the figures.
    """

    title: str
    text: str = ""
    figures: Sequence[Plate] = ()
    tables: Sequence[Table] = ()


@dataclasses.dataclass(frozen=True)
class RunFacts:
    """What made the report.

    Attributes:
      command: the command that makes it again.
      config: name of the config.
      preset: name of the preset, `default` for the embedded one.
      seeds: the seeds that were run.
      device: the device in words, e.g. `2 CPU cores`.
      git_revision: commit, with a mark if the tree had changes.
      versions: package → version.
      stage_seconds: stage → wall time in seconds, in the order run.
    """

    command: str
    config: str
    preset: str
    seeds: Sequence[int]
    device: str
    git_revision: str
    versions: Mapping[str, str]
    stage_seconds: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Report:
    """All that a page shows; empty parts are left out.

    Attributes:
      title: the study's name.
      description: one paragraph: the question and how the run answers it.
      run: command, config, devices, versions, times.
      headline: the figures to take away.
      verdicts: predictions with their outcomes.
      sections: figures and tables.
      browser: sampled solutions to look through.
    """

    title: str
    description: str
    run: RunFacts
    headline: Sequence[HeadlineRow] = ()
    verdicts: Sequence[Verdict] = ()
    sections: Sequence[Section] = ()
    browser: SolutionBrowser | None = None


def write_report(path: str | Path, report: Report) -> Path:
    """Writes the report as one self-contained HTML file and returns its path.

    All text is escaped; a content security policy forbids any request and any other script.

    Raises:
      FileNotFoundError: if a plate's file is absent.
      ValueError: if a plate's file is no PNG.
    """
    path = Path(path)
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    template = environment().get_template("report.html")
    html = template.render(
        report=report,
        style=style(),
        script=markupsafe.Markup(script),
        script_hash=_csp_hash(script),
        images={plate.path: image(plate.path) for s in report.sections for plate in s.figures},
        forest=_forest,
        browser=browser_data(report.browser) if report.browser else None,
        total_seconds=sum(report.run.stage_seconds.values()),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html, encoding="utf-8")
    return path


def environment() -> jinja2.Environment:
    """The pages' templates; what they are given is escaped."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "number": format_number,
        "exact": format_exact,
        "duration": format_duration,
        "laid_out": _lay_out,
        "interval_methods": _interval_methods,
    }
    return found


def style() -> markupsafe.Markup:
    """What goes between a page's `<style>` tags."""
    return markupsafe.Markup((TEMPLATES / "report.css").read_text(encoding="utf-8"))


def _csp_hash(script: str) -> str:
    """The hash by which a content security policy admits this inline script only."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@dataclasses.dataclass(frozen=True)
class Image:
    """A PNG as a data URL with its size in CSS pixels."""

    url: str
    width: int
    height: int


def image(path: Path) -> Image:
    """A figure to be written into a page.

    Raises:
      ValueError: it is no PNG.
    """
    data = Path(path).read_bytes()
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError(f"figure {path}: not a PNG; write it with figures.save")
    width, height = struct.unpack(">II", data[16:24])
    scale = PIXELS_PER_INCH / DPI
    url = "data:image/png;base64," + base64.b64encode(data).decode()
    return Image(url, round(width * scale), round(height * scale))


def _interval_methods(estimates: Sequence[float | Interval]) -> list[str]:
    """The distinct ways in which the intervals were found, in order."""
    found = [e.method for e in estimates if isinstance(e, Interval) and e.method]
    return list(dict.fromkeys(found))


def _lay_out(table: Table) -> dict[str, list]:
    """Rows of text and formatted numbers, and for each column whether it holds numbers."""
    units = table.units or [""] * len(table.columns)
    rows = [[_cell(c, unit) for c, unit in zip(row, units, strict=True)] for row in table.rows]
    numeric = [
        any(isinstance(c, FormattedNumber) for c in cells) for cells in zip(*rows, strict=True)
    ]
    return {"rows": rows, "numeric": numeric or [False] * len(table.columns)}


def _cell(content: str | float | Interval | None, unit: str) -> FormattedNumber | str:
    if isinstance(content, numbers.Real | Interval) and not isinstance(content, bool):
        return format_number(content, unit)
    return "" if content is None else str(content)


def _forest(verdict: Verdict) -> dict[str, float] | None:
    """Where interval, estimate and threshold lie on a strip from 0 to 100; None if unbounded."""
    estimate, threshold = verdict.estimate, verdict.prediction.threshold
    points = (estimate.low, estimate.value, estimate.high, threshold)
    if not all(math.isfinite(p) for p in points):
        return None
    span = (max(points) - min(points)) or 1.0
    low, value, high, limit = (8 + 84 * (p - min(points)) / span for p in points)
    return {"low": low, "value": value, "high": high, "threshold": limit}
