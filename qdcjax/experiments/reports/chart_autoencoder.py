"""The report of chart autoencoders: errors against n, charts on their surfaces, arrows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from qdcjax.experiments.findings.chart_autoencoder import CHARTS, Findings, dead_charts
from qdcjax.experiments.reports import points
from qdcjax.experiments.reports.training import training_section
from qdcjax.experiments.running import publish
from qdcjax.experiments.stages import charts
from qdcjax.experiments.stages.point_cases import Programs, manifold_of
from qdcjax.reporting import figures, point_figures
from qdcjax.reporting.page import Plate, Report, Section, Table
from qdcjax.workdir import Workdir

CURVES = {"loss, mean over members": "loss", "squared error, training": "squared_error"}
SLAB = 0.15  # a view in a plane takes points that are so near to it
ARROWS = 150


def report(workdir: Workdir, found: Findings, programs: Programs) -> Report:
    """Everything that the page shows, with its figures saved under `figures/`."""
    return Report(
        title="Chart autoencoders",
        description="Networks learn from pairs of a noisy and a clean point of a manifold of d "
        "dimensions, and denoise fresh points: with several charts of d coordinates, and as "
        "ordinary autoencoders.",
        run=publish.run_facts(workdir),
        headline=points.headline(workdir, found.results, "error", "squared error"),
        verdicts=found.verdicts,
        sections=[
            errors_section(workdir, found),
            views_section(workdir, programs),
            training_section(workdir, {shape.model: CURVES for shape in programs}),
        ],
    )


def errors_section(workdir: Workdir, found: Findings) -> Section:
    """Squared error against n beside the theory's slope, and a table of all members."""
    cases = workdir.config["cases"]
    panels: dict[str, dict[str, figures.Series]] = {}
    for case, fields in cases.items():
        sizes = sorted(fields["sizes"])
        if len(sizes) < 3:
            continue
        panel = panels[f"squared error, {case}"] = {}
        for model in fields["models"]:
            of = [found.results[f"{case}_{model}_{size}_error"] for size in sizes]
            panel[model] = figures.series_of_intervals(sizes, of)
        first = found.results[f"{case}_{CHARTS}_{sizes[0]}_error"].value
        exponent = 2 / (found.dimensions[case] + 2)
        theory = first * (np.array(sizes) / sizes[0]) ** -exponent
        panel["theory's slope"] = figures.Series(sizes, theory, reference=True)
    figure = figures.lines(panels, "n, pairs to learn from", log_x=True, log_y=True)
    path = figures.save(figure, workdir.path / "figures" / "error_against_n.png")
    rows = []
    for case, fields in cases.items():
        for model in fields["models"]:
            for size in fields["sizes"]:
                of = [
                    row
                    for row in found.rows
                    if (row["case"], row["model"], row["size"]) == (case, model, size)
                ]
                mean = lambda name, of=of: float(np.mean([row[name] for row in of]))  # noqa: E731
                count = len(of[0]["shares"])
                dead = sum(map(dead_charts, of)) / len(of) if count > 1 else "–"
                error = found.results[f"{case}_{model}_{size}_error"]
                rows.append(
                    [case, model, size, mean("input_error"), error, mean("worst_chart"), dead]
                )
    columns = ["case", "model", "n", "error of the input", "error", "worst chart", "dead charts"]
    note = "Means over seeds of |x̂ − v|². The worst chart: of the points that are its own, where "
    note += "that is largest. A dead chart is the first for under 1 % of the points."
    text = "Theory: the squared error falls at least as n^(−2/(d+2)), d the manifold's dimension."
    return Section("Errors", text, [Plate(path, "Means over seeds.")], [Table(columns, rows, note)])


def views_section(workdir: Workdir, programs: Programs) -> Section:
    """Charts by colour, and arrows, of cases that several models learn and that can be drawn."""
    config: dict[str, Any] = workdir.config
    coloured, moved = {}, {}
    for case, fields in config["cases"].items():
        if manifold_of(config, case).ambient > 3 or len(fields["models"]) == 1:
            continue
        for model in fields["models"]:
            if config["models"][model]["charts"] == 1:
                continue
            of = charts.view(config, workdir, programs, case, model)
            title = f"{case}, {model}"
            coloured[title] = of.clean, of.charts
            near = np.flatnonzero(np.abs(of.clean[:, 2:]).max(axis=1, initial=0) < SLAB)[:ARROWS]
            moved[title] = of.noisy[near, :2], of.output[near, :2], of.clean[near, :2]
    which = "The chart with the largest weight, at the clean points."
    whither = "From noisy points to outputs, near a plane."
    plates = points.plates(workdir, "charts", coloured, _classes, which)
    plates += points.plates(workdir, "arrows", moved, point_figures.arrows, whither)
    return Section("Charts and arrows", "Of the first seed and the largest n.", plates)


def _classes(panels: Mapping[str, Any]) -> Figure:
    most = max(labels.max() for _, labels in panels.values())
    return point_figures.classes(panels, [f"chart {number + 1}" for number in range(most + 1)])
