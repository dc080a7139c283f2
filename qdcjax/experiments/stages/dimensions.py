"""Intrinsic dimensions of a policy's hidden states, by layer and place."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from qdcjax.experiments.stages.hidden_states import places_of, states_at
from qdcjax.measures.intrinsic_dimension import (
    Estimate,
    check_mle,
    gride_of,
    mle_of,
    over_batches,
    two_nn_of,
)
from qdcjax.measures.neighbours import METRICS, nearest
from qdcjax.training.store import StoredModel

MLE, TWO_NN, GRIDE = "MLE", "TwoNN", "Gride"
Estimates = Mapping[tuple[str, int], Estimate]  # (estimator, K or farthest neighbour) → estimate


@dataclasses.dataclass(frozen=True)
class DimensionSettings:
    """What a dimension is measured on; all of it is part of its definition.

    Attributes:
      passages: that are read, at most.
      prefix: tokens of a passage; a longer document is several.
      places: random ones in each passage.
      batch: points among which neighbours are looked for.
      k: neighbours of the maximum likelihood.
      aggregate: its mean over points; see `intrinsic_dimension.mle`.
      metrics: of `neighbours.METRICS`.
      farthest: neighbour of the largest scale, of Gride.
    """

    passages: int
    prefix: int
    places: int
    batch: int
    k: int
    aggregate: str
    metrics: tuple[str, ...]
    farthest: int

    def __post_init__(self):
        for name in ("passages", "prefix", "places", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        for metric in self.metrics:
            if metric not in METRICS:
                raise ValueError(f"metrics: {metric!r} must be one of {', '.join(METRICS)}")
        check_mle(self.k, self.aggregate)
        if not 2 <= self.farthest < self.batch:
            raise ValueError(f"farthest={self.farthest} must be from 2 to under batch={self.batch}")
        if self.k >= self.batch:
            raise ValueError(f"k={self.k} must be under batch={self.batch}")


def passages_of(
    documents: Sequence[Sequence[int]], settings: DimensionSettings
) -> list[Sequence[int]]:
    """Pieces of the documents, as long as the prefix; the last one of each may be shorter."""
    pieces = [
        ids[at : at + settings.prefix]
        for ids in documents
        for at in range(0, len(ids), settings.prefix)
    ]
    return pieces[: settings.passages]


def places_in(
    passages: Sequence[Sequence[int]],
    settings: DimensionSettings,
    places: tuple[int, int] | None = None,
    seed: int = 0,
) -> tuple[list[int], np.ndarray]:
    """Passages with enough tokens between two places, and random places in each: see `places_of`.

    Args:
      passages, settings: of the points.
      places: the first place and the end of those that are drawn from; 0 to the prefix by default.
      seed: of the places.

    Raises:
      ValueError: they have fewer places than a batch has points.
    """
    first, end = places or (0, settings.prefix)
    count = min(settings.places, end - first)
    rows, at = places_of(passages, end, count, first, seed)
    if len(rows) * count < settings.batch:
        raise ValueError(
            f"dimension.batch={settings.batch:,}: {len(rows):,} of {len(passages):,} passages have "
            f"{count} tokens between {first} and {end}, which makes {len(rows) * count:,} points"
        )
    return rows, at


def points_at(
    policy: StoredModel,
    documents: Sequence[Sequence[int]],
    settings: DimensionSettings,
    layers: Sequence[int],
    description: str,
    places: tuple[int, int] | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Hidden states [layers, n, D] at random places of the documents.

    Args:
      policy, layers, description: see `states_at`.
      documents: ids of each.
      settings, places, seed: see `places_in`, whose errors it raises.
    """
    passages = passages_of(documents, settings)
    rows, at = places_in(passages, settings, places, seed)
    return states_at(policy, [passages[row] for row in rows], at, layers, description)


def likelihoods(
    points: np.ndarray, settings: DimensionSettings, seed: int = 0
) -> list[dict[str, Any]]:
    """Rows of the maximum likelihood over batches, one a metric."""
    return _rows(points, settings, settings.batch, seed, settings.k, _likelihoods([settings.k]))


def likelihoods_over(
    points: np.ndarray,
    settings: DimensionSettings,
    ks: Sequence[int],
    batches: Sequence[int],
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Rows of the maximum likelihood for each of several K and batches, each with its `batch`."""
    return [
        {"batch": batch, **row}
        for batch in batches
        for row in _rows(points, settings, batch, seed, max(ks), _likelihoods(ks))
    ]


def all_estimators(
    points: np.ndarray, settings: DimensionSettings, seed: int = 0
) -> list[dict[str, Any]]:
    """Rows over batches of each estimator and metric; Gride's are one a scale."""

    def estimates(near: np.ndarray, dropped: int, metric: str, aggregate: str) -> Estimates:
        scales = gride_of(near[:, : settings.farthest], dropped, metric)
        return {
            **_likelihoods([settings.k])(near, dropped, metric, aggregate),
            (TWO_NN, 2): two_nn_of(near[:, :2], dropped, metric),
            **{(GRIDE, farthest): found for farthest, found in scales.items()},
        }

    farthest = max(settings.k, settings.farthest)
    return _rows(points, settings, settings.batch, seed, farthest, estimates)


def _likelihoods(ks: Sequence[int]) -> Callable[..., Estimates]:
    def estimates(near: np.ndarray, *of) -> Estimates:
        return {(MLE, k): mle_of(near[:, :k], *of) for k in ks}

    return estimates


def _rows(
    points: np.ndarray,
    settings: DimensionSettings,
    batch: int,
    seed: int,
    farthest: int,
    estimates: Callable[..., Estimates],
) -> list[dict[str, Any]]:
    """Rows of estimates that share one search for neighbours in each batch and metric.

    Args:
      points, settings, batch, seed: of the batches.
      farthest: how many neighbours are looked for.
      estimates: of distances, points dropped, metric and aggregate.
    """

    def of_batch(points: np.ndarray, metric: str) -> Estimates:
        found = nearest(points, farthest, metric)
        return estimates(found.distances, found.dropped, metric, settings.aggregate)

    return [
        {
            "estimator": estimator,
            "metric": metric,
            "k": k,
            "dimension": interval.value,
            "low": interval.low,
            "high": interval.high,
            "dropped": dropped,
        }
        for metric in settings.metrics
        for (estimator, k), (interval, dropped) in over_batches(
            points, functools.partial(of_batch, metric=metric), batch, seed
        ).items()
    ]
