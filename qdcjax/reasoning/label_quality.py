"""Precision and recall of sampled step labels against the exact truth, for 1 … K completions."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Verified:
    """U prefixes with K verifying completions each.

    Attributes:
      problem: [U] ids.
      correct: [U, K] whether the completion's answer is right.
      consistent: [U, K] whether it uses the last step's result.
      truth: [U] whether all steps of the prefix are valid.
    """

    problem: np.ndarray
    correct: np.ndarray
    consistent: np.ndarray
    truth: np.ndarray


def positives_at(verified: Verified, k: int, filtered: bool = True) -> tuple[np.ndarray, int]:
    """How many of a prefix's labels from k completions are 1: counts [U], and labels a prefix.

    A label is 1 when any of its k completions is right (and consistent). The K completions are
    cut into K // k groups, so that small k use all of them.
    """
    good = verified.correct & verified.consistent if filtered else verified.correct
    groups = good.shape[1] // k
    labels = good[:, : groups * k].reshape(len(good), groups, k).any(axis=2)
    return labels.sum(axis=1), groups


def quality(
    truth: np.ndarray, positives: np.ndarray, groups: int, weights: np.ndarray
) -> dict[str, float]:
    """Precision, recall and balanced accuracy of labels against the truth; NaN where undefined.

    Args:
      truth: [U].
      positives: [U] labels that are 1, of `groups` a prefix.
      groups: labels a prefix.
      weights: [U] of the prefixes.
    """
    right, wrong = weights * truth, weights * (1 - truth)
    true_positives, false_positives = right @ positives, wrong @ positives
    recall = _share(true_positives, groups * right.sum())
    specificity = 1 - _share(false_positives, groups * wrong.sum())
    return {
        "precision": _share(true_positives, true_positives + false_positives),
        "recall": recall,
        "accuracy": (recall + specificity) / 2,
    }


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def from_columns(table: Mapping[str, Sequence]) -> Verified:
    """The rows of a table of verified prefixes whose truth is known."""
    known = [row for row, truth in enumerate(table["truth"]) if truth is not None]
    return Verified(
        problem=np.asarray(table["problem_id"])[known],
        correct=np.asarray(table["correct"], bool)[known],
        consistent=np.asarray(table["consistent"], bool)[known],
        truth=np.asarray([table["truth"][row] for row in known], int),
    )
