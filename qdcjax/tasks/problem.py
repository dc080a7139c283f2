"""The one form in which every task hands out its problems."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol


@dataclasses.dataclass(frozen=True)
class Problem:
    """A question with its final answer, and what is known about it.

    Attributes:
      id: unique in its task and stable between runs, e.g. `gsm8k/test/17`.
      question: the text that a policy is asked.
      answer: the final answer alone, e.g. `18`.
      solution: a reference chain of thought ending in `#### answer`, or empty.
      split: `train`, `test`, `held_out`, …
      meta: what the task knows beyond that (template, depth, graph of quantities).
    """

    id: str
    question: str
    answer: str
    solution: str = ""
    split: str = ""
    meta: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class Task(Protocol):
    """Gives problems and grades completions.

    A task whose steps can be checked exactly also has
    `step_truth(problem, steps) -> list[bool]`: entry i is true when steps 0…i are all
    valid in the problem's graph of quantities. The answer line is not a step.
    """

    def problems(self, split: str, count: int | None = None) -> Sequence[Problem]:
        """The first `count` problems of a split (all of them when it is None)."""

    def is_correct(self, problem: Problem, completion: str) -> bool:
        """Whether the completion's final answer equals the problem's."""
