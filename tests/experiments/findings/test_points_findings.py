"""The worst of several estimates: what it takes for all to be within a bound, and for one not."""

import numpy as np
import pytest

from qdcjax.experiments.findings.points import factor, magnitude, worst
from qdcjax.measures.intervals import students_t

LEVEL, LOUD = np.array([0.040, 0.041, 0.039]), np.array([0.039, 0.054, 0.023])


def test_all_are_within_a_bound_only_where_the_widest_interval_is():
    found = worst([LEVEL, LOUD])
    assert found.value == pytest.approx(0.04)
    assert found.high == pytest.approx(students_t(LOUD).high), "not that of the largest mean"
    assert found.low == pytest.approx(students_t(LEVEL, 0.975).low)
    assert found.method == "95 % t over 3 seeds, the worst of 2"
    smallest = worst([-LEVEL, -LOUD], sign=-1)
    assert (smallest.low, smallest.high) == pytest.approx((-found.high, -found.low))


def test_one_estimate_is_its_own_interval():
    found, alone = worst([LEVEL]), students_t(LEVEL)
    assert (found.low, found.high, found.method) == (alone.low, alone.high, alone.method)
    assert worst([]).method == "not in this grid"
    assert worst([LEVEL[:1]]).method == "one seed"


def test_factors_and_magnitudes_by_hand():
    found = factor(np.array([2.0, 8.0]))
    assert found.value == pytest.approx(4)
    assert found.low * found.high == pytest.approx(16), "even on a log axis"
    assert factor(np.array([2.0, 8.0]), 0.99).high > found.high
    assert magnitude(-LEVEL).value == pytest.approx(0.04)
    assert magnitude(np.array([-1.0, 1.0])).low == 0
