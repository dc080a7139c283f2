"""Reading and grading final answers: forms, traps, fuzz and time."""

import json
import time
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdcjax.reasoning import answers as reexported
from qdcjax.tasks import answers
from qdcjax.tasks.answers import (
    MAX_NUMBER_LENGTH,
    count_markers,
    extract_answer,
    extract_flexible,
    extract_vote,
    gold_answer,
    grade,
    is_correct,
    is_correct_flexible,
    normalise,
)

SHARED = Path(__file__).resolve().parents[2] / "../shared"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("18", 18), ("18.", 18), ("$18", 18), ("18.00", 18), ("18 apples", 18), ("1,800", 1800),
        ("$1,234,567.50", Fraction("1234567.5")), ("-5", -5), ("- 5", -5), ("-$5", -5),
        ("$-5", -5), ("−5", -5), ("+5", 5), ("50%", 50), ("50 %.", 50), (".5", Fraction(1, 2)),
        ("5.", 5), ("1/2", Fraction(1, 2)), ("-3 / 4 cups", Fraction(-3, 4)), ("€ 18,", 18),
        ("18 miles/hour", 18), ("18-inch", 18), ("0", 0), ("-0", 0), ("007", 7),
        ("0.1", Fraction(1, 10)), ("18 sq. ft. (total)", 18), ("1,800/3", 600),
    ],
)  # fmt: skip
def test_forms_that_are_an_answer(line, value):
    for text in (f"#### {line}", f"####{line}", f"3 + 4 = 7\n####   {line}  \nand then 99"):
        assert extract_answer(text) == value
        assert isinstance(extract_answer(text), Fraction)


@pytest.mark.parametrize(
    "line",
    [
        "", " ", ".", "-", "$", "%", ",", "/", "apples", "18 19", "18, 19", "3 1/2", "1/2/3",
        "1/0", "--5", "18 + 2", "9 * 2", "9+9", "18e5", "18²", "18½", "18 million", "2 thousand",
        "18/", "18-", "1,80", "18 = 18", "x = 18", "1_8", "٣", "nan", "inf", "1e400", "18 <b>",
        "2**9", "1,2345",
    ],
)  # fmt: skip
def test_lines_without_an_answer(line):
    assert extract_answer(f"so 18\n#### {line}") is None
    assert not is_correct(f"so 18\n#### {line}", "18")


def test_answer_stands_on_the_marker_line():
    assert extract_answer("####\n18") is None
    assert extract_answer("18") is None
    assert extract_answer("") is None
    assert extract_answer("### 18") is None
    assert extract_answer("##### 18") == 18


def test_last_marker_counts():
    assert extract_answer("#### 17\n#### 18") == 18
    assert extract_answer("#### 18\n####") is None


def test_a_text_of_several_answers_votes_for_none():
    assert extract_vote("#### 17\n#### 18") is None
    assert extract_vote("#### 18\n#### 18.0") == 18
    assert extract_vote("so 18") is None


@given(st.lists(st.sampled_from(["#### 17", "#### 18", "####", "so 18", "18"]), max_size=4))
def test_a_vote_for_the_gold_answer_is_a_right_text(lines):
    text = "\n".join(lines)
    assert (extract_vote(text) == 18) == is_correct(text, "18")


def test_rules_of_equality():
    for line in ("18.", "$18", "18.00", "18 apples", "36/2"):
        assert is_correct(f"#### {line}", "18")
    assert is_correct("#### 1,800", "1800")
    assert is_correct("#### 1800", "1,800")
    assert not is_correct("#### 1/2", "1")
    assert not is_correct("#### 0.30000000000000004", "0.3")
    assert not is_correct("#### 9007199254740993", "9007199254740992")


def test_gold_is_an_answer_or_a_solution():
    assert gold_answer("48 + 24 = <<48+24=72>>72 clips\n#### 72") == 72
    assert gold_answer("145.0") == 145
    assert gold_answer("He has 9 + 9.\n18\n") == 18
    for gold in ("", "many", "####", "9+9=18", "#### 1 2", "9" * (MAX_NUMBER_LENGTH + 1), "1/0"):
        with pytest.raises(ValueError, match="gold answer") as error:
            is_correct("#### 18", gold)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("#### 18 and 19", 19), ("the answer is 18.", 18), ("It costs $1,800.", 1800),
        ("10-5", 5), ("10 -5", -5), ("loses -$5", -5), ("f(x)-5", 5), ("area is 7 m2", 7),
        ("half is 1/2.", Fraction(1, 2)), ("#### 7\n8", 7), ("#### none\n8", 8), ("1,2,3", 3),
        ("", None), ("none", None), ("5/0", None),
    ],
)  # fmt: skip
def test_flexible(text, value):
    assert extract_flexible(text) == value


