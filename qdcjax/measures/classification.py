"""Binary classification: accuracies balanced by class and by group, AUROC, calibration.

Labels are 0/1 (or booleans) [n], scores [n] are higher for 1, and a score at or above the
threshold predicts 1. Weights [n] count a row that often (default 1); weights [R, n], such as the
multiplicities of R bootstrap resamples, give R figures at once. A measure that needs a class which
no weighted row has is NaN.
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
) -> np.ndarray:
    """The mean of sensitivity and specificity: (P(ŷ=1 | y=1) + P(ŷ=0 | y=0)) / 2.

    Raises:
      ValueError: lengths differ, a label is not 0 or 1, or a score is NaN.
    """
    y, s, w = _rows(labels, scores, weights)
    return (_share(y, s >= threshold, w) + _share(~y, s < threshold, w)) / 2


def balanced_accuracy_by_group(
    labels: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike,
    threshold: float = 0.5,
    min_count: int = 1,
    weights: ArrayLike | None = None,
) -> tuple[np.ndarray, dict]:
    """Balanced accuracy within each group, for example each prefix length, and their mean.

    Args:
      labels: [n].
      scores: [n].
      groups: [n] the group of each row.
      threshold: one for all groups.
      min_count: a group counts when each class has at least so many rows in it, whatever their
        weights, so that resamples keep to the same groups.
      weights: [n] or [R, n].

    Returns:
      The plain mean over the groups that count (NaN without one, or where one of them lacks a
      class by its weights), and group → its own figure.

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


def auroc(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> np.ndarray:
    """The area under the ROC curve, exact: P(s⁺ > s⁻) + P(s⁺ = s⁻) / 2 for a random pair.

    Raises:
      ValueError: as `balanced_accuracy` does.
    """
    y, s, w = _rows(labels, scores, weights)
    order = np.flatnonzero(~y)[np.argsort(s[~y])]
    positive, negative = w[..., y], w[..., order]
    # Entry i is the weight of the i lowest negatives.
    below = np.zeros((*w.shape[:-1], len(order) + 1))
    np.cumsum(negative, axis=-1, out=below[..., 1:])
    won, not_lost = (np.searchsorted(s[order], s[y], side) for side in ("left", "right"))
    pairs = positive.sum(axis=-1) * negative.sum(axis=-1)
    points = np.einsum("...p,...p->...", positive, below[..., won] + below[..., not_lost])
    return ratio(points / 2, pairs)


def auroc_by_group(
    labels: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike,
    min_count: int = 1,
    weights: ArrayLike | None = None,
) -> tuple[np.ndarray, dict]:
    """AUROC within each group and their mean; arguments as in `balanced_accuracy_by_group`."""
    return _by_group(auroc, labels, scores, groups, min_count, weights)


def precision_recall(
    labels: ArrayLike, predicted: ArrayLike, weights: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Precision P(y=1 | ŷ=1) and recall P(ŷ=1 | y=1) of 0/1 predictions.

    Raises:
      ValueError: lengths differ, or a label or prediction is not 0 or 1.
    """
    y, prediction, w = _rows(labels, predicted, weights)
    positive = _binary("predicted", prediction)
    return _share(positive, y, w), _share(y, positive, w)


def false_negative_rate(
    labels: ArrayLike, predicted: ArrayLike, weights: ArrayLike | None = None
) -> np.ndarray:
    """P(ŷ=0 | y=1) = 1 − recall; raises as `precision_recall` does."""
    return 1 - precision_recall(labels, predicted, weights)[1]


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Predicted probabilities against frequencies, by bin of equal width over [0, 1].

    Attributes:
      mean_probability: [..., bins] mean prediction, NaN in an empty bin.
      frequency: [..., bins] share of ones, NaN in an empty bin.
      count: [..., bins] weight of the rows.
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
    inside = np.arange(bins) == index[:, None]
    count = w @ inside.astype(float)
    return Calibration(
        ratio(w @ (inside * p[:, None]), count), ratio(w @ (inside * y[:, None]), count), count
    )


def expected_calibration_error(
    labels: ArrayLike,
    probabilities: ArrayLike,
    bins: int = 10,
    weights: ArrayLike | None = None,
) -> np.ndarray:
    """Σ_bins (count / n) · |frequency − mean probability| (Naeini et al. 2015, section 2).

    Raises:
      ValueError: as `calibration` does.
    """
    table = calibration(labels, probabilities, bins, weights)
    gap = np.abs(table.frequency - table.mean_probability)
    return ratio(np.nansum(table.count * gap, axis=-1), table.count.sum(axis=-1))


def ratio(part: ArrayLike, whole: ArrayLike) -> np.ndarray:
    """part / whole, and NaN where the whole is 0."""
    part, whole = np.asarray(part, float), np.asarray(whole, float)
    nothing = np.full(np.broadcast_shapes(part.shape, whole.shape), np.nan)
    return np.divide(part, whole, out=nothing, where=whole > 0)[()]


def _by_group(
    measure: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    labels: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike,
    min_count: int,
    weights: ArrayLike | None,
) -> tuple[np.ndarray, dict]:
    y, s, w = _rows(labels, scores, weights)
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    if group.shape != y.shape:
        raise ValueError(f"labels and groups must have one length: {len(y)} and {group.size}")
    positive = np.bincount(group[y], minlength=len(names))
    negative = np.bincount(group[~y], minlength=len(names))
    figures = {}
    for index in np.flatnonzero(np.minimum(positive, negative) >= max(min_count, 1)):
        rows = group == index
        figures[names[index].item()] = measure(y[rows], s[rows], w[..., rows])
    none = np.full(w.shape[:-1], np.nan)[()]
    return np.mean(list(figures.values()), axis=0) if figures else none, figures


def _share(among: np.ndarray, event: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """P(event | among) by weight: rows [n] and weights [..., n] → [...]."""
    part, whole = (weights @ rows.astype(float) for rows in (among & event, among))
    return ratio(part, whole)


def _binary(name: str, values: np.ndarray) -> np.ndarray:
    wrong = np.flatnonzero((values != 0) & (values != 1))
    if len(wrong):
        raise ValueError(f"{name}[{wrong[0]}] must be 0 or 1: {values[wrong[0]]}")
    return values.astype(bool)


def _rows(
    labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Checked labels (bool) and scores (float), each [n], and weights (float) [..., n]."""
    y, s = np.asarray(labels), np.asarray(scores, dtype=float)
    w = np.ones(y.shape) if weights is None else np.asarray(weights, dtype=float)
    if y.ndim != 1 or y.shape != s.shape or y.shape != w.shape[-1:]:
        raise ValueError(
            f"labels, scores and weights must be lists of one length: {y.shape}, {s.shape}, "
            f"{w.shape}"
        )
    if np.isnan(s).any():
        raise ValueError(f"scores[{int(np.argmax(np.isnan(s)))}] is NaN: it has no rank")
    if w.size and not w.min() >= 0:
        bad = np.argwhere(~(w >= 0))[0]
        raise ValueError(f"weights[{', '.join(map(str, bad))}] must be at least 0")
    return _binary("labels", y), s, w
