"""Questions that ask for one of their own numbers: who can be asked, and how it is found."""

import collections
import time

import pytest

from qdcjax.tasks.answers import is_correct
from qdcjax.tasks.word_problems import TEMPLATES, Dials, WordProblems, graph
from qdcjax.tasks.word_problems.backward import is_backward, masked, parse_backward
from qdcjax.tasks.word_problems.parsing import (
    LONGEST,
    UNKNOWN,
    UnreadableQuestion,
    matches,
    parse_question,
    read,
)

STORY = (
    "Zoe has 32 coins and sells 28 of them. Then Zoe buys 22 coins. Zoe packs all these coins "
    "equally into 2 boxes. Each coin is worth $3. How many dollars is one box worth?"
)
BACKWARD = STORY.replace("28", UNKNOWN) + " If the answer is 39, what is X?"
SOLUTION = """Before that: <<39/3=13>>13.
Before that: <<13*2=26>>26.
Before that: <<26-22=4>>4.
X is <<32-4=28>>28.
#### 28"""


def every_kind():
    """A problem of each template at each depth."""
    for template in TEMPLATES.values():
        for depth in template.depths:
            dials = Dials((template.name,), (), min_depth=depth, max_depth=depth)
            yield from WordProblems(dials).problems("train", 1)


def uses(problem):
    """How often each given stands in the answer's formula when all others are put into it."""
    formulas = {name: graph.parse_expression(text) for name, text in problem.meta["relations"]}

    def count(name):
        if name not in formulas:
            return collections.Counter([name])
        parts = (count(leaf) for leaf in graph.leaves(formulas[name]))
        return sum(parts, collections.Counter())

    return count(problem.meta["asked"])


def test_every_given_that_counts_once_can_be_asked_for_and_found():
    asked = unasked = 0
    for problem in every_kind():
        for given, value in problem.meta["givens"].items():
            question = masked(problem, given)
            assert (question is None) == (uses(problem)[given] > 1), problem.question
            if question is None:
                unasked += 1
                continue
            asked += 1
            found = parse_backward(question)
            assert found.answer == str(value), question
            assert found.meta["asked"] == given and given not in found.meta["givens"]
            assert found.meta["depth"] == problem.meta["depth"]
            assert is_correct(found.solution, found.answer)
            steps = found.solution.splitlines()[:-1]
            assert len(steps) == found.meta["depth"]
            assert graph.step_truth(found.meta, steps) == [True] * len(steps), found.solution
            wrong = [*steps[:-1], steps[-1].replace(f"={value}>>", f"={value + 1}>>")]
            assert graph.step_truth(found.meta, wrong) == [*[True] * len(steps[1:]), False]
            (guessed,) = graph.step_truth(found.meta, [f"X is <<{value}={value}>>{value}."])
            assert guessed == (value in found.meta["givens"].values()), "it is to be derived"
    assert asked > 1_000 and unasked > 100


def test_a_known_question_and_its_solution():
    problem = parse_question(STORY)
    assert masked(problem, "sold") == BACKWARD
    found = parse_backward(BACKWARD, "round-1")
    assert (found.answer, found.solution, found.split) == ("28", SOLUTION, "round-1")
    assert found.question == BACKWARD and found.id.startswith("round-1/")
    assert found.id != parse_backward(BACKWARD.replace("39", "36"), "round-1").id
    assert found.meta == {
        "template": "sell_and_buy",
        "depth": 4,
        "givens": {"start": 32, "bought": 22, "boxes": 2, "price": 3, "worth": 39},
        "constants": [],
        "relations": [
            ["each", "worth/price"],
            ["now", "each*boxes"],
            ["left", "now-bought"],
            ["sold", "start-left"],
        ],
        "asked": "sold",
    }
    forward_first = parse_backward(masked(problem, "boxes"))
    assert forward_first.solution == (
        "Zoe has <<32-28=4>>4 coins left.\nNow Zoe has <<4+22=26>>26 coins.\n"
        "Before that: <<39/3=13>>13.\nX is <<26/13=2>>2.\n#### 2"
    )


def test_steps_of_another_way_are_judged_by_the_graph():
    meta = parse_backward(BACKWARD).meta
    assert graph.step_truth(meta, ["<<39/3*2-22=4>>4", "<<32-4=28>>28"]) == [True, True]
    assert graph.step_truth(meta, ["<<32-28=4>>4"]) == [False], "28 is not known"
    assert graph.step_truth(meta, ["<<39/3=13>>13", "<<13+2=15>>15"]) == [True, False]


