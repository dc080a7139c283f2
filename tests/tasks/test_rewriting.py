"""Problems made from others: with fewer steps, and in other words."""

import random
import re

import pytest

from qdcjax.tasks.word_problems import TEMPLATES, Dials, WordProblems
from qdcjax.tasks.word_problems.parsing import UnreadableQuestion, parse_question
from qdcjax.tasks.word_problems.rendering import layout
from qdcjax.tasks.word_problems.rewriting import rephrased, shorter

STORY = (
    "Zoe has 32 coins and sells 28 of them. Then Zoe buys 22 coins. Zoe packs all these coins "
    "equally into 2 boxes. Each coin is worth $3. How many dollars is one box worth?"
)
NUMBER = re.compile("[0-9]+")
WITHOUT_NOUNS = {
    template.name
    for template in TEMPLATES.values()
    if not layout(template, template.depths[-1]).noun_slots
}


def deepest_of_each_template():
    for template in TEMPLATES.values():
        depth = template.depths[-1]
        dials = Dials((template.name,), (), min_depth=depth, max_depth=depth)
        yield from WordProblems(dials).problems("train", 1)


def test_a_shorter_problem_is_the_beginning_of_the_longer_one():
    found = 0
    for problem in deepest_of_each_template():
        for depth in TEMPLATES[problem.meta["template"]].depths[:-1]:
            less = shorter(problem, depth)
            assert (less.meta["template"], less.meta["depth"]) == (problem.meta["template"], depth)
            assert less.meta["givens"].items() <= problem.meta["givens"].items()
            steps = problem.solution.splitlines()[:depth]
            assert less.solution.splitlines() == [*steps, f"#### {less.answer}"]
            assert parse_question(less.question).meta == less.meta
            found += 1
    assert found > 100


def test_a_known_story_ends_earlier():
    problem = parse_question(STORY, "round-2")
    less = shorter(problem, 2)
    assert less.question == (
        "Zoe has 32 coins and sells 28 of them. Then Zoe buys 22 coins. "
        "How many coins does Zoe have now?"
    )
    assert (less.answer, less.split) == ("26", "round-2")
    assert less.id.startswith("round-2/") and less.id != problem.id
    told = parse_question(STORY.replace(" Then", " A song on the radio has 7 lines. Then"))
    assert shorter(told, 2).question == less.question, "distractors are left out"


@pytest.mark.parametrize("depth", [-1, 0, 4, 5])
def test_a_story_ends_where_its_template_lets_it(depth):
    words = f"^depth={depth}: a story of 4 steps cannot end there$"
    with pytest.raises(ValueError, match=words):
        shorter(parse_question(STORY), depth)


def test_other_words_keep_the_numbers():
    rng, same = random.Random(0), set()
    for problem in deepest_of_each_template():
        found = [rephrased(problem, rng) for _ in range(4)]
        for of in found:
            again = parse_question(of.question)
            assert (of.meta, of.answer) == (problem.meta, problem.answer)
            assert (again.meta, again.solution) == (of.meta, of.solution)
            assert NUMBER.findall(of.question) == NUMBER.findall(problem.question)
        if {of.question for of in found} == {problem.question}:
            same.add(problem.meta["template"])
    assert same == WITHOUT_NOUNS != set()


def test_other_words_are_drawn():
    problem = parse_question(STORY, "round-2")
    found = [rephrased(problem, random.Random(seed)) for seed in (0, 1, 0)]
    assert found[0] == found[2] != found[1]
    assert len({STORY, *(of.question for of in found)}) == 3
    for of in found:
        assert (of.split, of.id) == ("round-2", parse_question(of.question, "round-2").id)


def test_what_no_template_has_is_not_rewritten():
    problem = WordProblems().problems("train", 1)[0]
    other = type(problem)("x", "Why?", "1")
    for rewrite in (lambda: shorter(other, 1), lambda: rephrased(other, random.Random(0))):
        with pytest.raises(UnreadableQuestion, match=r"^no template"):
            rewrite()
