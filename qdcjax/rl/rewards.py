"""Rewards of solutions, token by token (Havrilla et al. 2024, arXiv 2403.04642, section 3).

Each reward maps the columns of a table of solutions to a list [T_n] of numbers a solution, at the
tokens that earn them. A truncated solution earns nothing.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np

from qdcjax.reasoning.reward_models import Solution, has_answer, score
from qdcjax.tasks.arithmetic import Operation, equations, evaluate, parse
from qdcjax.tasks.problem import Problem, Task
from qdcjax.training.store import StoredModel

CREDIT = 0.5  # at most, for intermediate results


def sparse(solutions: Mapping[str, Sequence]) -> list[np.ndarray]:
    """1 at the last token where the final answer is right."""
    return [_at_last(len(t), float(right)) for t, right in _columns(solutions, "tokens", "correct")]


def dense(solutions: Mapping[str, Sequence], problems: Mapping[str, Problem]) -> list[np.ndarray]:
    """`sparse`, and credit at the end of each step that reaches a result of the reference.

    The values of the reference's equations share a credit of .5, each earned once, by a step whose
    own equation computes that value: `<<7=7>>` computes nothing.

    Args:
      solutions: columns.
      problems: by id, with reference solutions.
    """
    rewards = sparse(solutions)
    columns = _columns(solutions, "problem_id", "steps", "ends", "truncated")
    for reward, (problem, steps, ends, truncated) in zip(rewards, columns, strict=True):
        if truncated:
            continue
        wanted = _values(problems[problem].solution)
        share = CREDIT / max(len(wanted), 1)
        for step, end in zip(steps, ends, strict=True):
            reached = _values(step) & wanted
            reward[end] += share * len(reached)
            wanted -= reached
    return rewards


def by_task(
    solutions: Mapping[str, Sequence], problems: Mapping[str, Problem], task: Task
) -> list[np.ndarray]:
    """The task's own `reward(problem, completion)` at the last token.

    Args:
      solutions: columns.
      problems: by id.
      task: with such a method.
    """
    columns = _columns(solutions, "problem_id", "text", "tokens", "truncated")
    return [
        _at_last(len(tokens), 0.0 if truncated else task.reward(problems[problem], text))
        for problem, text, tokens, truncated in columns
    ]


def by_model(
    solutions: Mapping[str, Sequence],
    prompts: Mapping[str, Sequence[int]],
    model: StoredModel,
    every_step: bool,
) -> list[np.ndarray]:
    """A reward model's value of the answer, and with `every_step` of each step at its end.

    Args:
      solutions: columns.
      prompts: question → ids.
      model: an outcome or stepwise reward model.
      every_step: `orm_dense` rather than `orm_sparse`.
    """
    rows = [
        Solution(prompts[problem], tokens, ends, correct)
        for problem, tokens, ends, correct in _columns(
            solutions, "problem_id", "tokens", "ends", "correct"
        )
    ]
    rewards = []
    for row, truncated, values in zip(
        rows, solutions["truncated"], score(model, rows), strict=True
    ):
        answered = has_answer(row.ends, len(row.tokens)) and not truncated
        reward = _at_last(len(row.tokens), float(values[-1]) if answered else 0.0)
        if every_step and not truncated:
            reward[list(row.ends)] += values[list(row.ends)]
        rewards.append(reward)
    return rewards


def _at_last(length: int, value: float) -> np.ndarray:
    reward = np.zeros(length, np.float32)
    reward[-1] = value
    return reward


def _values(text: str) -> set[Fraction]:
    """The values that a text computes in true equations."""
    return {
        evaluate(equation.value)
        for equation in equations(text)
        if equation.is_true and isinstance(parse(equation.expression), Operation)
    }


def _columns(solutions: Mapping[str, Sequence], *names: str) -> zip:
    return zip(*(solutions[name] for name in names), strict=True)
