"""Wasserstein distances of generators beside their floors; the verdicts W1–W4."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qdcjax.experiments.findings.points import Cases, factor, worst
from qdcjax.measures.intervals import NOT_MEASURED, Interval, of_seeds
from qdcjax.measures.predictions import Prediction, Verdict, judge

Row = Mapping[str, Any]
MAIN = "sinkhorn"  # the model that stands for its case
SAME, BELOW = "sinkhorn_d", "sinkhorn_below"  # with d latent dimensions, and with d − 1
OPEN = ("swiss_roll",)  # with a boundary: d latent dimensions cover it
SHAPED = ("atoms", "atoms_share", "gap")  # fields of a case that make its density uneven


@dataclasses.dataclass(frozen=True)
class Findings:
    """What the study found; `reports.generator` draws it.

    Attributes:
      results: name → number or estimate; the summary.
      verdicts: one a prediction.
      rows: of all members, `stages.generators.distances`.
      floors: (case, M) → W1 of fresh samples.
    """

    results: Mapping[str, float | Interval]
    verdicts: Sequence[Verdict]
    rows: Sequence[Row]
    floors: Mapping[tuple[str, int], Interval]


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
        (of["of"], of["tested"]): Interval(of["floor"], of["low"], of["high"]) for of in floors
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
    for (name, count), floor in known.items():
        if name not in cases:
            results[f"floor_{name}_{count}"] = floor
    statistics: dict[str, Callable[[], Interval]] = {
        "W1_slope": lambda: off_theory(of),
        "W1_ambient": lambda: moved_by_width(of),
        "W2": lambda: beside_floor(of),
        "W3_same": lambda: with_fewer_dimensions(of, SAME),
        "W3_below": lambda: with_fewer_dimensions(of, BELOW),
        "W4": lambda: moved_by_density(of),
    }
    verdicts = [judge(prediction, statistics[name]()) for name, prediction in predictions.items()]
    results |= {f"{v.prediction.name}_statistic": v.estimate for v in verdicts}
    return Findings(results, verdicts, rows, known)


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

    def sloped(self, model: str = MAIN) -> list[str]:
        """Cases in which this model learned of three sizes or more."""
        return [
            case
            for case, of in self.cases.items()
            if model in of["models"] and len(of["sizes"]) > 2
        ]


def off_theory(of: Distances) -> Interval:
    """W1: |slope + 1/d| in n, where d is 3 or more: of the case where it is largest."""
    return worst(
        [
            of_seeds(of.slopes(case, MAIN) + 1 / of.dimensions[case]).magnitude()
            for case in of.sloped()
            if of.dimensions[case] > 2 and case in of.like_base("width", "manifold")
        ]
    )


def moved_by_width(of: Distances) -> Interval:
    """W1: |slope in the largest D − slope in the smallest|, of the base case."""
    cases = [case for case in of.like_base("width") if case in of.sloped()]
    ends = sorted(cases, key=lambda case: of.cases[case]["width"])
    if len(ends) < 2:
        return NOT_MEASURED
    return of_seeds(of.slopes(ends[-1], MAIN) - of.slopes(ends[0], MAIN)).magnitude()


def beside_floor(of: Distances) -> Interval:
    """W2: W1 / floor of a generator, where that is least."""
    found = []
    for case, fields in of.cases.items():
        for model in fields["models"]:
            for size in fields["sizes"]:
                if (floor := of.floor(case, model, size)) is not None:
                    found.append(of_seeds(of.of(case, model, size) / floor.value))
    return worst(found, sign=-1)


def with_fewer_dimensions(of: Distances, model: str) -> Interval:
    """W3: W1 with fewer latent dimensions / with d + 1, at the largest n, where that is least."""
    return worst(
        [
            factor(of.of(case, model) / of.of(case, MAIN))
            for case, fields in of.cases.items()
            if {model, MAIN} <= set(fields["models"])
            and fields.get("manifold", {}).get("kind") not in OPEN
        ],
        sign=-1,
    )


def moved_by_density(of: Distances) -> Interval:
    """W4: |slope with atoms or gaps − slope without|, of the case where it is largest."""
    cases = [case for case in of.like_base(*SHAPED) if case in of.sloped() and case != of.base]
    if of.base not in of.sloped():
        return NOT_MEASURED
    own = of.slopes(of.base, MAIN)
    return worst([of_seeds(of.slopes(case, MAIN) - own).magnitude() for case in cases])
