"""Units of steps, the figures on them, and intervals over seeds; by hand."""

import math

import numpy as np
import pytest

from qdcjax.reasoning import reward_evaluation
from qdcjax.reasoning.reward_evaluation import (
    Units,
    across_seeds,
    answer_figures,
    difference,
    hard_below,
    over_seeds,
    step_figures,
    units,
)

# Two questions with three samples each; truths of their steps.
TRUTHS = [[1, 1], [1, 0, 0], [], [0], [1, 1, 1], [0, 0]]
CORRECT = [1, 0, 0, 1, 1, 0]
DEPTHS = [2, 2, 2, 3, 3, 3]


@pytest.fixture
def steps() -> Units:
    return units(TRUTHS, CORRECT, DEPTHS, samples=3)


def test_units_by_hand(steps):
    assert steps.solution.tolist() == [0, 0, 1, 1, 1, 3, 4, 4, 4, 5, 5]
    assert steps.length.tolist() == [1, 2, 1, 2, 3, 1, 1, 2, 3, 1, 2]
    assert steps.truth.tolist() == [1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0]
    assert steps.depth.tolist() == [2] * 5 + [3] * 6
    assert steps.last.tolist() == [0, 1, 0, 0, 1, 1, 0, 0, 1, 0, 1]
    assert steps.correct.tolist() == [bool(c) for c in CORRECT]


def test_success_leaves_the_sample_itself_out(steps):
    """Of sample 0 (right): its two siblings are wrong. Of sample 1 (wrong): one of two is right."""
    by_solution = dict(zip(steps.solution.tolist(), steps.success.tolist(), strict=True))
    assert by_solution == {0: 0.0, 1: 0.5, 3: 0.5, 4: 0.5, 5: 1.0}


def test_success_of_a_sample_alone_is_zero():
    alone = units([[1], [0]], [1, 0], [1, 1], samples=1)
    assert alone.success.tolist() == [0, 0]


def test_units_without_any_step():
    none = units([[], []], [1, 0], [1, 1], samples=2)
    assert len(none.truth) == 0 and none.correct.tolist() == [True, False]


def test_step_figures_by_hand(monkeypatch):
    """Eight steps at two lengths: every figure is counted by hand."""
    monkeypatch.setattr(reward_evaluation, "LEAST_IN_A_CLASS", 1)
    steps = Units(
        solution=np.asarray([0, 0, 1, 1, 2, 2, 3, 3]),
        length=np.asarray([1, 2] * 4),
        truth=np.asarray([1, 1, 1, 0, 1, 1, 0, 0]),
        depth=np.full(8, 2),
        success=np.asarray([0.0, 0.0, 0.25, 0.25, 1.0, 1.0, 0.5, 0.5]),
        last=np.asarray([0, 1] * 4, bool),
        correct=np.asarray([1, 0, 1, 0], bool),
    )
    scores = np.asarray([0.9, 0.4, 0.5, 0.6, 0.2, 0.8, 0.3, 0.1])
    found = step_figures(steps, scores, threshold=0.5)
    # Length 1: right .9 .5 .2 (2 of 3 kept), wrong .3 (1 of 1). Length 2: 1 of 2, and 1 of 2.
    assert found["step_accuracy"] == pytest.approx(((2 / 3 + 1) / 2 + (1 / 2 + 1 / 2) / 2) / 2)
    # Pooled: 3 of 5 right ones, 2 of 3 wrong ones; a score at the threshold counts as right.
    assert found["step_accuracy_pooled"] == pytest.approx((3 / 5 + 2 / 3) / 2)
    # Pairs in order, length 1: .9 and .5 above .3; length 2: .4 > .1, .8 > both.
    assert found["step_auroc"] == pytest.approx((2 / 3 + 3 / 4) / 2)
    assert found["step_auroc_pooled"] == pytest.approx((3 + 2 + 2 + 1 + 3) / 15)
    assert found["false_negatives"] == pytest.approx(2 / 5)
    # Success of right steps is 0 0 .25 1 1: a third of the way lies between the 2nd and the 3rd.
    assert hard_below(steps) == pytest.approx(0.25 * 1 / 3)
    assert found["false_negatives_hard"] == pytest.approx(1 / 2)
    assert found["false_negatives_easy"] == pytest.approx(1 / 3)
    # Means of first and last steps: values .475 and .475, truth .75 and .5.
    assert found["drift"] == pytest.approx(0 - 0.25)
    assert 0 <= found["step_calibration_error"] <= 1


