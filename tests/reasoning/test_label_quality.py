"""Precision and recall of sampled labels against the truth, for 1 … K completions."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdcjax.reasoning.label_quality import (
    Verified,
    from_columns,
    from_labels,
    positives_at,
    quality,
)


def verified(correct, consistent=None, truth=None) -> Verified:
    correct = np.asarray(correct, bool)
    return Verified(
        problem=np.arange(len(correct)),
        correct=correct,
        consistent=np.ones_like(correct) if consistent is None else np.asarray(consistent, bool),
        truth=np.zeros(len(correct), int) if truth is None else np.asarray(truth),
    )


def test_labels_from_k_of_four_completions():
    found = verified([[1, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]])
    for k, positives, groups in [(1, [1, 2, 0], 4), (2, [1, 1, 0], 2), (4, [1, 1, 0], 1)]:
        counts, labels = positives_at(found, k)
        assert counts.tolist() == positives and labels == groups
    counts, groups = positives_at(found, 3)  # the fourth completion makes no group
    assert counts.tolist() == [1, 1, 0] and groups == 1


def test_the_filter_drops_successes_that_ignore_the_step():
    found = verified([[1, 1], [1, 0]], consistent=[[0, 1], [0, 1]])
    assert positives_at(found, 1)[0].tolist() == [1, 0]
    assert positives_at(found, 1, filtered=False)[0].tolist() == [2, 1]


@given(st.lists(st.lists(st.booleans(), min_size=8, max_size=8), min_size=1, max_size=6))
def test_more_completions_find_no_fewer_positives(correct):
    """The share of labels that are 1 grows with k, up to `any` of all K."""
    found = verified(correct)
    shares = [counts / groups for counts, groups in (positives_at(found, k) for k in (1, 2, 4, 8))]
    for few, more in itertools.pairwise(shares):
        assert np.all(more >= few)
    np.testing.assert_array_equal(shares[-1], np.any(correct, axis=1))
    np.testing.assert_allclose(shares[0], np.mean(correct, axis=1))


def test_quality_by_hand():
    """Three prefixes, two labels each: right ones get 2 and 1, the wrong one gets 1."""
    found = quality(np.asarray([1, 1, 0]), np.asarray([2, 1, 1]), 2, np.ones(3))
    assert found["precision"] == pytest.approx(3 / 4)
    assert found["recall"] == pytest.approx(3 / 4)
    assert found["accuracy"] == pytest.approx((3 / 4 + 1 / 2) / 2)


def test_weights_count_a_prefix_that_often():
    truth, positives = np.asarray([1, 1, 0]), np.asarray([2, 1, 1])
    weighted = quality(truth, positives, 2, np.asarray([3.0, 0.0, 2.0]))
    rows = [0, 0, 0, 2, 2]
    assert weighted == pytest.approx(quality(truth[rows], positives[rows], 2, np.ones(5)))


def test_rows_of_weights_give_as_many_figures():
    truth, positives = np.asarray([1, 1, 0]), np.asarray([2, 1, 1])
    weights = np.asarray([[1.0, 1, 1], [3, 0, 2], [0, 0, 1]])
    together = quality(truth, positives, 2, weights)
    for row, w in enumerate(weights):
        alone = quality(truth, positives, 2, w)
        assert {n: x[row] for n, x in together.items()} == pytest.approx(alone, nan_ok=True)


def test_labels_of_solutions_against_the_truth_of_their_steps():
    """The second solution's steps cannot be checked, the third has none."""
    found = from_labels(["a", "b", "c", "a"], [[1, 0], [1], [], [1]], [[1, 1], [], [], [0]])
    assert found.problem.tolist() == ["a", "a", "a"] and found.truth.tolist() == [1, 1, 0]
    positives, groups = positives_at(found, 1)
    assert positives.tolist() == [1, 0, 1] and groups == 1
    figures = quality(found.truth, positives, groups, np.ones(3))
    assert figures == pytest.approx({"precision": 1 / 2, "recall": 1 / 2, "accuracy": 1 / 4})


@pytest.mark.filterwarnings("error")
def test_labels_that_nobody_can_check_have_no_figures():
    found = from_labels(["a"], [[1, 0]], [[]])
    positives, groups = positives_at(found, 1)
    figures = quality(found.truth, positives, groups, np.ones((2, 0)))
    assert all(np.isnan(value).all() and value.shape == (2,) for value in figures.values())


def test_undefined_figures_are_nan():
    only_right = quality(np.asarray([1]), np.asarray([1]), 1, np.ones(1))
    assert only_right["precision"] == only_right["recall"] == 1
    assert math.isnan(only_right["accuracy"]), "no wrong prefix: no specificity"
    no_positive = quality(np.asarray([1, 0]), np.asarray([0, 0]), 1, np.ones(2))
    assert math.isnan(no_positive["precision"]) and no_positive["recall"] == 0
    assert no_positive["accuracy"] == 0.5


def test_prefixes_of_unknown_truth_are_left_out():
    table = {
        "problem_id": ["a", "b", "c"],
        "correct": [[True, False], [False, False], [True, True]],
        "consistent": [[True, True], [True, True], [False, True]],
        "truth": [True, None, False],
    }
    found = from_columns(table)
    assert found.problem.tolist() == ["a", "c"] and found.truth.tolist() == [1, 0]
    assert found.correct.tolist() == [[True, False], [True, True]]
    assert found.consistent.tolist() == [[True, True], [False, True]]
