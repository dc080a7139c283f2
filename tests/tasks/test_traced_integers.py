"""Traces of arithmetic: to the letter, by hand, and as properties."""

import json
import math
import random
import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdcjax.tasks.traced_integers import (
    Caps,
    Noise,
    TracedInteger,
    TracedIntegers,
    TraceError,
    noisy_trace,
    operation,
    operations,
    trace,
)
from qdcjax.tasks.traced_integers.recording import OPERATIONS

REFERENCE = Path(__file__).resolve().parents[2] / "../shared/data/traced_integers/traces.json"
HIDDEN = {"+": "hidden", "-": "hidden"}
NATURAL = st.integers(0, 10**12)


def spaced(number: int) -> str:
    return " ".join(str(number))


@pytest.mark.skipif(not REFERENCE.exists(), reason="../shared/data/traced_integers is absent")
def test_reference_traces_come_out_to_the_letter():
    kinds = json.loads(REFERENCE.read_text())
    count = 0
    for kind, reference in kinds.items():
        for row in reference["traces"]:
            found = trace(kind.split("_")[0], row["args"], reference["visibility"])
            assert found == (row["prompt"], row["response"]), (kind, row["args"])
            count += 1
    assert count > 40


def test_a_sum_by_hand():
    prompt, response = trace("add", [57, 8])
    assert prompt == "5 7 + 8\n"
    assert response.split("\n") == [
        "x = 5 7 , y = 8",
        "res = 0",
        "carry = 0",
        "digx = 7", "digy = 8", "x = 5", "y = 0", "ds = 1 5", "res = 5", "carry = 1",
        "digx = 5", "digy = 0", "x = 0", "y = 0", "ds = 5", "ds = 6", "res = 6 5", "carry = 0",
        "6 5",
    ]  # fmt: skip


def test_a_borrow_over_a_zero_by_hand():
    """Of 0 with a borrow: ten, less the borrow, which stays."""
    response = trace("sub", [1003, 14])[1].split("\n")
    tens = response.index("digx = 0")
    assert response[tens : tens + 8] == [
        "digx = 0", "digy = 1", "x = 1 0", "y = 0", "digx = 1 0", "digx = 9", "dd = 8", "res = 8 9",
    ]  # fmt: skip
    assert response[-3:] == ["dd = 9", "res = 9 8 9", "9 8 9"]


def test_a_call_and_its_result_without_its_trace():
    lines = trace("mul", [31, 2], {"+": "call"})[1].split("\n")
    at = lines.index("dm = call( 2 + 0 )")
    assert lines[at - 1 : at + 3] == ["dm = 2", "dm = call( 2 + 0 )", "dm = 2", "in_res = 2"]
    assert not any("ds" in line for line in lines)


def test_what_is_hidden_hides_what_it_calls():
    lines = trace("gcd", [12, 8], {"%": "hidden"})[1].split("\n")
    assert lines == [
        "x = 1 2 , y = 8", "t = 8", "y = 4", "x = 8", "t = 4", "y = 0", "x = 4", "4",
    ]  # fmt: skip


