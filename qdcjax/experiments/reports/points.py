"""What the reports of both studies of points share."""

from collections.abc import Callable, Mapping
from typing import Any

from matplotlib.figure import Figure

from qdcjax.measures.intervals import Interval
from qdcjax.reporting import figures
from qdcjax.reporting.page import HeadlineRow, Plate
from qdcjax.workdir import Workdir

PANELS = 3  # in a row


def headline(
    workdir: Workdir, results: Mapping[str, float | Interval], column: str, words: str
) -> list[HeadlineRow]:
    """A figure of each model of the base case at its largest n, beside its floor if it has one."""
    case = workdir.config["base"]
    fields = workdir.config["cases"][case]
    size, rows = max(fields["sizes"]), []
    for model in fields["models"]:
        name = f"{case}_{model}_{size}"
        floor = results.get(f"{name}_floor")
        note = "" if floor is None else f"floor {floor.value:.3f}"
        title = f"{case}, {model}: {words} at n = {size:,}"
        rows.append(HeadlineRow(title, results[f"{name}_{column}"], note=note))
    return rows


def plates(
    workdir: Workdir,
    name: str,
    panels: Mapping[str, Any],
    draw: Callable[[Mapping[str, Any]], Figure],
    caption: str,
) -> list[Plate]:
    """Panels in rows of `PANELS`, each row a figure `<name>_<number>`."""
    items, found = list(panels.items()), []
    for number, first in enumerate(range(0, len(items), PANELS)):
        path = workdir.path / "figures" / f"{name}_{number}.png"
        found.append(Plate(figures.save(draw(dict(items[first : first + PANELS])), path), caption))
    return found
