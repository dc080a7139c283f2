"""The intrinsic dimension of policies' hidden states over layers, positions and training."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import datasets

from qdcjax.data.tables import columns
from qdcjax.experiments.stages.dimensions import (
    DimensionSettings,
    all_estimators,
    likelihoods,
    likelihoods_over,
    points_at,
)
from qdcjax.training.store import StoredModel
from qdcjax.workdir import Workdir


@dataclasses.dataclass(frozen=True)
class Measured:
    """A policy that is measured.

    Attributes:
      name: of the model, such as its width.
      seed: of its training, and of the places that are drawn.
      policy: the model.
      documents: ids of held-out text.
    """

    name: str
    seed: int
    policy: StoredModel
    documents: Sequence[Sequence[int]]


def layers_of(policy: StoredModel, asked: Sequence[int]) -> list[int]:
    """The layers that are measured: 0 is the embedding; all where none is asked for.

    Raises:
      ValueError: the model has no such layer.
    """
    count = policy.model.config.layers
    for layer in asked:
        if not 0 <= layer <= count:
            raise ValueError(f"layers: {layer} is none of 0 to {count}")
    return list(asked) or list(range(count + 1))


def over_layers(
    workdir: Workdir,
    measured: Sequence[Measured],
    settings: DimensionSettings,
    layers: Sequence[int],
    after: Sequence[str],
) -> datasets.Dataset:
    """Table `layers`: every estimator in each layer of each policy."""

    def make(of: Measured) -> dict[str, list]:
        asked = layers_of(of.policy, layers)
        description = f"states of {of.name}-{of.seed}"
        every = points_at(of.policy, of.documents, settings, asked, description, seed=of.seed)
        return columns(
            [
                {"model": of.name, "seed": of.seed, "layer": layer, **row}
                for layer, points in zip(asked, every, strict=True)
                for row in all_estimators(points, settings, of.seed)
            ]
        )

    return workdir.table("layers", ["dimension", "layers"], after, lambda: measured, make)


def over_positions(
    workdir: Workdir,
    measured: Sequence[Measured],
    settings: DimensionSettings,
    bounds: Sequence[int],
    after: Sequence[str],
) -> datasets.Dataset:
    """Table `positions`: the maximum likelihood in the last layer, between places in a passage."""

    def make(of: Measured) -> dict[str, list]:
        rows, last = [], of.policy.model.config.layers
        for first, end in itertools.pairwise(bounds):
            description = f"states of {of.name}-{of.seed}, {first} to {end}"
            (points,) = points_at(
                of.policy, of.documents, settings, [last], description, (first, end), of.seed
            )
            rows += [
                {"model": of.name, "seed": of.seed, "first": first, "end": end, **row}
                for row in likelihoods(points, settings, of.seed)
            ]
        return columns(rows)

    return workdir.table("positions", ["dimension", "positions"], after, lambda: measured, make)


def over_settings(
    workdir: Workdir,
    measured: Sequence[Measured],
    settings: DimensionSettings,
    others: Mapping[str, Sequence[int]],
    after: Sequence[str],
) -> datasets.Dataset:
    """Table `sensitivity`: the maximum likelihood in the last layer, with other K and batches."""

    def make(of: Measured) -> dict[str, list]:
        last, description = of.policy.model.config.layers, f"states of {of.name}-{of.seed}"
        (points,) = points_at(of.policy, of.documents, settings, [last], description, seed=of.seed)
        found = likelihoods_over(points, settings, others["ks"], others["batches"], of.seed)
        return columns([{"model": of.name, "seed": of.seed, **row} for row in found])

    return workdir.table("sensitivity", ["dimension", "sensitivity"], after, lambda: measured, make)
