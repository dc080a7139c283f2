"""Intrinsic dimension from nearest neighbours' distances: Levina–Bickel, TwoNN, Gride.

On a smooth density in d dimensions the number of neighbours within a small distance r grows as
r^d; each estimator reads d from how fast it does, at its own scale. One number can mislead: beside
it, look at `gride` over scales, and at `mle_over` several K and batches.
"""

import dataclasses
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from qdcjax.measures.intervals import Interval, draws, percentiles
from qdcjax.measures.neighbours import Metric, nearest

Name = TypeVar("Name", bound=Hashable)
Aggregate = Literal["harmonic", "arithmetic", "unbiased"]
AGGREGATES = ("harmonic", "arithmetic", "unbiased")
FITS = ("linear", "likelihood")
RESAMPLES = 200  # of standard errors that no formula gives


@dataclasses.dataclass(frozen=True)
class Estimate:
    """An intrinsic dimension.

    Attributes:
      dimension: the estimate.
      standard_error: of the estimate, as if points' own values were independent; neighbourhoods
        overlap, so that it is a lower bound. `over_batches` has none of that.
      dropped: points that were left out since they equal another one.
      scale: mean distance of the farthest neighbour that was looked at, in the metric's unit.
      method: estimator, settings and number of points, in words.
    """

    dimension: float
    standard_error: float
    dropped: int
    scale: float
    method: str


def mle(
    points: ArrayLike,
    k: int = 20,
    metric: Metric = "euclidean",
    aggregate: Aggregate = "harmonic",
) -> Estimate:
    """Levina and Bickel's maximum likelihood (2004, "Maximum Likelihood Estimation of Intrinsic
    Dimension").

    With R_j the distance to a point's j-th neighbour, the point's own estimate is

        m = (K − 1) / Σ_{j<K} log(R_K / R_j),

    and the whole one is their mean: `harmonic`, n / Σ 1/m, as MacKay and Ghahramani argue;
    `arithmetic`; or `unbiased`, the arithmetic mean with K − 2 in place of K − 1.

    Args:
      points: [n, D], with more than K different ones.
      k: K, at least 2, or 3 where unbiased.
      metric: see `nearest`; the cosine distance halves the dimension, for 1 − cos θ ≈ θ² / 2.
      aggregate: over points.

    Raises:
      ValueError: as `nearest` does, or another name, or too small a K.
    """
    check_mle(k, aggregate)
    found = nearest(points, k, metric)
    return mle_of(found.distances, found.dropped, metric, aggregate)


def check_mle(k: int, aggregate: str) -> None:
    """Raises ValueError where `mle` would, whatever the points."""
    if aggregate not in AGGREGATES:
        raise ValueError(f"aggregate={aggregate!r} must be one of {', '.join(AGGREGATES)}")
    least = 3 if aggregate == "unbiased" else 2
    if k < least:
        raise ValueError(f"k={k} must be at least {least} with aggregate={aggregate!r}")


def mle_of(
    distances: np.ndarray, dropped: int, metric: str, aggregate: Aggregate = "harmonic"
) -> Estimate:
    """`mle` of [n, K] distances that are there already."""
    n, k = distances.shape
    logs = np.log(distances[:, -1:] / distances[:, :-1]).sum(axis=1)
    equal = int((logs == 0).sum())
    if equal == n or (equal and aggregate != "harmonic"):
        raise ValueError(f"{equal:,} of {n:,} points have all {k} neighbours at one distance")
    if aggregate == "harmonic":
        inverse = logs / (k - 1)
        dimension = 1 / inverse.mean()
        error = float(dimension**2 * _error(inverse))
    else:
        pointwise = (k - 1 - (aggregate == "unbiased")) / logs
        dimension, error = pointwise.mean(), _error(pointwise)
    method = f"MLE, K = {k}, {metric}, {aggregate}, {n:,} points"
    return Estimate(float(dimension), error, dropped, float(distances[:, -1].mean()), method)


def mle_over(
    points: ArrayLike,
    ks: Sequence[int],
    metric: Metric = "euclidean",
    aggregate: Aggregate = "harmonic",
) -> dict[int, Estimate]:
    """K → `mle`, from one search for neighbours."""
    for k in ks:
        check_mle(k, aggregate)
    found = nearest(points, max(ks), metric)
    return {k: mle_of(found.distances[:, :k], found.dropped, metric, aggregate) for k in ks}


def two_nn(
    points: ArrayLike,
    discard_fraction: float = 0.1,
    fit: Literal["linear", "likelihood"] = "linear",
    metric: Metric = "euclidean",
) -> Estimate:
    """TwoNN (Facco et al. 2017, "Estimating the intrinsic dimension of datasets by a minimal
    neighborhood information").

    μ = R_2 / R_1 has the distribution F(μ) = 1 − μ^−d. The largest `discard_fraction` of all μ are
    left out, so that N remain of n: `linear` fits −log(1 − i/n) = d log μ_i, i = 1…N, through the
    origin by least squares; `likelihood` is

        d = (N − 1) / (Σ_{i≤N} log μ_i + (n − N) log μ_N),

    unbiased for ratios of which the largest are only known to be larger.

    Args:
      points: [n, D], at least three different ones.
      discard_fraction: in [0, 1); the linear fit leaves out one ratio at least.
      fit: how.
      metric: see `nearest`.

    Raises:
      ValueError: as `nearest` does, or another name, or a fraction out of its range.
    """
    if fit not in FITS:
        raise ValueError(f"fit={fit!r} must be one of {', '.join(FITS)}")
    if not 0 <= discard_fraction < 1:
        raise ValueError(f"discard_fraction={discard_fraction} must be in [0, 1)")
    found = nearest(points, 2, metric)
    return two_nn_of(found.distances, found.dropped, metric, discard_fraction, fit)


