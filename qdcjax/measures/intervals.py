"""Estimates with intervals: Student's t across seeds, a bootstrap clustered by question."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate and the ends of its confidence interval.

    Attributes:
      value: the estimate.
      low: lower end, at most `value`.
      high: upper end, at least `value`.
      method: how the ends were found, e.g. `95 % t over 3 seeds`.
    """

    value: float
    low: float
    high: float
    method: str = ""


def students_t(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """The mean over seeds, with Student's interval: mean ± t_{n−1} · s / √n.

    Args:
      values: [n] one figure a seed; s is their standard deviation over n − 1.
      confidence: the probability that the interval covers the mean, in (0, 1).

    Raises:
      ValueError: fewer than two seeds, a value that is not finite, or a bad confidence.
    """
    x = _finite("values", values)
    n = len(x)
    if n < 2:
        raise ValueError(f"values: {n} seeds give no interval, at least 2 are needed")
    mean = float(x.mean())
    quantile = scipy.stats.t.ppf(_upper(confidence), n - 1)
    half = float(quantile * x.std(ddof=1) / math.sqrt(n))
    return Interval(mean, mean - half, mean + half, f"{_percent(confidence)} t over {n} seeds")


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """A binomial frequency p = successes / n with Wilson's score interval (Wilson 1927).

        (p + z²/2n ± z √(p (1 − p) / n + z²/4n²)) / (1 + z²/n)

    Raises:
      ValueError: not 0 ≤ successes ≤ n, n = 0, or a bad confidence.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"successes must lie in 0 … n with n ≥ 1: {successes} of {n}")
    z = float(scipy.stats.norm.ppf(_upper(confidence)))
    p = successes / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    # At p = 0 and 1 an end is p itself, up to rounding.
    low, high = min(p, centre - half), max(p, centre + half)
    return Interval(p, max(0.0, low), min(1.0, high), f"{_percent(confidence)} Wilson of {n}")


def bootstrap_statistic(
    statistic: Callable[[np.ndarray], float],
    clusters: ArrayLike,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """A statistic of n rows with its percentile interval, whole clusters being resampled.

    With C clusters, a resample draws C of them with replacement; a row's weight is how often its
    cluster was drawn. So rows of one question stay together, and a row costs no copy.

    Args:
      statistic: maps weights [n] (integers ≥ 0, as floats; all 1 for the estimate) to a number.
        NaN says that it is undefined there (for example AUROC without a negative): such
        resamples are left out and the method names how many.
      clusters: [n] the cluster of each row, for example the id of its question.
      confidence: the share of resamples between the ends, in (0, 1).
      resamples: how many are drawn.
      seed: the same seed gives the same resamples, whatever the statistic.

    Returns:
      The estimate, and the percentiles moved outward to it if it lies beyond them.

    Raises:
      ValueError: fewer than two clusters, no resample, a bad confidence, or a statistic that is
        undefined on the rows themselves or on every resample.
    """
    labels, cluster_of_row = np.unique(np.asarray(clusters), return_inverse=True)
    count = len(labels)
    if count < 2:
        raise ValueError(f"clusters: {count} cluster gives no interval, at least 2 are needed")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1: {resamples}")
    upper = _upper(confidence)
    value = float(statistic(np.ones(len(cluster_of_row))))
    if math.isnan(value):
        raise ValueError("statistic is undefined (NaN) on the rows themselves")
    rng = np.random.default_rng(seed)
    values = np.empty(resamples)
    for r in range(resamples):
        drawn = np.bincount(rng.integers(count, size=count), minlength=count)
        values[r] = statistic(drawn.astype(float)[cluster_of_row])
    defined = values[~np.isnan(values)]
    if not len(defined):
        raise ValueError(f"statistic is undefined (NaN) on all {resamples} resamples")
    low, high = np.quantile(defined, [1 - upper, upper])
    method = f"{_percent(confidence)} bootstrap over {count:,} clusters, {resamples:,} resamples"
    if len(defined) < resamples:
        method += f" ({resamples - len(defined):,} undefined)"
    return Interval(value, min(value, float(low)), max(value, float(high)), method)


def bootstrap(
    values: ArrayLike,
    clusters: ArrayLike,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """The mean of n values, Σ w x / Σ w, with the interval of `bootstrap_statistic`.

    Args:
      values: [n] finite numbers.
      clusters: [n] the cluster of each.
      confidence: see `bootstrap_statistic`, as for the rest.
      resamples: how many are drawn.
      seed: of the resamples.

    Raises:
      ValueError: as `bootstrap_statistic` does; a value that is not finite; lengths differ.
    """
    x = _finite("values", values)
    _same_length("values", x, "clusters", np.asarray(clusters))
    return bootstrap_statistic(lambda w: w @ x / w.sum(), clusters, confidence, resamples, seed)


def paired_bootstrap(
    a: ArrayLike,
    b: ArrayLike,
    clusters: ArrayLike,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """The difference of means, mean(a) − mean(b), over the same units, each resample in both.

    Args:
      a: [n] the first method's figure on each unit.
      b: [n] the second's on the same units in the same order.
      clusters: [n] the cluster of each unit.
      confidence: see `bootstrap_statistic`, as for the rest.
      resamples: how many are drawn.
      seed: of the resamples.

    Raises:
      ValueError: as `bootstrap` does; a and b differ in length.
    """
    first, second = _finite("a", a), _finite("b", b)
    _same_length("a", first, "b", second)
    interval = bootstrap(first - second, clusters, confidence, resamples, seed)
    return dataclasses.replace(interval, method=f"paired {interval.method}")


def _finite(name: str, values: ArrayLike) -> np.ndarray:
    x = np.asarray(values, dtype=float)
    if x.ndim != 1:
        raise ValueError(f"{name} must be one list of numbers: its shape is {x.shape}")
    bad = np.flatnonzero(~np.isfinite(x))
    if len(bad):
        raise ValueError(f"{name}[{bad[0]}] must be finite: {x[bad[0]]}")
    return x


def _same_length(name: str, x: np.ndarray, other: str, y: np.ndarray) -> None:
    if len(x) != len(y):
        raise ValueError(f"{name} and {other} must have one length: {len(x)} and {len(y)}")


def _upper(confidence: float) -> float:
    """The upper quantile of a two-sided interval."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, such as .95: {confidence}")
    return (1 + confidence) / 2


def _percent(confidence: float) -> str:
    return f"{100 * confidence:g} %"
