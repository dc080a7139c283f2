"""Examples in, trained parameters out: optimiser, mesh, batches and loop put together."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from qdcjax.data.batches import Example, make_batches
from qdcjax.data.packing import pack
from qdcjax.models import lora
from qdcjax.models.transformer import Transformer, param_shapes
from qdcjax.training import sharding
from qdcjax.training.loop import StopFlag, Training
from qdcjax.training.losses import train_only
from qdcjax.training.optimizer import OptimizerConfig, make_optimizer
from qdcjax.training.step import LossFn, compile_update, init_state, make_update
from qdcjax.training.utilisation import Utilisation


@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """How long and how a model is trained.

    Attributes:
      steps: optimiser steps.
      batch_size: rows a step, over all devices.
      optimizer: AdamW and its schedule.
      microbatches: parts that a batch is worked on in, one after another.
      buckets: padded lengths, each compiled once.
      pack: tokens in a row that holds several examples; 0 gives each example a row.
      log_every, checkpoint_every, evaluate_every: in steps; 0 never evaluates.
    """

    steps: int
    batch_size: int
    optimizer: OptimizerConfig
    microbatches: int = 1
    buckets: int = 2
    pack: int = 0
    log_every: int = 50
    checkpoint_every: int = 500
    evaluate_every: int = 0

    def __post_init__(self):
        at_least_one = ("steps", "batch_size", "microbatches", "buckets")
        at_least_one += ("log_every", "checkpoint_every")
        for name in (*at_least_one, "pack", "evaluate_every"):
            least = int(name in at_least_one)
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)} must be at least {least}")

    def check(self, mesh: Mesh | None) -> None:
        """Raises ValueError when the mesh does not divide the batch; None for one device."""
        ways = (sharding.row_parts(mesh) if mesh else 1) * self.microbatches
        if self.batch_size % ways:
            axes = "data × fsdp × microbatches" if mesh else "microbatches"
            raise ValueError(f"batch_size={self.batch_size} must be a multiple of {axes} = {ways}")


def fit(
    model: Transformer,
    params,
    loss: Callable[[Transformer], LossFn],
    examples: Sequence[Example],
    settings: TrainSettings,
    *,
    seed: int,
    mesh: Mesh,
    workdir: Path,
    name: str,
    evaluate: Callable[[Any], dict[str, float]] | None = None,
):
    """Trains `params` on `examples` and returns the new ones; resumable (see `loop.Training`).

    Args:
      model, params, loss, settings, seed, mesh, workdir, name: see `open_training`.
      examples: dicts of `tokens`, `mask` and what the loss reads.
      evaluate: parameters → metrics.
    """
    training = open_training(
        model, params, loss, settings, seed=seed, mesh=mesh, workdir=workdir, name=name
    )
    if settings.pack:
        examples = pack(examples, settings.pack)
    batches = make_batches(
        examples,
        settings.batch_size,
        seed,
        buckets=settings.buckets,
        parts=sharding.parts_of(mesh),
    )
    with training:
        state = training.run(
            batches, settings.steps, evaluate=evaluate, evaluate_every=settings.evaluate_every
        )
    return state.params


def open_training(
    model: Transformer,
    params,
    loss: Callable[[Transformer], LossFn],
    settings: TrainSettings,
    *,
    seed: int,
    mesh: Mesh,
    workdir: Path,
    name: str,
    stop: StopFlag | None = None,
) -> Training:
    """A training of `params` whose batches are still to come.

    Of a model with an adapter, only the adapter is trained.

    Args:
      model: for its parameters' logical axes.
      params: to start from; their memory is given away.
      loss: makes the model's loss function (see `losses` and `step.make_update`).
      settings: how.
      seed: of the order of examples and of the step keys.
      mesh: devices; the batch is cut by data and fsdp.
      workdir, name: of the run and the stage.
      stop: shared with other trainings.
    """
    settings.check(mesh)
    optimizer, update, shardings = _compiled(
        model, loss, settings.optimizer, settings.steps, settings.microbatches, mesh
    )
    start = jax.jit(init_state, static_argnums=1, donate_argnums=0, out_shardings=shardings)
    own, parts = sharding.parts_of(mesh)
    return Training(
        update,
        start(jax.device_put(params, shardings.params), optimizer),
        key=jax.random.key(seed),
        workdir=workdir,
        name=name,
        log_every=settings.log_every,
        checkpoint_every=settings.checkpoint_every,
        put=lambda batch: sharding.put_batch(batch, mesh),
        share=len(own) / parts,
        utilisation=Utilisation(model.config, mesh.devices),
        stop=stop,
    )


def lower_update(
    model: Transformer,
    loss: Callable[[Transformer], LossFn],
    settings: TrainSettings,
    mesh: Mesh,
    length: int,
    fields: Sequence[str] = (),
) -> jax.stages.Lowered:
    """The training step on rows of `length` tokens, ready to be compiled; nothing is allocated.

    `fields` are what the loss reads of a token besides `tokens` and `mask`.
    """
    optimizer, update, _ = _compiled(
        model, loss, settings.optimizer, settings.steps, settings.microbatches, mesh
    )
    state = jax.eval_shape(lambda params: init_state(params, optimizer), param_shapes(model))
    row = functools.partial(jax.ShapeDtypeStruct, (settings.batch_size, length))
    batch = {"tokens": row(np.int32), **{n: row(np.float32) for n in ("mask", *fields)}}
    if settings.pack:
        batch |= {"segment_ids": row(np.int32), "positions": row(np.int32)}
    return update.lower(state, batch, jax.eval_shape(lambda: jax.random.key(0)))


@functools.lru_cache(maxsize=8)
def _compiled(
    model: Transformer,
    loss: Callable[[Transformer], LossFn],
    config: OptimizerConfig,
    steps: int,
    microbatches: int,
    mesh: Mesh,
):
    """Optimiser, jitted update and state shardings; runs that differ in seed share them."""
    optimizer, loss_fn = make_optimizer(config, steps), loss(model)
    if model.config.lora is not None:
        trainable = lora.trainable(param_shapes(model))
        optimizer, loss_fn = optax.masked(optimizer, trainable), train_only(trainable, loss_fn)
    shardings = sharding.state_shardings(
        param_shapes(model), sharding.param_shardings(model, mesh), optimizer, mesh
    )
    update = compile_update(
        sharding.on_mesh(make_update(loss_fn, optimizer, microbatches), mesh),
        shardings,
        sharding.batch_sharding(mesh),
        sharding.replicated(mesh),
    )
    return optimizer, update, shardings
