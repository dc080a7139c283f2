"""pass@k, majority@k and rerank@k against hand values and against every subset."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdcjax.reasoning.voting import MAX_SAMPLES, majority_at_k, pass_at_k, rerank_at_k


def majority_by_enumeration(answers, gold, k):
    values = []
    for subset in itertools.combinations(answers, k):
        votes = [vote for vote in subset if vote is not None]
        most = max((votes.count(vote) for vote in votes), default=0)
        winners = {vote for vote in votes if votes.count(vote) == most}
        values.append(1 / len(winners) if gold in winners else 0.0)
    return sum(values) / len(values)


def rerank_by_enumeration(scores, correct, k):
    values = []
    for subset in itertools.combinations(range(len(scores)), k):
        best = max(scores[i] for i in subset)
        tied = [correct[i] for i in subset if scores[i] == best]
        values.append(sum(tied) / len(tied))
    return sum(values) / len(values)


def test_pass_by_hand():
    assert pass_at_k(8, 1, 8) == 1
    assert pass_at_k(8, 1, 1) == pytest.approx(1 / 8)
    assert pass_at_k(8, 0, 8) == 0
    assert pass_at_k(8, 8, 1) == 1
    assert pass_at_k(4, 2, 2) == pytest.approx(5 / 6)
    assert pass_at_k(3, 2, 2) == 1
    assert isinstance(pass_at_k(8, 1, 4), float)
    assert pass_at_k(3000, 3000, 1500) == 1


def test_pass_takes_arrays():
    c = np.array([[0, 1], [2, 8]])
    values = pass_at_k(8, c, np.array([1, 2]))
    assert values.shape == (2, 2)
    np.testing.assert_allclose(values, [[0, 2 / 8], [2 / 8, 1]])
    assert pass_at_k(np.array([], int), 0, 1).shape == (0,)
    np.testing.assert_allclose(pass_at_k([4, 8, 96], 1, 2), [1 / 2, 1 / 4, 1 / 48])


@given(st.data())
def test_pass_against_binomials(data):
    n = data.draw(st.integers(1, 120))
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    exact = 1 - Fraction(math.comb(n - c, k), math.comb(n, k))
    assert pass_at_k(n, c, k) == pytest.approx(float(exact), abs=1e-12)


def test_majority_by_hand():
    assert majority_at_k(["a", "a", "b"], "a", 3) == 1
    assert majority_at_k(["a", "b"], "a", 2) == pytest.approx(1 / 2)
    assert majority_at_k(["a", "b", "c"], "a", 3) == pytest.approx(1 / 3)
    assert majority_at_k(["a", "a", "b"], "a", 2) == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)
    assert majority_at_k([None, "a"], "a", 2) == 1
    assert majority_at_k([None, "a"], "a", 1) == pytest.approx(1 / 2)
    assert majority_at_k([None, None, "b"], "b", 2) == pytest.approx(2 / 3)
    assert majority_at_k([None, None], "a", 2) == 0
    assert majority_at_k(["b", "b"], "a", 1) == 0
    assert majority_at_k([Fraction(18), Fraction(36, 2)], Fraction(18), 2) == 1


@given(st.lists(st.sampled_from(["a", "b", "c", "d", None]), min_size=1, max_size=8), st.data())
def test_majority_against_every_subset(answers, data):
    k = data.draw(st.integers(1, len(answers)))
    expected = majority_by_enumeration(answers, "a", k)
    assert majority_at_k(answers, "a", k) == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=96), st.data())
def test_some_answer_wins_every_vote(answers, data):
    k = data.draw(st.integers(1, len(answers)))
    total = sum(majority_at_k(answers, gold, k) for gold in set(answers))
    assert total == pytest.approx(1, abs=1e-9)


def test_majority_of_one_is_the_accuracy_and_of_all_the_vote():
    answers = ["a"] * 40 + ["b"] * 40 + ["c"] * 10 + [None] * 6
    assert majority_at_k(answers, "a", 1) == pytest.approx(40 / 96)
    assert majority_at_k(answers, "a", 96) == pytest.approx(1 / 2)
    assert majority_at_k([*answers[:-10], "a"], "a", 87) == pytest.approx(1)


def test_majority_at_the_largest_size():
    answers = ["a"] * 600 + ["b"] * 400
    assert majority_at_k(answers, "a", 501) == pytest.approx(1, abs=1e-9)
    assert majority_at_k(answers, "a", 1) == pytest.approx(0.6)
    with pytest.raises(ValueError, match="too many"):
        majority_at_k(["a"] * (MAX_SAMPLES + 1), "a", 2)


def test_rerank_by_hand():
    assert rerank_at_k([0.9, 0.1], [1, 0], 2) == 1
    assert rerank_at_k([0.9, 0.1], [1, 0], 1) == pytest.approx(1 / 2)
    assert rerank_at_k([0.5, 0.5], [1, 0], 2) == pytest.approx(1 / 2)
    # Pairs of (3 wrong, 2 right, 1 right): the first wins two of three.
    assert rerank_at_k([3, 2, 1], [False, True, True], 2) == pytest.approx(1 / 3)
    assert rerank_at_k([math.inf, 0, -math.inf], [1, 0, 0], 3) == 1


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=8), st.data())
def test_rerank_against_every_subset(samples, data):
    scores, correct = zip(*samples, strict=True)
    k = data.draw(st.integers(1, len(samples)))
    expected = rerank_by_enumeration(scores, correct, k)
    assert rerank_at_k(scores, correct, k) == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.booleans(), min_size=1, max_size=96), st.data())
def test_perfect_scores_reach_pass_at_k(correct, data):
    k = data.draw(st.integers(1, len(correct)))
    value = rerank_at_k(correct, correct, k)
    assert value == pytest.approx(pass_at_k(len(correct), sum(correct), k), abs=1e-12)


@pytest.mark.parametrize(
    "call",
    [
        lambda: pass_at_k(8, 1, 9),
        lambda: pass_at_k(8, 1, 0),
        lambda: pass_at_k(8, 9, 1),
        lambda: pass_at_k(8, -1, 1),
        lambda: majority_at_k(["a"], "a", 2),
        lambda: majority_at_k(["a"], "a", 0),
        lambda: majority_at_k([], "a", 1),
        lambda: majority_at_k(["a"], None, 1),
        lambda: rerank_at_k([1.0], [1], 2),
        lambda: rerank_at_k([1.0, 2.0], [1], 1),
        lambda: rerank_at_k([1.0, math.nan], [1, 0], 1),
        lambda: rerank_at_k([0.0] * 1001, [0] * 1001, 1),
    ],
)
def test_errors_are_one_line(call):
    with pytest.raises(ValueError) as error:
        call()
    assert "\n" not in str(error.value)
