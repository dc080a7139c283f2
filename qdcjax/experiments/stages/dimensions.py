"""Intrinsic dimensions of a policy's hidden states, by layer and place."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from qdcjax.experiments.stages.hidden_states import places_of, states_at
from qdcjax.measures.intervals import Interval
from qdcjax.measures.intrinsic_dimension import check_mle, gride, mle, over_batches, two_nn
from qdcjax.measures.neighbours import METRICS
from qdcjax.training.store import StoredModel

MLE, TWO_NN, GRIDE = "MLE", "TwoNN", "Gride"


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
      settings: how many.
      places: the first place and the end of those that are drawn from; 0 to the prefix by default.
      seed: of the places.

    Raises:
      ValueError: they have fewer places than a batch has points.
    """
    first, end = places or (0, settings.prefix)
    count = min(settings.places, end - first)
    passages = [
        ids[at : at + settings.prefix]
        for ids in documents
        for at in range(0, len(ids), settings.prefix)
    ][: settings.passages]
    rows, at = places_of(passages, end, count, first, seed)
    if len(rows) * count < settings.batch:
        raise ValueError(
            f"dimension.batch={settings.batch:,}: {len(rows):,} of {len(passages):,} passages have "
            f"{count} tokens between {first} and {end}, which makes {len(rows) * count:,} points"
        )
    return states_at(policy, [passages[row] for row in rows], at, layers, description)


def likelihoods(
    points: np.ndarray, settings: DimensionSettings, seed: int = 0
) -> list[dict[str, Any]]:
    """Rows of the maximum likelihood over batches, one a metric."""
    rows = []
    for metric in settings.metrics:
        estimate = functools.partial(mle, k=settings.k, metric=metric, aggregate=settings.aggregate)
        found = over_batches(points, estimate, settings.batch, seed)
        rows.append(_row(MLE, metric, settings.k, *found))
    return rows


def all_estimators(
    points: np.ndarray, settings: DimensionSettings, seed: int = 0
) -> list[dict[str, Any]]:
    """Rows of each estimator and metric; Gride's are of one batch, one a scale."""
    rows = likelihoods(points, settings, seed)
    for metric in settings.metrics:
        estimate = functools.partial(two_nn, metric=metric)
        rows.append(_row(TWO_NN, metric, 2, *over_batches(points, estimate, settings.batch, seed)))
        order = np.random.default_rng(seed).permutation(len(points))[: settings.batch]
        for farthest, found in gride(points[order], settings.farthest, metric).items():
            value, half = found.dimension, 2 * found.standard_error
            interval = Interval(value, value - half, value + half)
            rows.append(_row(GRIDE, metric, farthest, interval, found.dropped))
    return rows


def _row(estimator: str, metric: str, k: int, found: Interval, dropped: int) -> dict[str, Any]:
    return {
        "estimator": estimator,
        "metric": metric,
        "k": k,
        "dimension": found.value,
        "low": found.low,
        "high": found.high,
        "dropped": dropped,
    }
