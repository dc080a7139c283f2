"""Labels from verifying completions, and the rules that clean them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdcjax.reasoning.labels import (
    balance,
    is_consistent,
    propagate,
    step_successes,
)

LABELS = st.lists(st.integers(0, 1), max_size=12)


@pytest.mark.parametrize(
    ("step", "completion", "consistent"),
    [
        ("<<2*3=6>>6 boxes", "<<6+1=7>>7\n#### 7", True),  # an operand
        ("<<2*3=6>>6 boxes", "<<1+(4-6)=-1>>\n#### 9", True),  # inside parentheses
        ("<<2*3=6>>6 boxes", "#### 6", True),  # the answer
        ("<<2*3=6>>6 boxes", "#### 6.00", True),
        ("<<2*3=6>>6 boxes", "<<12/2=6.0>>6\n#### 6", True),
        ("<<2*3=6>>6 boxes", "<<5+1=6>>6\n#### 7", False),  # a result again is no use of it
        ("<<2*3=6>>6 boxes", "<<66+1=67>>67\n#### 67", False),
        ("<<2*3=6>>6 boxes", "6 and 1 is 7\n#### 7", False),  # not as an operand
        ("<<2*3=6>>6 boxes", "", False),
        ("<<1+1=2>>2 and <<2+2=4>>4", "<<4+1=5>>5\n#### 5", True),  # the last result counts
        ("<<1+1=2>>2 and <<2+2=4>>4", "<<2+1=3>>3\n#### 3", False),
        ("<<1/4=0.25>>", "<<1/4+1=1.25>>\n#### 1.25", False),
        ("<<1/4=0.25>>", "<<.25*8=2>>\n#### 2", True),
        ("<<3-8=-5>>", "<<-5+9=4>>\n#### 4", True),
        # Nothing to use: with the filter such a step, a ninth of GSM8K's, never had a success.
        ("no equation", "<<1+1=2>>2\n#### 2", True),
        ("no equation", "", True),
        ("<<2*3=>>", "#### 6", False),  # an equation that cannot be evaluated
        ("<<2*3>>", "#### 6", False),
        ("<<2*3=6", "#### 6", False),
        ("<<2*3=x>>", "#### 6", False),
        ("<<2*3=6>>6", "<<6**9=1>>\n#### 1", False),  # cannot be parsed
        ("<<2*3=6>>6", "<<6+=1>> <<6+1=7>>\n#### 7", True),
    ],
)
def test_is_consistent(step, completion, consistent):
    assert is_consistent(step, completion) is consistent


def test_a_step_without_result_is_not_consistent_with_no_answer():
    """Neither has a number; that is no use of one."""
    assert not is_consistent("<<1/0=1/0>>", "no answer")


def test_the_draft_s_own_suffix_is_one_of_the_tries():
    steps = ["<<1+1=2>>2", "<<2*4=8>>8"]
    rest = ["\n<<2*4=8>>8\n#### 8", "\n#### 8"]
    verified = [[True, False, True], [False, False, False]]
    assert step_successes(steps, rest, True, verified) == [(3, 4), (1, 4)]
    assert step_successes(steps, rest, False, verified) == [(2, 4), (0, 4)]


def test_an_own_suffix_that_ignores_the_step_is_no_success():
    steps, rest = ["<<1+1=2>>2"], ["\n<<5+3=8>>8\n#### 8"]
    assert step_successes(steps, rest, True, [[False]]) == [(0, 2)]


def test_step_successes_without_steps_and_with_lists_that_differ():
    assert step_successes([], [], True, []) == []
    with pytest.raises(ValueError, match="shorter"):
        step_successes(["<<1+1=2>>"], ["#### 2"], True, [])


@pytest.mark.parametrize(
    ("labels", "propagated"),
    [
        ([], []),
        ([0], [0]),
        ([0, 0, 1], [1, 1, 1]),
        ([1, 0, 0], [1, 0, 0]),
        ([0, 1, 0, 1, 0], [1, 1, 1, 1, 0]),
    ],
)
def test_propagate(labels, propagated):
    assert propagate(labels) == propagated


@given(LABELS)
def test_propagated_labels_fall_once_and_keep_every_one(labels):
    found = propagate(labels)
    assert found == sorted(found, reverse=True)
    assert propagate(found) == found
    assert all(after >= before for before, after in zip(labels, found, strict=True))
    assert sum(found) == max((i + 1 for i, label in enumerate(labels) if label), default=0)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), max_size=12))
def test_propagate_is_monotone(pairs):
    """More successes never take a label away."""
    low, high = [min(pair) for pair in pairs], [max(pair) for pair in pairs]
    assert all(a <= b for a, b in zip(propagate(low), propagate(high), strict=True))


UNITS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(1, 4), st.integers(0, 5)), min_size=1, max_size=40
)


@given(UNITS)
def test_right_and_wrong_weigh_the_same_at_each_length_and_so_do_questions(units):
    labels, lengths, questions = (np.asarray(column) for column in zip(*units, strict=True))
    weights = balance(labels, lengths, questions)
    assert weights.shape == labels.shape and np.all((weights >= 0) & (weights <= 1))
    for length in np.unique(lengths):
        says = []
        for label in (0, 1):
            rows = (lengths == length) & (labels == label)
            says.append([weights[rows & (questions == q)].sum() for q in set(questions[rows])])
        wrong, right = says
        if not wrong or not right:
            assert not any(wrong + right), "a length with one class teaches only position"
            continue
        np.testing.assert_allclose(sum(right), sum(wrong), rtol=1e-5)
        np.testing.assert_allclose(right, right[0], rtol=1e-5)
        np.testing.assert_allclose(wrong, wrong[0], rtol=1e-5)
        np.testing.assert_allclose(max(right[0], wrong[0]), 1, rtol=1e-5)


def test_balance_of_one_unit_a_question_by_hand():
    labels, lengths = np.asarray([1, 1, 1, 0, 1, 0, 0]), np.asarray([1, 1, 1, 1, 2, 2, 2])
    weights = balance(labels, lengths, np.arange(7))
    np.testing.assert_allclose(weights, [1 / 3, 1 / 3, 1 / 3, 1, 1, 0.5, 0.5])


def test_balance_of_questions_by_hand():
    """Question 7 has three right samples and one wrong, 8 one right, 9 two wrong."""
    labels = np.asarray([1, 1, 1, 0, 1, 0, 0])
    questions = np.asarray([7, 7, 7, 7, 8, 9, 9])
    weights = balance(labels, np.ones(7), questions)
    np.testing.assert_allclose(weights, [1 / 3, 1 / 3, 1 / 3, 1, 1, 0.5, 0.5])
    # Without question 8's, the one right question stands against two wrong ones.
    weights = balance(labels[questions != 8], np.ones(6), questions[questions != 8])
    np.testing.assert_allclose(weights, [1 / 3, 1 / 3, 1 / 3, 0.5, 0.25, 0.25])
