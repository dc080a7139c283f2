"""What can be told of a solution from its text alone: steps, computations, their depth."""

import dataclasses
import re
from collections.abc import Iterator
from fractions import Fraction

from qdcjax.measures.complexity import depth
from qdcjax.reasoning.steps import lines_of_steps
from qdcjax.tasks.arithmetic import Equation, Expression, Number, equations, parse, value_of

# Every part is bounded and gives nothing back, so that time is linear in the text.
_NUMBER = r"\$?+-?+[0-9]{1,15}+(?:,[0-9]{3}){0,4}+(?:\.[0-9]{1,9}+)?+%?+"
_OPERAND = rf"\({{0,5}}+ ?+{_NUMBER} ?+\){{0,5}}+"
_MORE = rf"(?: ?+[-+*/×÷x−] ?+{_OPERAND}){{1,10}}+"
_PLAIN = re.compile(rf"(?<![0-9.,])({_OPERAND}{_MORE}) ?+= ?+({_NUMBER})")
_OPERATORS = str.maketrans({"×": "*", "x": "*", "÷": "/", "−": "-", "$": "", ",": "", "%": ""})


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
    found = equations(solution) or list(_plain(solution))
    operators, computed, true = "", [], 0
    for equation in found:
        true += equation.is_true
        try:
            tree = parse(equation.expression)
            each = list(_computations(tree))
        except (ValueError, ZeroDivisionError):  # it counts as an equation that does not hold
            continue
        operators += "".join(op for op, _, _ in each)
        computed += [(inputs, result) for _, inputs, result in each]
    return Traits(len(lines_of_steps(solution)), operators, depth(computed), len(found), true)


def _plain(text: str) -> Iterator[Equation]:
    for match in _PLAIN.finditer(text):
        sides = (side.translate(_OPERATORS).strip() for side in match.groups())
        yield Equation(*sides, *match.span())


def _computations(tree: Expression) -> Iterator[tuple[str, tuple[Fraction, ...], Fraction]]:
    """Operator, inputs and result of each operation, the inner ones first."""
    if isinstance(tree, Number):
        return
    yield from _computations(tree.left)
    yield from _computations(tree.right)
    yield tree.op, (value_of(tree.left), value_of(tree.right)), value_of(tree)
