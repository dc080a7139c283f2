"""Solutions of fallible solvers: where they err, what follows from it, and what stays."""

import collections
import dataclasses
import re

import numpy as np
import pytest

from qdcjax.tasks.arithmetic import equations
from qdcjax.tasks.problem import Problem
from qdcjax.tasks.word_problems import (
    TEMPLATES,
    Dials,
    Misconceptions,
    WordProblems,
    demonstrations,
)

WRONG = {"+": "-", "-": "+", "*": "+", "/": "-"}
ALWAYS = Misconceptions(hard=1, err=1)
WHOLE_LIBRARY = Dials(held_out_templates=(), min_depth=1, max_depth=8)
PROBLEMS = WordProblems(WHOLE_LIBRARY).problems("train", 1_200)
GIVENS = {"start": 20, "sold": 5, "bought": 7, "boxes": 2, "price": 3}
RIGHT = """Ann has <<20-5=15>>15 pens left.
Now Ann has <<15+7=22>>22 pens.
Each box holds <<22/2=11>>11 pens.
One box is worth $<<11*3=33>>33.
#### 33"""
BY_HAND = {  # template → the question's numbers, a reference solution, what always erring gives
    "sell_and_buy": (
        GIVENS,
        RIGHT,
        "Ann has <<20+5=25>>25 pens left.\n"
        "Now Ann has <<25-7=18>>18 pens.\n"
        "Each box holds <<18-2=16>>16 pens.\n"
        "One box is worth $<<16+3=19>>19.\n"
        "#### 19",
    ),
    "more_and_fewer": (
        {"a": 2, "more": 9, "fewer": 3},
        "Bob has <<2+9=11>>11 pears.\nCy has <<11-3=8>>8 pears.\n#### 8",
        "Bob has <<2-9=-7>>-7 pears.\nCy has <<-7+3=-4>>-4 pears.\n#### -4",
    ),
    "coat_on_sale": (
        {"price": 50, "percent": 20},
        "It is <<50*20/100=10>>10 off.\nIt costs <<50-10=40>>40.\n#### 40",
        "It is <<50+20/100=50.2>>50.2 off.\nIt costs <<50+50.2=100.2>>100.2.\n#### 100.2",
    ),
}


def operators(problem: Problem) -> list[str]:
    """The operators of each equation, in order."""
    bodies = [equation.expression for equation in equations(problem.solution)]
    return ["".join(re.findall(r"(?<=[0-9])[-+*/]", body)) for body in bodies]


def changed(before: Problem, after: Problem) -> list[bool]:
    """Whether each step has other operators than it had."""
    return [a != b for a, b in zip(operators(before), operators(after), strict=True)]


def formulas(problem: Problem) -> list[tuple[str, str]]:
    """(result, expression) of each step."""
    moves = TEMPLATES[problem.meta["template"]].moves[: problem.meta["depth"]]
    return [(move.result, move.expression) for move in moves]


@pytest.mark.parametrize("template", BY_HAND)
def test_a_solver_that_always_errs_by_hand(template):
    givens, right, wrong = BY_HAND[template]
    problem = Problem("p", "?", "1", right, meta={"template": template, "givens": givens})
    assert demonstrations([problem], ALWAYS)[0].solution == wrong


def test_every_step_errs_and_the_rest_follows_from_it():
    """Numbers are the question's and those of the steps before, whatever came out there."""
    for before, after in zip(PROBLEMS, demonstrations(PROBLEMS, ALWAYS), strict=True):
        assert operators(after) == [WRONG[ops[0]] + ops[1:] for ops in operators(before)]
        values = {name: str(value) for name, value in before.meta["givens"].items()}
        found = equations(after.solution)
        for equation, (result, formula) in zip(found, formulas(before), strict=True):
            names = re.findall(r"[a-z][a-z0-9_]*|[0-9]+", formula)
            numbers = re.findall(r"(?<![0-9])-?[0-9.]+|[0-9.]+", equation.expression)
            assert numbers == [values.get(name, name) for name in names], after.solution
            assert equation.is_true, equation
            values[result] = equation.value
            assert after.solution[equation.end :].startswith(equation.value)
        assert after.solution.endswith(f"\n#### {found[-1].value}")


@pytest.mark.parametrize("err", [0.25, 0.75])
def test_equations_are_true_up_to_rounding_where_some_steps_err(err):
    rounded = 0
    for problem in demonstrations(PROBLEMS, Misconceptions(1, err)):
        found = equations(problem.solution)
        assert len(found) == problem.meta["depth"] and all(one.is_true for one in found)
        assert problem.solution.endswith(f"\n#### {found[-1].value}")
        rounded += any(re.fullmatch(r"-?[0-9]+\.[0-9]{6}", one.value) for one in found)
    assert rounded > 5, "no quotient was rounded"


@pytest.mark.parametrize(("hard", "err"), [(0, 0), (0, 1), (1, 0)])
def test_nobody_errs_where_nothing_is_hard_or_nobody_is_fallible(hard, err):
    not_generated = Problem("gsm8k/train/3", "?", "4", "<<2+2=4>>4\n#### 4")
    problems = [*PROBLEMS[:50], not_generated]
    assert demonstrations(problems, Misconceptions(hard, err)) == problems


