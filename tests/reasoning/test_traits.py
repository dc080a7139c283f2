"""Traits of solutions by hand."""

import time

import pytest

from qdcjax.reasoning.traits import Traits, traits_of

MARKED = """Zoe has <<32-28=4>>4 coins left.
Now Zoe has <<4+22=26>>26 coins.

Each coin is worth $3, so it is $<<26*3=78>>78.
#### 78"""


@pytest.mark.parametrize(
    ("solution", "expected"),
    [
        (MARKED, Traits(3, "-+*", 3, 3, 3)),
        ("", Traits(0, "", 0, 0, 0)),
        ("#### 7", Traits(0, "", 0, 0, 0)),
        ("It is 3 + 4 = 7.\nThen 7 x 2 = $14 and 5 × 5 = 24.", Traits(2, "+**", 2, 3, 2)),
        ("(3 + 4) * 2 = 14", Traits(1, "+*", 2, 1, 1)),
        ("1,200 ÷ 4 = 300", Traits(1, "/", 1, 1, 1)),
        ("<<5/0=5>>5", Traits(1, "", 0, 1, 0)),
        ("<<two+2=4>>4", Traits(1, "", 0, 1, 0)),
        ("50% * 20 = 10, 20/80 = 25% and 100/3 = 33.33", Traits(1, "/*//", 2, 3, 3)),
        ("5 + 3 = 2 * 4; 3(4+5) = 27; 2x - 4 = 6", Traits(1, "", 0, 0, 0)),
        ("100/3 = 33.34 and 7 / 2 = 4", Traits(1, "//", 1, 2, 0)),
        ("On 3-4 May it is 5.", Traits(1, "", 0, 0, 0)),
        ("<<2+3=5>>5\n<<2*3=6>>6\n<<5+6=11>>11", Traits(3, "+*+", 2, 3, 3)),
    ],
)
def test_by_hand(solution, expected):
    assert traits_of(solution) == expected


def test_cells_are_kinds_of_solutions():
    assert traits_of(MARKED).cell == (3, "*+-")
    assert traits_of("1 + 1 = 2").cell == (1, "+")


@pytest.mark.parametrize("text", ["1+" * 5_000, "(" * 5_000, "3 + 4 = " * 2_000, "9" * 10_000])
def test_long_rubbish_takes_no_time(text):
    began = time.perf_counter()
    traits_of(text)
    assert time.perf_counter() - began < 1
