"""The report of hidden states' dimension: by layer, position, scale, width and training."""

from collections.abc import Mapping, Sequence

import numpy as np

from qdcjax.experiments.findings.intrinsic_dimension import Findings, dimension_of
from qdcjax.experiments.running import publish
from qdcjax.experiments.stages.dimensions import GRIDE, MLE, TWO_NN, DimensionSettings
from qdcjax.measures.intervals import Interval
from qdcjax.reporting import figures
from qdcjax.reporting.metrics import METRICS_FILE, read_metrics
from qdcjax.reporting.page import HeadlineRow, Plate, Report, Section, Table
from qdcjax.workdir import Workdir


def report(workdir: Workdir, found: Findings, settings: DimensionSettings) -> Report:
    """Everything that the page shows, with its figures saved under `figures/`."""
    sections = [
        layers_section(workdir, found, settings),
        scales_section(workdir, found),
        positions_section(workdir, found, settings),
        sensitivity_section(workdir, found),
        *training_sections(workdir, found, settings),
        estimators_section(found),
    ]
    return Report(
        title="Intrinsic dimension of hidden states",
        description="How many dimensions the hidden states of a language model fill, as nearest "
        "neighbours' distances tell it, on held-out text.",
        run=publish.run_facts(workdir),
        headline=[
            HeadlineRow(
                f"{model}, last layer, {metric}",
                found.results[f"{model}_mle_{metric}"],
                note=words(settings),
            )
            for model in found.models
            for metric in settings.metrics
        ],
        verdicts=found.verdicts,
        sections=sections,
    )


def words(settings: DimensionSettings) -> str:
    """What a maximum likelihood depends on."""
    return f"MLE, K = {settings.k}, {settings.aggregate}, batches of {settings.batch:,}"


def layers_section(workdir: Workdir, found: Findings, settings: DimensionSettings) -> Section:
    """Dimension against layer, a panel a metric, a line a model."""
    panels = {
        f"dimension, {metric}": {
            model: series(found.layers, "layer", model=model, estimator=MLE, metric=metric)
            for model in found.models
        }
        for metric in settings.metrics
    }
    return drawn(
        workdir,
        "Layers",
        "layers.png",
        panels,
        "layer (0: the embedding)",
        f"{words(settings)}. The cosine distance halves a dimension, for 1 − cos θ ≈ θ² / 2. The "
        "embedding has as many different points as tokens; points that equal another one are "
        "dropped.",
        log_y=True,
    )


def scales_section(workdir: Workdir, found: Findings) -> Section:
    """Gride against the neighbour that it looks at, in the last layer."""
    last = max(row["layer"] for row in found.layers)
    panels = {
        f"dimension, {metric}": {
            model: series(
                found.layers, "k", model=model, layer=last, estimator=GRIDE, metric=metric
            )
            for model in found.models
        }
        for metric in dict.fromkeys(row["metric"] for row in found.layers)
    }
    text = "One number can mislead: the dimension at a scale, from near neighbours to far ones."
    return drawn(workdir, "Scales", "scales.png", panels, "neighbour, 2m", text, log_x=True)


def positions_section(workdir: Workdir, found: Findings, settings: DimensionSettings) -> Section:
    """Dimension against position, in the last layer."""
    panels = {
        f"dimension, {metric}": {
            model: series(found.positions, "first", model=model, metric=metric)
            for model in found.models
        }
        for metric in settings.metrics
    }
    ends = ", ".join(
        f"{a}–{b}" for a, b in dict.fromkeys((r["first"], r["end"]) for r in found.positions)
    )
    text = f"In the last layer, between tokens {ends} of a passage; {words(settings)}."
    return drawn(workdir, "Positions", "positions.png", panels, "first token", text)


def sensitivity_section(workdir: Workdir, found: Findings) -> Section:
    """Dimension against the batch, a line for each K, of the widest model: no other is measured."""
    panels = {
        f"dimension, {metric}": {
            f"K = {k}": series(found.sensitivity, "batch", metric=metric, k=k)
            for k in dict.fromkeys(row["k"] for row in found.sensitivity)
        }
        for metric in dict.fromkeys(row["metric"] for row in found.sensitivity)
    }
    text = "K and the batch are part of the definition. Maximum likelihood, "
    text += f"{found.models[-1]}, last layer."
    return drawn(
        workdir, "K and batch", "sensitivity.png", panels, "points in a batch", text, log_x=True
    )


def training_sections(
    workdir: Workdir, found: Findings, settings: DimensionSettings
) -> list[Section]:
    """Dimension and loss over training; none of a policy that was given."""
    stages = {
        model: [name for name in workdir.seconds if name.rpartition("-")[0] == model]
        for model in found.models
    }
    if not any(stages.values()):
        return []
    metrics = {f"dimension, {metric}": f"dimension_{metric}" for metric in settings.metrics}
    panels = {
        label: {model: over_steps(workdir, names, metric) for model, names in stages.items()}
        for label, metric in (metrics | {"loss": "loss"}).items()
    }
    caption = "The mean over seeds, with the least and the largest."
    return [
        drawn(
            workdir, "Training", "training.png", panels, "optimiser steps",
            f"The last layer; {words(settings)}.", caption=caption,
        )
    ]  # fmt: skip


def over_steps(workdir: Workdir, stages: Sequence[str], metric: str) -> figures.Series:
    """The mean, least and largest of a metric over stages that log it at the same steps."""
    logs = [
        {row["step"]: row[metric] for row in read_metrics(workdir.path / METRICS_FILE, stage)
         if metric in row}
        for stage in stages
    ]  # fmt: skip
    values = np.array([[log[step] for step in sorted(logs[0])] for log in logs])
    return figures.Series(sorted(logs[0]), values.mean(0), values.min(0), values.max(0))


def estimators_section(found: Findings) -> Section:
    """All estimators in the last layer."""
    last = max(row["layer"] for row in found.layers)
    rows = []
    for model in found.models:
        for metric in dict.fromkeys(row["metric"] for row in found.layers):
            wanted = {"model": model, "layer": last, "metric": metric}
            gride = [row["k"] for row in found.layers if row["estimator"] == GRIDE]
            cells: list[Interval] = [
                dimension_of(found.layers, wanted | {"estimator": MLE}),
                dimension_of(found.layers, wanted | {"estimator": TWO_NN}),
                *(
                    dimension_of(found.layers, wanted | {"estimator": GRIDE, "k": k})
                    for k in (min(gride), max(gride))
                ),
            ]
            rows.append([model, metric, *cells])
    columns = ["model", "metric", "MLE", "TwoNN", "Gride, nearest", "Gride, farthest"]
    return Section("Estimators", "", [], [Table(columns, rows, "In the last layer.")])


def series(rows: Sequence[Mapping], over: str, **wanted) -> figures.Series:
    """The dimension against a column, of rows that have these values."""
    at = sorted(
        {row[over] for row in rows if all(row[name] == value for name, value in wanted.items())}
    )
    return figures.series_of_intervals(at, [dimension_of(rows, wanted | {over: x}) for x in at])


def drawn(
    workdir: Workdir,
    title: str,
    file: str,
    panels: Mapping[str, Mapping[str, figures.Series]],
    x_label: str,
    text: str,
    log_x: bool = False,
    log_y: bool = False,
    caption: str = "Intervals are Student's over seeds.",
) -> Section:
    """A section with one figure."""
    figure = figures.lines(panels, x_label, log_x=log_x, log_y=log_y)
    path = figures.save(figure, workdir.path / "figures" / file)
    return Section(title, text, [Plate(path, caption)])