def test_only_the_solution_changes():
    for before, after in zip(PROBLEMS, demonstrations(PROBLEMS, ALWAYS), strict=True):
        assert after.solution != before.solution
        assert dataclasses.replace(after, solution=before.solution) == before


def test_the_words_around_an_equation_stay():
    def words(solution: str) -> list[str]:
        *lines, last = solution.split("\n")
        return [re.sub(r"<<[^<>]+>>-?[0-9]+(\.[0-9]+)?", "…", line) for line in lines] + [last[:5]]

    for before, after in zip(PROBLEMS, demonstrations(PROBLEMS, ALWAYS), strict=True):
        assert words(after.solution) == words(before.solution)
        assert words(before.solution)[-1] == "#### "


def test_a_solution_without_an_error_is_the_reference_byte_by_byte():
    found = demonstrations(PROBLEMS, Misconceptions(hard=0.25, err=0.55))
    same = [not any(changed(*pair)) for pair in zip(PROBLEMS, found, strict=True)]
    assert 0.3 < np.mean(same) < 0.8
    for before, after, unchanged in zip(PROBLEMS, found, same, strict=True):
        assert (after == before) == unchanged


@pytest.mark.parametrize("err", [0.3, 0.55])
def test_so_many_solvers_err_at_a_hard_step(err):
    """At every step of a solution, and whether or not they erred before."""
    found = demonstrations(PROBLEMS, Misconceptions(hard=1, err=err))
    errors = [changed(*pair) for pair in zip(PROBLEMS, found, strict=True)]
    for step in range(4):
        at_step = [of[step] for of in errors if len(of) > step]
        assert np.mean(at_step) == pytest.approx(err, abs=0.05)
    after_an_error = [of[1] for of in errors if len(of) > 1 and of[0]]
    assert np.mean(after_an_error) == pytest.approx(err, abs=0.06)


def kinds(problems, misconceptions) -> dict[tuple[str, int], set[bool]]:
    """Kind of step → whether solvers err there."""
    found = collections.defaultdict(set)
    for before, after in zip(problems, demonstrations(problems, misconceptions), strict=True):
        for step, errs in enumerate(changed(before, after)):
            found[before.meta["template"], step].add(errs)
    return found


def test_which_kinds_are_hard_depends_on_template_and_step_alone():
    """Not on the numbers, the depth, the split, the seed or what else the question says."""
    other = dataclasses.replace(WHOLE_LIBRARY, distractors=1, largest=200)
    others = WordProblems(other, seed=7).problems("test", 600)
    found = kinds([*PROBLEMS, *others], Misconceptions(hard=0.5, err=1))
    assert {len(errs) for errs in found.values()} == {1}
    hard = {kind for kind, errs in found.items() if errs == {True}}
    assert len(found) > 200 and len(hard) / len(found) == pytest.approx(0.5, abs=0.08)
    of_template = collections.defaultdict(set)
    for template, step in found:
        of_template[template].add((template, step) in hard)
    assert sum(len(errs) == 2 for errs in of_template.values()) > 30, "its steps differ"


def test_what_is_hard_stays_hard_when_more_is():
    few, more = (kinds(PROBLEMS, Misconceptions(hard, err=1)) for hard in (0.2, 0.4))
    assert all(more[kind] == {True} for kind, errs in few.items() if errs == {True})
    assert more != few


def test_a_solution_depends_on_its_problem_alone():
    settings = Misconceptions(hard=0.5, err=0.5)
    whole = demonstrations(PROBLEMS[:60], settings)
    assert demonstrations(PROBLEMS[59::-1], settings) == whole[::-1]


def test_who_errs_and_where_is_the_same_in_every_process():
    """Pinned: figures of finished runs hang on it."""
    meta = {"template": "sell_and_buy", "givens": GIVENS}
    solvers = [Problem(f"p{n}", "?", "33", RIGHT, meta=meta) for n in range(12)]
    found = demonstrations(solvers, Misconceptions(hard=1, err=0.5))
    errors = [changed(*pair) for pair in zip(solvers, found, strict=True)]
    assert " ".join("".join(".x"[errs] for errs in of) for of in errors) == (
        ".... xxxx .... ...x x.xx ..xx .xxx xxx. xxxx ..xx x.xx .x.x"
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"hard": 2}, "hard=2"), ({"err": -0.1}, "err=-0.1"), ({"hard": 1, "err": 55}, "err=55")],
)
def test_a_share_out_of_range_is_named_in_one_line(fields, words):
    with pytest.raises(ValueError, match=f"^{words} must be between 0 and 1$"):
        Misconceptions(**fields)


def test_a_problem_that_was_not_generated_is_named_in_one_line():
    problem = Problem("gsm8k/train/3", "?", "4", "<<2+2=4>>4\n#### 4")
    with pytest.raises(
        ValueError, match=r"^misconceptions: gsm8k/train/3 is no generated problem$"
    ):
        demonstrations([PROBLEMS[0], problem], Misconceptions(hard=0.1, err=0.1))
