"""Exact arithmetic on short expressions: a parser without `eval`, and `<<expr=value>>` equations.

Grammar, over `0-9 * + - / . ( )` and spaces between tokens:

    expression = term (("+" | "-") term)*
    term       = factor (("*" | "/") factor)*
    factor     = ("+" | "-")? (number | "(" expression ")")

Time is bounded by the input alone: an expression has at most `MAX_LENGTH` characters and
`MAX_DEPTH` open parentheses, there are no powers, and so no value has more than about
2·`MAX_LENGTH` digits.
"""

import dataclasses
import re
from fractions import Fraction
from typing import Literal

MAX_LENGTH = 200
MAX_DEPTH = 20
MAX_DECIMALS = 6

_TOKEN = re.compile(r" *+([0-9]++(?:\.[0-9]*+)?|\.[0-9]++|[-+*/()])")
_BODY = re.compile(r"<<([^<>]*+)>>")


@dataclasses.dataclass(frozen=True)
class Number:
    """A literal, its sign included: `-3` is Number(-3)."""

    value: Fraction


@dataclasses.dataclass(frozen=True)
class Operation:
    """`left op right`; the negation of a parenthesis, `-(x)`, is 0 − x."""

    op: Literal["+", "-", "*", "/"]
    left: "Expression"
    right: "Expression"


Expression = Number | Operation


class _Reader:
    """Recursive descent over a list of tokens; any breach of the grammar is a ValueError."""

    def __init__(self, tokens: list[str]):
        self.tokens = tokens
        self.position = 0

    def peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.position += 1
        return token

    def expression(self, depth: int) -> Expression:
        left = self.term(depth)
        while self.peek() in ("+", "-"):
            left = Operation(self.take(), left, self.term(depth))
        return left

    def term(self, depth: int) -> Expression:
        left = self.factor(depth)
        while self.peek() in ("*", "/"):
            left = Operation(self.take(), left, self.factor(depth))
        return left

    def factor(self, depth: int) -> Expression:
        sign = self.take() if self.peek() in ("+", "-") else "+"
        token = self.take()
        if token == "(":
            if depth == MAX_DEPTH:
                raise ValueError(f"expression nests deeper than {MAX_DEPTH} parentheses")
            inner = self.expression(depth + 1)
            if self.take() != ")":
                raise ValueError("expression has an open parenthesis that is never closed")
            return inner if sign == "+" else Operation("-", Number(Fraction(0)), inner)
        if not token or token in "+-*/)":
            raise ValueError(f"expression has {token or 'its end'!r} where a number belongs")
        value = Fraction(token)
        return Number(value if sign == "+" else -value)


def parse(expression: str) -> Expression:
    """Reads an arithmetic expression into a tree; operators of one rank group to the left.

    Raises:
      ValueError: empty, longer than `MAX_LENGTH`, deeper than `MAX_DEPTH`, or outside the grammar
        (`**`, `//`, letters, commas, `2(3)`, `1 2`).
    """
    if len(expression) > MAX_LENGTH:
        raise ValueError(f"expression has {len(expression)} characters, at most {MAX_LENGTH} fit")
    text, tokens, position = expression.rstrip(" "), [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"expression {expression!r} has a character outside 0-9*+-/.()")
        tokens.append(match.group(1))
        position = match.end()
    reader = _Reader(tokens)
    tree = reader.expression(0)
    if reader.position < len(tokens):
        raise ValueError(f"expression {expression!r} goes on after its end: {reader.peek()!r}")
    return tree


def value_of(tree: Expression) -> Fraction:
    """The exact value of a tree.

    Raises:
      ZeroDivisionError: a quotient by zero.
    """
    if isinstance(tree, Number):
        return tree.value
    left, right = value_of(tree.left), value_of(tree.right)
    match tree.op:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            return left / right


def evaluate(expression: str) -> Fraction | None:
    """The exact value of an expression; None where `parse` refuses it or it divides by zero."""
    try:
        return value_of(parse(expression))
    except (ValueError, ZeroDivisionError):
        return None


def format_number(value: Fraction) -> str:
    """Writes a number as GSM8K does: `24`, `0.2`, `-3.333333`.

    At most `MAX_DECIMALS` decimals, rounded half to even, trailing zeros trimmed.
    """
    scaled = round(value * 10**MAX_DECIMALS)
    whole, decimals = divmod(abs(scaled), 10**MAX_DECIMALS)
    sign = "-" if scaled < 0 else ""
    return f"{sign}{whole}.{decimals:0{MAX_DECIMALS}d}".rstrip("0").rstrip(".")


@dataclasses.dataclass(frozen=True)
class Equation:
    """One `<<expression=value>>` of a solution.

    Attributes:
      expression: the text before the first `=`.
      value: the text after it.
      start: where `<<` begins in the text.
      end: just past `>>`.
    """

    expression: str
    value: str
    start: int
    end: int

    @property
    def is_true(self) -> bool:
        """Whether the value is the expression's, exactly or as `format_number` rounds it.

        False where either side cannot be read: `10/3=3.333333` is true, `10/3=3.33` is not.
        """
        left, right = evaluate(self.expression), evaluate(self.value)
        if left is None or right is None:
            return False
        return right in (left, Fraction(format_number(left)))


def equations(text: str) -> list[Equation]:
    """The closed `<<expression=value>>` of a text, in order; bodies without `=` are left out."""
    found = []
    for match in _BODY.finditer(text):
        expression, equals, value = match.group(1).partition("=")
        if equals:
            found.append(Equation(expression, value, match.start(), match.end()))
    return found


def solution_key(text: str) -> str:
    """The `<<…>>` bodies without spaces, joined by `|`: solutions with one key are duplicates.

    A text without any, such as a walk, is its own key, but for the spaces.
    """
    return "|".join("".join(body.split()) for body in _BODY.findall(text) or [text])
