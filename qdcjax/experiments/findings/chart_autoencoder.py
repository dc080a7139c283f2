"""Errors of chart autoencoders over cases, sizes and seeds; the verdicts C1–C6."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from qdcjax.experiments.findings.points import Cases, factor, worst
from qdcjax.measures.intervals import Interval, of_seeds
from qdcjax.measures.predictions import Prediction, Verdict, judge

Row = Mapping[str, Any]  # of `stages.charts.errors`
CHARTS, PLAIN = "charts", "plain"  # the models that are held against each other
DEAD = 0.01  # a chart that is the first for a smaller share of the points is dead


@dataclasses.dataclass(frozen=True)
class Findings:
    """What the study found; `reports.chart_autoencoder` draws it.

    Attributes:
      results: name → number or estimate; the summary.
      verdicts: one a prediction.
      rows: of all members.
      dimensions: case → d.
    """

    results: Mapping[str, float | Interval]
    verdicts: Sequence[Verdict]
    rows: Sequence[Row]
    dimensions: Mapping[str, int]


def find(
    rows: Sequence[Row],
    cases: Mapping[str, Mapping[str, Any]],
    dimensions: Mapping[str, int],
    base: str,
    predictions: Mapping[str, Prediction],
) -> Findings:
    """Everything after the last error."""
    errors = Cases(rows, cases, dimensions, base, "error")
    results: dict[str, float | Interval] = {}
    for case, fields in cases.items():
        for model in fields["models"]:
            for size in fields["sizes"]:
                results[f"{case}_{model}_{size}_error"] = of_seeds(errors.of(case, model, size))
            if len(fields["sizes"]) > 2:
                results[f"{case}_{model}_slope"] = of_seeds(errors.slopes(case, model))
    of_model: dict[str, list[float]] = {}
    for row in rows:
        of_model.setdefault(row["model"], []).append(dead_charts(row))
    for model, dead in of_model.items():
        if max(len(row["shares"]) for row in rows if row["model"] == model) > 1:
            results[f"{model}_dead_charts"] = float(np.mean(dead))
    statistics: dict[str, Callable[[], Interval]] = {
        "C1": lambda: slope_excess(errors),
        "C2": lambda: over_plain(errors),
        "C3": lambda: left_of_normal_noise(errors),
        "C4": lambda: off_tangential_floor(errors),
        "C5": lambda: of_wide_space(errors),
        "C6": lambda: of_more_dimensions(errors),
    }
    verdicts = [judge(of, statistics[name]()) for name, of in predictions.items()]
    results |= {f"{v.prediction.name}_statistic": v.estimate for v in verdicts}
    return Findings(results, verdicts, rows, dimensions)


def dead_charts(row: Row) -> int:
    """How many charts of a member are dead."""
    return sum(share < DEAD for share in row["shares"])


def slope_excess(errors: Cases) -> Interval:
    """C1: the slope of the charts' error in n, + 2 / (d + 2): of the case where it is largest."""
    cases = [case for case, of in errors.cases.items() if CHARTS in of["models"]]
    return worst(
        [
            of_seeds(errors.slopes(case, CHARTS) + 2 / (errors.dimensions[case] + 2))
            for case in cases
            if len(errors.cases[case]["sizes"]) > 2
        ]
    )


def over_plain(errors: Cases) -> Interval:
    """C2: error of the d-latent autoencoder / error of charts, where that is least."""
    return worst(
        [
            factor(errors.of(case, PLAIN) / errors.of(case, CHARTS))
            for case, of in errors.cases.items()
            if {CHARTS, PLAIN} <= set(of["models"]) and of["manifold"]["kind"] not in OPEN
        ],
        sign=-1,
    )


OPEN = ("swiss_roll",)  # with a boundary: one chart covers it


def left_of_normal_noise(errors: Cases) -> Interval:
    """C3: error / E|w|² where the noise is normal, of the q where that is largest."""
    found = []
    for case in errors.like_base("normal"):
        noise = [row["input_error"] for row in errors.rows if row["case"] == case]
        found.append(of_seeds(errors.of(case, CHARTS) / np.mean(noise)))
    return worst(found)


def off_tangential_floor(errors: Cases) -> Interval:
    """C4: |error / (d σ²) − 1| where the noise is isotropic."""
    found = []
    for case, of in errors.cases.items():
        if of.get("isotropic"):
            floor = errors.dimensions[case] * of["isotropic"] ** 2
            found.append(of_seeds(errors.of(case, CHARTS) / floor - 1).magnitude())
    return worst(found)


def of_wide_space(errors: Cases) -> Interval:
    """C5: error in the largest D / error in the smallest, on the base's manifold."""
    cases = sorted(errors.like_base("width"), key=lambda case: errors.cases[case]["width"])
    return factor(errors.of(cases[-1], CHARTS) / errors.of(cases[0], CHARTS))


def of_more_dimensions(errors: Cases) -> Interval:
    """C6: error on spheres of more dimensions / on the base's, at the largest n of both."""
    base = errors.cases[errors.base]["manifold"]
    found = []
    for case, of in errors.cases.items():
        alike = of["manifold"]["kind"] == base["kind"] and CHARTS in of["models"]
        if alike and errors.dimensions[case] > errors.dimensions[errors.base]:
            size = max(set(of["sizes"]) & set(errors.cases[errors.base]["sizes"]))
            found.append(
                factor(errors.of(case, CHARTS, size) / errors.of(errors.base, CHARTS, size))
            )
    return worst(found, sign=-1)
