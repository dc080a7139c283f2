"""Estimates with intervals: Student's t across seeds, a bootstrap clustered by question."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate and the ends of its confidence interval.

    Attributes:
      value: the estimate.
      low: lower end, at most `value`.
      high: upper end, at least `value`.
      method: how the ends were found, e.g. `95 % t over 3 seeds`.
    """

    value: float
    low: float
    high: float
    method: str = ""
