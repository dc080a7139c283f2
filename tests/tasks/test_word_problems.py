"""Generated word problems: texts, splits, dials and the language of templates."""

import collections
import os
import re
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from qdcjax.tasks.word_problems import (
    DEFAULT_HELD_OUT,
    DEFAULT_TEMPLATES,
    HELD_OUT_TEMPLATES,
    IN_DISTRIBUTION_SPLITS,
    SPLITS,
    TEMPLATES,
    Dials,
    WordProblems,
    draw,
    graph,
    nouns,
)
from qdcjax.tasks.word_problems.generator import SHARES, split_of
from qdcjax.tasks.word_problems.template import needed, parse_templates

DEFAULT = Dials(templates=DEFAULT_TEMPLATES, held_out_templates=DEFAULT_HELD_OUT, max_depth=5)
EACH = [(name, depth) for name, template in TEMPLATES.items() for depth in template.depths]


def problem_of(name, depth, **dials):
    one = Dials(templates=(name,), held_out_templates=(), min_depth=depth, max_depth=depth, **dials)
    return WordProblems(one).problems("train", 1)[0]


def values_of(problem):
    """Every quantity, by exact arithmetic of this test's own."""
    values = {name: Fraction(value) for name, value in problem.meta["givens"].items()}
    for result, expression in problem.meta["relations"]:
        named = re.sub(r"[a-z][a-z0-9_]*", lambda m: f"values[{m.group()!r}]", expression)
        named = re.sub(r"(?<![a-z0-9'])([0-9]+)(?![a-z0-9'])", r"Fraction(\1)", named)
        values[result] = eval(named)
    return values


def lines(problem):
    return problem.solution.split("\n")[:-1]


TASK = WordProblems(DEFAULT)


@pytest.fixture(scope="module")
def some():
    return TASK.problems("train", 400)


# ---- texts ----


@pytest.mark.parametrize(("name", "depth"), EACH)
def test_reference_solutions_hold(name, depth):
    problem = problem_of(name, depth)
    values = values_of(problem)
    text = problem.question + problem.solution
    assert not re.search(r"[{}]|  | [.,?!]|%s|None", text)
    assert problem.question[0].isupper() and problem.question.endswith("?")
    assert all(
        line.lstrip("$<")[0].isupper() or line.lstrip("$<")[0].isdigit() for line in lines(problem)
    )
    assert not re.search(r"[.!?] [a-z]", problem.question)
    assert Fraction(problem.answer) == values[problem.meta["asked"]]
    assert problem.solution.endswith(f"\n#### {problem.answer}")
    assert all(value.denominator == 1 and 2 <= value <= 60 for value in required(problem, values))
    assert problem.meta["depth"] == depth == len(lines(problem))
    assert TASK.is_correct(problem, problem.solution)
    assert not TASK.is_correct(problem, f"#### {int(problem.answer) + 1}")
    assert TASK.step_truth(problem, lines(problem)) == [True] * depth


def required(problem, values):
    """The values of givens and of the steps' results (not of `also` relations)."""
    moves = TEMPLATES[problem.meta["template"]].moves[: problem.meta["depth"]]
    return [values[name] for name in (*problem.meta["givens"], *(m.result for m in moves))]


@pytest.mark.parametrize(("name", "depth"), EACH)
def test_every_move_is_needed_and_every_given_is_stated(name, depth):
    template = TEMPLATES[name]
    assert len(needed(template, depth)) == depth
    problem = problem_of(name, depth)
    numbers = collections.Counter(re.findall(r"[0-9]+", problem.question))
    stated = collections.Counter(map(str, problem.meta["givens"].values()))
    assert not stated - numbers


