"""Verdicts on predictions whose thresholds were fixed beforehand."""

import math

import pytest

from qdcjax.measures.intervals import Interval
from qdcjax.measures.predictions import Prediction, judge


@pytest.mark.parametrize(
    ("direction", "low", "high", "outcome"),
    [
        ("above", 4.5, 6, "holds"),
        ("above", 4, 6, "holds"),
        ("above", 3, 6, "undecided"),
        ("above", 3, 4, "undecided"),
        ("above", 2, 3.9, "fails"),
        ("below", 2, 3, "holds"),
        ("below", 2, 4, "holds"),
        ("below", 3, 6, "undecided"),
        ("below", 4, 6, "undecided"),
        ("below", 4.1, 6, "fails"),
        ("above", 4, 4, "undecided"),
        ("below", 4, 4, "undecided"),
        ("above", math.nan, math.nan, "undecided"),
        ("below", math.nan, math.nan, "undecided"),
    ],
)
def test_outcome(direction, low, high, outcome):
    prediction = Prediction("G1", "SORM beats ORM by four points", 4, direction)
    estimate = Interval((low + high) / 2, low, high)
    verdict = judge(prediction, estimate)
    assert verdict.outcome == outcome
    assert verdict.prediction is prediction and verdict.estimate is estimate


def test_negation_mirrors_the_verdict():
    above, below = Prediction("a", "", 1.5), Prediction("b", "", -1.5, "below")
    for low, high in ((1, 2), (1.5, 2), (0, 1), (2, 3)):
        mirrored = Interval(-(low + high) / 2, -high, -low)
        assert judge(above, Interval((low + high) / 2, low, high)).outcome == (
            judge(below, mirrored).outcome
        )


def test_a_misspelt_direction_is_refused():
    with pytest.raises(ValueError, match="direction"):
        Prediction("G1", "claim", 4, "abvoe")
