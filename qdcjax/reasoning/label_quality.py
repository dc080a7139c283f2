"""Precision and recall of sampled step labels against the exact truth, for 1 … K completions."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from qdcjax.measures.classification import ratio


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
) -> dict[str, np.ndarray]:
    """Precision, recall and balanced accuracy of labels against the truth; NaN where undefined.

    Args:
      truth: [U] 0 or 1.
      positives: [U] labels that are 1, of `groups` a prefix.
      groups: labels a prefix.
      weights: [U] of the prefixes, or [R, U] of R resamples, which give R figures.
    """
    true_positives = weights @ (truth * positives)
    false_positives = weights @ ((1 - truth) * positives)
    recall = ratio(true_positives, groups * (weights @ truth))
    specificity = 1 - ratio(false_positives, groups * (weights @ (1 - truth)))
    return {
        "precision": ratio(true_positives, true_positives + false_positives),
        "recall": recall,
        "accuracy": (recall + specificity) / 2,
    }


def from_labels(
    problems: Sequence[str], labels: Sequence[Sequence[int]], truths: Sequence[Sequence[bool]]
) -> Verified:
    """The labels of N solutions' steps as prefixes with one completion each, K = 1.

    Args:
      problems: N ids.
      labels: of each solution's steps.
      truths: of the same steps, or nothing for a solution whose steps cannot be checked.
    """
    rows = [
        (problem, label, valid)
        for problem, given, truth in zip(problems, labels, truths, strict=True)
        for label, valid in (zip(given, truth, strict=True) if truth else ())
    ]
    correct = np.asarray([[label] for _, label, _ in rows], bool).reshape(-1, 1)
    return Verified(
        problem=np.asarray([problem for problem, _, _ in rows]),
        correct=correct,
        consistent=np.ones_like(correct),
        truth=np.asarray([valid for _, _, valid in rows], int),
    )


def from_columns(table: Mapping[str, Sequence]) -> Verified:
    """The rows of a table of verified prefixes whose truth is known."""
    truth = table["truth"][:]
    known = [row for row, valid in enumerate(truth) if valid is not None]
    return Verified(
        problem=np.asarray(table["problem_id"][:])[known],
        correct=np.asarray(table["correct"][:], bool)[known],
        consistent=np.asarray(table["consistent"][:], bool)[known],
        truth=np.asarray([truth[row] for row in known], int),
    )
