"""Demonstrations of fallible solvers: at some kinds of steps many of them choose a wrong operator.

A kind of step is a template's n-th step, whatever its numbers. Which kinds are hard is fixed; at a
hard one a share of the solvers adds where they should take away, and so on, and then goes on from
what came out. So the most frequent continuation of a text can be a wrong one, and what a policy
learned from such data can be better than its data only by another signal than imitation.
"""

import dataclasses
import hashlib
import re
from collections.abc import Sequence

from qdcjax.tasks.arithmetic import evaluate, format_number
from qdcjax.tasks.problem import Problem
from qdcjax.tasks.word_problems.library import TEMPLATES

INSTEAD = {"+": "-", "-": "+", "*": "+", "/": "-"}

_EQUATION = re.compile(r"<<[^<>]*>>-?[0-9]+(?:\.[0-9]+)?")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_OPERATOR = re.compile(r"[-+*/]")


@dataclasses.dataclass(frozen=True)
class Misconceptions:
    """How fallible the solvers are.

    Attributes:
      hard: share of the kinds of steps at which they err.
      err: share of the solvers that err there.
      seed: of who errs where.
    """

    hard: float = 0.0
    err: float = 0.0
    seed: int = 0

    def __post_init__(self):
        for name in ("hard", "err"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)} must be between 0 and 1")


def demonstrations(
    problems: Sequence[Problem], misconceptions: Misconceptions
) -> Sequence[Problem]:
    """The problems with solutions of fallible solvers, one each; answers stay what is right.

    Raises:
      ValueError: a problem that is no generated one, for its steps' kinds are not known.
    """
    if not misconceptions.hard * misconceptions.err:
        return problems
    return [dataclasses.replace(p, solution=_solution(p, misconceptions)) for p in problems]


def _solution(problem: Problem, misconceptions: Misconceptions) -> str:
    name = problem.meta.get("template")
    if name is None:
        raise ValueError(f"misconceptions: {problem.id} is no generated problem")
    solver = f"{misconceptions.seed}/{problem.id}" if misconceptions.seed else problem.id
    values = {given: str(value) for given, value in problem.meta["givens"].items()}
    *lines, _ = problem.solution.split("\n")
    for step, (move, line) in enumerate(zip(TEMPLATES[name].moves, lines, strict=False)):
        hard = _uniform(f"{name}/{step}") < misconceptions.hard
        errs = hard and _uniform(f"{solver}/{step}") < misconceptions.err
        formula = _OPERATOR.sub(lambda m: INSTEAD[m[0]], move.expression, 1) if errs else None
        found = _computed(formula or move.expression, values) or _computed(move.expression, values)
        expression, values[move.result] = found
        equation = f"<<{expression}={values[move.result]}>>{values[move.result]}"
        lines[step] = _EQUATION.sub(lambda _, equation=equation: equation, line, 1)
    return "\n".join([*lines, f"#### {values[move.result]}"])


def _computed(formula: str, values: dict[str, str]) -> tuple[str, str] | None:
    """A formula with numbers for its names, and what comes out; nothing for a division by zero."""
    expression = _NAME.sub(lambda m: values[m[0]], formula)
    value = evaluate(expression)
    return None if value is None else (expression, format_number(value))


def _uniform(text: str) -> float:
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