def test_two_markers_are_flagged():
    same, hopeful = grade("#### 18\n#### 18.0", "18"), grade("#### 17\n#### 18", "18")
    assert same.flagged and same.strict
    assert hopeful.flagged and not hopeful.strict and hopeful.answer == 18
    assert not grade("#### 18", "18").flagged
    assert count_markers("#### 1\n#### 2") == 2


@pytest.mark.parametrize("gold", ["0", "7", "18", "50", "99"])
def test_fuzz_never_scores(gold):
    question = f"Tom has {gold} apples and eats 2. How many apples had Tom?"
    texts = [
        "",
        "#### " * 50,
        "#### " * 50 + gold,
        "####" * 50 + gold,
        " ".join(map(str, range(100))),
        "#### " + " ".join(map(str, range(100))),
        "#### " + ", ".join(map(str, range(100))),
        "#### " + ",".join(map(str, range(100))),
        "\n".join(f"#### {i}" for i in range(100)),
        "\n".join(f"#### {i}" for i in reversed(range(100))),
        "".join(f"#### {i} " for i in range(100)) + f"#### {gold}",
        question,
        f"#### {question}",
        f"#### <<{gold}={gold}>>",
    ]
    for text in texts:
        assert not is_correct(text, gold), text
        assert not grade(text, gold).error


def test_overlong_number_is_an_error_apart_from_a_wrong_answer():
    nines = "9" * 10**5
    for text in (f"#### {nines}", f"#### {nines}/7", f"#### 7/{nines}", f"it is {nines}"):
        outcome = grade(text, "18")
        assert outcome.error and not outcome.strict and not outcome.flexible
        assert outcome.answer is None
    assert not grade("#### 19", "18").error
    assert not grade(f"{nines}\n#### 18", "18").error
    longest = "9" * MAX_NUMBER_LENGTH
    assert is_correct(f"#### {longest}", longest)
    assert grade(f"#### {longest}9", "18").error


@pytest.mark.parametrize(
    "text",
    [
        "#### " + "9" * 10**5, "#### " + "9" * 10**5 + "/" + "9" * 10**5,
        "9" * 10**5 + "/" + "." * 10**5, "#### " + "9**" * 10**5, "#### " + "(" * 10**5,
        "####" * 10**5, "#### 1 " * 10**4, "#### 1" + ",111" * 10**5 + "1", "a" + "9" * 10**5,
        "#### " + " " * 10**5 + "x", "$" * 10**5, "-" * 10**5 + "1", "1 / " * 10**5,
        "#### 18 " + "a-" * 10**5, "1" + ",111" * 10**5 + "1", "1." * 10**5,
        ",".join("1" * 4 for _ in range(10**4)), "#### 9^" + "9^" * 10**5, "1,11" * 10**5,
    ],
    ids=range(19),
)  # fmt: skip
def test_time_is_bounded(text):
    start = time.perf_counter()
    grade(text, "18")
    assert time.perf_counter() - start < 1.0


@given(st.text(alphabet="#0123456789 .,/-+$%\nax²½", max_size=60))
def test_any_text_is_read_without_raising(text):
    outcome = grade(text, "18")
    assert outcome.answer == extract_answer(text)
    assert outcome.strict == is_correct(text, "18") and outcome.strict <= outcome.flexible
    assert outcome.flexible == is_correct_flexible(text, "18")
    if outcome.answer is not None:
        assert extract_flexible(text) == outcome.answer


@given(st.fractions(max_denominator=10**6), st.text(max_size=30))
def test_normal_form_is_read_back(value, before):
    text = f"{before}\n#### {normalise(value)}"
    assert extract_answer(text) == value
    if "####" not in before + "\n":
        assert is_correct(text, normalise(value))


def test_reasoning_room_re_exports_the_public_names():
    for name in reexported.__all__:
        assert getattr(reexported, name) is getattr(answers, name)


@pytest.mark.skipif(not (SHARED / "data/gsm8k/test.jsonl").exists(), reason="no shared/data/gsm8k")
def test_every_gsm8k_solution_is_right_by_itself():
    for line in (SHARED / "data/gsm8k/test.jsonl").read_text(encoding="utf-8").splitlines():
        solution = json.loads(line)["answer"]
        outcome = grade(solution, solution)
        assert outcome.strict and outcome.flexible and not outcome.flagged and not outcome.error


@pytest.mark.parametrize(("gold", "number"), [("18", True), ("#### 1/2", True), ("[1,2]", False)])
def test_which_gold_answers_are_numbers(gold, number):
    assert answers.is_number(gold) == number
