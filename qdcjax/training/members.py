"""Many trainings of one shape as one program: they differ in their data, seed or hyperparameters.

An accelerator is bound by launches when models are small, so that members under vmap cost little; a
CPU gains nothing from more than one at once, and then they follow each other in the program.
"""

import dataclasses
import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from qdcjax.models.transformer import Transformer, init_params
from qdcjax.training.fit import TrainSettings
from qdcjax.training.loop import Training
from qdcjax.training.optimizer import make_optimizer
from qdcjax.training.processes import to_host
from qdcjax.training.step import LossFn, init_state, make_update


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


@dataclasses.dataclass(frozen=True)
class Program:
    """One member's training, as pure functions.

    Attributes:
      start: `(key, begin) -> state` before the first step, which has `step` and `params`; `begin`
        is what the member is given to begin from.
      update: `(state, batch, key) -> (state, metrics)`, as `step.make_update` makes it.
    """

    start: Callable[[jax.Array, Any], Any]
    update: Callable[[Any, dict, jax.Array], tuple[Any, dict]]


def make_program(
    init: Callable[[jax.Array], Any],
    loss_fn: LossFn,
    settings: TrainSettings,
    change: Callable[[Any, Any], Any] = lambda params, begin: params,
) -> Program:
    """The training of one model.

    Args:
      init: key → fresh parameters.
      loss_fn: see `step.make_update`.
      settings: of its optimiser.
      change: `(parameters, begin) -> parameters` to begin from.
    """
    optimizer = make_optimizer(settings.optimizer, settings.steps)
    return Program(
        lambda key, begin: init_state(change(init(key), begin), optimizer),
        make_update(loss_fn, optimizer, settings.microbatches),
    )


def fit_members(
    program: Program,
    batches: Sequence[dict],
    settings: TrainSettings,
    *,
    seeds: Sequence[int],
    at_once: int,
    mesh: Mesh,
    workdir: Path,
    name: str,
    held_out: "HeldOut | None" = None,
    begin: Any = None,
) -> list[Any]:
    """Trains a fresh model on each member's batches; resumable (see `loop.Training`).

    Member m does what `fit.fit` would do with it alone: it starts from, and its steps use, the key
    of seed m.

    Args:
      program: of all members.
      batches: `batches[s]` has those of step s, stacked: every array [M, …].
      settings: of all; batches are made already, so that `buckets` and `pack` count no more.
      seeds: of each member's first parameters and of the keys of its steps.
      at_once, mesh: see `map_members`.
      workdir, name: of the run and the stage.
      held_out: what members are evaluated on every `settings.evaluate_every` steps.
      begin: a tree of arrays [M, …], of which each member's is given to `program.start`.

    Returns:
      The parameters of each, on the host.
    """
    own = pad_members(np.arange(len(seeds)), mesh)
    start, update, place = _compiled(program, at_once, mesh)
    put = lambda stacked: jax.device_put(jax.tree.map(lambda x: x[own], stacked), place)  # noqa: E731

    evaluate = None
    if held_out is not None:
        measured, data = jax.jit(map_members(held_out.metric, at_once, mesh)), put(held_out.data)

        def evaluate(params) -> dict[str, float]:
            values = to_host(measured(params, data))
            return {f"{held_out.name}/{m}": float(values[m]) for m in range(len(seeds))}

    keys = jax.vmap(jax.random.key)(np.asarray(seeds, np.uint32)[own])
    training = Training(
        update,
        start(keys, put(begin)),
        key=jax.device_put(keys, place),
        workdir=workdir,
        name=name,
        log_every=settings.log_every,
        checkpoint_every=settings.checkpoint_every,
        put=put,
    )
    with training:
        state = training.run(
            batches, settings.steps, evaluate=evaluate, evaluate_every=settings.evaluate_every
        )
    params = to_host(state.params)
    return [jax.tree.map(lambda x: x[m], params) for m in range(len(seeds))]  # noqa: B023


