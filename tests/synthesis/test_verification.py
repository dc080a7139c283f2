"""What the grader says of a question with a solution, by hand."""

import dataclasses
import random

import pytest

from qdcjax.synthesis.samples import Made
from qdcjax.synthesis.verification import CUT, LEAK, has_test_numbers, verified
from qdcjax.tasks.word_problems import HELD_OUT_TEMPLATES, Dials, WordProblems
from qdcjax.tasks.word_problems.backward import masked, parse_backward
from qdcjax.tasks.word_problems.parsing import parse_question
from qdcjax.tasks.word_problems.rewriting import rephrased

QUESTION = (
    "Zoe has 32 coins and sells 28 of them. Then Zoe buys 23 coins. Zoe packs all these coins "
    "equally into 3 boxes. Each coin is worth $3. How many dollars is one box worth?"
)
SOLUTION = """Zoe has <<32-28=4>>4 coins left.
Now Zoe has <<4+23=27>>27 coins.
Each box holds <<27/3=9>>9 coins.
One box is worth $<<9*3=27>>27.
#### 27"""
LINEAGE = ("1-0", 1, "like", ("seed-0", "seed-1"), 3)
RIGHT = Made(*LINEAGE, QUESTION, SOLUTION, "", "27", "sell_and_buy", 4, True, 1.0)
TASK = WordProblems(Dials(min_depth=1, max_depth=4))


def test_a_right_solution_of_a_question():
    assert verified(*LINEAGE, QUESTION, SOLUTION) == RIGHT


@pytest.mark.parametrize(
    ("old", "new", "right", "process"),
    [
        ("9*3=27>>27.\n#### 27", "9+3=12>>12.\n#### 12", False, 0.75),
        ("#### 27", "#### 26", False, 1.0),
        ("#### 27", "", False, 1.0),
        ("4+23=27", "23+4=27", True, 1.0),
        ("4+23=27", "4*23=27", True, 0.25),
        ("32-28=4>>4", "32+28=60>>60", True, 0.0),
        ("One box is worth $<<9*3=27>>27.\n", "", True, 1.0),
        (SOLUTION, "#### 27", True, 0.0),
        (SOLUTION, "", False, 0.0),
    ],
)
def test_steps_and_answer_are_judged_apart(old, new, right, process):
    assert old in SOLUTION
    solution = SOLUTION.replace(old, new)
    expected = dataclasses.replace(RIGHT, solution=solution, right=right, process=process)
    assert verified(*LINEAGE, QUESTION, solution) == expected


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        (QUESTION.replace("3 boxes", "4 boxes"), "not whole"),
        (QUESTION.replace("28", "33"), "under one"),
        (QUESTION.replace("28", "X"), "unknown number"),
        (QUESTION.replace("28", "X") + " If the answer is 99, what is X?", "no answer"),
        (QUESTION.replace("Each coin", "Each card"), "nouns"),
        ("", "no template"),
    ],
)
def test_a_question_that_asks_nothing_has_a_reason_and_no_marks(question, reason):
    made = verified(*LINEAGE, question, SOLUTION)
    assert made == Made(*LINEAGE, question, SOLUTION, reason, "", "", 0, False, 0.0)
    assert made.dropped == "" and made.fitness == 0


def test_what_was_cut_short_is_invalid_whatever_it_says():
    made = verified(*LINEAGE, QUESTION, SOLUTION, cut=True)
    assert made == Made(*LINEAGE, QUESTION, SOLUTION, CUT, "", "", 0, False, 0.0)


def test_problems_of_a_test_are_refused_in_other_words_too():
    for problem in TASK.problems("test", 40):
        for words in (problem, rephrased(problem, random.Random(0))):
            made = verified(*LINEAGE, words.question, words.solution)
            assert (made.invalid, made.right, made.process, made.gold) == (LEAK, False, 0, "")
    for split in ("train", "rewards", "validation"):
        for problem in TASK.problems(split, 40):
            assert not has_test_numbers(problem)
            assert verified(*LINEAGE, problem.question, problem.solution).invalid == ""


def test_templates_that_are_held_out_are_refused_with_any_numbers():
    assert verified(*LINEAGE, QUESTION, SOLUTION, held_out=("sell_and_buy",)).invalid == LEAK
    assert verified(*LINEAGE, QUESTION, SOLUTION, held_out=HELD_OUT_TEMPLATES) == RIGHT
    backward = masked(parse_question(QUESTION), "sold")
    assert verified(*LINEAGE, backward, "", held_out=("sell_and_buy",)).invalid == LEAK
    held_out = TASK.problems("held_out", 20)
    reasons = {
        verified(*LINEAGE, problem.question, "", held_out=HELD_OUT_TEMPLATES).invalid
        for problem in held_out
    }
    assert reasons == {LEAK}


def test_a_backward_question_is_answered_by_its_number():
    problem = parse_question(QUESTION)
    question = masked(problem, "sold")
    solution = parse_backward(question).solution
    made = verified(*LINEAGE, question, solution)
    expected = {"question": question, "solution": solution, "gold": "28"}
    assert made == dataclasses.replace(RIGHT, **expected)
    forward = verified(*LINEAGE, question, SOLUTION)
    assert not forward.right and forward.process == 0