def test_neither_position_nor_base_rate_earns_step_accuracy(monkeypatch):
    """A score that tells the length alone is worth one half at each length."""
    monkeypatch.setattr(reward_evaluation, "LEAST_IN_A_CLASS", 1)
    rng = np.random.default_rng(0)
    length = rng.integers(1, 4, 300)
    truth = (rng.random(300) < 1 / length).astype(int)
    steps = Units(length, length, truth, length, np.zeros(300), length == 3, truth)
    found = step_figures(steps, 1 / length, threshold=0.4)
    assert found["step_accuracy"] == 0.5 == found["step_auroc"]
    assert found["step_accuracy_pooled"] > 0.6 < found["step_auroc_pooled"]


def test_a_perfect_model(monkeypatch, steps):
    monkeypatch.setattr(reward_evaluation, "LEAST_IN_A_CLASS", 1)
    found = step_figures(steps, steps.truth.astype(float), threshold=0.5)
    assert found["step_accuracy"] == found["step_auroc"] == found["step_accuracy_pooled"] == 1
    assert found["false_negatives"] == found["step_calibration_error"] == 0
    assert found["drift"] == pytest.approx(0)


def test_lengths_with_few_steps_of_a_class_are_left_out():
    least = reward_evaluation.LEAST_IN_A_CLASS
    length = np.asarray([1] * 2 * least + [2] * (2 * least - 1))
    truth = np.asarray([1, 0] * least + [1, 0] * (least - 1) + [1])
    steps = Units(length, length, truth, length, np.zeros(len(length)), length == 2, truth)
    scores = np.where(length == 1, truth, 1 - truth).astype(float)
    assert step_figures(steps, scores, 0.5)["step_accuracy"] == 1, "length 2 would pull it down"


def test_hard_below_without_right_steps(steps):
    wrong = Units(**{**vars(steps), "truth": np.zeros_like(steps.truth)})
    assert hard_below(wrong) == 0.0


def test_answer_figures_by_hand():
    correct = np.asarray([1, 1, 1, 0], bool)
    found = answer_figures(correct, np.asarray([0.9, 0.4, 0.5, 0.45]), threshold=0.5)
    assert found["answer_accuracy"] == pytest.approx(3 / 4)
    assert found["answer_accuracy_balanced"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["answer_auroc"] == pytest.approx(2 / 3)


def test_over_seeds_is_student_s_t():
    found = over_seeds([0.5, 0.7, 0.6])
    half = 4.302652729911275 * 0.1 / math.sqrt(3)  # t of 97.5 % at 2 degrees of freedom
    assert (found.value, found.low, found.high) == pytest.approx((0.6, 0.6 - half, 0.6 + half))


@pytest.mark.parametrize("values", [[0.5], [0.5, float("nan")]])
def test_no_interval_from_one_seed_or_an_undefined_one(values):
    found = over_seeds(values)
    assert math.isnan(found.low) and math.isnan(found.high)
    assert found.value == pytest.approx(np.mean(values), nan_ok=True)


def test_differences_are_paired_by_seed():
    """Seeds vary widely and alike: the paired difference does not."""
    a, b = [{"x": 0.1}, {"x": 0.5}, {"x": 0.9}], [{"x": 0.05}, {"x": 0.45}, {"x": 0.85}]
    found = difference(a, b, "x")
    assert found.value == pytest.approx(0.05) and found.high - found.low < 1e-9
    assert across_seeds(a)["x"].high - across_seeds(a)["x"].low > 0.5
    with pytest.raises(ValueError, match="shorter"):
        difference(a, b[:2], "x")