def test_the_library_is_as_large_as_promised():
    deepest = [max(template.depths) for template in TEMPLATES.values()]
    assert len(TEMPLATES) >= 60
    assert sum(depth == 8 for depth in deepest) >= 10
    assert sum(depth >= 4 for depth in deepest) >= 0.8 * len(TEMPLATES)
    assert len(DEFAULT_TEMPLATES) == 12 and len(DEFAULT_HELD_OUT) == 4
    assert not set(DEFAULT_TEMPLATES) & set(HELD_OUT_TEMPLATES)
    for name in DEFAULT_TEMPLATES + DEFAULT_HELD_OUT:
        assert {2, 3, 4} <= set(TEMPLATES[name].depths)
    structures = {
        tuple(tuple(sorted(graph.operators(move.tree))) for move in template.moves)
        for template in TEMPLATES.values()
    }
    assert len(structures) > 40


def test_default_texts_are_concise(some):
    words = [len(problem.question.split()) for problem in some]
    assert min(words) >= 15 and max(words) <= 62
    assert max(len(line.split()) for problem in some for line in lines(problem)) <= 12


def test_nouns_of_a_story_are_different(some):
    people = {person[""] for person in nouns.POOLS["person"]}
    for problem in some:
        if problem.meta["template"] == "times_as_many":
            assert len(set(re.findall(r"\w+", problem.question)) & people) == 2


def test_numbers_of_a_default_problem_are_different(some):
    different = [
        len(set(values)) == len(values)
        for problem in some
        for values in [required(problem, values_of(problem))]
    ]
    assert np.mean(different) > 0.95


# ---- splits ----


def test_splits_do_not_overlap():
    questions, forms = collections.Counter(), collections.defaultdict(set)
    counts = {"train": 2_000, "rewards": 600, "validation": 300, "test": 300, "held_out": 300}
    assert set(counts) == set(SPLITS)
    for split, count in counts.items():
        for problem in TASK.problems(split, count):
            meta = problem.meta
            assert problem.split == split and problem.id.startswith(f"word_problems/{split}/")
            questions[problem.question] += 1
            forms[meta["template"], meta["depth"], *meta["givens"].values()].add(split)
            held_out = meta["template"] in DEFAULT_HELD_OUT
            assert held_out == (split == "held_out")
    assert max(questions.values()) == 1
    assert max(map(len, forms.values())) == 1


def test_the_split_of_a_problem_does_not_depend_on_the_seed():
    for problem in WordProblems(DEFAULT, seed=5).problems("test", 100):
        meta = problem.meta
        assert split_of(meta["template"], meta["depth"], list(meta["givens"].values())) == "test"


def test_shares_of_the_splits():
    found = collections.Counter(split_of("ages", 2, (i, j)) for i in range(100) for j in range(100))
    assert sum(SHARES.values()) == 100 and tuple(SHARES) == IN_DISTRIBUTION_SPLITS
    for split, share in SHARES.items():
        assert found[split] == pytest.approx(100 * share, abs=250)


def test_first_problems_are_the_same_whatever_the_count():
    longer = TASK.problems("validation", 150)
    assert TASK.problems("validation", 40) == longer[:40]
    assert [p.id for p in longer] == [f"word_problems/validation/{i}" for i in range(150)]
    assert WordProblems(DEFAULT, seed=1).problems("validation", 40) != longer[:40]
    assert TASK.problems("validation", 0) == []


