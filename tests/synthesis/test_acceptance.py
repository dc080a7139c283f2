"""Filters: each one's rule, with the reason that it gives, and their order."""

import dataclasses

import numpy as np
import pytest

from qdcjax.measures.ngrams import rouge_l
from qdcjax.synthesis import acceptance
from qdcjax.synthesis.acceptance import FILTERS, Elites, first_reason
from qdcjax.synthesis.samples import Made, as_columns, from_columns

PARENT = Made(
    "seed-0", 0, "seed", (), 0, "Tom has 3 bags with 9 pens each. How many pens does Tom have?",
    "Tom has <<3*9=27>>27 pens.\n#### 27", "", "27", "bags", 1, True, 1.0,
)  # fmt: skip
CHILD = dataclasses.replace(
    PARENT, id="1-0", round=1, operation="deeper", parents=("seed-0",), steps=2, gold="23",
    question="Tom has 3 bags with 9 pens each. Tom loses 4 pens. How many pens does Tom have left?",
    solution="Tom has <<3*9=27>>27 pens.\nHe has <<27-4=23>>23 left.\n#### 23",
)  # fmt: skip
CELLS = 3


def changed(**fields) -> Made:
    """The child, otherwise; those of as many steps have a cell, and those of four have none."""
    one = dataclasses.replace(CHILD, **fields)
    return dataclasses.replace(one, cell=one.steps - 1 if one.steps < 4 else -1)


def filter_of(name, *pool, novelty=0.7):
    """A filter that knows the parent, after it was told of a pool."""
    known = {of.id: of for of in (PARENT, *pool)}
    found = FILTERS[name](known, novelty, CELLS)
    for one in pool:
        found.accepted(one)
    return found


@pytest.mark.parametrize(
    ("name", "one", "reason"),
    [
        ("valid", CHILD, ""),
        ("valid", changed(invalid="not whole"), "not whole"),
        ("right", CHILD, ""),
        ("right", changed(right=False), "wrong answer"),
        ("right", changed(process=0.0), ""),
        ("matches", changed(operation="write", parents=()), ""),
        ("matches", changed(operation="write", parents=(), gold="9"), "another answer"),
        ("evolved", CHILD, ""),
        ("evolved", changed(steps=1), "not deeper"),
        ("evolved", changed(steps=1, operation="other"), ""),
        ("evolved", changed(question=PARENT.question), "copy of its parent"),
        ("evolved", changed(question=PARENT.question, operation="other"), "copy of its parent"),
        ("evolved", changed(question=PARENT.question, parents=()), ""),
        ("matches", CHILD, "another answer"),
        ("matches", changed(operation="rephrase", solution="#### 27"), ""),
        ("matches", changed(operation="solve", solution="#### 27", gold="5"), ""),
        ("matches", changed(operation="solve", gold="23"), "another answer"),
        ("matches", changed(operation="backward", gold="4", solution="#### 4"), ""),
        ("matches", changed(operation="backward", gold="4", solution="#### 27"), "another answer"),
        ("matches", changed(operation="rephrase", solution="27"), "another answer"),
        ("matches", changed(operation="write", parents=()), ""),
    ],
)
def test_the_rule_of_a_filter_that_looks_at_one(name, one, reason):
    assert filter_of(name)(one) == reason


def test_a_question_near_one_of_the_pool_is_not_new():
    likeness = rouge_l(PARENT.question, CHILD.question)
    assert 0.5 < likeness < 1
    for novelty, reason in ((likeness + 0.01, ""), (likeness, "not new"), (0.5, "not new")):
        assert filter_of("new", PARENT, novelty=novelty)(CHILD) == reason
    new = filter_of("new", novelty=0.5)
    assert new(CHILD) == "", "of an empty pool all is new"
    for one in (changed(question="Why?"), PARENT, changed(question="Who is there?")):
        new.accepted(one)
    assert new(CHILD) == "not new", "any of the pool counts"
    assert new(changed(question="Is it raining?")) == ""


@pytest.mark.parametrize("copy", [0.5, 0.999])
def test_a_copy_is_as_alike_as_is_said(monkeypatch, copy):
    monkeypatch.setattr(acceptance, "COPY", copy)
    assert filter_of("evolved")(CHILD) == ("copy of its parent" if copy == 0.5 else "")


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("steps", range(1, 8))
def test_a_tie_keeps_the_elite(right, steps):
    for true in range(steps + 1):
        one = changed(right=right, process=true / steps)
        if one.fitness:
            assert filter_of("better", one)(one) == "no better than the elite", one.fitness
            better = dataclasses.replace(one, process=one.process + 0.01)
            assert filter_of("better", one)(better) == ""


def test_elites_are_the_best_of_each_cell():
    rng = np.random.default_rng(0)
    stream = [
        changed(id=f"1-{n}", steps=int(steps), right=bool(right), process=process / 4)
        for n, (steps, right, process) in enumerate(rng.integers((1, 0, 0), (5, 2, 5), (60, 3)))
    ]
    better, best, entered = filter_of("better"), {}, []
    for one in stream:
        reason = better(one)
        if one.steps == 4:
            assert reason == "no cell"
            continue
        there = best.get(one.steps)
        assert bool(reason) == (there is not None and one.fitness <= there.fitness)
        if not reason:
            best[one.steps] = one
            entered.append(one)
            better.accepted(one)
    assert better.elites() == [best[steps] for steps in (1, 2, 3)]
    assert better.members == entered and len(entered) > 3


def test_what_is_worse_or_in_no_cell_displaces_no_elite():
    good, bad, far = changed(), changed(right=False, process=0.0), changed(steps=4)
    better = filter_of("better", good, bad, far)
    assert better.elites() == [good]
    assert isinstance(better, Elites) and filter_of("better").elites() == []


@pytest.mark.parametrize(
    ("order", "reason"),
    [(("right", "evolved"), "wrong answer"), (("evolved", "right"), "not deeper")],
)
def test_the_first_filter_gives_the_reason(order, reason):
    one = changed(right=False, steps=1)
    filters = [filter_of("valid"), *map(filter_of, order)]
    assert first_reason(filters, one) == reason
    assert first_reason(filters, CHILD) == "" == first_reason([], one)


def test_fitness_is_half_the_answer_and_half_the_steps():
    assert CHILD.fitness == 1.0 and changed(right=False).fitness == 0.5
    assert changed(process=0.5).fitness == 0.75 and changed(right=False, process=0).fitness == 0


def test_records_are_the_same_after_a_table():
    made = [PARENT, CHILD, changed(invalid="nouns", dropped="nouns", parents=("a", "b"))]
    table = as_columns(made)
    assert table["parents"] == [[], ["seed-0"], ["a", "b"]]
    assert from_columns(table | {"seed": [0, 0, 0]}) == made
    assert CHILD.text == f"{CHILD.question}\n{CHILD.solution}"
