"""Many trainings of one shape as one program: they differ in their data, seed or hyperparameters.

An accelerator is bound by launches when models are small, so that members under vmap cost little; a
CPU gains nothing from more than one at once, and then they follow each other in the program.
"""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from qdcjax.data.batches import Example, make_batches
from qdcjax.data.packing import pack
from qdcjax.models.transformer import Transformer, init_params
from qdcjax.training.fit import TrainSettings
from qdcjax.training.loop import Training
from qdcjax.training.losses import language_model_loss
from qdcjax.training.optimizer import make_optimizer
from qdcjax.training.processes import to_host
from qdcjax.training.step import TrainState, init_state, make_update


def map_members(one: Callable, at_once: int, mesh: Mesh | None = None) -> Callable:
    """Makes a function of all members' arguments, stacked, from one of a single member's.

    Args:
      one: from arrays, or trees of them, to a tree of arrays.
      at_once: members under vmap on a device; the rest of them wait.
      mesh: the members are spread over all its devices, of which their number must be a multiple
        (see `pad_members`).
    """

    def members(*stacked):
        together = min(at_once, len(jax.tree.leaves(stacked)[0]))
        return jax.lax.map(
            lambda member: one(*member), stacked, batch_size=together if together > 1 else None
        )

    if mesh is None or mesh.size == 1:
        return members
    cut = PartitionSpec(mesh.axis_names)
    return jax.shard_map(members, mesh=mesh, in_specs=cut, out_specs=cut, check_vma=False)


def pad_members(stacked, mesh: Mesh | None = None):
    """Host arrays of members, the last one again until there is a multiple of the devices."""
    devices = 1 if mesh is None else mesh.size
    return jax.tree.map(
        lambda x: np.concatenate([x, np.repeat(x[-1:], -len(x) % devices, axis=0)]), stacked
    )


def fit_members(
    model: Transformer,
    examples: Sequence[Sequence[Example]],
    settings: TrainSettings,
    *,
    seeds: Sequence[int],
    at_once: int,
    mesh: Mesh,
    workdir: Path,
    name: str,
) -> list[Any]:
    """Trains a fresh model on each member's examples; resumable (see `loop.Training`).

    Member m does what `fit.fit` would do with it alone, from `init_params(model, key(seed m))`.

    Args:
      model: of all members.
      examples: of each member; of one length, where `settings.pack` does not make them so.
      settings: of all; every batch has one length, whatever `buckets` says.
      seeds: of each member's first parameters and order of rows.
      at_once, mesh: see `map_members`.
      workdir, name: of the run and the stage.

    Returns:
      The parameters of each, on the host.
    """
    count = len(examples)
    own = pad_members(np.arange(count), mesh)
    rows = [pack(of, settings.pack) if settings.pack else of for of in examples]
    batches = MemberBatches([make_batches(rows[m], settings.batch_size, seeds[m]) for m in own])
    optimizer = make_optimizer(settings.optimizer, settings.steps)
    update = make_update(language_model_loss(model), optimizer, settings.microbatches)
    place = NamedSharding(mesh, PartitionSpec(mesh.axis_names))

    @functools.partial(jax.jit, out_shardings=place)
    def start(seeds):
        begin = lambda seed: init_state(init_params(model, jax.random.key(seed)), optimizer)  # noqa: E731
        return map_members(begin, at_once, mesh)(seeds)

    def update_members(state: TrainState, batch, key):
        keys = jnp.broadcast_to(key, len(own))
        state, metrics = map_members(update, at_once, mesh)(state, batch, keys)
        return state, {
            **{of: value.mean() for of, value in metrics.items()},
            "elements": metrics["elements"].sum(),
            "finite": metrics["finite"].all(),
        }

    training = Training(
        jax.jit(update_members, donate_argnums=0),
        start(np.asarray(seeds, np.uint32)[own]),
        key=jax.random.key(0),
        workdir=workdir,
        name=name,
        log_every=settings.log_every,
        checkpoint_every=settings.checkpoint_every,
        put=functools.partial(jax.device_put, device=place),
    )
    with training:
        params = to_host(training.run(batches, settings.steps).params)
    return [jax.tree.map(lambda x: x[m], params) for m in range(count)]  # noqa: B023


class MemberBatches:
    """`batches[s]`: the batches of step s of all members, stacked."""

    def __init__(self, members: Sequence[Sequence[dict]]):
        self._members = members

    def __getitem__(self, step: int) -> dict[str, np.ndarray]:
        found = [batches[step] for batches in self._members]
        return {field: np.stack([batch[field] for batch in found]) for field in found[0]}
