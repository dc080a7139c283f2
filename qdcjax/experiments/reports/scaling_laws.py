"""The report of scaling laws: curves, fits and theory on log axes; exponents against predicted."""

import dataclasses
from collections.abc import Mapping

from qdcjax.experiments.findings.scaling_laws import Curve, Findings, label
from qdcjax.experiments.reports.training import training_section
from qdcjax.experiments.running import publish
from qdcjax.measures.intervals import Interval
from qdcjax.measures.scaling import data_exponent, model_exponent
from qdcjax.reporting import figures
from qdcjax.reporting.page import HeadlineRow, Plate, Report, Section, Table
from qdcjax.workdir import Workdir

CURVES = {"loss, mean over members": "loss"}
CAUTION = (
    "The theory bounds the squared error from above: a smooth target can be learned faster, and "
    "cross-entropy on text is not the theorem's squared error."
)


def report(workdir: Workdir, found: Findings) -> Report:
    """Everything that the page shows, with its figures saved under `figures/`."""
    return Report(
        title="Scaling laws and intrinsic dimension",
        description="How fast held-out loss falls with the size of the data and of the model: of "
        "transformers that learn a distance on manifolds of known dimension, and of language "
        "models of corpora whose dimension is measured in their hidden states.",
        run=publish.run_facts(workdir),
        headline=headline(found),
        verdicts=found.verdicts,
        sections=[
            curves_section(workdir, "data", found.data, found),
            *([curves_section(workdir, "model", found.model, found)] if found.model else []),
            exponents_section(workdir, found),
            training_section(workdir, {part: CURVES for part in ("regression", "language")}),
        ],
    )


def headline(found: Findings) -> list[HeadlineRow]:
    """The exponent of each curve in data."""
    return [
        HeadlineRow(
            f"{label(key)}: exponent in data",
            found.results[f"{label(key)}_alpha_data"],
            note=f"2 / (2 + d) is {data_exponent(found.dimensions[key[0]]):.3f}",
        )
        for key in found.data
    ]


def curves_section(
    workdir: Workdir, of: str, curves: Mapping[tuple[str, int], Curve], found: Findings
) -> Section:
    """Measured losses, the fitted law and the theory's slope, a panel for each curve."""
    panels = {}
    for key, curve in curves.items():
        d, mean = found.dimensions[key[0]], curve.losses.mean(axis=0)
        floor = of == "data" and key[0] not in found.known
        law = curve.law(floor)
        exponent = data_exponent(d) if of == "data" else model_exponent(d)
        theory = law.floor + (mean[0] - law.floor) * (curve.sizes / curve.sizes[0]) ** -exponent
        panels[f"held-out loss, {label(key)}"] = {
            "measured": figures.Series(
                curve.sizes, mean, curve.losses.min(axis=0), curve.losses.max(axis=0)
            ),
            "fitted": figures.Series(curve.sizes, law(curve.sizes)),
            "theory's slope": figures.Series(curve.sizes, theory, reference=True),
        }
    words = {"data": "size of the data (points or tokens)", "model": "parameters of the layers"}
    figure = figures.lines(panels, words[of], log_x=True, log_y=True)
    path = figures.save(figure, workdir.path / "figures" / f"loss_against_{of}.png")
    caption = (
        "Mean over seeds with the least and the largest; the theory begins at the first point."
    )
    titles = {"data": "Loss against data", "model": "Loss against parameters"}
    return Section(titles[of], CAUTION, [Plate(path, caption)])


def exponents_section(workdir: Workdir, found: Findings) -> Section:
    """Predicted against measured exponents, as a figure and a table."""
    points: dict[str, list[tuple[float, Interval]]] = {}
    rows = []
    for key in found.data:
        name, d = label(key), found.dimensions[key[0]]
        in_data = found.results[f"{name}_alpha_data"]
        in_model = found.results.get(f"{name}_alpha_model")
        kind = "manifolds" if key[0] in found.known else "corpora"
        points.setdefault(kind, []).append((data_exponent(d), in_data))
        jointly = [found.results.get(f"{name}_joint_alpha_{of}") for of in ("data", "model")]
        predicted = data_exponent(d), model_exponent(d)
        rows.append(
            [name, d, predicted[0], in_data, jointly[0], predicted[1], in_model, jointly[1]]
        )
    panel = {
        kind: dataclasses.replace(
            figures.series_of_intervals([x for x, _ in of], [y for _, y in of]), joined=False
        )
        for kind, of in ((kind, sorted(of, key=lambda p: p[0])) for kind, of in points.items())
    }
    ends = [
        min(x for of in points.values() for x, _ in of),
        max(x for of in points.values() for x, _ in of),
    ]
    panel["as predicted"] = figures.Series(ends, ends, reference=True)
    figure = figures.lines({"measured exponent in data": panel}, "predicted exponent, 2 / (2 + d)")
    path = figures.save(figure, workdir.path / "figures" / "exponents.png")
    columns = ["of", "d", "2 / (2 + d)", "in data", "jointly", "2 / d", "in parameters", "jointly"]
    table = Table(columns, rows, "d of a corpus is measured: Euclidean, the last layer.")
    text = (
        "Pure power laws on manifolds, whose targets have no noise; with a floor on text. Jointly: "
        "L = E + A N^−α + B D^−β, of all models of the base model's depth."
    )
    return Section("Exponents", text, [Plate(path, "Each point is a curve.")], [table])