@given(NATURAL, NATURAL)
def test_answers_are_right(x, y):
    answer = lambda name, *of: trace(name, of, HIDDEN)[1].rpartition("\n")[2]  # noqa: E731
    assert answer("add", x, y) == spaced(x + y)
    assert answer("sub", x, y) == spaced(abs(x - y))
    assert answer("gcd", x, y) == spaced(math.gcd(x, y))
    x, y = x % 10_000, y % 10_000
    assert answer("mul", x, y) == spaced(x * y)
    if min(x, y):
        assert answer("div", x, y) == spaced(max(x, y) // min(x, y))
        assert answer("mod", x, y) == spaced(x % y)


@given(st.lists(NATURAL, min_size=1, max_size=9))
def test_answers_about_lists_are_right(numbers):
    shown = " , ".join(map(spaced, sorted(numbers)))
    assert trace("sort", numbers)[1].rpartition("\n")[2] == f"[ {shown} ]"
    found = trace("median", numbers, HIDDEN | {"/": "hidden"})[1].rpartition("\n")[2]
    assert found == spaced(math.floor(statistics.median(numbers)))


@given(NATURAL, NATURAL)
def test_what_is_hidden_computes_the_same(x, y):
    """Results are the same whether their traces are shown or not, leading zeros included."""
    x, y = x % 1_000, y % 1_000
    results = lambda lines: [line for line in lines if line.startswith("out_res = ")]  # noqa: E731
    whole, brief = (
        trace("mul", [x, y], dict.fromkeys("+-", seen))[1].split("\n")
        for seen in ("call", "hidden")
    )
    assert results(whole)[-1] == results(brief)[-1]
    assert [line for line in whole if "call(" not in line][-1] == brief[-1]


def test_one_s_own_operation():
    try:

        @operation("spread of {nums}")
        def spread(v):
            v.low = v.nums[0]
            v.high = v.nums[0]
            for v.number in v.nums:  # noqa: B020  # v.number, and not v
                if v.number < v.low:
                    v.low = v.number
                if v.number > v.high:
                    v.high = v.number
            v.res = v.high - v.low
            return v.res

        prompt, response = trace("spread", [7, 12, 5], HIDDEN)
        assert prompt == "spread of [ 7 , 1 2 , 5 ]\n"
        assert response.split("\n") == [
            "nums = [ 7 , 1 2 , 5 ]", "low = 7", "high = 7", "number = 7", "number = 1 2",
            "high = 1 2", "number = 5", "low = 5", "res = 7", "7",
        ]  # fmt: skip
        nested = trace("spread", [7, 12, 5])[1].split("\n")
        at = nested.index("res = call( 1 2 - 5 )")
        assert nested[at + 1] == "x = 1 2 , y = 5"
        back = nested[-2]
        assert back.startswith("nums = [ 7 , 1 2 , 5 ], low = 5") and back.endswith("number = 5")
        noised = noisy_trace("spread", [7, 12, 5], Noise("dynamic", 1.0), random.Random(0))
        assert noised.response != nested and noised.noised
        task = TracedIntegers("spread", hidden=("-",))
        assert task.problems("test", 3)[0].question.startswith("spread of [ ")
    finally:
        OPERATIONS.pop("spread", None)


def test_only_the_call_whose_result_is_assigned_has_the_name():
    try:

        @operation("total of {x} , {y} and {z}")
        def total(v):
            v.res = v.x + v.y + v.z
            return v.res

        lines = trace("total", [1, 2, 5], {"+": "call"})[1].split("\n")
        assert lines == [
            "x = 1 , y = 2 , z = 5", "call( 1 + 2 )", "res = call( 3 + 5 )", "res = 8", "8",
        ]  # fmt: skip
    finally:
        OPERATIONS.pop("total", None)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("root", [4]), "'root': there are add, "),
        (("add", [1, 2, 3]), "add takes 2 operands, and 3 were given"),
        (("sort", []), "sort takes a list of numbers, and 0 were given"),
        (("add", [1, -2]), "operand -2 of add must be a natural number"),
        (("add", [1, 2.5]), "operand 2.5 of add"),
        (("add", [1, 2], {"&": "hidden"}), r"visibility of '&': there are \+"),
        (("add", [1, 2], {"+": "seen"}), r"visibility\['\+'\]='seen' must be visible, call or"),
        (("div", [3, 0]), "division by zero"),
        (("mod", [3, 0]), "division by zero"),
    ],
)
def test_bad_input_is_one_line(asked, said):
    with pytest.raises(ValueError, match=said) as caught:
        trace(*asked)
    assert "\n" not in str(caught.value)


def test_nothing_is_computed_outside_of_a_trace():
    with pytest.raises(TraceError, match=r"^\+ was called outside of a trace: ask for it by"):
        TracedInteger("1") + TracedInteger("2")
    with pytest.raises(TraceError, match="sort was called outside of a trace"):
        operations.sort([TracedInteger("1")])


def test_caps_stop_what_does_not_end():
    rng = random.Random(0)
    for caps, said in (
        (Caps(steps=50), "no end after 50 steps"),
        (Caps(digits=3), "an integer of 4 digits"),
        (Caps(seconds=-1.0), "no end after 0 steps"),
    ):
        with pytest.raises(TraceError, match=said):
            noisy_trace("mul", [999, 998], Noise(), rng, HIDDEN, caps)
    noisy_trace("mul", [999, 998], Noise(), rng, HIDDEN, Caps(steps=2_000, digits=6))
