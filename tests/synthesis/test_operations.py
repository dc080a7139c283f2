"""Prompts of operations, and demonstrations of them, by their own words and by the grader's."""

import random

import pytest

from qdcjax.synthesis.operations import (
    AIMED,
    OPERATIONS,
    SOLUTIONS,
    Demonstrations,
    prompt,
    split_completion,
)
from qdcjax.synthesis.verification import verified
from qdcjax.tasks.problem import Problem
from qdcjax.tasks.word_problems import Dials, WordProblems
from qdcjax.tasks.word_problems.backward import is_backward, masked
from qdcjax.tasks.word_problems.parsing import parse_question
from qdcjax.tasks.word_problems.rewriting import shorter

POOL = WordProblems(Dials(min_depth=1, max_depth=3)).problems("train", 400)
QUESTIONS = {problem.question: problem for problem in POOL}
HEADS = {name: words for name, words in OPERATIONS.items() if words}


@pytest.mark.parametrize(
    ("operation", "questions", "target", "text"),
    [
        ("write", [], 0, "A new problem:\n"),
        ("write", [], 1, "A new problem of 1 step:\n"),
        ("like", ["Q?", "R?"], 3, "A problem like these of 3 steps:\nQ?\nR?\n"),
        ("deeper", ["Q?"], 0, "With one more step:\nQ?\n"),
        ("other", ["Q?"], 0, "Another problem than this:\nQ?\n"),
        ("rephrase", ["Q?"], 0, "In other words:\nQ?\n"),
        ("solve", ["Q?"], 0, "Q?\n"),
        ("backward", ["Q?"], 0, "Q?\n"),
    ],
)
def test_the_prompt_of_an_operation(operation, questions, target, text):
    assert prompt(operation, questions, target) == text


def test_a_completion_is_a_question_and_its_solution_or_a_solution_alone():
    assert split_completion("write", "", " Q? \n\na\nb\n") == ("Q?", "a\nb")
    assert split_completion("like", "", "Q?") == ("Q?", "")
    for operation in SOLUTIONS:
        assert split_completion(operation, "Q?", "\na\nb\n") == ("Q?", "a\nb")


def lesson(operation, seed, parents=2):
    """Prompt's head, parents, question, solution and record of a demonstration."""
    given, completion = Demonstrations(POOL, parents)(operation, random.Random(seed))
    question = given.removesuffix("\n") if operation in SOLUTIONS else ""
    question, solution = split_completion(operation, question, completion)
    made = verified("1-0", 1, operation, (), 0, question, solution)
    head, _, rest = given.partition("\n")
    return head, rest.splitlines(), made


@pytest.mark.parametrize("operation", OPERATIONS)
def test_demonstrations_are_right(operation):
    heads = set()
    for seed in range(40):
        head, _, made = lesson(operation, seed)
        assert made.invalid == "" and made.right and made.process == 1
        assert is_backward(made.question) == (operation == "backward")
        if operation in HEADS:
            assert head.startswith(HEADS[operation]) and made.question in QUESTIONS
            heads.add(head.removeprefix(HEADS[operation]))
            assert head.removeprefix(HEADS[operation]) in (
                ":", f" of {made.steps} step{'s' if made.steps > 1 else ''}:"
            )  # fmt: skip
    assert (len(heads) > 1) == (operation in AIMED)
    assert (":" in heads) == (operation not in SOLUTIONS), "a number is not always asked for"


@pytest.mark.parametrize("parents", [1, 3])
def test_parents_of_what_is_like_them(parents):
    orders = set()
    for seed in range(30):
        _, asked, child = lesson("like", seed, parents)
        assert len(asked) == parents
        alike = [QUESTIONS[question].meta["template"] == child.template for question in asked]
        assert any(alike)
        assert child.question not in asked[:1] or parents > 1
        orders.add(tuple(alike))
    first = {order[0] for order in orders}
    assert first == ({True} if parents == 1 else {True, False}), "it stands anywhere"


def test_parents_of_the_other_operations():
    for seed in range(30):
        _, (parent,), child = lesson("deeper", seed)
        depth = parse_question(parent).meta["depth"]
        assert parent == shorter(QUESTIONS[child.question], depth).question
        _, (parent,), child = lesson("rephrase", seed)
        asked = parse_question(parent)
        assert parent != child.question
        assert asked.meta == QUESTIONS[child.question].meta
        _, (parent,), child = lesson("other", seed)
        assert QUESTIONS[parent].meta["template"] != child.template
        assert lesson("write", seed)[1] == []


def test_any_number_of_a_question_is_asked_for():
    demonstrate, rng = Demonstrations(ALIKE[:1]), random.Random(0)
    asked = {demonstrate("backward", rng)[0] for _ in range(60)}
    assert asked == {f"{masked(ALIKE[0], given)}\n" for given in ALIKE[0].meta["givens"]}


def test_one_more_step_is_one_where_the_story_can_end_there():
    gaps = []
    for seed in range(60):
        _, (parent,), child = lesson("deeper", seed)
        gaps.append(child.steps - parse_question(parent).meta["depth"])
    assert min(gaps) == 1 and gaps.count(1) > 50


def test_solutions_are_of_the_pool_and_children_as_often_as_they_are_in_it():
    demonstrate, rng = Demonstrations([*POOL[:1] * 3, POOL[1]]), random.Random(0)
    asked = [demonstrate("solve", rng) for _ in range(400)]
    assert set(asked) == {(f"{p.question}\n", p.solution) for p in POOL[:2]}
    share = sum(question == f"{POOL[0].question}\n" for question, _ in asked) / 400
    assert 0.68 < share < 0.82


SHALLOW = WordProblems(Dials(min_depth=1, max_depth=1)).problems("train", 20)
ALIKE = WordProblems(Dials(("sell_and_buy",), min_depth=3)).problems("train", 20)
NOUNLESS = WordProblems(Dials(("bus_stops", "concert_seats"))).problems("train", 20)
UNKNOWN = [Problem("gsm8k/0", "Why?", "1", "#### 1")]


@pytest.mark.parametrize(
    ("pool", "shown"),
    [
        (SHALLOW, set(OPERATIONS) - {"deeper"}),
        (ALIKE, set(OPERATIONS) - {"other"}),
        (NOUNLESS, set(OPERATIONS) - {"rephrase"}),
        (ALIKE[:1], {"write", "solve", "backward", "deeper", "rephrase"}),
        (UNKNOWN, {"write", "solve"}),
        (UNKNOWN * 30 + POOL, set(OPERATIONS)),
    ],
)
def test_a_pool_shows_the_operations_that_it_can(pool, shown):
    demonstrate, rng = Demonstrations(pool), random.Random(0)
    assert {name for name in OPERATIONS if demonstrate(name, rng) is not None} == shown


def test_problems_that_ask_nothing_are_written_and_solved():
    demonstrate, rng = Demonstrations(UNKNOWN), random.Random(0)
    written = {demonstrate("write", rng) for _ in range(20)}
    assert written == {("A new problem:\n", "Why?\n#### 1")}
    assert demonstrate("solve", rng) == ("Why?\n", "#### 1")
