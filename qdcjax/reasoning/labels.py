"""Step labels from verifying completions, and the three rules that clean them.

A solution has L steps. From the prefix that ends with step i the student samples K completions;
a right one shows that the prefix can still lead to the answer (GLoRe, arXiv 2402.10963: y_i is 1
when any of them is right, an estimate of V* by rejection). The rules, in this order:
`is_consistent` filters the completions, `step_successes` counts successes over tries, `propagate`
and `balance` follow.
"""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from qdcjax.tasks.answers import extract_answer
from qdcjax.tasks.arithmetic import Number, Operation, equations, evaluate, parse


def is_consistent(step: str, completion: str) -> bool:
    """Whether a completion uses the step's result again: as an operand or as the answer.

    One that does not has ignored the step, so its success says nothing about it. A step without
    an equation has no result to ignore: every completion is consistent with it. One whose equation
    is broken has a result that nothing can use.
    """
    results = [evaluate(equation.value) for equation in equations(step)]
    if not results:
        return "<<" not in step
    if results[-1] is None:
        return False
    used = {extract_answer(completion)}
    for equation in equations(completion):
        used |= _operands(equation.expression)
    return results[-1] in used


def _operands(expression: str) -> set[Fraction]:
    """The numbers of an arithmetic expression; none when it cannot be parsed."""
    try:
        tree = parse(expression)
    except ValueError:
        return set()
    numbers, waiting = set(), [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Operation):
            waiting += [node.left, node.right]
        elif isinstance(node, Number):
            numbers.add(node.value)
    return numbers


def step_successes(
    steps: Sequence[str],
    rest: Sequence[str],
    correct: bool,
    verified: Sequence[Sequence[bool]],
) -> list[tuple[int, int]]:
    """(successes, tries) of each step of a draft; its own suffix is one of the tries.

    Args:
      steps: L steps of the draft.
      rest: L texts that follow each step in the draft.
      correct: whether the draft's answer is right.
      verified: L lists; entry (i, k) is whether completion k of prefix i is right and consistent.
    """
    counts = []
    for step, suffix, good in zip(steps, rest, verified, strict=True):
        own = correct and is_consistent(step, suffix)
        counts.append((sum(good) + own, len(good) + 1))
    return counts


def propagate(labels: Sequence[int]) -> list[int]:
    """y_i = 1 makes y_j = 1 for all j ≤ i: what leads to a right answer later was right before."""
    return np.maximum.accumulate(np.asarray(labels, int)[::-1])[::-1].tolist()


def balance(labels: np.ndarray, lengths: np.ndarray, questions: np.ndarray) -> np.ndarray:
    """Weights in [0, 1]: at each prefix length right and wrong weigh the same, and so do questions.

    Of N_qc units of question q and class c at a length, each weighs

        w = 1 / N_qc · min(Q_0, Q_1) / Q_c,

    where Q_c questions have a unit of class c there. So a question with many samples has no more
    say than one with few, and the classes add up to the same: sub-sampling in expectation, without
    throwing labels away. A length that has one class only gets 0, for it could teach nothing but
    position.

    Args:
      labels: [N] 0 or 1.
      lengths: [N] number of steps in each prefix.
      questions: [N] whole numbers, one for each question.
    """
    weights = np.zeros(len(labels), np.float32)
    for length in np.unique(lengths):
        classes = [np.flatnonzero((lengths == length) & (labels == label)) for label in (0, 1)]
        found = [
            np.unique(questions[rows], return_inverse=True, return_counts=True) for rows in classes
        ]
        rare = min(len(counts) for _, _, counts in found)
        for rows, (_, of_row, counts) in zip(classes, found, strict=True):
            if rare:
                weights[rows] = rare / len(counts) / counts[of_row]
    return weights
