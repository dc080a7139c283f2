"""Predictions with thresholds fixed beforehand, and their verdicts."""

import dataclasses
from typing import Literal

from qdcjax.measures.intervals import Interval


@dataclasses.dataclass(frozen=True)
class Prediction:
    """A study's claim about one statistic, fixed in the config before the run.

    Attributes:
      name: the page's short name, e.g. `G1`.
      claim: the claim in words.
      threshold: what the statistic is compared with.
      direction: `above` when the claim is statistic ≥ threshold, `below` when it is ≤.

    Raises:
      ValueError: another direction.
    """

    name: str
    claim: str
    threshold: float
    direction: Literal["above", "below"] = "above"

    def __post_init__(self):
        if self.direction not in ("above", "below"):
            raise ValueError(
                f"{self.name}: direction must be 'above' or 'below': {self.direction!r}"
            )


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a run found about a prediction.

    Attributes:
      prediction: the claim.
      estimate: the statistic with its interval.
      outcome: `holds` when the whole interval is on the claimed side of the threshold,
        `fails` when it is wholly on the other side, `undecided` otherwise. An interval that is the
        threshold alone is `undecided`: where nothing varied, nothing was found.
    """

    prediction: Prediction
    estimate: Interval
    outcome: Literal["holds", "fails", "undecided"]


def judge(prediction: Prediction, estimate: Interval) -> Verdict:
    """Compares an estimate with the threshold that was fixed beforehand."""
    low, high = estimate.low - prediction.threshold, estimate.high - prediction.threshold
    if prediction.direction == "below":
        low, high = -high, -low
    outcome = "holds" if low >= 0 < high else "fails" if high < 0 else "undecided"
    return Verdict(prediction, estimate, outcome)
