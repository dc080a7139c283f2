"""A question about operands and the trace that answers it."""

import dataclasses
import functools
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qdcjax.tasks.traced_integers.integers import RUN, TracedInteger
from qdcjax.tasks.traced_integers.noise import Noise, corrupt_digits, corrupt_response
from qdcjax.tasks.traced_integers.recording import (
    CALL,
    DEFAULT_CAPS,
    HIDDEN,
    OPERATIONS,
    VISIBLE,
    Caps,
    Operation,
    Run,
    fill,
    show,
)


@dataclasses.dataclass(frozen=True)
class Trace:
    """A question, a trace that answers it, and what noise did to it.

    Attributes:
      prompt: the question and a line end.
      response: lines of the trace, then the answer alone.
      answer: the right one.
      noised: whether noise was let loose on it.
      survived: whether the response's answer is still the right one.
    """

    prompt: str
    response: str
    answer: str
    noised: bool = False
    survived: bool = True


def trace(
    operation: str, operands: Sequence[int], visibility: Mapping[str, str] | None = None
) -> tuple[str, str]:
    """Prompt and response of a computation without noise.

    Args:
      operation: `add`, `sub`, `mul`, `div`, `mod`, `sort`, `median`, `gcd`, or one's own.
      operands: natural numbers; where the larger one comes first they are put in that order.
      visibility: symbol (`+`, `-`, `*`, `/`, `%`, or the name of another operation) → `visible`,
        its own trace is nested; `call`, a call and its result; `hidden`, results only. Those not
        named are visible.

    Raises:
      TraceError: there is no result, as of a division by zero.
      ValueError: an unknown operation or visibility, or operands that it does not take.
    """
    question = ask(operation, operands)
    return question.prompt, question.respond(visibility or {})


def noisy_trace(
    operation: str,
    operands: Sequence[int],
    noise: Noise,
    rng: random.Random,
    visibility: Mapping[str, str] | None = None,
    caps: Caps = DEFAULT_CAPS,
) -> Trace:
    """A computation whose trace may be noised; the operands and the question stay clean.

    Raises:
      TraceError: noise led to where the computation cannot go on, or over a cap.
      ValueError: see `trace`.
    """
    question, visibility = ask(operation, operands), visibility or {}
    clean = question.respond(visibility, caps=caps)
    return with_noise(question, clean, noise, rng, visibility, caps)


def with_noise(
    question: "Question",
    clean: str,
    noise: Noise,
    rng: random.Random,
    visibility: Mapping[str, str],
    caps: Caps = DEFAULT_CAPS,
) -> Trace:
    """`noisy_trace` of a question whose clean response is known."""
    answer = clean.rpartition("\n")[2]
    if noise.kind == "none" or rng.random() >= noise.contamination:
        return Trace(question.prompt, clean, answer)
    if noise.kind == "dynamic":
        corrupt = functools.partial(corrupt_digits, noise=noise, rng=rng)
        response = question.respond(visibility, corrupt, noise.answer, caps)
    else:
        response = corrupt_response(clean, noise, rng)
    survived = response.rpartition("\n")[2] == answer
    return Trace(question.prompt, response, answer, noised=True, survived=survived)


@dataclasses.dataclass(frozen=True)
class Question:
    """An operation and its operands."""

    operation: Operation
    operands: tuple[Any, ...]

    @property
    def prompt(self) -> str:
        """What is asked, and a line end."""
        return f"{fill(self.operation.prompt, self._named)}\n"

    @property
    def _named(self) -> dict[str, Any]:
        return dict(zip(self.operation.operands, self.operands, strict=True))

    def respond(
        self,
        visibility: Mapping[str, str],
        corrupt: Callable[[str], str] | None = None,
        rebuild: bool = False,
        caps: Caps = DEFAULT_CAPS,
    ) -> str:
        """Lines of the trace, then the answer alone.

        Args:
          visibility: see `trace`.
          corrupt: noises the digits of each new integer.
          rebuild: whether the answer is built, and so noised, once more.
          caps: where the computation is stopped.

        Raises:
          TraceError: see `noisy_trace`.
          ValueError: an unknown symbol or visibility.
        """
        for symbol, seen in visibility.items():
            if symbol not in OPERATIONS:
                raise ValueError(f"visibility of {symbol!r}: there are {', '.join(OPERATIONS)}")
            if seen not in (VISIBLE, CALL, HIDDEN):
                raise ValueError(
                    f"visibility[{symbol!r}]={seen!r} must be {VISIBLE}, {CALL} or {HIDDEN}"
                )
        run = Run(visibility, corrupt, caps)
        token = RUN.set(run)
        try:
            result = run.call(self.operation.symbol, *self.operands)
            answer = _answer(result, rebuild)
        finally:
            RUN.reset(token)
        return "\n".join([*_without_doubles(run.lines), answer])


def ask(operation: str, operands: Sequence[int]) -> Question:
    """The question; larger operands first where that is the rule.

    Raises:
      ValueError: an unknown operation, or operands that it does not take.
    """
    asked = named(operation)
    for number in operands:
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise ValueError(f"operand {number!r} of {operation} must be a natural number")
    count = len(asked.operands)
    if len(operands) != count > 1 or not operands:
        takes = f"{count} operands" if count > 1 else "a list of numbers"
        raise ValueError(f"{operation} takes {takes}, and {len(operands)} were given")
    values = [TracedInteger(str(number)) for number in operands]
    if asked.larger_first and values[0] < values[1]:
        values.reverse()
    return Question(asked, tuple(values) if count > 1 else (values,))


def named(operation: str) -> Operation:
    """The operation of that name; raises ValueError where there is none."""
    by_name = {of.name: of for of in OPERATIONS.values()}
    if operation not in by_name:
        raise ValueError(f"operation {operation!r}: there are {', '.join(by_name)}")
    return by_name[operation]


def _answer(result: Any, rebuild: bool) -> str:
    """A result without leading zeros."""
    if isinstance(result, list):
        plain = [_answer(item, rebuild) for item in result]
        return f"[ {' , '.join(plain)} ]" if plain else "[]"
    digits = str(int(result))
    return show(TracedInteger(digits)) if rebuild else " ".join(digits)


def _without_doubles(lines: Sequence[str]) -> list[str]:
    """The lines that were needed; of two equal ones in a row one is left, as in the paper's code.

    They come from variables that got the value that they had, as when a carry of zero is added.
    """
    lines = [line for line in lines if line]
    kept, left_out = [], False
    for line, after in zip(lines, [*lines[1:], ""], strict=False):
        left_out = line == after and not left_out
        if not left_out:
            kept.append(line)
    return kept
