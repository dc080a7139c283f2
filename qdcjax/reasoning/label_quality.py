"""Precision and recall of sampled step labels against the exact truth, for 1 … K completions."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from qdcjax.measures.classification import precision_recall


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


def labels_at(verified: Verified, k: int, filtered: bool = True) -> np.ndarray:
    """[U, K // k] labels: 1 when any completion of a group of k is right (and consistent).

    The K completions are cut into K // k groups, so that small k use all of them.
    """
    good = verified.correct & verified.consistent if filtered else verified.correct
    groups = good.shape[1] // k
    return good[:, : groups * k].reshape(len(good), groups, k).any(axis=2)


def quality_at(
    verified: Verified, k: int, filtered: bool = True, weights: np.ndarray | None = None
) -> dict[str, float]:
    """Precision, recall and balanced accuracy of the labels from k completions.

    Args:
      weights: [U] of the prefixes, for the bootstrap.
    """
    labels = labels_at(verified, k, filtered)
    groups = labels.shape[1]
    truth = np.repeat(verified.truth, groups)
    weights = np.repeat(np.ones(len(labels)) if weights is None else weights, groups)
    flat = labels.reshape(-1)
    precision, recall = precision_recall(truth, flat, weights)
    negatives = weights[truth == 0].sum()
    specificity = (weights * ~flat)[truth == 0].sum() / negatives if negatives else float("nan")
    return {
        "precision": precision,
        "recall": recall,
        "accuracy": (recall + specificity) / 2,
    }


def success_shares(verified: Verified) -> np.ndarray:
    """[U] share of right completions from each prefix: the student's success rate from there."""
    return verified.correct.mean(axis=1)


def from_columns(table: Mapping[str, Sequence]) -> Verified:
    """The rows of a table of verified prefixes whose truth is known."""
    known = [row for row, truth in enumerate(table["truth"]) if truth is not None]
    return Verified(
        problem=np.asarray(table["problem_id"])[known],
        correct=np.asarray(table["correct"], bool)[known],
        consistent=np.asarray(table["consistent"], bool)[known],
        truth=np.asarray([table["truth"][row] for row in known], int),
    )
