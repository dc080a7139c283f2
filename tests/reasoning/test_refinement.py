"""Where drafts are wrong, what refiners read, and the pairs that they learn from, by hand."""

import numpy as np
import pytest

from qdcjax.reasoning.refinement import (
    BAD,
    NOWHERE,
    Pair,
    first_bad_line,
    locate,
    make_pairs,
    refiner_example,
    refiner_reads,
    right_continuations,
)
from qdcjax.reasoning.reward_models import Solution


@pytest.fixture(scope="module")
def marked(tokenizer):
    return tokenizer.with_token(BAD)


@pytest.mark.parametrize(
    ("labels", "line"), [([0, 0], 0), ([1, 0, 0], 1), ([1, 1], 2), ([], 0), ([1, 0, 1], 1)]
)
def test_first_bad_line(labels, line):
    assert first_bad_line(labels) == line


@pytest.mark.parametrize(
    ("ends", "values", "line"),
    [
        ([1, 3], [0, 0.9, 0, 0.4, 0.3], 1),  # the first one under a half, not the least
        ([1, 3], [0, 0.9, 0, 0.8, 0.3], 2),  # the answer
        ([1, 3], [0, 0.5, 0, 0.8, 0.7], 0),  # none is under it: the least
        ([1, 3], [0, 0.5, 0, 0.4, 0.7], 1),  # a value at the threshold is good
        ([1, 3], [0, 0.9, 0, 0.6], 1),  # cut at the end of a step: it has no answer
        ([], [0.1, 0.9], 0),
    ],
)
def test_locate(ends, values, line):
    assert locate(ends, values, 0.5) == line


def draft(tokenizer, text: str, correct=False, labels=(), prompt=(1, 9), end=True) -> Solution:
    tokens = [*tokenizer.encode(text), *([tokenizer.eos_id] if end else [])]
    newlines = [n for n, t in enumerate(tokens) if tokenizer.decode([t]) == "\n"]
    return Solution(prompt, tokens, newlines, correct, labels)


FIRST, SECOND, ANSWER = "<<2*3=6>>6\n", "<<6+1=8>>8\n", "#### 8"


def test_a_global_refiner_reads_the_draft_and_its_end(marked):
    solution = draft(marked, FIRST + SECOND + ANSWER)
    context, kept = refiner_reads(marked, solution.tokens, solution.ends)
    assert list(context) == solution.tokens and kept == ()
    cut = draft(marked, FIRST + SECOND, end=False)
    assert refiner_reads(marked, cut.tokens, cut.ends)[0] == (*cut.tokens, marked.eos_id)


@pytest.mark.parametrize(
    ("line", "before", "after"),
    [(0, "", FIRST + SECOND + ANSWER), (1, FIRST, SECOND + ANSWER), (2, FIRST + SECOND, ANSWER)],
)
def test_a_local_refiner_reads_a_mark_and_goes_on_before_it(marked, line, before, after):
    solution = draft(marked, FIRST + SECOND + ANSWER)
    context, kept = refiner_reads(marked, solution.tokens, solution.ends, line)
    assert marked.decode(context) == before + BAD + after
    assert marked.decode(kept) == before
    (bad,) = marked.encode(BAD)
    assert context.count(bad) == 1 and context[len(kept)] == bad
    assert context[-1] == marked.eos_id and marked.eos_id not in context[:-1]


GOOD_END = "<<6+1=7>>7\n#### 7"


@pytest.fixture
def rollouts(marked):
    """Two questions' drafts, and completions of their prefixes."""
    wrong = draft(marked, FIRST + SECOND + ANSWER, labels=[1, 0])
    late = draft(marked, FIRST + "<<6+1=7>>7\n#### 9", labels=[1, 1])
    right = draft(marked, FIRST + GOOD_END, True, [1, 1])
    lost = draft(marked, "<<2+3=5>>5\n#### 5", labels=[0], prompt=(1, 8))
    problems = ["a", "a", "a", "a", "b"]
    prefix = marked.encode(FIRST)
    other = "<<1+6=7>>7\n#### 7"
    verified = {
        "problem_id": ["a", "b"],
        "prefix": [prefix, marked.encode("<<2+3=5>>5\n")],
        "completions": [[GOOD_END, other, other, "#### 7", "#### 3"], ["#### 5", "#### 4"] * 2],
        "correct": [[True, True, True, True, False], [False] * 4],
        "consistent": [[True, True, True, False, True], [True] * 4],
    }
    return problems, [wrong, wrong, late, right, lost], verified


def texts(tokenizer, many) -> set[str]:
    return {tokenizer.decode(tokens) for tokens in many}


def test_what_led_to_a_right_answer(marked, rollouts):
    problems, drafts, verified = rollouts
    found = right_continuations(marked, problems, drafts, verified)
    prefix = tuple(marked.encode(FIRST))
    assert found.keys() == {("a", ()), ("a", prefix)}
    other = "<<1+6=7>>7\n#### 7"
    assert texts(marked, found["a", prefix]) == {GOOD_END, other}
    assert texts(marked, found["a", ()]) == {FIRST + GOOD_END, FIRST + other}
    assert all(len(set(ways)) == len(ways) for ways in found.values())


def test_pairs_are_of_different_wrong_drafts_and_right_ways_to_go_on(marked, rollouts):
    problems, drafts, verified = rollouts
    right = right_continuations(marked, problems, drafts, verified)

    def globally_by(per_draft: int, seed: int) -> list[Pair]:
        return make_pairs(marked, problems, drafts, right, False, per_draft, seed)

    globally = globally_by(4, seed=0)
    assert {(p.problem, p.line, p.kept) for p in globally} == {("a", NOWHERE, ())}
    assert len(globally) == 4, "two drafts that differ, two right solutions"
    assert texts(marked, {p.target for p in globally}) == texts(marked, right["a", ()])

    locally = make_pairs(marked, problems, drafts, right, True, 4, seed=0)
    assert {p.line for p in locally} == {1}, "of the late one no right way to go on is known"
    assert {marked.decode(p.kept) for p in locally} == {FIRST}
    assert {marked.decode(p.context) for p in locally} == {FIRST + BAD + SECOND + ANSWER}
    assert len(locally) == 2

    fewer = globally_by(1, seed=0)
    assert len(fewer) == 2 and set(fewer) <= set(globally)
    assert globally_by(1, seed=0) == fewer
    drawn = {tuple(globally_by(1, seed)) for seed in range(8)}
    assert len(drawn) > 1, "by the seed"


def test_the_loss_is_on_the_target_and_its_end(marked):
    pair = Pair("a", 1, (5, 6, 7), (5,), (8, 9))
    example = refiner_example(marked, [1, 4], pair)
    assert example["tokens"].tolist() == [1, 4, 5, 6, 7, 5, 8, 9, marked.eos_id]
    np.testing.assert_array_equal(example["mask"], [0] * 6 + [1] * 3)
