"""The report of generators: W1 against n beside the floor, samples, distances from the data."""

import jax
import numpy as np

from qdcjax.experiments.findings.generator import MAIN, Findings
from qdcjax.experiments.reports import points
from qdcjax.experiments.reports.training import training_section
from qdcjax.experiments.running import publish
from qdcjax.experiments.stages import generators, point_members
from qdcjax.experiments.stages.point_cases import Programs, first_and_largest, manifold_of
from qdcjax.models.generator import generate
from qdcjax.reporting import figures, point_figures
from qdcjax.reporting.page import Plate, Report, Section, Table
from qdcjax.workdir import Workdir

CURVES = {"loss, mean over members": "loss"}
DRAWN = 1_000  # points of a figure


def report(workdir: Workdir, found: Findings, programs: Programs) -> Report:
    """Everything that the page shows, with its figures saved under `figures/`."""
    return Report(
        title="Generators on manifolds",
        description="Networks learn to make the points of a distribution on a manifold from n of "
        "them. What they make is held against as many fresh points by exact transport, W1, beside "
        "the floor: W1 between two fresh samples of that many points.",
        run=publish.run_facts(workdir),
        headline=points.headline(workdir, found.results, "w1", "W1"),
        verdicts=found.verdicts,
        sections=[
            distances_section(workdir, found),
            samples_section(workdir, programs),
            floors_section(workdir, found),
            training_section(workdir, {shape.model: CURVES for shape in programs}),
        ],
    )


def distances_section(workdir: Workdir, found: Findings) -> Section:
    """W1 and the distance from the data against n, a panel for each case, and a table of all."""
    config = workdir.config
    panels: dict[str, dict[str, figures.Series]] = {}
    near: dict[str, dict[str, figures.Series]] = {}
    rows = []
    for case, fields in config["cases"].items():
        sizes = sorted(fields["sizes"])
        several = len(sizes) > 2
        for model in fields["models"]:
            of = {
                column: [found.results.get(f"{case}_{model}_{size}_{column}") for size in sizes]
                for column in ("w1", "floor", "excess", "nearest", "nearest_held_out")
            }
            rows += [
                [case, model, size, *(of[column][at] for column in of)]
                for at, size in enumerate(sizes)
            ]
            if not several:
                continue
            series = figures.series_of_intervals(sizes, of["w1"])
            panels.setdefault(f"W1, {case}", {})[model] = series
            series = figures.series_of_intervals(sizes, of["nearest"])
            near.setdefault(f"distance from the data, {case}", {})[model] = series
            if model == MAIN and None not in of["floor"]:
                floor = [interval.value for interval in of["floor"]]
                panels[f"W1, {case}"]["floor"] = figures.Series(sizes, floor, reference=True)
                fresh = [interval.value for interval in of["nearest_held_out"]]
                near[f"distance from the data, {case}"]["fresh points"] = figures.Series(
                    sizes, fresh, reference=True
                )
    plates = []
    for name, some, caption in (
        ("w1_against_n", panels, "Means over seeds. The floor falls as n^(−1/d)."),
        ("nearest_against_n", near, "A generator that copies its data is at 0."),
    ):
        figure = figures.lines(some, "n, points to learn from", log_x=True, log_y=True)
        path = figures.save(figure, workdir.path / "figures" / f"{name}.png")
        plates.append(Plate(path, caption))
    columns = ["case", "model", "n", "W1", "floor", "excess", "from the data", "fresh points"]
    note = "From the data: mean distance of generated points from the nearest one of the n; fresh "
    note += "points: that of points that nobody learned from."
    text = "A rate of n^(−1/d) is the theory's, whatever the density's smoothness."
    return Section("Distances", text, plates, [Table(columns, rows, note)])


def samples_section(workdir: Workdir, programs: Programs) -> Section:
    """Generated points over those that were learned from, on manifolds that can be drawn."""
    config = workdir.config
    panels = {}
    for case, fields in config["cases"].items():
        if "manifold" not in fields or manifold_of(config, case).ambient > 3:
            continue
        for model in fields["models"]:
            shape, at = first_and_largest(programs, case, model)
            of = programs[shape][at]
            density = generators.distribution_of(config, case)
            module = generators.model_of(config, shape)
            params = point_members.member_of(point_members.trained(workdir, shape), at)
            made = np.asarray(generate(module, params, jax.random.key(of.seed), DRAWN))
            learned = generators.learned_from(config, of)[:DRAWN]
            drawn = np.concatenate([learned, made]) @ density.turn
            labels = np.repeat([0, 1], [len(learned), len(made)])
            panels[f"{case}, {model}"] = drawn, labels
    plates = points.plates(
        workdir,
        "samples",
        panels,
        lambda some: point_figures.classes(some, ["learned from", "generated"]),
        "Of the first seed and the largest n.",
    )
    return Section("Samples", "Projected onto the space that the manifold lies in.", plates)


def floors_section(workdir: Workdir, found: Findings) -> Section:
    """W1 between fresh samples on spheres of growing dimension."""
    of = workdir.config["floor"]
    panel = {
        f"S^{d}": figures.series_of_intervals(
            of["sizes"], [found.results[f"floor_S{d}_{size}"] for size in of["sizes"]]
        )
        for d in of["dimensions"]
    }
    figure = figures.lines({"W1 of fresh samples": panel}, "points", log_x=True, log_y=True)
    path = figures.save(figure, workdir.path / "figures" / "floors.png")
    rows = [
        [d, *(found.results[f"floor_S{d}_{size}"] for size in of["sizes"])]
        for d in of["dimensions"]
    ]
    table = Table(["d", *(f"{size:,} points" for size in of["sizes"])], rows)
    text = f"Means of {of['pairs']} pairs of samples on S^d in any R^D, with their intervals."
    plate = Plate(path, "A generator that reaches its line cannot be told from the data by W1.")
    return Section("Floors", text, [plate], [table])
