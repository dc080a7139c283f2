"""Models of one shape that learn parts of the same data: their best held-out losses."""

import dataclasses
import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from qdcjax.models.transformer import Transformer, count_params, init_params, param_shapes
from qdcjax.reporting.metrics import METRICS_FILE, read_metrics
from qdcjax.training.fit import TrainSettings
from qdcjax.training.members import HeldOut, SubsetBatches, fit_members, join, make_program
from qdcjax.training.step import LossFn
from qdcjax.workdir import Workdir

HELD_OUT = "held_out_loss"
LOWEST = 5  # evaluations whose mean is a member's loss
BASE = "base"  # the model that learns every size of the data; the others only the largest


@dataclasses.dataclass(frozen=True)
class Member:
    """One training.

    Attributes:
      data: name of the manifold or corpus.
      size: rows of it that are learned from.
      seed: of the first parameters and the order of rows.
    """

    data: str
    size: int
    seed: int


@dataclasses.dataclass(frozen=True)
class Data:
    """What members learn from, and what they are evaluated on.

    Attributes:
      train: field → [N, …] rows of all members.
      parts: the rows of each member, from the first to the end.
      held_out: field → [M, …] rows of each member.
    """

    train: Mapping[str, np.ndarray]
    parts: Sequence[tuple[int, int]]
    held_out: Mapping[str, np.ndarray]


def sizes_of(section: Mapping[str, Any], model: str) -> Sequence[int]:
    """What the model `<section>.models.<model>` learns of `<section>.sizes`."""
    return section["sizes"] if model == BASE else section["sizes"][-1:]


def together(
    members: Sequence[Member],
    source: Callable[[Member], Hashable],
    train: Mapping[Hashable, Mapping[str, np.ndarray]],
    held_out: Mapping[Hashable, Mapping[str, np.ndarray]],
) -> Data:
    """The data of members: each learns the first rows of its source.

    Args:
      members: of one program.
      source: of a member.
      train, held_out: source → field → rows.
    """
    tested = [held_out[source(of)] for of in members]
    return Data(
        *join(train, [(source(of), of.size) for of in members]),
        {name: np.stack([of[name] for of in tested]) for name in tested[0]},
    )


def learn(
    model: Transformer,
    loss: Callable[[Transformer], LossFn],
    members: Sequence[Member],
    data: Data,
    settings: TrainSettings,
    *,
    at_once: int,
    mesh: Mesh,
    workdir: Workdir,
    name: str,
) -> tuple[list[Any], dict[str, list]]:
    """Each member's parameters at the end, and the table of their losses.

    A member's loss is the mean of its five lowest evaluations: the smallest parts of the data are
    learned by heart long before the end.

    Args:
      model, loss: of all members; the loss function is made from the model.
      settings, at_once, mesh, name: see `fit_members`.
      members: who learns.
      data: of all, see `together`.
      workdir: of the run.

    Returns:
      Parameters; columns `data`, `size`, `seed`, `loss`, `parameters` (of the layers), `layers`.
    """
    of_model, key = loss(model), jax.random.key(0)

    def metric(params, rows):
        weights = rows["mask"] / rows["mask"].sum()
        return of_model(params, {**rows, "weights": weights}, key)[0]

    params = fit_members(
        make_program(functools.partial(init_params, model), of_model, settings),
        SubsetBatches(data.train, data.parts, settings.batch_size, [of.seed for of in members]),
        settings,
        seeds=[of.seed for of in members],
        at_once=at_once,
        mesh=mesh,
        workdir=workdir.path,
        name=name,
        held_out=HeldOut(HELD_OUT, metric, data.held_out),
    )
    evaluated = [
        [record[f"{HELD_OUT}/{m}"] for m in range(len(members))]
        for record in read_metrics(workdir.path / METRICS_FILE, name)
        if f"{HELD_OUT}/0" in record
    ]
    lowest = np.sort(np.asarray(evaluated), axis=0)[:LOWEST].mean(axis=0)
    count = count_params(param_shapes(model)["layers"])
    return params, {
        "data": [of.data for of in members],
        "size": [of.size for of in members],
        "seed": [of.seed for of in members],
        "loss": lowest.tolist(),
        "parameters": [count] * len(members),
        "layers": [model.config.layers] * len(members),
    }
