"""Binary classification: accuracies balanced by class and by group, AUROC, calibration.

Labels are 0/1 (or booleans) [n], scores [n] are higher for 1, and a score at or above the
threshold predicts 1. Weights [n] count a row that often (default 1), so that a bootstrap passes
its multiplicities. A measure that needs a class which no weighted row has is NaN.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike


def balanced_accuracy(
    labels: ArrayLike,
    scores: ArrayLike,
    threshold: float = 0.5,
    weights: ArrayLike | None = None,
) -> float:
    """The mean of sensitivity and specificity: (P(ŷ=1 | y=1) + P(ŷ=0 | y=0)) / 2.

    Raises:
      ValueError: lengths differ, a label is not 0 or 1, or a score is NaN.
    """
    y, s, w = _rows(labels, scores, weights)
    return (_share(s >= threshold, w * y) + _share(s < threshold, w * ~y)) / 2


def balanced_accuracy_by_group(
    labels: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike,
    threshold: float = 0.5,
    min_count: float = 1,
    weights: ArrayLike | None = None,
) -> tuple[float, dict]:
    """Balanced accuracy within each group, for example each prefix length, and their mean.

    Args:
      labels: [n].
      scores: [n].
      groups: [n] the group of each row.
      threshold: one for all groups.
      min_count: a group counts when each class has at least this weight in it.
      weights: [n].

    Returns:
      The plain mean over the groups that count (NaN without one), and group → its own figure.

    Raises:
      ValueError: as `balanced_accuracy` does.
    """
    return _by_group(
        lambda y, s, w: balanced_accuracy(y, s, threshold, w),
        labels,
        scores,
        groups,
        min_count,
        weights,
    )


def auroc(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> float:
    """The area under the ROC curve, exact: P(s⁺ > s⁻) + P(s⁺ = s⁻) / 2 for a random pair.

    Raises:
      ValueError: as `balanced_accuracy` does.
    """
    y, s, w = _rows(labels, scores, weights)
    _, level = np.unique(s, return_inverse=True)
    positive = np.bincount(level, weights=w * y)
    negative = np.bincount(level, weights=w * ~y)
    below = np.cumsum(negative) - negative
    pairs = positive.sum() * negative.sum()
    return float(positive @ (below + negative / 2) / pairs) if pairs > 0 else float("nan")


def auroc_by_group(
    labels: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike,
    min_count: float = 1,
    weights: ArrayLike | None = None,
) -> tuple[float, dict]:
    """AUROC within each group and their mean; arguments as in `balanced_accuracy_by_group`."""
    return _by_group(auroc, labels, scores, groups, min_count, weights)


def precision_recall(
    labels: ArrayLike, predicted: ArrayLike, weights: ArrayLike | None = None
) -> tuple[float, float]:
    """Precision P(y=1 | ŷ=1) and recall P(ŷ=1 | y=1) of 0/1 predictions.

    Raises:
      ValueError: lengths differ, or a label or prediction is not 0 or 1.
    """
    y, prediction, w = _rows(labels, predicted, weights)
    positive = _binary("predicted", prediction)
    return _share(y, w * positive), _share(positive, w * y)


def false_negative_rate(
    labels: ArrayLike, predicted: ArrayLike, weights: ArrayLike | None = None
) -> float:
    """P(ŷ=0 | y=1) = 1 − recall; raises as `precision_recall` does."""
    return 1 - precision_recall(labels, predicted, weights)[1]


def best_threshold(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> float:
    """The threshold of the greatest balanced accuracy, midway between two neighbouring scores.

    The lowest of equally good ones; the score itself when all scores are the same. Fit it on
    other questions than those that it is judged by.

    Raises:
      ValueError: as `balanced_accuracy` does, or a class is missing.
    """
    y, s, w = _rows(labels, scores, weights)
    levels, level = np.unique(s, return_inverse=True)
    positive = np.bincount(level, weights=w * y)
    negative = np.bincount(level, weights=w * ~y)
    if not (positive.sum() > 0 and negative.sum() > 0):
        raise ValueError("labels hold one class only: a threshold needs both 0 and 1")
    if len(levels) == 1:
        return float(levels[0])
    # Cut i predicts 1 from level i + 1 on.
    sensitivity = 1 - np.cumsum(positive)[:-1] / positive.sum()
    specificity = np.cumsum(negative)[:-1] / negative.sum()
    cut = int(np.argmax(sensitivity + specificity))
    low, high = levels[cut], levels[cut + 1]
    middle = low / 2 + high / 2
    # Between neighbouring floats the midpoint may round down onto the lower one.
    return float(middle if middle > low else high)


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Predicted probabilities against frequencies, by bin of equal width over [0, 1].

    Attributes:
      mean_probability: [bins] mean prediction, NaN in an empty bin.
      frequency: [bins] share of ones, NaN in an empty bin.
      count: [bins] weight of the rows.
    """

    mean_probability: np.ndarray
    frequency: np.ndarray
    count: np.ndarray


