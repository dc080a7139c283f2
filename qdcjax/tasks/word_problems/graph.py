"""Whether the steps of a solution hold in a problem's graph of quantities.

A problem is a set of given quantities and of relations `result = expression` between
quantities. A step such as `Tom has <<20-5=15>>15 apples left.` holds when

  1. its arithmetic is exact (rational numbers, no floats), and
  2. its expression, read with quantities in place of numbers, is a formula for one of
     the problem's results: `20-5` is `start-sold`, and that is the formula of `left`.

A number can stand for every quantity of that value that is known so far: given in the
text, stated by an earlier valid step, or a constant such as 7 days in a week.

Two formulas are the same when they agree for all values of the givens and constants. That is
decided by their values at one random point of a prime field (Schwartz 1980; Zippel 1979):
different formulas agree there with a probability near 1e-17. So the order and the grouping of
operands do not matter, and `a-b-c` is `a-(b+c)`. Constants other than 1 are symbols too: with
`half = a/2`, the line `a-half` is not a formula of `half` although its value is the same.
"""

import dataclasses
import functools
import hashlib
import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

Number = int | Fraction  # a Fraction only where it is not whole, for speed
# An expression is a number, the name of a quantity, or (operator, left, right).
Expression = Number | str | tuple

LONGEST_EXPRESSION = 200  # characters; above it a step is malformed, so checking is fast
LONGEST_NUMBER = 30  # characters
DEEPEST_NESTING = 20  # parentheses
MOST_READINGS = 2_000  # formulas that one expression may stand for
PRIME = 2**61 - 1

_TOKEN = re.compile(r"\s*(?:([0-9]+(?:\.[0-9]*)?|\.[0-9]+)|([a-z][a-z0-9_]*)|([-+*/()]))\s*")
_NUMBER = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*")
_EQUATION = re.compile(r"<<([^<>]*)>>")
_NUMBER_AFTER = re.compile(r"\$?(-?[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?)")

EXACT = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": lambda a, b: a // b if a % b == 0 else Fraction(a) / b,
}
MODULAR = {
    "+": lambda a, b: (a + b) % PRIME,
    "-": lambda a, b: (a - b) % PRIME,
    "*": lambda a, b: a * b % PRIME,
    "/": lambda a, b: a * pow(b, -1, PRIME) % PRIME,
}


@functools.lru_cache(maxsize=16_384)
def parse_expression(text: str) -> Expression:
    """The tree of an arithmetic expression with + - * / ( ), numbers and names.

    Raises ValueError when the text is not one, is longer than `LONGEST_EXPRESSION`
    characters or has more than `DEEPEST_NESTING` parentheses inside each other.
    """
    if len(text) > LONGEST_EXPRESSION:
        raise ValueError(f"expression of {len(text)} characters, at most {LONGEST_EXPRESSION}")
    tokens: list[Number | str] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"expression {text!r}: unexpected {text[position]!r}")
        number = match.group(1)
        tokens.append(match.group(2) or match.group(3) if number is None else _number(number))
        position = match.end()
    tokens.append("")  # end mark
    tree, end = _sum(tokens, 0, 0)
    if end != len(tokens) - 1:
        raise ValueError(f"expression {text!r}: unexpected {tokens[end]}")
    return tree


def _number(text: str) -> Number:
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f"number of {len(text)} characters, at most {LONGEST_NUMBER}")
    number = Fraction(text.replace(",", ""))
    return number.numerator if number.denominator == 1 else number


def _sum(tokens: list, at: int, nesting: int) -> tuple[Expression, int]:
    left, at = _product(tokens, at, nesting)
    while tokens[at] in ("+", "-"):
        right, end = _product(tokens, at + 1, nesting)
        left, at = (tokens[at], left, right), end
    return left, at


def _product(tokens: list, at: int, nesting: int) -> tuple[Expression, int]:
    left, at = _atom(tokens, at, nesting)
    while tokens[at] in ("*", "/"):
        right, end = _atom(tokens, at + 1, nesting)
        left, at = (tokens[at], left, right), end
    return left, at


def _atom(tokens: list, at: int, nesting: int) -> tuple[Expression, int]:
    token = tokens[at]
    if not isinstance(token, str) or token[:1].isalpha():
        return token, at + 1
    if token != "(" or nesting == DEEPEST_NESTING:
        raise ValueError(f"expression: expected a number instead of {token!r}")
    inner, at = _sum(tokens, at + 1, nesting + 1)
    if tokens[at] != ")":
        raise ValueError("expression: a parenthesis is not closed")
    return inner, at + 1


def leaves(expression: Expression) -> Iterator[Number | str]:
    """The numbers and names of an expression, from left to right."""
    if isinstance(expression, tuple):
        yield from leaves(expression[1])
        yield from leaves(expression[2])
    else:
        yield expression


def operators(expression: Expression) -> set[str]:
    """The operators that an expression uses."""
    if not isinstance(expression, tuple):
        return set()
    return {expression[0]} | operators(expression[1]) | operators(expression[2])


