"""A toy regression run of the training loop, also as a program: `toy_run.py WORKDIR SIGNAL STEP`.

As a program it sends itself the named signal when the batch of step STEP is asked for.
"""

import os
import signal
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from qdcjax.training.loop import Training
from qdcjax.training.optimizer import OptimizerConfig, make_optimizer
from qdcjax.training.step import compile_update, init_state, make_update

EVALUATION = ("evaluate", "evaluate_every")
STEPS, CHECKPOINT_EVERY, LOG_EVERY = 12, 4, 5
OPTIMIZER = make_optimizer(OptimizerConfig(0.1, weight_decay=0.1), STEPS)


def loss_fn(params, batch, key):
    """Noisy regression, so that a wrong key, batch or moment shows; `number` is the step's own."""
    inputs = batch["x"] + 0.1 * jax.random.normal(key, batch["x"].shape)
    error = jnp.tanh(inputs @ params["in"]["kernel"]) @ params["out"]["kernel"] - batch["y"]
    number = jnp.sum(batch["weights"] * batch["number"])
    return jnp.sum(batch["weights"] * error**2), {"number": number}


class Batches:
    """`batches[s]` of the toy problem; `before(s)` is called first, to raise or to kill."""

    def __init__(self, before=lambda step: None):
        self.before = before

    def __getitem__(self, step):
        self.before(step)
        rng = np.random.default_rng(step)
        x = rng.normal(size=(4, 3)).astype(np.float32)
        return {
            "x": x,
            "y": np.sin(x.sum(axis=1)),
            "number": np.full(4, step, np.float32),
            "mask": np.ones(4, np.float32),
            "index": np.arange(4) + 10 * step,
        }


UPDATE = compile_update(make_update(loss_fn, OPTIMIZER))


def run(workdir: Path, before=lambda step: None, steps: int = STEPS, update=UPDATE, **options):
    """Trains the toy model in `workdir` and returns the last state."""
    rng = np.random.default_rng(0)
    params = {
        "in": {"kernel": jnp.asarray(rng.normal(size=(3, 5)), jnp.float32)},
        "out": {"kernel": jnp.asarray(rng.normal(size=5), jnp.float32)},
    }
    evaluation = {name: options.pop(name) for name in EVALUATION if name in options}
    options = {"checkpoint_every": CHECKPOINT_EVERY, "log_every": LOG_EVERY, **options}
    training = Training(
        update,
        init_state(params, OPTIMIZER),
        key=jax.random.key(3),
        workdir=workdir,
        name="toy",
        **options,
    )
    with training:
        return training.run(Batches(before), steps, **evaluation)


if __name__ == "__main__":
    folder, name, at = sys.argv[1:]

    def kill(step):
        if step == int(at):
            os.kill(os.getpid(), signal.Signals[name])

    run(Path(folder), kill)
