"""Trainings of one shape: members under vmap against one after another.

    python benchmarks/members.py --repeats=3
    python benchmarks/members.py --of=charts --repeats=3

Of `transformers`: each is a regression of the scaling study, in which a transformer of 2 layers ×
32 learns a distance on S^4 in R^16 from batches of 128 points. Of `charts`: an autoencoder of four
charts learns to denoise S^2 in R^10 from batches of 256.
"""

from collections.abc import Callable
from typing import Any

import bench
import jax
import jax.numpy as jnp
from absl import app, flags

from qdcjax.models.autoencoder import ChartAutoencoder, ChartConfig
from qdcjax.models.config import TransformerConfig
from qdcjax.models.transformer import Transformer, init_params
from qdcjax.tasks.denoising import Denoising
from qdcjax.tasks.manifolds import Sphere
from qdcjax.tasks.regression import DistanceToAnchors
from qdcjax.training.losses import squared_error_loss
from qdcjax.training.members import map_members
from qdcjax.training.optimizer import OptimizerConfig, make_optimizer
from qdcjax.training.point_losses import denoising_loss
from qdcjax.training.step import LossFn, init_state, make_update

OF = flags.DEFINE_enum("of", "transformers", ["transformers", "charts"], "What is trained.")
MEMBERS = flags.DEFINE_integer("members", 64, "Trainings, of as many seeds.")
STEPS = flags.DEFINE_integer("steps", 10, "Of each.")
POINTS = 4_096

Task = tuple[Callable[[jax.Array], Any], LossFn, dict[str, jax.Array], int]


def transformers() -> Task:
    """Parameters of a key, loss, data, and rows of a batch."""
    model = Transformer(
        TransformerConfig(
            vocab_size=1, layers=2, width=32, heads=2, kv_heads=2, head_width=16, mlp_width=96,
            input="numbers", output="scalar", positions="learned", max_length=16,
        )
    )  # fmt: skip
    inputs, targets = DistanceToAnchors(Sphere(4), 16, anchors=8).draw(POINTS, seed=0)
    data = {"tokens": jnp.asarray(inputs), "targets": jnp.asarray(targets)}
    return lambda key: init_params(model, key), squared_error_loss(model), data, 128


def charts() -> Task:
    """As `transformers`."""
    model = ChartAutoencoder(ChartConfig(ambient=10, latent=2))
    noisy, clean = map(jnp.asarray, Denoising(Sphere(2), 10, normal=0.5).draw(POINTS, seed=0))
    data = {"noisy": noisy, "clean": clean}
    return lambda key: model.init(key, noisy[:1])["params"], denoising_loss(model), data, 256


def main(_: list[str]) -> None:
    """Prints the table."""
    init, loss_fn, data, size = {"transformers": transformers, "charts": charts}[OF.value]()
    optimizer = make_optimizer(OptimizerConfig(1e-3), STEPS.value)
    update = make_update(loss_fn, optimizer)

    def train(seed):
        key = jax.random.key(seed)

        def step(state, rows):
            batch = {name: of[rows] for name, of in data.items()} | {"mask": jnp.ones(size)}
            return update(state, batch, key)[0], None

        rows = jax.random.randint(key, (STEPS.value, size), 0, POINTS)
        return jax.lax.scan(step, init_state(init(key), optimizer), rows)[0].params

    seeds = jnp.arange(MEMBERS.value, dtype=jnp.uint32)
    together, in_turn = (jax.jit(map_members(train, n)) for n in (len(seeds), 1))
    alone = jax.jit(train)
    took = bench.in_turn(
        {
            "under vmap": lambda: jax.block_until_ready(together(seeds)),
            "in one program, one at a time": lambda: jax.block_until_ready(in_turn(seeds)),
            "one after another": lambda: [jax.block_until_ready(alone(seed)) for seed in seeds],
        }
    )
    steps = len(seeds) * STEPS.value
    title = f"{len(seeds)} trainings of {STEPS.value} steps, {OF.value}, batches of {size}"
    bench.show(title, took, dict.fromkeys(took, steps), "steps")


if __name__ == "__main__":
    app.run(main)
