"""Figures of members by case, model and size: what both studies of points draw verdicts from."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from qdcjax.experiments.stages.point_cases import PLANNED
from qdcjax.measures.intervals import NOT_MEASURED, Interval, of_seeds

Row = Mapping[str, Any]
OPEN = ("swiss_roll",)  # manifolds with a boundary: one chart covers them


@dataclasses.dataclass(frozen=True)
class Cases:
    """A column of the members' rows, by case, model and size.

    Attributes:
      rows: of all members: `case`, `model`, `size`, `seed`, and what was measured.
      cases: case → the fields of its config.
      dimensions: case → d.
      base: the case that others are held against.
      column: what is looked at.
    """

    rows: Sequence[Row]
    cases: Mapping[str, Mapping[str, Any]]
    dimensions: Mapping[str, int]
    base: str
    column: str

    def some(self, case: str, model: str, size: int | None = None) -> list[Row]:
        """The rows of a case and model, by default at the largest size; one a seed."""
        size = max(self.cases[case]["sizes"]) if size is None else size
        wanted = {"case": case, "model": model, "size": size}
        return [row for row in self.rows if all(row[k] == wanted[k] for k in wanted)]

    def of(self, case: str, model: str, size: int | None = None) -> np.ndarray:
        """[seeds] the column in `some` rows."""
        return np.array([row[self.column] for row in self.some(case, model, size)])

    def with_model(self, *models: str, sizes: int = 1) -> list[str]:
        """Cases that these models learn, of so many sizes or more."""
        return [
            case
            for case, of in self.cases.items()
            if set(models) <= set(of["models"]) and len(of["sizes"]) >= sizes
        ]

    def slopes(self, case: str, model: str) -> np.ndarray:
        """[seeds] of the column's logarithm against log n, by least squares."""
        sizes = sorted(self.cases[case]["sizes"])
        values = np.array([self.of(case, model, size) for size in sizes])
        return np.polyfit(np.log(sizes), np.log(values), 1)[0]

    def like_base(self, *free: str) -> list[str]:
        """Cases that differ from the base in these fields alone, itself among them."""
        fixed = self._fixed(self.base, free)
        return [case for case in self.cases if self._fixed(case, free) == fixed]

    def _fixed(self, case: str, free: tuple[str, ...]) -> dict[str, Any]:
        return {n: v for n, v in self.cases[case].items() if n not in (*free, *PLANNED)}


def factor(ratios: np.ndarray, confidence: float = 0.95) -> Interval:
    """The geometric mean over seeds, whose interval is Student's of the logarithms."""
    of = of_seeds(np.log(ratios), confidence)
    return Interval(math.exp(of.value), math.exp(of.low), math.exp(of.high), of.method)


def magnitude(values: np.ndarray, confidence: float = 0.95) -> Interval:
    """|mean over seeds|."""
    return of_seeds(values, confidence).magnitude()


def worst(
    parts: Sequence[Any], estimate: Callable[[Any, float], Interval] = of_seeds, sign: int = 1
) -> Interval:
    """The largest of several estimates (with −1 the smallest), where a claim is about all.

    The end that says that all are within a bound is the largest of their ends. The other one, by
    which a single one of k would be outside, is of a confidence of 1 − .05 / k each (Bonferroni).

    Args:
      parts: of each what `estimate` takes: [seeds] values, by default.
      estimate: part and confidence → interval.
      sign: 1 or −1.
    """
    if not parts:
        return NOT_MEASURED
    k = len(parts)
    each, strict = ([estimate(of, 1 - 0.05 / n) for of in parts] for n in (1, k))
    most = max if sign > 0 else min
    lows, highs = (strict, each) if sign > 0 else (each, strict)
    method = each[0].method if k == 1 else f"{each[0].method}, the worst of {k}"
    return Interval(
        most(of.value for of in each),
        most(of.low for of in lows),
        most(of.high for of in highs),
        method,
    )
