"""The arithmetic parser, `<<expr=value>>` equations and the way numbers are written."""

import random
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdcjax.tasks.arithmetic import (
    MAX_DEPTH,
    MAX_LENGTH,
    Number,
    Operation,
    equations,
    evaluate,
    format_number,
    parse,
    solution_key,
)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("48/2", 24), ("1+2*3", 7), ("(1+2)*3", 9), ("10-3-2", 5), ("16/4/2", 2), ("-3+5", 2),
        ("3*-2", -6), ("3--2", 5), ("-(2+3)*2", -10), ("+4", 4), ("0.1+0.2", Fraction(3, 10)),
        (".5*4", 2), ("5.", 5), ("10/3", Fraction(10, 3)), ("((7))", 7), (" 2 * ( 3 + 4 ) ", 14),
        ("007", 7),
    ],
)  # fmt: skip
def test_values(expression, value):
    assert evaluate(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "", " ", "+", "2**3", "9**9**9", "7//2", "2(3)", "(2)(3)", "1 2", "1. 2", ".", "1.2.3",
        "(1", "1)", "()", "1+", "*2", "--2", "1/0", "1/(2-2)", "1,000", "2x3", "1e5", "9^9", "²",
        "٣", "5%", "$5", "1=1", "__import__('os')", "1\n+1", "1" * (MAX_LENGTH + 1),
        "(" * (MAX_DEPTH + 1) + "1" + ")" * (MAX_DEPTH + 1), "(" * 10**5, "9*" * 10**5 + "9",
    ],
)  # fmt: skip
def test_refused(expression):
    start = time.perf_counter()
    assert evaluate(expression) is None
    assert time.perf_counter() - start < 0.5


def test_bounds_are_inclusive():
    assert evaluate("(" * MAX_DEPTH + "1" + ")" * MAX_DEPTH) == 1
    assert evaluate("9" * MAX_LENGTH) == 10**MAX_LENGTH - 1
    assert evaluate("-" + "1-" * (MAX_LENGTH // 2 - 1) + "1") == -MAX_LENGTH // 2


def test_errors_are_one_line():
    for expression in ("", "1\n", "1 2", "(" * 50, "(1", "1" * 999):
        with pytest.raises(ValueError, match="expression") as error:
            parse(expression)
        assert "\n" not in str(error.value)


def test_tree_groups_to_the_left():
    one, two, three = (Number(Fraction(i)) for i in (1, 2, 3))
    assert parse("1-2-3") == Operation("-", Operation("-", one, two), three)
    assert parse("1-2*3") == Operation("-", one, Operation("*", two, three))
    assert parse("1-(2-3)") == Operation("-", one, Operation("-", two, three))
    assert parse("-1") == Number(Fraction(-1))
    assert parse("-(1)") == Operation("-", Number(Fraction(0)), one)


def random_expression(rng, depth):
    """An expression and its value by Python's own Fractions, or None after a division by zero."""
    if depth == 0 or rng.random() < 0.2:
        text = rng.choice(["0", "3", "12", "2.5", ".25", "100"])
        return text, Fraction(text)
    (left, x), (right, y) = (random_expression(rng, depth - 1) for _ in "xy")
    op = rng.choice("+-*/")
    if x is None or y is None or (op == "/" and y == 0):
        return f"({left}){op}({right})", None
    value = {"+": x + y, "-": x - y, "*": x * y}[op] if op != "/" else x / y
    return f"({left}){op}({right})", value


def test_random_trees_against_fractions():
    rng = random.Random(0)
    for _ in range(300):
        text, value = random_expression(rng, 3)
        assert len(text) <= MAX_LENGTH
        assert evaluate(text) == value


@given(st.lists(st.integers(0, 99), min_size=1, max_size=12), st.data())
def test_precedence_against_python(numbers, data):
    signs = data.draw(st.lists(st.sampled_from("+-*"), min_size=12, max_size=12))
    text = "".join(f"{n}{s}" for n, s in zip(numbers, signs, strict=False))[:-1]
    assert evaluate(text) == eval(text)


@given(st.text(alphabet="0123456789*+-/.() ", max_size=40))
def test_any_text_of_the_charset_is_read_without_raising(text):
    evaluate(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(24), "24"), (Fraction(100), "100"), (Fraction(0), "0"), (Fraction(1, 5), "0.2"),
        (Fraction(-10, 3), "-3.333333"), (Fraction(2, 3), "0.666667"), (Fraction(-1, 2), "-0.5"),
        (Fraction(1, 10**7), "0"), (Fraction(-1, 10**7), "0"), (Fraction(5, 4), "1.25"),
        (Fraction(10**30), "1" + "0" * 30), (Fraction("1.000001"), "1.000001"),
        (Fraction("0.0000015"), "0.000002"), (Fraction("0.0000025"), "0.000002"),
    ],
)  # fmt: skip
def test_written_numbers(value, text):
    assert format_number(value) == text


@given(st.decimals(-(10**6), 10**6, places=6))
def test_six_decimals_are_written_exactly(value):
    assert evaluate(format_number(Fraction(value))) == Fraction(value)


SOLUTION = "He has 48/2 = $<<48/2 = 24>>24.\nThen <<24+48=73>>73 and <<10/3=3.333333>>.\n#### 73"


def test_equations_of_a_solution():
    first, second, third = equations(SOLUTION)
    assert (first.expression, first.value) == ("48/2 ", " 24")
    assert SOLUTION[first.start : first.end] == "<<48/2 = 24>>"
    assert [e.is_true for e in (first, second, third)] == [True, False, True]


@pytest.mark.parametrize(
    "text",
    [
        "<<10/3=3.33>>", "<<7/2=4>>", "<<2+2=>>", "<<=4>>", "<<2+2=4=4>>", "<<1/0=0>>", "<<a=a>>",
        "<<2+3=6>>", "<<9**2=81>>", "<<0/1=0.0000001>>", "<<2+2=4 apples>>",
    ],
)  # fmt: skip
def test_false_equations(text):
    (equation,) = equations(text)
    assert not equation.is_true


def test_the_value_may_be_an_expression_or_a_signed_number():
    assert all(e.is_true for e in equations("<<3-5=-2>> <<1/2=.5>> <<1/2=1/2>> <<2/3=2/3>>"))


def test_broken_annotations():
    assert equations("") == equations("2+2=4") == equations("<<2+2") == equations("<<24>>") == []
    assert [e.expression for e in equations("<<1+<<2+3=5>>")] == ["2+3"]
    assert equations("<<" * 10**5) == [] and equations("<<1=" * 10**5) == []


def test_solution_key():
    assert solution_key(SOLUTION) == "48/2=24|24+48=73|10/3=3.333333"
    assert solution_key("a << 2+3 =5>> b") == solution_key("c <<2+3=5>>") == "2+3=5"
    assert solution_key("walk 1 -> 4") == solution_key("walk 1->4\n") != solution_key("walk 1 -> 3")
    assert solution_key("<<1+1=2>><<2+2=4>>") != solution_key("<<2+2=4>><<1+1=2>>")
