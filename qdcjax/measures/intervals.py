"""Estimates with intervals: Student's t across seeds, a bootstrap clustered by question."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

AT_ONCE = 64  # resamples whose weights are held at the same time


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate and the ends of its confidence interval.

    Attributes:
      value: the estimate.
      low: lower end, at most `value`; NaN where there is no interval.
      high: upper end, at least `value`; NaN likewise.
      method: how the ends were found, e.g. `95 % t over 3 seeds`.
    """

    value: float
    low: float
    high: float
    method: str = ""

    def within(self, least: float, most: float) -> "Interval":
        """The part of the interval in which the figure can be: a share is in 0…1."""
        low, high = (min(max(end, least), most) for end in (self.low, self.high))
        return dataclasses.replace(self, low=low, high=high)

    def magnitude(self) -> "Interval":
        """The interval of |x|: from 0 where it holds 0."""
        ends = abs(self.low), abs(self.high)
        low = 0.0 if self.low <= 0 <= self.high else min(ends)
        return dataclasses.replace(self, value=abs(self.value), low=low, high=max(ends))


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
    quantile = stdtrit(n - 1, _upper(confidence))
    half = float(quantile * x.std(ddof=1) / math.sqrt(n))
    return Interval(mean, mean - half, mean + half, f"{_percent(confidence)} t over {n} seeds")


