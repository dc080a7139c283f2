"""Units of steps, and the figures on them; by hand."""

import numpy as np
import pytest

from qdcjax.reasoning import reward_evaluation
from qdcjax.reasoning.reward_evaluation import (
    Units,
    answer_figures,
    hard_below,
    step_figures,
    units,
)

# Two questions with three samples each; truths of their steps.
TRUTHS = [[1, 1], [1, 0, 0], [], [0], [1, 1, 1], [0, 0]]
CORRECT = [1, 0, 0, 1, 1, 0]
DEPTHS = [2, 2, 2, 3, 3, 3]


def once(figures, truth, scores, threshold) -> dict[str, float]:
    """Figures with every row counted once."""
    rows = len(truth.truth if isinstance(truth, Units) else truth)
    found = figures(truth, scores, threshold, np.ones((1, rows)))
    assert all(value.shape == (1,) for value in found.values())
    return {name: float(value[0]) for name, value in found.items()}


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
    assert steps.question.tolist() == [0, 0, 0, 1, 1, 1]
    assert steps.asked.tolist() == [0] * 5 + [1] * 6


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
        depth=np.asarray([2] * 4 + [3] * 4),
        success=np.asarray([0.0, 0.0, 0.25, 0.25, 1.0, 1.0, 0.5, 0.5]),
        last=np.asarray([0, 1] * 4, bool),
        correct=np.asarray([1, 0, 1, 0], bool),
        question=np.asarray([0, 0, 1, 1]),
    )
    scores = np.asarray([0.9, 0.4, 0.5, 0.6, 0.2, 0.8, 0.3, 0.1])
    found = once(step_figures, steps, scores, 0.5)
    # Length 1: right .9 .5 .2 (2 of 3 kept), wrong .3 (1 of 1). Length 2: 1 of 2, and 1 of 2.
    assert found["step_accuracy"] == pytest.approx(((2 / 3 + 1) / 2 + (1 / 2 + 1 / 2) / 2) / 2)
    assert found["step_accuracy_length1"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["step_accuracy_length2"] == pytest.approx((1 / 2 + 1 / 2) / 2)
    # Depth 2: right .9 .4 .5, wrong .6. Depth 3: right .2 .8, wrong .3 .1.
    assert found["step_accuracy_depth2"] == pytest.approx((2 / 3 + 0) / 2)
    assert found["step_accuracy_depth3"] == pytest.approx((1 / 2 + 1) / 2)
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


def test_weights_repeat_steps(monkeypatch, steps):
    """A resample that holds a question twice has the figures of its steps written down twice."""
    monkeypatch.setattr(reward_evaluation, "LEAST_IN_A_CLASS", 1)
    scores = np.random.default_rng(0).random(len(steps.truth)).round(1)
    weights = np.asarray([[1.0, 1.0], [2.0, 1.0], [2.0, 0.0]])[:, steps.asked]
    found = step_figures(steps, scores, 0.5, weights)
    assert found["step_accuracy_pooled"].shape == (3,)
    rows = np.repeat(np.arange(len(scores)), weights[1].astype(int))
    fields = ("solution", "length", "truth", "depth", "success", "last")
    twice = Units(**{**vars(steps), **{name: getattr(steps, name)[rows] for name in fields}})
    monkeypatch.setattr(reward_evaluation, "hard_below", lambda _: hard_below(steps))
    repeated = once(step_figures, twice, scores[rows], 0.5)
    assert {name: value[1] for name, value in found.items()} == pytest.approx(repeated, nan_ok=True)
    assert found["drift"][2] != pytest.approx(found["drift"][1])


def test_groups_are_named_when_they_hold_both_classes(monkeypatch, steps):
    def groups(steps: Units) -> set[str]:
        found = once(step_figures, steps, steps.truth.astype(float), 0.5)
        prefixes = ("step_accuracy_length", "step_accuracy_depth")
        return {name.removeprefix("step_accuracy_") for name in found if name.startswith(prefixes)}

    assert groups(steps) == set()
    monkeypatch.setattr(reward_evaluation, "LEAST_IN_A_CLASS", 2)
    assert groups(steps) == {"length1", "length2", "depth2", "depth3"}
    unknown = Units(**{**vars(steps), "depth": np.zeros_like(steps.depth)})
    assert groups(unknown) == {"length1", "length2"}, "a depth of 0 is not known"


@pytest.mark.filterwarnings("error")
def test_without_any_step_figures_are_nan():
    none = units([[], []], [1, 0], [1, 1], samples=2)
    found = step_figures(none, np.zeros(0), 0.5, np.ones((3, 0)))
    assert found.keys() >= {"step_accuracy", "step_auroc", "false_negatives", "drift"}
    assert all(np.isnan(value).all() and value.shape == (3,) for value in found.values())


def test_neither_position_nor_base_rate_earns_step_accuracy(monkeypatch):
    """A score that tells the length alone is worth one half at each length."""
    monkeypatch.setattr(reward_evaluation, "LEAST_IN_A_CLASS", 1)
    rng = np.random.default_rng(0)
    length = rng.integers(1, 4, 300)
    truth = (rng.random(300) < 1 / length).astype(int)
    steps = Units(length, length, truth, length, np.zeros(300), length == 3, truth, length)
    found = once(step_figures, steps, 1 / length, 0.4)
    assert found["step_accuracy"] == 0.5 == found["step_auroc"]
    assert found["step_accuracy_pooled"] > 0.6 < found["step_auroc_pooled"]


def test_a_perfect_model(monkeypatch, steps):
    monkeypatch.setattr(reward_evaluation, "LEAST_IN_A_CLASS", 1)
    found = once(step_figures, steps, steps.truth.astype(float), 0.5)
    assert found["step_accuracy"] == found["step_auroc"] == found["step_accuracy_pooled"] == 1
    assert found["false_negatives"] == found["step_calibration_error"] == 0
    assert found["drift"] == pytest.approx(0)


def test_lengths_with_few_steps_of_a_class_are_left_out():
    least = reward_evaluation.LEAST_IN_A_CLASS
    length = np.asarray([1] * 2 * least + [2] * (2 * least - 1))
    truth = np.asarray([1, 0] * least + [1, 0] * (least - 1) + [1])
    steps = Units(length, length, truth, length, np.zeros(len(truth)), length == 2, truth, length)
    scores = np.where(length == 1, truth, 1 - truth).astype(float)
    found = once(step_figures, steps, scores, 0.5)
    assert found["step_accuracy"] == 1, "length 2 would pull it down"
    assert "step_accuracy_length1" in found and "step_accuracy_length2" not in found


def test_hard_below_without_right_steps(steps):
    wrong = Units(**{**vars(steps), "truth": np.zeros_like(steps.truth)})
    assert hard_below(wrong) == 0.0


def test_answer_figures_by_hand():
    correct = np.asarray([1, 1, 1, 0], bool)
    scores = np.asarray([0.9, 0.4, 0.5, 0.45])
    found = once(answer_figures, correct, scores, 0.5)
    assert found["answer_accuracy"] == pytest.approx(3 / 4)
    assert found["answer_accuracy_balanced"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["answer_auroc"] == pytest.approx(2 / 3)
    weighted = answer_figures(correct, scores, 0.5, np.asarray([[1, 1, 1, 1], [0, 3, 1, 1]]))
    assert weighted["answer_accuracy"].tolist() == pytest.approx([3 / 4, 2 / 5])
