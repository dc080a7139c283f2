"""What can be told of a solution from its text alone: steps, computations, their depth."""

import dataclasses
import re
from collections.abc import Iterator
from fractions import Fraction

from qdcjax.measures.complexity import depth
from qdcjax.reasoning.steps import lines_of_steps
from qdcjax.tasks.arithmetic import Expression, Number, equations, evaluate, parse, value_of

# Every part is bounded and gives nothing back, so that time is linear in the text.
_NUMBER = r"\$?+-?+[0-9]{1,15}+(?:,[0-9]{3}){0,4}+(?:\.[0-9]{1,9}+)?+%?+"
_OPERAND = rf"\({{0,5}}+ ?+{_NUMBER} ?+\){{0,5}}+"
_MORE = rf"(?: ?+[-+*/×÷x−] ?+{_OPERAND}){{1,10}}+"
_PLAIN = re.compile(
    rf"(?<![\w.,)])({_OPERAND}{_MORE}) ?+= ?+({_NUMBER})(?! ?[-+*/×÷−(]| ?x ?[0-9(]|[\w=])"
)
_OPERATORS = str.maketrans({"×": "*", "x": "*", "÷": "/", "−": "-", "$": "", ",": ""})
_PERCENT = re.compile(r"([0-9.]+)%")


@dataclasses.dataclass(frozen=True)
class Traits:
    """Of one solution.

    Attributes:
      steps: lines with text, but for the answer's.
      operators: of all computations, in order: `+*-`.
      depth: computations on the longest way from a number of the question to a result.
      equations: how many were read.
      true: how many of them hold.
    """

    steps: int
    operators: str
    depth: int
    equations: int
    true: int

    @property
    def cell(self) -> tuple[int, str]:
        """The number of steps, and which operators there are: a kind of solution."""
        return self.steps, "".join(sorted(set(self.operators)))


def traits_of(solution: str) -> Traits:
    """The traits of a solution; its equations are its `<<…>>`, or else `3 + 4 = 7` in the text."""
    found = [(of.expression, of.is_true) for of in equations(solution)] or list(_plain(solution))
    operators, computed = "", []
    for expression, _ in found:
        try:
            each = list(_computations(parse(expression)))
        except (ValueError, ZeroDivisionError):  # it counts as an equation that does not hold
            continue
        operators += "".join(op for op, _, _ in each)
        computed += [(inputs, result) for _, inputs, result in each]
    true = sum(is_true for _, is_true in found)
    return Traits(len(lines_of_steps(solution)), operators, depth(computed), len(found), true)


def _plain(text: str) -> Iterator[tuple[str, bool]]:
    """Expressions that can be read, and whether the number after `=` is theirs as it is rounded."""
    for match in _PLAIN.finditer(text):
        left, right = (
            _PERCENT.sub(r"(\1/100)", side.translate(_OPERATORS)).strip() for side in match.groups()
        )
        value, said = evaluate(left), evaluate(right)
        if value is not None and said is not None:
            decimals = len(match.group(2).rstrip("%").partition(".")[2])
            unit = Fraction(1, 10**decimals) / (100 if "%" in match.group(2) else 1)
            yield left, abs(value - said) <= (unit / 2 if value != said and decimals else 0)


def _computations(tree: Expression) -> Iterator[tuple[str, tuple[Fraction, ...], Fraction]]:
    """Operator, inputs and result of each operation, the inner ones first."""
    if isinstance(tree, Number):
        return
    yield from _computations(tree.left)
    yield from _computations(tree.right)
    yield tree.op, (value_of(tree.left), value_of(tree.right)), value_of(tree)
