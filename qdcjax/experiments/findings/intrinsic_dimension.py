"""Dimensions over widths, layers and positions; the verdicts S5."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qdcjax.experiments.stages.dimensions import MLE
from qdcjax.measures.intervals import Interval, of_seeds, students_t
from qdcjax.measures.predictions import Prediction, Verdict, judge

Row = Mapping[str, Any]
SETTLED = 32  # tokens after which positions are compared


@dataclasses.dataclass(frozen=True)
class Findings:
    """What the study found; `reports.intrinsic_dimension` draws it.

    Attributes:
      results: name → number or estimate; the summary.
      verdicts: one a prediction.
      layers, positions, sensitivity: rows of the tables, narrow models first.
      models: names, narrow ones first.
    """

    results: Mapping[str, float | Interval]
    verdicts: Sequence[Verdict]
    layers: Sequence[Row]
    positions: Sequence[Row]
    sensitivity: Sequence[Row]
    models: Sequence[str]


def find(
    layers: Sequence[Row],
    positions: Sequence[Row],
    sensitivity: Sequence[Row],
    predictions: Mapping[str, Prediction],
) -> Findings:
    """Everything after the last measure."""
    models = list(dict.fromkeys(row["model"] for row in layers))
    last = max(row["layer"] for row in layers)
    results: dict[str, float | Interval] = {}
    for model in models:
        for estimator, metric, k in dict.fromkeys(
            (row["estimator"], row["metric"], row["k"]) for row in layers
        ):
            wanted = {"model": model, "layer": last, "estimator": estimator, "metric": metric}
            name = f"{model}_{estimator.lower()}_{metric}"
            name += f"_{k}" if estimator == "Gride" else ""
            results[name] = dimension_of(layers, wanted | {"k": k})
    widest = models[-1]
    euclidean = [row for row in layers if (row["estimator"], row["metric"]) == (MLE, "euclidean")]
    results["points_dropped"] = float(sum(row["dropped"] for row in euclidean if row["layer"]))
    settled = [row for row in positions if row["metric"] == "euclidean" and row["first"] >= SETTLED]
    of_widest = [row for row in euclidean if row["model"] == widest]
    statistics = {
        "S5_width": lambda: spread([r for r in euclidean if r["layer"] == last], "model"),
        "S5_layer": lambda: spread([r for r in of_widest if r["layer"] > last / 2], "layer"),
        "S5_position": lambda: spread([r for r in settled if r["model"] == widest], "first"),
    }
    verdicts = [judge(of, statistics[name]()) for name, of in predictions.items()]
    results |= {f"{v.prediction.name}_statistic": v.estimate for v in verdicts}
    return Findings(results, verdicts, layers, positions, sensitivity, models)


def dimension_of(rows: Sequence[Row], wanted: Mapping[str, Any]) -> Interval:
    """The dimension of rows that have these values: over seeds, or a single seed's own."""
    found = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    values = [row["dimension"] for row in found]
    if len(values) > 1:
        return students_t(values)
    return Interval(values[0], found[0]["low"], found[0]["high"])


def spread(rows: Sequence[Row], over: str) -> Interval:
    """(largest − smallest) / mean of the dimension over the values of a column, of each seed."""
    seeds = list(dict.fromkeys(row["seed"] for row in rows))
    found = []
    for seed in seeds:
        values = [row["dimension"] for row in rows if row["seed"] == seed]
        if len(values) < 2:
            return Interval(math.nan, math.nan, math.nan, f"one {over} alone")
        found.append((max(values) - min(values)) / float(np.mean(values)))
    return of_seeds(found)