def test_two_processes_agree():
    code = (
        "import hashlib; from qdcjax.tasks.word_problems import Dials, WordProblems;"
        "found = WordProblems(Dials(distractors=1), 3).problems('rewards', 60);"
        "print(hashlib.sha256(repr(found).encode()).hexdigest())"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(hashes) == 1 and len(hashes.pop()) == 65


# ---- dials ----


def test_dials_are_respected():
    dials = Dials(operators="+-", min_depth=1, max_depth=3, largest=30)
    problems = WordProblems(dials).problems("train", 200)
    assert {p.meta["depth"] for p in problems} == {1, 2, 3}
    for problem in problems:
        assert max(required(problem, values_of(problem))) <= 30
        assert not re.search(r"<<[^=]*[*/]", problem.solution)
        assert problem.meta["template"] not in HELD_OUT_TEMPLATES


def test_depths_are_drawn_evenly():
    depths = collections.Counter(p.meta["depth"] for p in TASK.problems("train", 2_000))
    assert set(depths) == {2, 3, 4, 5}
    assert all(420 < count < 580 for count in depths.values())


def test_larger_numbers_and_deepest_problems():
    dials = Dials(min_depth=8, max_depth=8, largest=500)
    problems = WordProblems(dials).problems("train", 100)
    assert all(len(lines(p)) == 8 for p in problems)
    assert max(max(p.meta["givens"].values()) for p in problems) > 200


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"templates": ("nowhere",)}, "templates: no template is called 'nowhere'"),
        ({"held_out_templates": ("nowhere",)}, "held_out_templates: no template"),
        ({"templates": ("coupon",), "held_out_templates": ("coupon",)}, "'coupon' is also in"),
        ({"operators": "+^"}, "operators: '+^' should be some of"),
        ({"operators": ""}, "operators"),
        ({"min_depth": 0}, "should be in order and in 1..8"),
        ({"min_depth": 5, "max_depth": 4}, "should be in order and in 1..8"),
        ({"max_depth": 9}, "should be in order and in 1..8"),
        ({"distractors": 3}, "distractors: 3 should be in 0..2"),
        ({"largest": 5}, "largest: 5 should be at least 10"),
        ({"largest": 20, "distractors": 1}, "largest: 20 should be at least 40"),
        ({"templates": ("ages",), "min_depth": 6, "max_depth": 8}, "none has depth 6..8"),
        ({"operators": "/", "min_depth": 3}, "none has depth"),
    ],
)
def test_bad_dials_are_refused_in_one_line(change, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        Dials(**change)
    assert "\n" not in str(error.value)


def test_bad_splits_and_counts_are_refused():
    for split, count, message in (
        ("reward_train", 5, "split 'reward_train': word problems have train, rewards"),
        ("train", None, "count None"),
        ("train", -1, "count -1"),
    ):
        with pytest.raises(ValueError, match=message):
            TASK.problems(split, count)


def test_an_exhausted_split_says_how_many_there_are():
    small = Dials(templates=("bus_stops",), min_depth=1, max_depth=1, largest=12)
    task = WordProblems(small)
    with pytest.raises(ValueError, match=r"split 'test' has only [0-9]+ problems") as error:
        task.problems("test", 10_000)
    there = int(re.search(r"only ([0-9]+)", str(error.value)).group(1))
    assert 0 < there < 30
    assert len(task.problems("test", there)) == there


# ---- the template language ----

GOOD = """
== one
draw b 2..5
x = a - b
    {person} has {a} {fruit} and eats {b}.
  > {person} has {=} {fruit} left.
  ? How many {fruit} does {person} have left?
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{a} {fruit}", "some {fruit}", "differ in ['a']"),
        ("{fruit} and", "{frut} and", "differ in ['frut']"),
        ("{fruit} and", "{fruit.two} and", "unknown slot {fruit.two}"),
        ("{=}", "", "needs one {=}"),
        ("draw b", "draw c", "draw names ['c']"),
        ("b 2..5", "b 2-5", "should be `x 2..9`"),
        ("  ? How", "How", "a question after the last"),
        ("x = a - b", "x = a - b - fruit", "fruit is a pool of nouns"),
        ("x = a", "", "stands before the first equation"),
    ],
)
def test_broken_templates_are_refused(old, new, message):
    assert parse_templates(GOOD)[0].depths == (1,)
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_templates(GOOD.replace(old, new))


def test_a_move_that_is_not_needed_is_refused():
    text = GOOD + "y = c + d\n    {c} and {d}.\n  > {=}\n  ? How many?\n"
    with pytest.raises(ValueError, match="at depth 2 a move is not needed"):
        parse_templates(text)


def test_drawn_rows_fit_the_equations():
    template = TEMPLATES["coat_on_sale"]
    rows = draw.draw_rows(template, 3, 60, np.random.default_rng(0), 2_000)
    price, percent, other, off, sale, total = rows.T
    assert len(rows) > 100
    assert (off * 100 == price * percent).all() and (sale == price - off).all()
    assert (total == sale + other).all() and rows.min() >= 2 and rows.max() <= 60
    assert set(percent) <= {10, 20, 25, 50} and other.max() <= 25