def calibration(
    labels: ArrayLike,
    probabilities: ArrayLike,
    bins: int = 10,
    weights: ArrayLike | None = None,
) -> Calibration:
    """Mean probability, frequency of ones and count in each of `bins` equal bins of [0, 1].

    Bin i holds i/bins ≤ p < (i + 1)/bins, the last one p = 1 as well.

    Raises:
      ValueError: as `balanced_accuracy` does; a probability outside [0, 1]; bins < 1.
    """
    y, p, w = _rows(labels, probabilities, weights)
    if bins < 1:
        raise ValueError(f"bins must be at least 1: {bins}")
    outside = np.flatnonzero((p < 0) | (p > 1))
    if len(outside):
        raise ValueError(f"probabilities[{outside[0]}] must lie in [0, 1]: {p[outside[0]]}")
    edges = np.arange(1, bins) / bins
    index = np.searchsorted(edges, p, side="right")
    count = np.bincount(index, weights=w, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(index, weights=w * p, minlength=bins) / count
        frequency = np.bincount(index, weights=w * y, minlength=bins) / count
    return Calibration(mean, frequency, count)


def expected_calibration_error(
    labels: ArrayLike,
    probabilities: ArrayLike,
    bins: int = 10,
    weights: ArrayLike | None = None,
) -> float:
    """Σ_bins (count / n) · |frequency − mean probability| (Naeini et al. 2015, section 2).

    Raises:
      ValueError: as `calibration` does.
    """
    table = calibration(labels, probabilities, bins, weights)
    total = table.count.sum()
    gap = np.abs(table.frequency - table.mean_probability)
    return float(np.nansum(table.count * gap) / total) if total > 0 else float("nan")


def _by_group(
    measure: Callable[[np.ndarray, np.ndarray, np.ndarray], float],
    labels: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike,
    min_count: float,
    weights: ArrayLike | None,
) -> tuple[float, dict]:
    y, s, w = _rows(labels, scores, weights)
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    if group.shape != y.shape:
        raise ValueError(f"labels and groups must have one length: {len(y)} and {group.size}")
    positive = np.bincount(group, weights=w * y, minlength=len(names))
    negative = np.bincount(group, weights=w * ~y, minlength=len(names))
    counts = (positive >= min_count) & (negative >= min_count) & (positive * negative > 0)
    figures = {}
    for index in np.flatnonzero(counts):
        rows = group == index
        figures[names[index].item()] = measure(y[rows], s[rows], w[rows])
    return float(np.mean(list(figures.values()))) if figures else float("nan"), figures


def _share(event: np.ndarray, weights: np.ndarray) -> float:
    total = weights.sum()
    return float(weights @ event / total) if total > 0 else float("nan")


def _binary(name: str, values: np.ndarray) -> np.ndarray:
    wrong = np.flatnonzero((values != 0) & (values != 1))
    if len(wrong):
        raise ValueError(f"{name}[{wrong[0]}] must be 0 or 1: {values[wrong[0]]}")
    return values.astype(bool)


def _rows(
    labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Checked labels (bool), scores (float) and weights (float), each [n]."""
    y, s = np.asarray(labels), np.asarray(scores, dtype=float)
    w = np.ones(y.shape) if weights is None else np.asarray(weights, dtype=float)
    if y.ndim != 1 or y.shape != s.shape or y.shape != w.shape:
        raise ValueError(
            f"labels, scores and weights must be lists of one length: {y.shape}, {s.shape}, "
            f"{w.shape}"
        )
    if np.isnan(s).any():
        raise ValueError(f"scores[{int(np.argmax(np.isnan(s)))}] is NaN: it has no rank")
    if not (w >= 0).all():
        raise ValueError(f"weights[{int(np.argmin(w >= 0))}] must be at least 0")
    return _binary("labels", y), s, w