def lower_members(
    model: Transformer,
    loss: Callable[[Transformer], LossFn],
    settings: TrainSettings,
    mesh: Mesh,
    length: int,
    *,
    count: int,
    at_once: int,
) -> jax.stages.Lowered:
    """The training step of `count` members on rows of `length` tokens, ready to be compiled.

    The mesh's devices need not be here; nothing is allocated.
    """
    own = pad_members(np.arange(count, dtype=np.uint32), mesh)
    one = make_program(functools.partial(init_params, model), loss(model), settings)
    start, update, place = _compiled(one, at_once, mesh)
    row = (len(own), settings.batch_size, length)
    batch = {
        name: jax.ShapeDtypeStruct(row, kind)
        for name, kind in (("tokens", np.int32), ("mask", np.float32))
    }
    placed = lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place)  # noqa: E731
    keys = jax.eval_shape(jax.vmap(jax.random.key), own)
    state, batch, keys = jax.tree.map(placed, (jax.eval_shape(start, keys, None), batch, keys))
    return update.lower(state, batch, keys)


def _compiled(
    program: Program, at_once: int, mesh: Mesh
) -> tuple[Callable, Callable, NamedSharding]:
    """Start and update of all members, jitted, and where what belongs to a member lies."""
    place = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    start = jax.jit(map_members(program.start, at_once, mesh), out_shardings=place)

    @functools.partial(jax.jit, donate_argnums=0)
    def update_members(state, batch, keys):
        state, metrics = map_members(program.update, at_once, mesh)(state, batch, keys)
        return state, {
            **{of: value.mean() for of, value in metrics.items()},
            "elements": metrics["elements"].sum(),
            "finite": metrics["finite"].all(),
        }

    return start, update_members, place


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """What members are evaluated on while they learn.

    Attributes:
      name: of the metric in the log, where member m's is `<name>/<m>`.
      metric: `(parameters, data) -> number` of one member.
      data: a tree of host arrays [M, …], of all.
    """

    name: str
    metric: Callable[[Any, Any], jax.Array]
    data: Any


class MemberBatches:
    """`batches[s]`: the batches of step s of all members, stacked."""

    def __init__(self, members: Sequence[Sequence[dict]]):
        self._members = members

    def __getitem__(self, step: int) -> dict[str, np.ndarray]:
        found = [batches[step] for batches in self._members]
        return {field: np.stack([batch[field] for batch in found]) for field in found[0]}


def join(
    sources: Mapping[Hashable, Mapping[str, np.ndarray]], wanted: Sequence[tuple[Hashable, int]]
) -> tuple[dict[str, np.ndarray], list[tuple[int, int]]]:
    """The rows of all sources one after another, and which of them each member has.

    Args:
      sources: name → field → rows.
      wanted: of each member its source, of which it has the first so many rows.
    """
    begins, at = {}, 0
    for name, fields in sources.items():
        begins[name], at = at, at + len(next(iter(fields.values())))
    names = next(iter(sources.values()))
    rows = {name: np.concatenate([of[name] for of in sources.values()]) for name in names}
    return rows, [(begins[name], begins[name] + size) for name, size in wanted]


class SubsetBatches:
    """`batches[s]`: rows of step s from each member's part of the same arrays.

    A part is a range of rows, so that nothing is copied but the batch. Its rows come in random
    order, each once an epoch; which ones is a function of (seed, s) alone.
    """

    def __init__(
        self,
        data: Mapping[str, np.ndarray],
        ranges: Sequence[tuple[int, int]],
        batch_size: int,
        seeds: Sequence[int],
    ):
        """Copies nothing.

        Args:
          data: name → [N, …].
          ranges: first row and end of each member's part.
          batch_size: rows of a member at each step.
          seeds: of each member's order.

        Raises:
          ValueError: a part without rows.
        """
        for first, end in ranges:
            if not 0 <= first < end <= len(next(iter(data.values()))):
                raise ValueError(f"rows {first:,} to {end:,} are no part of the data")
        self._data, self._ranges, self._size, self._seeds = data, ranges, batch_size, seeds
        self._epoch = functools.lru_cache(maxsize=2 * len(ranges))(self._order)

    def _order(self, member: int, epoch: int) -> np.ndarray:
        first, end = self._ranges[member]
        rng = np.random.default_rng([self._seeds[member], epoch])
        return first + rng.permutation(end - first)

    def _rows(self, member: int, step: int) -> np.ndarray:
        first, end = self._ranges[member]
        at = step * self._size + np.arange(self._size)
        epochs, places = np.divmod(at, end - first)
        return np.concatenate(
            [self._epoch(member, int(e))[places[epochs == e]] for e in np.unique(epochs)]
        )

    def __getitem__(self, step: int) -> dict[str, np.ndarray]:
        rows = np.stack([self._rows(member, step) for member in range(len(self._ranges))])
        return {"index": rows, **{name: of[rows] for name, of in self._data.items()}}
