"""Rounds of synthesis with a writer that follows a script."""

import collections
import dataclasses
import random

import numpy as np
import pytest

from configs import qdc_algorithms as config_of
from qdcjax.synthesis import pipeline
from qdcjax.synthesis.operations import AIMED, OPERATIONS, SOLUTIONS, Demonstrations
from qdcjax.synthesis.pipeline import Settings, Synthesis, dropped_counts, emit
from qdcjax.synthesis.recipes import Recipe
from qdcjax.synthesis.samples import as_columns, described, from_columns
from qdcjax.synthesis.selection import deita, qdit
from qdcjax.synthesis.verification import LEAK, verified
from qdcjax.tasks.word_problems import Dials, WordProblems
from qdcjax.tasks.word_problems.backward import is_backward, parse_backward
from qdcjax.tasks.word_problems.parsing import UnreadableQuestion, parse_question

TEMPLATES = ("sell_and_buy", "bus_stops", "elevator", "dinner_with_tip")
TASK = WordProblems(Dials(TEMPLATES, min_depth=1, max_depth=3))
POOL = TASK.problems("train", 300)
HELD_OUT = ("elevator",)
UNDESCRIBED = [
    verified(f"seed-{n}", 0, "seed", (), 0, p.question, p.solution)
    for n, p in enumerate([p for p in POOL if p.meta["template"] not in HELD_OUT][:12])
]
SETTINGS = Settings(steps=3, novelty=0.9, distance=0.1, alpha=0.9, held_out=HELD_OUT)
CELLS = 3 * len(TEMPLATES)
RECIPES = {name: Recipe(**fields) for name, fields in config_of.RECIPES.items()}
RECIPES["replaced"] = Recipe(parents="pool", operations=("other",), memory="replace")
RECIPES["all"] = Recipe(
    parents="elites", operations=tuple(OPERATIONS), explore=0.3, target=True, accept=("valid",)
)


def cell_of(one):
    if one.invalid or one.template not in TEMPLATES or one.steps > 3:
        return -1
    return 3 * TEMPLATES.index(one.template) + one.steps - 1


def cells_of(made):
    return [cell_of(one) for one in made]


SEEDS = described(UNDESCRIBED, cells_of)


def started(recipe, seeds=UNDESCRIBED, seed=0) -> Synthesis:
    return Synthesis(recipe, seeds, SETTINGS, cells_of, CELLS, seed)


def write(proposals):
    """What is asked for, sometimes wrong, rubbish, cut short, or of a test."""
    demonstrate, tests = Demonstrations(POOL), TASK.problems("test", 20)
    found = []
    for asked in proposals:
        rng = random.Random(asked.id)
        if asked.operation in SOLUTIONS:
            parse = parse_backward if is_backward(asked.question) else parse_question
            text = parse(asked.question).solution
        else:
            text = demonstrate(asked.operation, rng)[1]
        kind = rng.random()
        if kind < 0.2:
            text = f"{text}1"
        elif kind < 0.3:
            text = "rubbish\n#### 1"
        elif kind < 0.4 and asked.operation not in SOLUTIONS:
            problem = rng.choice(tests)
            text = f"{problem.question}\n{problem.solution}"
        found.append((text, kind > 0.95))
    return found


def run(recipe, rounds=3, count=24, **start):
    synthesis, made, asked = started(recipe, **start), [], []
    for number in range(1, rounds + 1):
        proposals = synthesis.propose(number, count)
        made.append(synthesis.judge(number, proposals, write(proposals)))
        asked.append(proposals)
    return synthesis, made, asked


@pytest.mark.parametrize("name", RECIPES)
def test_a_run_that_goes_on_proposes_and_accepts_what_an_unbroken_one_does(name):
    unbroken, made, asked = run(RECIPES[name])
    for done in (0, 1, 2):
        resumed = started(RECIPES[name])
        for before in made[:done]:
            resumed.replay(from_columns(as_columns(before)))
        proposals = resumed.propose(done + 1, 24)
        assert proposals == asked[done]
        assert resumed.judge(done + 1, proposals, write(proposals)) == made[done]
    assert resumed.pool == unbroken.pool
    other = run(RECIPES[name], rounds=1, seed=1)[2][0]
    assert other != asked[0] or name in ("temperature", "deita", "qdit"), "by the seed"


