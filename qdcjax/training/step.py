"""The one training step: a pure update made from a loss function and an optimiser.

Policies, reward models, refiners, autoencoders, generators and critics all train with it.
"""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

Batch = dict[str, jax.Array]
LossFn = Callable[[Any, Batch, jax.Array], tuple[jax.Array, dict[str, jax.Array]]]


@flax.struct.dataclass
class TrainState:
    """What a training run carries from step to step.

    Attributes:
      step: number of updates tried so far, int32.
      params: parameters, float32.
      opt_state: the optimiser's state.
    """

    step: jax.Array
    params: Any
    opt_state: Any


def init_state(params, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step."""
    return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params))


def make_update(loss_fn: LossFn, optimizer: optax.GradientTransformation, microbatches: int = 1):
    """Makes `update(state, batch, key) -> (state, metrics)`.

    The batch is a dict of arrays with one leading axis and holds `mask`, the elements (tokens,
    steps, examples) that carry loss. The loss function gets `weights` = mask / Σ mask beside it,
    where the sum runs over the whole optimiser step: all microbatches, all devices. It returns
    sums of weighted terms, loss and metrics alike, so that microbatches simply add:

        loss = Σ_m loss_fn(params, batch_m),   Σ_m Σ weights_m = 1.

    The key of step s is fold_in(key, s), and that of microbatch m fold_in(·, m): nothing random
    is carried. An update whose loss or gradient norm is not finite leaves parameters and
    optimiser state as they were; `metrics['finite']` is then 0.

    Args:
      loss_fn: pure `(params, batch, key) -> (loss, metrics)`.
      optimizer: optax transformation.
      microbatches: how many parts the batch is cut into, one after another, to save memory.
    """
    gradient = jax.value_and_grad(loss_fn, has_aux=True)

    def update(state: TrainState, batch: Batch, key: jax.Array):
        step_key = jax.random.fold_in(key, state.step)
        mask = batch["mask"].astype(jnp.float32)
        count = mask.sum()
        batch = {**batch, "weights": mask / jnp.where(count > 0, count, 1.0)}
        if microbatches == 1:
            (loss, metrics), grads = gradient(state.params, batch, step_key)
        else:
            # Every microbatch takes rows of every device, so that no row moves between devices.
            parts = jax.tree.map(
                lambda x: x.reshape(-1, microbatches, *x.shape[1:]).swapaxes(0, 1), batch
            )

            def add(total, part):
                index, microbatch = part
                result = gradient(state.params, microbatch, jax.random.fold_in(step_key, index))
                return jax.tree.map(jnp.add, total, result), None

            first = jax.tree.map(lambda x: x[0], parts)
            zeros = jax.tree.map(
                lambda x: jnp.zeros(x.shape, x.dtype),
                jax.eval_shape(gradient, state.params, first, step_key),
            )
            ((loss, metrics), grads), _ = jax.lax.scan(
                add, zeros, (jnp.arange(microbatches), parts)
            )
        norm = optax.tree.norm(grads)
        finite = jnp.isfinite(loss) & jnp.isfinite(norm)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        keep = lambda new, old: jnp.where(finite, new, old)  # noqa: E731
        state = TrainState(
            state.step + 1,
            jax.tree.map(keep, params, state.params),
            jax.tree.map(keep, opt_state, state.opt_state),
        )
        shared = {"loss": loss, "gradient_norm": norm, "elements": count, "finite": finite}
        return state, {**metrics, **shared}

    return update


def compile_update(update, state_shardings=None, batch_sharding=None, replicated=None):
    """Compiles an update for a mesh, giving the old state's memory to the new one.

    Args:
      update: from `make_update`.
      state_shardings: tree of shardings like the state (see `sharding.state_shardings`), or None
        to leave everything where it is.
      batch_sharding: of every array of the batch.
      replicated: of the key and the metrics.
    """
    if state_shardings is None:
        return jax.jit(update, donate_argnums=0)
    return jax.jit(
        update,
        donate_argnums=0,
        in_shardings=(state_shardings, batch_sharding, replicated),
        out_shardings=(state_shardings, replicated),
    )
