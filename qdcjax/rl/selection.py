"""Which rollouts expert iteration learns from (Havrilla et al. 2024, arXiv 2403.04642).

D_i = R_i ∪ D_{i−1}: the right rollouts of round i join those of the rounds before it, and of
solutions with the same operations a question keeps one. D_0 is empty, or the reference solutions.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from qdcjax.tasks.arithmetic import equations, solution_key
from qdcjax.tasks.problem import Problem


@dataclasses.dataclass(frozen=True)
class ExpertIteration:
    """Rounds of sampling and learning.

    Attributes:
      rounds: how many.
      init_from: where each round's learning begins: at the `start`, as in the paper, or at the
        `last` policy, which forgets less of what it drifted to.
      most_per_question: solutions of one question, the first ones sampled; 0 for all. Without a
        cap the questions with many ways to the answer have more weight.
      references: whether D_0 holds the questions' reference solutions. A policy that is rarely
        right learns its few right rollouts by heart without them.
      true_equations: whether a right answer with a false equation on its way is dropped. That is
        process supervision: off where methods are compared that see answers only.
    """

    rounds: int
    init_from: Literal["start", "last"] = "start"
    most_per_question: int = 0
    references: bool = False
    true_equations: bool = False

    def __post_init__(self):
        for name, least in {"rounds": 1, "most_per_question": 0}.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)} must be at least {least}")
        if self.init_from not in ("start", "last"):
            raise ValueError(f"init_from={self.init_from!r} must be start or last")


def select(
    rollouts: Mapping[str, Sequence], settings: ExpertIteration, references: Sequence[Problem] = ()
) -> list[int]:
    """Rows of the solutions to learn from, in order.

    Args:
      rollouts: columns `problem_id`, `text`, `correct`; those of several rounds one after another.
      settings: what is kept.
      references: D_0, problems whose own solutions are learned too.
    """
    kept: list[int] = []
    seen = {(problem.id, solution_key(problem.solution)) for problem in references}
    counts = Counter(problem.id for problem in references)
    columns = (rollouts[name][:] for name in ("problem_id", "text", "correct"))
    for row, (question, text, correct) in enumerate(zip(*columns, strict=True)):
        solution = question, solution_key(text)
        if not correct or solution in seen:
            continue
        if settings.true_equations and not all(e.is_true for e in equations(text)):
            continue
        seen.add(solution)
        if settings.most_per_question and counts[question] == settings.most_per_question:
            continue
        counts[question] += 1
        kept.append(row)
    return kept


def distinct_right(questions: Sequence[str], rollouts: Mapping[str, Sequence]) -> np.ndarray:
    """[N] different right solutions of each question among its rollouts."""
    keys: dict[str, set[str]] = {question: set() for question in questions}
    columns = (rollouts[name][:] for name in ("problem_id", "text", "correct"))
    for question, text, correct in zip(*columns, strict=True):
        if correct:
            keys[question].add(solution_key(text))
    return np.asarray([len(found) for found in keys.values()])