@pytest.mark.parametrize("name", RECIPES)
def test_every_candidate_is_accepted_or_has_a_reason(name):
    synthesis, rounds, asked = run(RECIPES[name])
    made = [one for of in rounds for one in of]
    accepted = [one for one in made if not one.dropped]
    dropped = dropped_counts(made)
    assert len(accepted) + sum(dropped.values()) == len(made) == 72
    assert list(dropped.values()) == sorted(dropped.values(), reverse=True)
    assert dropped == collections.Counter(one.dropped for one in made if one.dropped)
    assert accepted and not any(one.invalid for one in accepted)
    assert all(one.dropped == one.invalid for one in made if one.invalid), "the first reason"
    assert dropped["cut short"] and dropped["no template" if name != "rejection" else "cut short"]
    for one, proposal in zip(made, (p for of in asked for p in of), strict=True):
        lineage = ("id", "operation", "parents", "target")
        assert [getattr(one, f) for f in lineage] == [getattr(proposal, f) for f in lineage]
    assert [one.round for one in made] == [1] * 24 + [2] * 24 + [3] * 24
    assert len({one.id for one in made}) == 72
    if RECIPES[name].memory == "accumulate":
        assert synthesis.pool == [*SEEDS, *accepted]
    ids = {one.id: one for one in [*SEEDS, *made]}
    for one in made:
        parents = [ids[parent] for parent in one.parents]
        assert not any(parent.dropped for parent in parents)
        assert all(parent.round < one.round for parent in parents)


@pytest.mark.parametrize("name", RECIPES)
def test_proposals_are_what_the_recipe_says(name):
    recipe = RECIPES[name]
    _, made, rounds = run(recipe, rounds=2, count=150)
    asked = [proposal for of in rounds for proposal in of]
    of_operation = collections.Counter(proposal.operation for proposal in asked)
    explored = {"write"} if recipe.explore else set()
    assert set(of_operation) == set(recipe.operations) | explored
    for operation in recipe.operations:
        if operation not in explored:
            share = (1 - recipe.explore) / len(recipe.operations)
            assert of_operation[operation] == pytest.approx(300 * share, abs=33)
    known = {one.id: one for one in [*SEEDS, *made[0]]}
    for proposal in asked:
        parents = [known[parent].question for parent in proposal.parents]
        wanted = {"write": 0, "like": recipe.count}.get(proposal.operation, 1)
        assert len(parents) == wanted
        if proposal.operation in SOLUTIONS:
            assert proposal.prompt == f"{proposal.question}\n"
        else:
            assert proposal.question == ""
            assert proposal.prompt.splitlines()[1:] == parents
        if proposal.operation == "solve":
            assert parents == [proposal.question]
        aimed = recipe.target and proposal.operation in AIMED
        assert (proposal.target in (1, 2, 3)) if aimed else proposal.target == 0
        assert (f" of {proposal.target} step" in proposal.prompt.splitlines()[0]) == aimed
    targets = {proposal.target for proposal in asked if proposal.operation in AIMED}
    assert not recipe.target or targets == {1, 2, 3}


def test_a_backward_question_asks_for_a_number_of_its_parent():
    recipe = Recipe(parents="seeds", operations=("backward",), accept=("valid", "matches"))
    _, (made,), (asked,) = run(recipe, rounds=1, count=60)
    seeds = {one.id: one for one in SEEDS}
    unknown = set()
    for proposal in asked:
        problem = parse_question(seeds[proposal.parents[0]].question)
        found = parse_backward(proposal.question)
        assert found.answer == str(problem.meta["givens"][found.meta["asked"]])
        unknown.add((proposal.parents, found.meta["asked"]))
    assert len(unknown) > len({proposal.parents for proposal in asked}), "any of its numbers"
    again = [one for one in made if not one.dropped]
    _, (twice,), (asked,) = run(recipe, rounds=1, count=20, seeds=again)
    known = {one.id: one for one in again}
    for one, proposal in zip(twice, asked, strict=True):
        assert proposal.question == known[one.parents[0]].question, "it is asked as it is"
        assert one.dropped in ("", "another answer", "cut short", "no template")


def test_a_parent_that_cannot_be_read_is_asked_as_it_is():
    unreadable = dataclasses.replace(SEEDS[0], question="Why?")
    synthesis = started(Recipe(parents="seeds", operations=("backward",)), seeds=[unreadable])
    (proposal,) = synthesis.propose(1, 1)
    assert proposal.question == "Why?"
    with pytest.raises(UnreadableQuestion):
        parse_question(proposal.question)


def parents_of(proposals):
    return {parent for proposal in proposals for parent in proposal.parents}


def test_where_parents_come_from():
    recipe = Recipe(parents="pool", operations=("other",))
    for kind in ("seeds", "pool", "best", "elites"):
        synthesis, made, _ = run(dataclasses.replace(recipe, parents=kind), rounds=2)
        pool = [*SEEDS, *(one for of in made for one in of if not one.dropped)]
        expected = {
            "seeds": SEEDS,
            "pool": pool,
            "best": sorted(pool, key=lambda one: -one.fitness)[: pipeline.BEST],
            "elites": [one for n, one in enumerate(pool) if all(
                (one.fitness, -n) >= (other.fitness, -m)
                for m, other in enumerate(pool) if cell_of(other) == cell_of(one))],
        }[kind]  # fmt: skip
        assert parents_of(synthesis.propose(3, 600)) == {one.id for one in expected}


def test_each_round_draws_anew():
    synthesis = started(Recipe(parents="seeds", operations=("other",)))
    drawn = [[p.parents for p in synthesis.propose(number, 20)] for number in (1, 2, 1)]
    assert drawn[0] == drawn[2] != drawn[1]


