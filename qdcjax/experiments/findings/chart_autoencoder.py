"""Errors of chart autoencoders over cases, sizes and seeds; the verdicts C1–C6."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from qdcjax.experiments.findings.points import OPEN, Cases, factor, magnitude, worst
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
    """C1: the slope of the charts' error in n, + 2 / (d + 2), of all cases."""
    return worst(
        [
            errors.slopes(case, CHARTS) + 2 / (errors.dimensions[case] + 2)
            for case in errors.with_model(CHARTS, sizes=3)
        ]
    )


def over_plain(errors: Cases) -> Interval:
    """C2: error of the d-latent autoencoder / error of charts, on closed surfaces."""
    return worst(
        [
            errors.of(case, PLAIN) / errors.of(case, CHARTS)
            for case in errors.with_model(CHARTS, PLAIN)
            if errors.cases[case]["manifold"]["kind"] not in OPEN
        ],
        factor,
        sign=-1,
    )


def left_of_normal_noise(errors: Cases) -> Interval:
    """C3: error / E|w|² where the noise is normal, of all q."""
    noise = dataclasses.replace(errors, column="input_error")
    alike = set(errors.like_base("normal")) & set(errors.with_model(CHARTS))
    return worst([errors.of(case, CHARTS) / noise.of(case, CHARTS) for case in sorted(alike)])


def off_tangential_floor(errors: Cases) -> Interval:
    """C4: |error / (d σ²) − 1| where the noise is isotropic."""
    found = []
    for case in errors.with_model(CHARTS):
        if sigma := errors.cases[case].get("isotropic"):
            floor = errors.dimensions[case] * sigma**2
            found.append(errors.of(case, CHARTS) / floor - 1)
    return worst(found, magnitude)


def of_wide_space(errors: Cases) -> Interval:
    """C5: error in the largest D / error in the smallest, on the base's manifold."""
    alike = set(errors.like_base("width")) & set(errors.with_model(CHARTS))
    first, *others = sorted(alike, key=lambda case: errors.cases[case]["width"])
    return worst(ratios(errors, others[-1:], first), factor)


def of_more_dimensions(errors: Cases) -> Interval:
    """C6: error on manifolds of more dimensions / on the base's, of the same kind and noise."""
    kind = errors.cases[errors.base]["manifold"]["kind"]
    higher = [
        case
        for case in errors.like_base("manifold")
        if case in errors.with_model(CHARTS)
        and errors.cases[case]["manifold"]["kind"] == kind
        and errors.dimensions[case] > errors.dimensions[errors.base]
    ]
    return worst(ratios(errors, higher, errors.base), factor, sign=-1)


def ratios(errors: Cases, cases: Sequence[str], other: str) -> list[np.ndarray]:
    """[seeds] error of charts in each case / in another, at the largest size that both have."""
    found = []
    for case in cases:
        both = set(errors.cases[case]["sizes"]) & set(errors.cases[other]["sizes"])
        if both:
            size = max(both)
            found.append(errors.of(case, CHARTS, size) / errors.of(other, CHARTS, size))
    return found
