"""Exponents of the scaling study's curves, held against dimensions; the verdicts S1–S4."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from qdcjax.experiments.stages.scaling_members import BASE
from qdcjax.measures.intervals import (
    NOT_MEASURED,
    Interval,
    of_seeds,
    percentiles,
    students_t,
)
from qdcjax.measures.predictions import Prediction, Verdict, judge
from qdcjax.measures.scaling import Law, data_exponent, fit_law, resampled_exponents

Row = Mapping[str, Any]  # of `scaling_members.learn`


@dataclasses.dataclass(frozen=True)
class Curve:
    """Loss against one size.

    Attributes:
      sizes: [S], rising.
      losses: [seeds, S].
    """

    sizes: np.ndarray
    losses: np.ndarray

    def law(self, floor: bool) -> Law:
        """The law of all seeds together."""
        return fit_law(np.tile(self.sizes, len(self.losses)), self.losses.ravel(), floor)

    def exponents(self, floor: bool) -> np.ndarray:
        """[R] one a seed; of a single seed the fit, and those of resampled sizes."""
        if len(self.losses) > 1:
            return np.array([fit_law(self.sizes, of, floor).exponents[0] for of in self.losses])
        return resampled_exponents(self.sizes, self.losses[0], floor)[:, 0]

    def interval(self, values: np.ndarray) -> Interval:
        """Of something that was computed from `exponents` of curves like this one."""
        if len(self.losses) > 1:
            return students_t(values)
        return percentiles(values, len(self.sizes))


@dataclasses.dataclass(frozen=True)
class Findings:
    """What the study found; `reports.scaling_laws` draws it.

    Attributes:
      results: name → number or estimate; the summary.
      verdicts: one a prediction.
      data: (manifold or corpus, ambient dimension or 0) → its curve in data.
      model: likewise, in parameters.
      known: manifold → d.
      dimensions: of each manifold and corpus; a corpus's is Euclidean, measured.
    """

    results: Mapping[str, float | Interval]
    verdicts: Sequence[Verdict]
    data: Mapping[tuple[str, int], Curve]
    model: Mapping[tuple[str, int], Curve]
    known: Mapping[str, int]
    dimensions: Mapping[str, float]


def curves(rows: Sequence[Row], size: str) -> dict[tuple[str, int], Curve]:
    """(data, ambient) → loss against `size` or `parameters`.

    Against the size of the data, of the base model; against parameters, at the largest size, of
    the models that are as deep as the base model.
    """
    depth = next((row["layers"] for row in rows if row["model"] == BASE), 0)
    most = max((row["size"] for row in rows), default=0)
    found: dict[tuple[str, int], dict[int, dict[int, float]]] = {}
    for row in rows:
        wanted = row["model"] == BASE
        if size == "parameters":
            wanted = row["layers"] == depth and row["size"] == most
        if wanted:
            of = found.setdefault((row["data"], row.get("ambient", 0)), {})
            of.setdefault(row["seed"], {})[row[size]] = row["loss"]
    return {
        key: Curve(
            np.array(sorted(next(iter(seeds.values())))),
            np.array([[of[s] for s in sorted(of)] for of in seeds.values()]),
        )
        for key, seeds in found.items()
        if len(next(iter(seeds.values()))) > 1
    }


def surfaces(rows: Sequence[Row]) -> dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]:
    """(data, ambient) → sizes [P, 2] of data and model, and losses [P], of runs in both.

    Of the models that are as deep as the base model; of data that several of them have learned.
    """
    depth = next((row["layers"] for row in rows if row["model"] == BASE), 0)
    found: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        if row["layers"] == depth:
            found.setdefault((row["data"], row.get("ambient", 0)), []).append(row)
    return {
        key: (
            np.array([[row["size"], row["parameters"]] for row in of], float),
            np.array([row["loss"] for row in of]),
        )
        for key, of in found.items()
        if len({row["parameters"] for row in of}) > 2
    }


def find(
    regression: Sequence[Row],
    language: Sequence[Row],
    known: Mapping[str, int],
    measured: Sequence[Row],
    predictions: Mapping[str, Prediction],
) -> Findings:
    """Everything after the last training.

    Args:
      regression, language: losses, see `regression.regress` and `language_models.train`.
      known: manifold → d.
      measured: rows of `dimensions.likelihoods`, with `data` and `seed`.
      predictions: name → claim.
    """
    data = {**curves(regression, "size"), **curves(language, "size")}
    model = {**curves(regression, "parameters"), **curves(language, "parameters")}
    results: dict[str, float | Interval] = {}
    alphas = {}
    for key, curve in data.items():
        name, floor = label(key), key[0] not in known
        alphas[key] = curve.exponents(floor)
        results[f"{name}_alpha_data"] = curve.interval(alphas[key])
        for floored in (False, True):
            law = curve.law(floored)
            suffix = "_with_floor" if floored else ""
            results[f"{name}_alpha_data_of_all{suffix}"] = law.exponents[0]
        results[f"{name}_floor"] = law.floor
    in_model = {key: curve.exponents(False) for key, curve in model.items()}
    for key, curve in model.items():
        results[f"{label(key)}_alpha_model"] = curve.interval(in_model[key])
    for key, (sizes, losses) in {**surfaces(regression), **surfaces(language)}.items():
        jointly = resampled_exponents(sizes, losses, floor=key[0] not in known)
        for of, values in zip(("data", "model"), jointly.T, strict=True):
            results[f"{label(key)}_joint_alpha_{of}"] = percentiles(values, len(losses))
    dimensions: dict[str, float] = dict(known)
    for name, metric in dict.fromkeys((row["data"], row["metric"]) for row in measured):
        values = [
            row["dimension"] for row in measured if (row["data"], row["metric"]) == (name, metric)
        ]
        results[f"{name}_dimension_{metric}"] = students_t(values) if len(values) > 1 else values[0]
        if metric == "euclidean":
            dimensions[name] = float(np.mean(values))
    for name, d in dimensions.items():
        results[f"{name}_alpha_predicted"] = data_exponent(d)
    statistics = {
        "S1_order": lambda: order(data, alphas, known),
        "S1_ambient": lambda: ambient(data, alphas, known),
        "S2_slope": lambda: slope(data, alphas, known, dimensions),
        "S2_order": lambda: order(
            data, alphas, {name: d for name, d in dimensions.items() if name not in known}
        ),
        "S3": lambda: relation(data, alphas, in_model, known),
        "S4_depth": lambda: saved(regression, "base", "deep"),
        "S4_width": lambda: saved(regression, "slim", "base"),
    }
    verdicts = [judge(of, statistics[name]()) for name, of in predictions.items()]
    results |= {f"{v.prediction.name}_statistic": v.estimate for v in verdicts}
    return Findings(results, verdicts, data, model, known, dimensions)


def label(key: tuple[str, int]) -> str:
    """Of a curve, in the summary."""
    name, width = key
    return f"{name}_in_{width}" if width else name


def order(
    data: Mapping[tuple[str, int], Curve],
    alphas: Mapping[tuple[str, int], np.ndarray],
    dimensions: Mapping[str, float],
) -> Interval:
    """The least α(lower d) − α(higher d) over pairs of different dimension."""
    keys = first_of_each(data, dimensions)
    gaps = [
        alphas[low] - alphas[high]
        for low, high in itertools.permutations(keys, 2)
        if dimensions[low[0]] < dimensions[high[0]]
    ]
    return _of(data, keys, lambda: np.min(gaps, axis=0), bool(gaps))


def ambient(
    data: Mapping[tuple[str, int], Curve],
    alphas: Mapping[tuple[str, int], np.ndarray],
    known: Mapping[str, int],
) -> Interval:
    """|α in the smallest R^D − α in the largest|, of the mean over manifolds."""
    widths = {name: sorted(width for of, width in data if of == name) for name in known}
    pairs = [((name, of[0]), (name, of[-1])) for name, of in widths.items() if len(of) > 1]
    gaps = [alphas[small] - alphas[large] for small, large in pairs]
    found = _of(data, [small for small, _ in pairs], lambda: np.mean(gaps, axis=0), bool(pairs))
    return found.magnitude()


def slope(
    data: Mapping[tuple[str, int], Curve],
    alphas: Mapping[tuple[str, int], np.ndarray],
    known: Mapping[str, int],
    dimensions: Mapping[str, float],
) -> Interval:
    """The largest |α − 2 / (2 + d)| over corpora."""
    apart = [
        data[key].interval(alphas[key] - data_exponent(dimensions[key[0]])).magnitude()
        for key in data
        if key[0] not in known
    ]
    if not apart:
        return NOT_MEASURED
    value, low, high = (max(getattr(of, end) for of in apart) for end in ("value", "low", "high"))
    return Interval(value, low, high, apart[0].method)


def relation(
    data: Mapping[tuple[str, int], Curve],
    alphas: Mapping[tuple[str, int], np.ndarray],
    in_model: Mapping[tuple[str, int], np.ndarray],
    known: Mapping[str, int],
) -> Interval:
    """|α_D − α_N / (1 + α_N)|, of the mean over manifolds."""
    keys = [key for key in first_of_each(data, known) if key in in_model]
    gaps = [alphas[key] - in_model[key] / (1 + in_model[key]) for key in keys]
    return _of(data, keys, lambda: np.mean(gaps, axis=0), bool(keys)).magnitude()


def saved(rows: Sequence[Row], one: str, other: str) -> Interval:
    """1 − loss of another model / loss of one, at the largest size; the mean over manifolds.

    Student's interval over seeds, or where there is one, over manifolds.
    """
    most = max(row["size"] for row in rows)
    losses = {
        (row["model"], row["data"], row["seed"]): row["loss"]
        for row in reversed(rows)  # the first ambient dimension's stay
        if row["size"] == most
    }
    ratios: dict[int, list[float]] = {}
    for (model, name, seed), loss in losses.items():
        if model == other and (one, name, seed) in losses:
            ratios.setdefault(seed, []).append(1 - loss / losses[one, name, seed])
    if not ratios:
        return NOT_MEASURED
    values = [float(np.mean(of)) for of in ratios.values()]
    values = values if len(values) > 1 else next(iter(ratios.values()))
    return of_seeds(values)


def first_of_each(
    data: Mapping[tuple[str, int], Curve], names: Mapping[str, float]
) -> list[tuple[str, int]]:
    """One curve of each name: that in the smallest ambient dimension."""
    found = {name: (name, width) for name, width in sorted(data, reverse=True)}
    return [found[name] for name in names if name in found]


def _of(
    data: Mapping[tuple[str, int], Curve],
    keys: Sequence[tuple[str, int]],
    values: Callable[[], np.ndarray],
    there: bool,
) -> Interval:
    return data[keys[0]].interval(values()) if there else NOT_MEASURED
