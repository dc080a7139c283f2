"""Trainings of one shape: members under vmap against one after another.

    python benchmarks/members.py --repeats=3

Each is a regression of the scaling study: a transformer of 2 layers × 32 learns a distance on S^4
in R^16 from batches of 128 points.
"""

import bench
import jax
import jax.numpy as jnp
from absl import app, flags

from qdcjax.models.config import TransformerConfig
from qdcjax.models.transformer import Transformer, init_params
from qdcjax.tasks.manifolds import Sphere
from qdcjax.tasks.regression import DistanceToAnchors
from qdcjax.training.losses import squared_error_loss
from qdcjax.training.members import map_members
from qdcjax.training.optimizer import OptimizerConfig, make_optimizer
from qdcjax.training.step import init_state, make_update

MEMBERS = flags.DEFINE_integer("members", 64, "Trainings, of as many seeds.")
STEPS = flags.DEFINE_integer("steps", 10, "Of each.")
POINTS, BATCH, AMBIENT = 4_096, 128, 16


def main(_: list[str]) -> None:
    """Prints the table."""
    model = Transformer(
        TransformerConfig(
            vocab_size=1, layers=2, width=32, heads=2, kv_heads=2, head_width=16, mlp_width=96,
            input="numbers", output="scalar", positions="learned", max_length=AMBIENT,
        )
    )  # fmt: skip
    inputs, targets = DistanceToAnchors(Sphere(4), AMBIENT, anchors=8).draw(POINTS, seed=0)
    inputs, targets = jnp.asarray(inputs), jnp.asarray(targets)
    optimizer = make_optimizer(OptimizerConfig(1e-3), STEPS.value)
    update = make_update(squared_error_loss(model), optimizer)

    def train(seed):
        key = jax.random.key(seed)

        def step(state, rows):
            batch = {"tokens": inputs[rows], "targets": targets[rows], "mask": jnp.ones(BATCH)}
            return update(state, batch, key)[0], None

        rows = jax.random.randint(key, (STEPS.value, BATCH), 0, POINTS)
        return jax.lax.scan(step, init_state(init_params(model, key), optimizer), rows)[0].params

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
    title = f"{len(seeds)} trainings of {STEPS.value} steps, {BATCH} × {AMBIENT} numbers"
    bench.show(title, took, dict.fromkeys(took, steps), "steps")


if __name__ == "__main__":
    app.run(main)