def two_nn_of(
    distances: np.ndarray,
    dropped: int,
    metric: str,
    discard_fraction: float = 0.1,
    fit: Literal["linear", "likelihood"] = "linear",
) -> Estimate:
    """`two_nn` of [n, 2] distances that are there already."""
    logs = np.log(distances[:, 1] / distances[:, 0])
    n = len(logs)
    kept = min(int(n * (1 - discard_fraction)), n - (fit == "linear"))
    if not np.sort(logs)[:kept].any():
        raise ValueError(f"{n:,} points have their two neighbours at one distance, nearly all")
    heights = -np.log1p(-np.arange(1, kept + 1) / n) if fit == "linear" else None

    def dimensions_of(logs: np.ndarray) -> np.ndarray:
        """Of each row."""
        x = np.sort(logs)[:, :kept]
        if fit == "likelihood":
            return (kept - 1) / (x.sum(axis=1) + (n - kept) * x[:, -1])
        return x @ heights / np.square(x).sum(axis=1)

    (dimension,) = dimensions_of(logs[None])
    resampled = np.random.default_rng(0).choice(logs, (RESAMPLES, n))
    error = np.std(dimensions_of(resampled), ddof=1)
    method = f"TwoNN, {fit}, {metric}, {n:,} points"
    scale = float(distances[:, 1].mean())
    return Estimate(float(dimension), float(error), dropped, scale, method)


def gride(
    points: ArrayLike, largest: int = 64, metric: Metric = "euclidean"
) -> dict[int, Estimate]:
    """Generalised ratios over scales (Denti et al. 2022, "The generalized ratios intrinsic
    dimension estimator").

    μ = R_2m / R_m of the neighbours m and 2m has the density

        d (μ^d − 1)^(m−1) / (B(m, m) μ^(d (2m−1) + 1)),

    and d is its maximum likelihood; with m = 1 that is n / Σ log μ.

    Args:
      points: [n, D], with more than `largest` different ones.
      largest: the farthest neighbour, 2m.
      metric: see `nearest`.

    Returns:
      2m → estimate, for 2m = 2, 4, 8… up to `largest`.

    Raises:
      ValueError: as `nearest` does, or `largest` is under 2.
    """
    if largest < 2:
        raise ValueError(f"largest={largest} must be at least 2")
    found = nearest(points, largest, metric)
    return gride_of(found.distances, found.dropped, metric)


def gride_of(distances: np.ndarray, dropped: int, metric: str) -> dict[int, Estimate]:
    """`gride` of [n, largest] distances that are there already."""
    n, largest = distances.shape
    estimates = {}
    for far in (2**power for power in range(1, int(math.log2(largest)) + 1)):
        near = far // 2
        logs = np.log(distances[:, far - 1] / distances[:, near - 1])
        dimension, error = _ratio_likelihood(logs, near)
        method = f"Gride, neighbours {near} and {far}, {metric}, {n:,} points"
        scale = float(distances[:, far - 1].mean())
        estimates[far] = Estimate(dimension, error, dropped, scale, method)
    return estimates


def over_batches(
    points: ArrayLike,
    estimates: Callable[[np.ndarray], Mapping[Name, Estimate]],
    batch: int,
    seed: int = 0,
) -> dict[Name, tuple[Interval, int]]:
    """The mean of estimates over batches of points, and how many points were dropped in them.

    An estimate depends on the number of points, so that the batch is part of its definition. The
    interval is a bootstrap over batches; of a single one it is two standard errors to each side.

    Args:
      points: [n, D]; they are shuffled, and what is left after the last whole batch is not used.
      estimates: of the points of a batch, each with a name.
      batch: points in each.
      seed: of the shuffling.

    Returns:
      Name → interval and count.

    Raises:
      ValueError: fewer points than a batch.
    """
    points = np.asarray(points)
    if not 1 <= batch <= len(points):
        raise ValueError(f"batch={batch:,} must be from 1 to the number of points, {len(points):,}")
    order = np.random.default_rng(seed).permutation(len(points))
    batches = order[: len(points) // batch * batch].reshape(-1, batch)
    every = [estimates(points[rows]) for rows in batches]
    return {
        name: (_mean([of[name] for of in every]), sum(of[name].dropped for of in every))
        for name in every[0]
    }


def _mean(found: Sequence[Estimate]) -> Interval:
    """Of the estimates of batches."""
    if len(found) == 1:
        value, half = found[0].dimension, 2 * found[0].standard_error
        return Interval(value, value - half, value + half, "two standard errors, 1 batch")
    means = draws(len(found)) @ [of.dimension for of in found] / len(found)
    return percentiles(means, len(found))


def _ratio_likelihood(logs: np.ndarray, m: int) -> tuple[float, float]:
    """The d that is likeliest for log(R_2m / R_m), and its standard error by the information."""
    if not logs.any():
        raise ValueError(
            f"all {len(logs):,} points have neighbours {m} and {2 * m} at one distance"
        )
    positive = np.where(logs > 0, logs, 1)

    def score(d: float) -> float:
        # log μ · μ^d / (μ^d − 1), which tends to 1 / d where μ is 1.
        growth = np.where(logs > 0, positive / -np.expm1(-d * positive), 1 / d)
        return len(logs) / d + (m - 1) * growth.sum() - (2 * m - 1) * logs.sum()

    d = brentq(score, 1e-6, 1e6)
    width = 1e-4 * d
    information = (score(d - width) - score(d + width)) / (2 * width)
    return float(d), float(1 / math.sqrt(information))


def _error(values: np.ndarray) -> float:
    """The standard error of a mean of independent values."""
    return float(values.std(ddof=1) / math.sqrt(len(values)))
