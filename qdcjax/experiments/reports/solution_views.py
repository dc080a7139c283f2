"""Rows of a table of solutions as the report's browser shows them."""

from collections.abc import Mapping, Sequence
from typing import Any

from qdcjax.reasoning.steps import ANSWER_MARKER
from qdcjax.reporting.browser import StepView


def step_views(
    row: Mapping[str, Any], values: Mapping[str, Sequence[float]] | None = None
) -> list[StepView]:
    """The steps of a solution and its last line, the answer.

    Args:
      row: of `rollouts.sample_solutions`.
      values: model's name → its values at every token.
    """
    values = values or {}
    truth = row["truth"] or [None] * len(row["steps"])
    steps = [
        StepView(text, valid, {label: float(value[end]) for label, value in values.items()})
        for text, end, valid in zip(row["steps"], row["ends"], truth, strict=True)
    ]
    ending = {label: float(value[-1]) for label, value in values.items()}
    return [*steps, StepView(last_line(row["text"]), None, ending)]


def given_answer(text: str) -> str:
    """What stands after the marker of the last line; empty without one."""
    line = last_line(text)
    return line.removeprefix(ANSWER_MARKER).strip() if line.startswith(ANSWER_MARKER) else ""


def last_line(text: str) -> str:
    """The last line of a solution."""
    return text.rstrip("\n").rpartition("\n")[2]