def evaluate(expression: Expression, values: Mapping[str, Any], arithmetic: Mapping = EXACT) -> Any:
    """The value of an expression whose names have the given values.

    Raises ZeroDivisionError (exact) or ValueError (modular) on division by zero.
    """
    if isinstance(expression, tuple):
        symbol, left, right = expression
        return arithmetic[symbol](
            evaluate(left, values, arithmetic), evaluate(right, values, arithmetic)
        )
    if isinstance(expression, str):
        return values[expression]
    return expression if arithmetic is EXACT else _formula_of_constant(expression)


def _formula_of_constant(number: Number) -> int:
    return 1 if number == 1 else _random_point(str(number))


@functools.lru_cache(maxsize=16_384)
def _random_point(name: str) -> int:
    """The value of a given or constant at the random point: a stable hash of its name."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) % PRIME


@dataclasses.dataclass(frozen=True)
class Graph:
    """The quantities of a problem.

    Attributes:
      values: the exact value of every quantity, given or derived.
      formulas: the value of its formula at the random point.
      givens: the quantities that the text states.
      constants: numbers that everybody knows (1, 2 for a half, 7 days in a week).
    """

    values: Mapping[str, Number]
    formulas: Mapping[str, int]
    givens: frozenset[str]
    constants: frozenset[Number]

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> "Graph":
        """The graph in `Problem.meta`: `givens`, `constants` and `relations`."""
        values = dict(meta["givens"])
        formulas = {name: _random_point(name) for name in values}
        for result, text in meta["relations"]:
            expression = parse_expression(text)
            values[result] = evaluate(expression, values)
            formulas[result] = evaluate(expression, formulas, MODULAR)
        constants = frozenset(meta["constants"]) | {1}
        return cls(values, formulas, frozenset(meta["givens"]), constants)

    def readings_of_number(self, number: Number, known: set[str]) -> set[int]:
        """The formulas that a written number can stand for.

        A percentage p may be written as the decimal p/100, and a fraction of constants
        (a half, three quarters) as a decimal.
        """
        found = {self.formulas[name] for name in known if self.values[name] == number}
        if number in self.constants:
            found.add(_formula_of_constant(number))
        if number.denominator > 1:
            above = [(c * number, c) for c in self.constants if c * number in self.constants]
            ratios = [(_formula_of_constant(a), _formula_of_constant(b)) for a, b in above]
            if 100 in self.constants:
                hundred = _formula_of_constant(100)
                names = [name for name in known if self.values[name] == 100 * number]
                ratios += [(self.formulas[name], hundred) for name in names]
            found |= {MODULAR["/"](a, b) for a, b in ratios}
        return found

    def readings(self, expression: Expression, known: set[str]) -> set[int]:
        """The formulas that an expression over numbers can stand for.

        Raises ValueError for names, division by zero and over `MOST_READINGS` readings.
        """
        if isinstance(expression, str):
            raise ValueError(f"a step's expression has the name {expression!r}")
        if not isinstance(expression, tuple):
            return self.readings_of_number(expression, known)
        symbol, left, right = expression
        lefts, rights = self.readings(left, known), self.readings(right, known)
        if len(lefts) * len(rights) > MOST_READINGS:
            raise ValueError("an expression has too many readings")
        combine = MODULAR[symbol]
        return {combine(a, b) for a in lefts for b in rights}

    def stated_by(self, equation: str, known: set[str]) -> tuple[set[str], Number]:
        """The quantities that `expression=value` states, and its value.

        No quantities when the arithmetic is wrong or no result has that formula. A lone number
        restates a known quantity. Raises ValueError or ZeroDivisionError when malformed.
        """
        left, _, right = equation.partition("=")
        if _NUMBER.fullmatch(right) is None:
            raise ValueError(f"equation {equation[:40]!r} has no number after its equals sign")
        value = _number(right.strip())
        expression = parse_expression(left)
        found = self.readings(expression, known)
        if not found or evaluate(expression, {}) != value:
            return set(), value
        candidates = (
            self.values.keys() - self.givens if isinstance(expression, tuple) else frozenset(known)
        )
        return {name for name in candidates if self.formulas[name] in found}, value


def step_holds(graph: Graph, step: str, known: set[str]) -> set[str]:
    """The quantities that a line states, or none when the line does not hold.

    Every `<<expression=value>>` must hold, the later ones with the earlier ones known,
    and a number written right after `>>` must equal the value.
    """
    equations = list(_EQUATION.finditer(step))
    if not equations or max(step.count("<<"), step.count(">>")) != len(equations):
        return set()
    stated: set[str] = set()
    for equation in equations:
        try:
            found, value = graph.stated_by(equation.group(1), known | stated)
            after = _NUMBER_AFTER.match(step, equation.end())
            if not found or (after is not None and _number(after.group(1)) != value):
                return set()
        except (ValueError, ZeroDivisionError):
            return set()
        stated |= found
    return stated


def step_truth(meta: Mapping[str, Any], steps: Sequence[str]) -> list[bool]:
    """Entry i is true when steps 0…i all hold in the graph of quantities.

    Args:
      meta: `givens` {name: value}, `constants` [value], `relations` [[result, expression]].
      steps: the lines of a solution without its `#### N` line.
    """
    graph = Graph.from_meta(meta)
    known = set(graph.givens)
    truth: list[bool] = []
    for step in steps:
        stated = step_holds(graph, step, known) if all(truth[-1:]) else set()
        known |= stated
        truth.append(bool(stated))
    return truth