def test_what_is_between_its_words_does_not_matter():
    spaced = BACKWARD.replace(" If", "\n If").replace("Then", " Then")
    assert is_backward(spaced) and parse_backward(spaced).solution == SOLUTION
    fewer = parse_question(STORY.replace(" Then", " A song on the radio has 7 lines. Then"))
    assert fewer.answer == "39"
    assert masked(fewer, "sold") == BACKWARD, "distractors are left out"
    told = BACKWARD.replace(" Then", " A song on the radio has 7 lines. Then")
    assert parse_backward(told).solution == SOLUTION
    for other in (STORY, BACKWARD + " Why?", BACKWARD.replace("what is X", "what is Y")):
        assert not is_backward(other)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (" If the answer is 39, what is X?", "", "no template"),
        ("39", "3.9", "no template"),
        ("39", "X", "no template"),
        ("sells", "eats", "no template"),
        ("Each coin is", "Each card is", "nouns"),
        ("X of them", "28 of them", "nothing is asked for"),
        ("22", "X", "nothing is asked for"),
        ("39", "40", "no answer"),
        ("39", "81", "no answer"),
        ("2 boxes", "0 boxes", "not whole"),
        ("$3", "$0", "no answer"),
        ("39", "99", "no answer"),
        ("39", "0", "under one"),
        ("X of them", "999999999 of them", "nothing is asked for"),
    ],
)
def test_what_asks_nothing_is_refused_with_a_reason(old, new, reason):
    assert old in BACKWARD
    with pytest.raises(UnreadableQuestion) as found:
        parse_backward(BACKWARD.replace(old, new))
    assert found.value.reason == reason


def test_a_number_that_is_too_large_is_no_answer():
    question = STORY.replace("32", UNKNOWN) + " If the answer is 999999999, what is X?"
    parse_backward(question.replace("$3", "$9"))
    with pytest.raises(UnreadableQuestion, match=r"^no answer"):
        parse_backward(question.replace("2 boxes", "9 boxes"))


def test_a_given_that_counts_twice_cannot_be_asked_for_by_hand_either():
    problem = next(p for p in every_kind() if max(uses(p).values()) > 1)
    given = max(uses(problem), key=uses(problem).get)
    text, row = read(problem.question)
    row = [UNKNOWN if n == text.givens.index(given) else of for n, of in enumerate(row)]
    body = " ".join(sentence(row) for sentence in text.sentences)
    with pytest.raises(UnreadableQuestion, match=r"^nothing is asked for"):
        parse_backward(f"{body} If the answer is {problem.answer}, what is X?")


def test_forward_questions_have_no_unknown_number():
    with pytest.raises(UnreadableQuestion, match=r"^unknown number"):
        parse_question(STORY.replace("28", UNKNOWN))
    with pytest.raises(UnreadableQuestion, match=r"^under one"):
        parse_question(STORY.replace("28", "32"))
    with pytest.raises(UnreadableQuestion):
        masked(parse_backward(BACKWARD), "sold")


def test_what_stands_in_the_slots_of_a_question():
    text, row = read(STORY)
    assert (text.template, text.depth) == ("sell_and_buy", 4)
    assert row == [32, 28, 22, 2, 3, 4, 26, 13, 39, "Zoe", "coins", "coin"]
    ((found, slots),) = matches(STORY.replace("28", UNKNOWN))
    assert found is text
    assert slots == {
        "n_start": "32", "n_sold": UNKNOWN, "n_bought": "22", "n_boxes": "2", "n_price": "3",
        "person_": "Zoe", "item_": "coins", "item_one": "coin",
    }  # fmt: skip
    assert not list(matches(STORY + " " * LONGEST))
    assert not list(matches(STORY.replace("28", "Y")))


def test_rubbish_is_refused_in_no_time():
    began = time.perf_counter()
    end = " If the answer is 39, what is X?"
    for text in ("", end, "X " * 900 + end, " If the answer is 3" * 100 + end, BACKWARD * 5):
        with pytest.raises(UnreadableQuestion):
            parse_backward(text)
    assert time.perf_counter() - began < 1


def test_a_given_that_a_problem_has_not_is_told():
    with pytest.raises(ValueError, match=r"^'left' is no given of sell_and_buy: start, sold"):
        masked(parse_question(STORY), "left")
