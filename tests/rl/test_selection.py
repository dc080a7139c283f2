"""Which rollouts expert iteration keeps, by hand and for any rollouts."""

import jaxtyping
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdcjax.rl.selection import ExpertIteration, distinct_right, select
from qdcjax.tasks.problem import Problem

ADD = "<<2+3=5>>5\n#### 5"
ADD_IN_OTHER_WORDS = "First, <<2 + 3 = 5>>5 apples.\n#### 5"
TURNED = "<<3+2=5>>5\n#### 5"
FALSE = "<<2+2=5>>5\n#### 5"
ALL = ExpertIteration(rounds=1)


def rollouts(*rows: tuple[str, str, bool]) -> dict[str, list]:
    names = ("problem_id", "text", "correct")
    return {name: [row[at] for row in rows] for at, name in enumerate(names)}


def test_right_answers_alone_are_kept():
    found = rollouts(("a", ADD, True), ("a", TURNED, False), ("b", FALSE, False))
    assert select(found, ALL) == [0]
    assert select(rollouts(("a", ADD, False)), ALL) == []


def test_a_question_keeps_one_solution_of_each_sequence_of_operations():
    found = rollouts(
        ("a", ADD, True),
        ("a", ADD_IN_OTHER_WORDS, True),
        ("b", ADD_IN_OTHER_WORDS, True),
        ("a", TURNED, True),
        ("a", ADD + "\n<<1+1=2>>", True),
        ("a", TURNED, True),
    )
    assert select(found, ALL) == [0, 2, 3, 4]


def test_a_wrong_solution_does_not_keep_out_a_right_one_of_the_same_operations():
    assert select(rollouts(("a", ADD, False), ("a", ADD, True)), ALL) == [1]


def test_solutions_without_operations_differ_by_their_text():
    found = rollouts(("a", "1 4 5", True), ("a", "1 3 5", True), ("a", "1 4  5\n", True))
    assert select(found, ALL) == [0, 1]


def test_rounds_join_and_an_earlier_one_goes_first():
    """D_i = R_i ∪ D_{i−1}: what was kept stays kept, what is new comes after it."""
    first = [("a", ADD, True), ("b", FALSE, False)]
    second = [("a", ADD_IN_OTHER_WORDS, True), ("a", TURNED, True), ("b", ADD, True)]
    assert select(rollouts(*first), ALL) == [0]
    assert select(rollouts(*first, *second), ALL) == [0, 3, 4]


def test_a_cap_keeps_the_first_solutions_of_each_question():
    found = rollouts(
        ("a", ADD, True),
        ("a", ADD_IN_OTHER_WORDS, True),
        ("a", TURNED, True),
        ("b", ADD, True),
        ("a", "#### 5", True),
    )
    assert select(found, ExpertIteration(rounds=1, most_per_question=1)) == [0, 3]
    assert select(found, ExpertIteration(rounds=1, most_per_question=2)) == [0, 2, 3]


def test_a_rollout_with_the_operations_of_a_learned_reference_is_no_news():
    references = [Problem("a", "?", "5", ADD), Problem("b", "?", "5", TURNED)]
    found = rollouts(
        ("a", ADD_IN_OTHER_WORDS, True), ("a", TURNED, True), ("b", ADD, True), ("b", ADD, True)
    )
    assert select(found, ALL, references) == [1, 2]
    settings = ExpertIteration(rounds=1, most_per_question=1)
    assert select(found, settings, references) == [], "a reference is one of the question's"


def test_true_equations_drops_a_right_answer_with_a_false_one_on_its_way():
    found = rollouts(("a", FALSE, True), ("a", ADD, True), ("a", ADD + FALSE, True))
    assert select(found, ALL) == [0, 1, 2]
    settings = ExpertIteration(rounds=1, most_per_question=1, true_equations=True)
    assert select(found, settings) == [1], "what is dropped does not count for the cap"


def test_equations_are_evaluated_by_a_parser():
    """Neither a power nor a call is an equation that holds, though Python would say so."""
    found = rollouts(*(("a", f"<<{body}=8>>8\n#### 8", True) for body in ("2**3", "max(8)", "2*4")))
    assert select(found, ExpertIteration(rounds=1, true_equations=True)) == [2]


ROLLOUTS = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.sampled_from([ADD, ADD_IN_OTHER_WORDS, TURNED, FALSE, "#### 5"]),
        st.booleans(),
    ),
    min_size=1,
)


@given(ROLLOUTS, st.integers(0, 3))
def test_what_is_kept_is_what_is_distinct_up_to_the_cap(rows, cap):
    found = rollouts(*rows)
    kept = select(found, ExpertIteration(rounds=1, most_per_question=cap))
    distinct = distinct_right(["a", "b"], found)
    counts = [sum(rows[row][0] == question for row in kept) for question in "ab"]
    assert counts == [min(n, cap) if cap else n for n in distinct]
    assert kept == sorted(set(kept)) and all(rows[row][2] for row in kept)


@given(ROLLOUTS, ROLLOUTS, st.integers(0, 2))
def test_a_later_round_takes_nothing_away(first, second, cap):
    settings = ExpertIteration(rounds=2, most_per_question=cap)
    before = select(rollouts(*first), settings)
    assert select(rollouts(*first, *second), settings)[: len(before)] == before


def test_distinct_right_solutions_by_hand():
    found = rollouts(
        ("a", ADD, True),
        ("c", ADD, True),
        ("a", ADD_IN_OTHER_WORDS, True),
        ("a", TURNED, True),
        ("b", ADD, False),
    )
    assert distinct_right(["c", "b", "a"], found).tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("rounds", 0, "rounds=0 must be at least 1"),
        ("most_per_question", -1, "most_per_question=-1 must be at least 0"),
        ("init_from", "first", "init_from='first' must be start or last"),
    ],
)
def test_settings_out_of_range_are_named_in_one_line(monkeypatch, field, value, words):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as in a user's run
    with pytest.raises(ValueError, match=f"^{words}$"):
        ExpertIteration(**{"rounds": 1, field: value})
