"""Wasserstein distances of generators beside their floors; the verdicts W1–W4."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from qdcjax.experiments.findings.points import OPEN, Cases, factor, magnitude, worst
from qdcjax.measures.intervals import NOT_MEASURED, Interval, of_seeds
from qdcjax.measures.predictions import Prediction, Verdict, judge

Row = Mapping[str, Any]  # of `stages.generators.distances`, and of `floors` there
MAIN = "sinkhorn"  # the model that stands for its case
SAME, BELOW = "sinkhorn_d", "sinkhorn_below"  # with d latent dimensions, and with d − 1
SHAPED = ("atoms", "atoms_share", "gap")  # fields of a case that make its density uneven


@dataclasses.dataclass(frozen=True)
class Findings:
    """What the study found; `reports.generator` draws it.

    Attributes:
      results: name → number or estimate; the summary.
      verdicts: one a prediction.
    """

    results: Mapping[str, float | Interval]
    verdicts: Sequence[Verdict]


def find(
    rows: Sequence[Row],
    floors: Sequence[Row],
    cases: Mapping[str, Mapping[str, Any]],
    dimensions: Mapping[str, int],
    base: str,
    predictions: Mapping[str, Prediction],
) -> Findings:
    """Everything after the last distance."""
    known = {
        (of["of"], of["tested"]): Interval(of["floor"], of["low"], of["high"], of["method"])
        for of in floors
    }
    of = Distances(rows, cases, dimensions, base, "w1", known)
    results: dict[str, float | Interval] = {}
    for case, fields in cases.items():
        for model in fields["models"]:
            for size in fields["sizes"]:
                name = f"{case}_{model}_{size}"
                results[f"{name}_w1"] = of_seeds(of.of(case, model, size))
                for column in ("nearest", "nearest_held_out"):
                    other = dataclasses.replace(of, column=column)
                    results[f"{name}_{column}"] = of_seeds(other.of(case, model, size))
                if (floor := of.floor(case, model, size)) is not None:
                    results[f"{name}_floor"] = floor
                    results[f"{name}_excess"] = of_seeds(of.of(case, model, size) - floor.value)
            if len(fields["sizes"]) > 2:
                results[f"{case}_{model}_slope"] = of_seeds(of.slopes(case, model))
                results |= of.slopes_beside_floor(case, model)
    for (name, count), floor in known.items():
        if name not in cases:
            results[f"floor_{name}_{count}"] = floor
    statistics: dict[str, Callable[[], Interval]] = {
        "W1_slope": lambda: off_theory(of),
        "W1_ambient": lambda: moved_by_width(of),
        "W2": lambda: beside_floor(of),
        "W3_same": lambda: with_as_many_dimensions(of),
        "W3_below": lambda: flatter_below(of),
        "W4": lambda: moved_by_density(of),
    }
    verdicts = [judge(prediction, statistics[name]()) for name, prediction in predictions.items()]
    results |= {f"{v.prediction.name}_statistic": v.estimate for v in verdicts}
    return Findings(results, verdicts)


@dataclasses.dataclass(frozen=True)
class Distances(Cases):
    """`Cases` with the floors of their distances.

    Attributes:
      floors: (case, M) → W1 of fresh samples.
    """

    floors: Mapping[tuple[str, int], Interval]

    def floor(self, case: str, model: str, size: int) -> Interval | None:
        """That of the members of a size; none where fresh points cannot be drawn at will."""
        return self.floors.get((case, self.some(case, model, size)[0]["tested"]))

    def slopes_beside_floor(self, case: str, model: str) -> dict[str, float | Interval]:
        """The slope of the floor in n, and that of W1 − floor where it is over 0."""
        sizes = sorted(self.cases[case]["sizes"])
        floors = [self.floor(case, model, size) for size in sizes]
        if None in floors:
            return {}
        floor, logs = np.array([of.value for of in floors]), np.log(sizes)
        found = {f"{case}_floor_slope": float(np.polyfit(logs, np.log(floor), 1)[0])}
        excess = np.array([self.of(case, model, size) for size in sizes]) - floor[:, None]
        if (excess > 0).all():
            slopes = np.polyfit(logs, np.log(excess), 1)[0]
            found[f"{case}_{model}_excess_slope"] = of_seeds(slopes)
        return found


def off_theory(of: Distances) -> Interval:
    """W1: |slope + 1/d| in n, where d is 3 or more and the density is even."""
    alike = of.like_base("width", "manifold")
    return worst(
        [
            of.slopes(case, MAIN) + 1 / of.dimensions[case]
            for case in of.with_model(MAIN, sizes=3)
            if of.dimensions[case] > 2 and case in alike
        ],
        magnitude,
    )


def moved_by_width(of: Distances) -> Interval:
    """W1: |slope in the largest D − slope in the smallest|, of the base case."""
    alike = set(of.like_base("width")) & set(of.with_model(MAIN, sizes=3))
    ends = sorted(alike, key=lambda case: of.cases[case]["width"])
    if len(ends) < 2:
        return NOT_MEASURED
    return magnitude(of.slopes(ends[-1], MAIN) - of.slopes(ends[0], MAIN))


def beside_floor(of: Distances) -> Interval:
    """W2: W1 / floor of all members; the floor's own error counts too."""

    def estimate(part: tuple[np.ndarray, float], confidence: float) -> Interval:
        ratios, of_floor = part
        found = of_seeds(ratios, confidence)
        low = found.value - math.hypot(found.value - found.low, of_floor * found.value)
        high = found.value + math.hypot(found.high - found.value, of_floor * found.value)
        return dataclasses.replace(found, low=low, high=high)

    found = []
    for case, fields in of.cases.items():
        for model in fields["models"]:
            for size in fields["sizes"]:
                if (floor := of.floor(case, model, size)) is not None:
                    error = (floor.high - floor.value) / floor.value
                    found.append((of.of(case, model, size) / floor.value, error))
    return worst(found, estimate, sign=-1)


def with_as_many_dimensions(of: Distances) -> Interval:
    """W3: W1 with d latent dimensions / with d + 1, at the largest n, on closed manifolds."""
    return worst(
        [
            of.of(case, SAME) / of.of(case, MAIN)
            for case in of.with_model(SAME, MAIN)
            if of.cases[case].get("manifold", {}).get("kind") not in OPEN
        ],
        factor,
        sign=-1,
    )


def flatter_below(of: Distances) -> Interval:
    """W3: slope in n with d − 1 latent dimensions − slope with d + 1."""
    return worst(
        [
            of.slopes(case, BELOW) - of.slopes(case, MAIN)
            for case in of.with_model(BELOW, MAIN, sizes=3)
        ],
        sign=-1,
    )


def moved_by_density(of: Distances) -> Interval:
    """W4: |slope with atoms or gaps − slope without|."""
    there = of.with_model(MAIN, sizes=3)
    cases = [case for case in of.like_base(*SHAPED) if case in there and case != of.base]
    if of.base not in there:
        return NOT_MEASURED
    own = of.slopes(of.base, MAIN)
    return worst([of.slopes(case, MAIN) - own for case in cases], magnitude)