def test_the_best_are_a_few_of_the_pool(monkeypatch):
    monkeypatch.setattr(pipeline, "BEST", 5)
    fit = [dataclasses.replace(one, process=n % 7 / 7) for n, one in enumerate(SEEDS)]
    synthesis = started(Recipe(parents="best", operations=("other",)), seeds=fit)
    assert parents_of(synthesis.propose(1, 200)) == {f"seed-{n}" for n in (6, 5, 4, 11, 3)}


def test_without_any_elite_parents_are_of_the_pool():
    alone = [dataclasses.replace(SEEDS[0], steps=9)]
    synthesis = started(Recipe(parents="elites", operations=("other",)), seeds=alone)
    assert parents_of(synthesis.propose(1, 3)) == {"seed-0"}


def test_a_candidate_is_held_against_those_of_its_own_round():
    synthesis = started(Recipe(accept=("valid", "new")))
    proposals = synthesis.propose(1, 3)
    problem = next(p for p in POOL[20:] if p.meta["template"] not in HELD_OUT)
    text = f"{problem.question}\n{problem.solution}"
    seed = (SEEDS[2].text, False)
    made = synthesis.judge(1, proposals, [(text, False), (text, False), seed])
    assert [one.dropped for one in made] == ["", "not new", "not new"]


def test_what_is_replaced_is_no_parent_any_more():
    recipe = Recipe(parents="pool", operations=("other",), memory="replace")
    synthesis = started(recipe)
    before = SEEDS
    for number in (1, 2, 3):
        proposals = synthesis.propose(number, 200)
        assert parents_of(proposals) == {one.id for one in before}
        made = synthesis.judge(number, proposals[:20], write(proposals[:20]))
        before = [one for one in made if not one.dropped]
        assert synthesis.pool == before
    proposals = synthesis.propose(4, 5)
    rubbish = synthesis.judge(4, proposals, [("rubbish", False)] * 5)
    assert all(one.dropped for one in rubbish)
    assert synthesis.pool == before, "the last that there are"


def test_what_is_asked_of_students_is_not_made():
    _, rounds, _ = run(Recipe(), rounds=4, count=60)
    made = [one for of in rounds for one in of]
    leaks = [one for one in made if one.dropped == LEAK]
    held_out = [p.question for p in [*POOL, *TASK.problems("test", 20)]
                if p.meta["template"] in HELD_OUT]  # fmt: skip
    assert len(leaks) > 20 and {one.question for one in leaks} & set(held_out)
    accepted = {one.question for one in made if not one.dropped}
    assert accepted and not accepted & set(held_out)
    assert not accepted & {problem.question for problem in TASK.problems("test", 20)}


def test_a_part_that_is_taken_out_is_not_used():
    recipe = dataclasses.replace(RECIPES["map_elites"], without="better")
    _, (made, *_), _ = run(recipe)
    assert {one.dropped for one in made} == {one.invalid for one in made}
    asked = started(dataclasses.replace(recipe, without="parents")).propose(1, 20)
    assert {(p.operation, p.parents) for p in asked} == {("write", ())}


def test_nothing_is_made_from_nothing():
    with pytest.raises(ValueError, match=r"^seeds is empty: nothing could be made from them$"):
        started(Recipe(), seeds=[])


def test_every_proposal_needs_its_completion():
    synthesis = started(Recipe())
    with pytest.raises(ValueError, match="zip"):
        synthesis.judge(1, synthesis.propose(1, 2), [("", False)])


def embed(texts):
    return np.array([[len(text), text.count("a"), text.count("1") + 1] for text in texts], float)


@pytest.mark.parametrize("select", ["none", "deita", "qdit"])
def test_what_is_emitted_is_accepted_and_chosen(select):
    recipe = Recipe(select=select, keep=0.25)
    made = [one for of in run(recipe)[1] for one in of]
    rows = [row for row, one in enumerate(made) if not one.dropped]
    accepted = [made[row] for row in rows]
    count, quality = round(len(rows) / 4), [one.fitness for one in accepted]
    x = embed([one.text for one in accepted])
    kept = {
        "none": range(len(rows)),
        "deita": deita(quality, [one.steps for one in accepted], x, count, SETTINGS.distance),
        "qdit": qdit(quality, x, count, SETTINGS.alpha),
    }[select]
    assert emit(recipe, made, SETTINGS, embed) == [rows[place] for place in kept]
    without = dataclasses.replace(recipe, without=select if select != "none" else "")
    assert emit(without, made, SETTINGS, embed) == rows


def test_little_is_emitted_where_little_was_accepted():
    recipe = Recipe(select="qdit", keep=0.01)
    made = [dataclasses.replace(one, dropped="x" * (n != 2)) for n, one in enumerate(SEEDS)]
    assert emit(recipe, made, SETTINGS, embed) == [2]
    assert emit(recipe, made[:2], SETTINGS, embed) == []
    assert len(emit(recipe, SEEDS, SETTINGS, embed)) == 1, "at least one"