def of_seeds(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """`students_t` of one figure a seed; of a single seed that figure, without an interval."""
    x = _finite("values", values)
    if len(x) == 1:
        return Interval(float(x[0]), math.nan, math.nan, "one seed")
    return students_t(x, confidence)


NOT_MEASURED = Interval(math.nan, math.nan, math.nan, "not in this grid")


def of_measured(values: ArrayLike) -> Interval:
    """`of_seeds`; `NOT_MEASURED` where a seed's figure is not finite."""
    return of_seeds(values) if np.isfinite(values).all() else NOT_MEASURED


@functools.lru_cache(maxsize=2)  # a run asks for the same ones many times
def draws(clusters: int, resamples: int = 2000, seed: int = 0) -> np.ndarray:
    """How often each of C clusters counts: [1 + resamples, C], each once in row 0.

    In every other row C clusters are drawn with replacement. One cluster gives no other row, for
    its resamples would all be itself. The array cannot be written to.

    Args:
      clusters: C.
      resamples: how many are drawn.
      seed: the same seed gives the same resamples, whatever is computed from them.

    Raises:
      ValueError: no resample.
    """
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1: {resamples}")
    estimate = np.ones((1, clusters))
    if clusters < 2:
        return estimate
    drawn = np.random.default_rng(seed).integers(clusters, size=(resamples, clusters))
    flat = drawn + clusters * np.arange(resamples)[:, None]
    counts = np.bincount(flat.ravel(), minlength=resamples * clusters)
    found = np.concatenate([estimate, counts.reshape(resamples, clusters).astype(float)])
    found.flags.writeable = False
    return found


def resample(
    statistics: Callable[[np.ndarray], Mapping[str, np.ndarray]], drawn: np.ndarray
) -> dict[str, np.ndarray]:
    """Statistics on every draw: name → [1 + resamples], the estimate first.

    What is computed from the same draws is paired: a difference of two methods' arrays is the
    difference on each resample.

    Args:
      statistics: maps weights [R, C] of the clusters to name → [R] numbers. Rows of a cluster
        share its weight, so they stay together.
      drawn: [1 + resamples, C] as `draws` gives them; passed on in parts, to bound memory.
    """
    parts = [statistics(drawn[at : at + AT_ONCE]) for at in range(0, len(drawn), AT_ONCE)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def percentiles(values: np.ndarray, clusters: int, confidence: float = 0.95) -> Interval:
    """The estimate values[0] and the percentiles of its resamples, moved outward to hold it.

    Resamples on which the statistic is undefined (NaN, for example AUROC without a negative) are
    left out, and the method says how many. The ends are NaN where none is left.

    Args:
      values: [1 + resamples] of one statistic, as `resample` gives them.
      clusters: how many were drawn from.
      confidence: the share of resamples between the ends, in (0, 1).

    Raises:
      ValueError: a bad confidence.
    """
    upper = _upper(confidence)
    value, resampled = float(values[0]), values[1:]
    defined = resampled[~np.isnan(resampled)]
    if math.isnan(value):
        return Interval(value, math.nan, math.nan, "undefined")
    if clusters < 2:
        return Interval(value, math.nan, math.nan, f"{clusters} cluster, no interval")
    if not len(defined):
        return Interval(value, math.nan, math.nan, f"undefined on {len(resampled):,} resamples")
    low, high = np.quantile(defined, [1 - upper, upper])
    method = (
        f"{_percent(confidence)} bootstrap over {clusters:,} clusters, {len(resampled):,} resamples"
    )
    if len(defined) < len(resampled):
        method += f" ({len(resampled) - len(defined):,} undefined)"
    return Interval(value, min(value, float(low)), max(value, float(high)), method)


def bootstrap_statistics(
    statistics: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    clusters: ArrayLike,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Statistics of n rows with their percentile intervals, whole clusters being resampled.

    Args:
      statistics: maps weights [R, n] of the rows to name → [R] numbers; NaN says that one is
        undefined there (see `percentiles`).
      clusters: [n] the cluster of each row, for example the id of its question.
      confidence: the share of resamples between the ends, in (0, 1).
      resamples: how many are drawn.
      seed: of the resamples.

    Raises:
      ValueError: no resample, or a bad confidence.
    """
    labels, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    drawn = draws(len(labels), resamples, seed)
    values = resample(lambda weights: statistics(weights[:, cluster]), drawn)
    return {name: percentiles(value, len(labels), confidence) for name, value in values.items()}


def bootstrap(
    values: ArrayLike,
    clusters: ArrayLike,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """The mean of n values, Σ w x / Σ w, with the interval of `bootstrap_statistics`.

    Args:
      values: [n] finite numbers, at least one.
      clusters: [n] the cluster of each.
      confidence: see `bootstrap_statistics`, as for the rest.
      resamples: how many are drawn.
      seed: of the resamples.

    Raises:
      ValueError: as `bootstrap_statistics` does; a value that is not finite; no value; lengths
        differ.
    """
    x = _finite("values", values)
    labels, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    if len(x) != len(cluster):
        raise ValueError(f"values and clusters must have one length: {len(x)} and {len(cluster)}")
    if not len(x):
        raise ValueError("values is empty: there is no mean")
    totals, counts = np.bincount(cluster, weights=x), np.bincount(cluster)
    drawn = draws(len(labels), resamples, seed)
    return percentiles(drawn @ totals / (drawn @ counts), len(labels), confidence)


def over_seeds(values: ArrayLike, clusters: int, confidence: float = 0.95) -> Interval:
    """The mean over S seeds, with both sources of error: the seeds and the clusters they share.

    Seeds err by Student's t, half-width t; the clusters by the percentiles of the seeds' mean on
    each resample. The two are independent, so each end is √(t² + b²) away from the mean, where b
    is the distance of the bootstrap's own end. One seed has the bootstrap's ends alone.

    Args:
      values: [S, 1 + resamples] a statistic on the same draws for each seed, the estimate first.
      clusters: how many were drawn from.
      confidence: of each source and so of both, in (0, 1).

    Raises:
      ValueError: a bad confidence.
    """
    x = np.asarray(values, dtype=float)
    sampled = percentiles(x.mean(axis=0), clusters, confidence)
    if len(x) == 1:
        return dataclasses.replace(sampled, method=f"{sampled.method}, one seed")
    if math.isnan(sampled.value):
        return sampled
    seeds = students_t(x[:, 0], confidence)
    half = seeds.high - seeds.value
    return Interval(
        sampled.value,
        sampled.value - math.hypot(half, sampled.value - sampled.low),
        sampled.value + math.hypot(half, sampled.high - sampled.value),
        f"{seeds.method} and {sampled.method}, in quadrature",
    )


def over_runs(runs: Sequence[Interval], confidence: float = 0.95) -> Interval:
    """The mean of one figure over S runs that differ in their seed.

    Each end is √(t² + m²) away from the mean: t is Student's half-width over the runs, m the mean
    distance of the runs' own ends. That is right where the runs share their questions, and too wide
    where each has its own (`over_replicates`). A run without ends counts as exact; one run keeps
    its own interval.

    Args:
      runs: the figure of each, at least one.
      confidence: of the runs' own intervals and of the result.
    """
    if len(runs) == 1:
        return runs[0]
    seeds = students_t([run.value for run in runs], confidence)
    half = seeds.high - seeds.value
    below = np.nan_to_num([run.value - run.low for run in runs]).mean()
    above = np.nan_to_num([run.high - run.value for run in runs]).mean()
    return Interval(
        seeds.value,
        seeds.value - math.hypot(half, below),
        seeds.value + math.hypot(half, above),
        f"{seeds.method} and the runs' own intervals, in quadrature",
    )


def over_replicates(runs: Sequence[Interval], confidence: float = 0.95) -> Interval:
    """The mean of one figure over runs that each have their own seed and their own questions.

    Student's interval: what such runs differ by holds the questions' error too, and their own
    intervals add nothing. One run keeps its own.

    Args:
      runs: the figure of each, at least one.
      confidence: of the result.
    """
    if len(runs) == 1:
        return runs[0]
    return students_t([run.value for run in runs], confidence)


def _finite(name: str, values: ArrayLike) -> np.ndarray:
    x = np.asarray(values, dtype=float)
    if x.ndim != 1:
        raise ValueError(f"{name} must be one list of numbers: its shape is {x.shape}")
    bad = np.flatnonzero(~np.isfinite(x))
    if len(bad):
        raise ValueError(f"{name}[{bad[0]}] must be finite: {x[bad[0]]}")
    return x


def _upper(confidence: float) -> float:
    """The upper quantile of a two-sided interval."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, such as .95: {confidence}")
    return (1 + confidence) / 2


def _percent(confidence: float) -> str:
    return f"{100 * confidence:g} %"
