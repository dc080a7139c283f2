"""Training curves of a run's models."""

from collections.abc import Mapping

from qdcjax.reporting import figures
from qdcjax.reporting.metrics import METRICS_FILE, logged_parts, read_metrics
from qdcjax.reporting.page import Plate, Section
from qdcjax.workdir import Workdir


def training_section(workdir: Workdir, curves: Mapping[str, Mapping[str, str]]) -> Section:
    """Training curves.

    Args:
      curves: file name → {y label: metric}; the stages are that of this name and those that go on
        from it after a dash, e.g. `orm` for `orm-0`, `orm-1`, and which trained something. What
        this run did not train is left out.
    """
    plates, log = [], workdir.path / METRICS_FILE
    for stem, panels in curves.items():
        records = {
            part.removeprefix(f"{stem}/"): read_metrics(log, part)
            for name in workdir.seconds
            if f"{name}-".startswith(f"{stem}-")
            for part in logged_parts(log, name)
        }
        if not records:
            continue
        figure = figures.lines(
            {
                label: {
                    name: figures.Series(
                        [r["step"] for r in rows if metric in r],
                        [r[metric] for r in rows if metric in r],
                    )
                    for name, rows in records.items()
                }
                for label, metric in panels.items()
            },
            "optimiser steps",
        )
        path = figures.save(figure, workdir.path / "figures" / f"training_{stem}.png")
        parts = "" if stem in records else f": {', '.join(records)}"
        plates.append(Plate(path, f"Training of {stem}{parts}."))
    return Section("Training", "Means between log lines.", plates)
