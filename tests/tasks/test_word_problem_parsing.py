"""Questions that are read back: all that are generated, and none that ask nothing."""

import time

import pytest

from qdcjax.tasks.word_problems import TEMPLATES, Dials, WordProblems
from qdcjax.tasks.word_problems.parsing import UnreadableQuestion, parse_question

SOLD = (
    "Zoe has 32 coins and sells 28 of them. Then Zoe buys 22 coins. Zoe packs all these coins "
    "equally into 2 boxes. Each coin is worth $3. How many dollars is one box worth?"
)


@pytest.mark.parametrize("split", ["train", "held_out"])
@pytest.mark.parametrize("distractors", [0, 2])
def test_generated_questions_ask_what_they_were_made_to(split, distractors):
    task = WordProblems(Dials(min_depth=1, max_depth=8, distractors=distractors))
    templates = set()
    for problem in task.problems(split, 1_000):
        found = parse_question(problem.question)
        templates.add(found.meta["template"])
        assert (found.question, found.answer) == (problem.question, problem.answer)
        assert found.solution == problem.solution
        steps = problem.solution.splitlines()[:-1]
        assert task.step_truth(found, steps) == [True] * len(steps)
        assert found.meta == problem.meta, "no two templates have the same question"
    assert len(templates) >= (8 if split == "held_out" else 40)


def test_a_known_question():
    found = parse_question(SOLD)
    assert (found.answer, found.split) == ("39", "made")
    assert found.meta["template"] == "sell_and_buy" and found.meta["depth"] == 4
    assert parse_question(SOLD.replace(" Then", "  Then ")).solution == found.solution
    assert parse_question(SOLD.replace("Zoe", "Tom"), "round-1").id.startswith("round-1/")
    assert parse_question(SOLD).id == found.id != parse_question(SOLD.replace("32", "30")).id


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("28 of them", "33 of them", "under one"),
        ("into 2 boxes", "into 3 boxes", "not whole"),
        ("into 2 boxes", "into 0 boxes", "not whole"),
        ("$3", "$999999999", "too large"),
        ("Then Zoe buys", "Then Tom buys", "no template"),
        ("How many dollars is one box worth?", "", "no template"),
        ("sells", "eats", "no template"),
        ("32", "32.5", "no template"),
        ("32", "-32", "no template"),
        ("coins and", "dragons and", "no template"),
        ("Each coin is", "Each card is", "nouns"),
        ("Zoe", "zoe", "no template"),
    ],
)
def test_what_asks_nothing_is_refused_with_a_reason(old, new, reason):
    assert old in SOLD
    with pytest.raises(UnreadableQuestion) as found:
        parse_question(SOLD.replace(old, new))
    assert found.value.reason == reason
    assert str(found.value).startswith(f"{reason}: 'Zoe") or new == "zoe"


def test_rubbish_is_refused_in_no_time():
    began = time.perf_counter()
    for text in ("", " ", "?", "Zoe has " * 200, "9" * 100_000, "(" * 1_999, SOLD * 8, "\0\n\t"):
        with pytest.raises(UnreadableQuestion):
            parse_question(text)
    assert time.perf_counter() - began < 1


def test_two_people_are_two():
    question = "Sara has 12 buttons and gives half of them to Ella. How many buttons does Ella get?"
    assert parse_question(question).answer == "6"
    with pytest.raises(UnreadableQuestion, match=r"^nouns"):
        parse_question(question.replace("Sara", "Ella"))


def test_every_template_can_be_read():
    assert len(TEMPLATES) == len(set(TEMPLATES))
    for depth in range(1, 9):
        task = WordProblems(Dials(min_depth=depth, max_depth=depth, held_out_templates=()))
        for problem in task.problems("train", 150):
            assert parse_question(problem.question).meta == problem.meta
