"""Whole runs of reinforcement learning: members under vmap against runs one after another.

    python benchmarks/on_chip.py --repeats=3

Each run is RLOO on questions of random tokens: 64 rollouts of 32 new tokens an update. With
`--epochs=5` rollouts are learned from five times: what that takes more is four updates.
"""

import bench
import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from qdcjax.decoding.generate import Decoding
from qdcjax.rl.on_chip import Hyperparameters, Questions, make_train, train_members
from qdcjax.rl.policy_gradient import PolicyGradient
from qdcjax.training.optimizer import OptimizerConfig

MEMBERS = flags.DEFINE_integer("members", 64, "Runs, of as many seeds.")
ITERATIONS = flags.DEFINE_integer("iterations", 4, "Of each run.")
EPOCHS = flags.DEFINE_integer("epochs", 1, "Updates from the rollouts of an iteration.")
PROMPT, NEW_TOKENS, ANSWER = 24, 32, 3  # tokens
QUESTIONS, SAMPLES = 16, 4  # an update
LINE_END = 1  # the token that ends a line; 0 ends a sample


def main(_: list[str]) -> None:
    """Prints the table."""
    model, params = bench.model_and_params()
    rng = np.random.default_rng(0)
    tokens = lambda *shape: jnp.asarray(rng.integers(2, model.config.vocab_size, shape))  # noqa: E731
    N = 4 * QUESTIONS
    questions = Questions(
        tokens(N, PROMPT),
        jnp.full(N, PROMPT),
        tokens(N, ANSWER),
        jnp.full(N, ANSWER),
        jnp.asarray([LINE_END]),
    )
    train = make_train(
        model,
        params,
        questions,
        PolicyGradient(
            "rloo", iterations=ITERATIONS.value, questions=QUESTIONS, epochs=EPOCHS.value
        ),
        Decoding(SAMPLES, NEW_TOKENS, 1.0, stop_tokens=(0,)),
        OptimizerConfig(1.0, schedule="constant"),
        QUESTIONS * SAMPLES,
    )
    seeds = jnp.arange(MEMBERS.value, dtype=jnp.uint32)
    hyper = Hyperparameters(jnp.full(len(seeds), 1e-3), jnp.linspace(0, 0.1, len(seeds)))
    together, alone = train_members(train, len(seeds)), jax.jit(train)
    in_turn = train_members(train, 1)

    def one_after_another():
        for at in range(len(seeds)):
            own = jax.tree.map(lambda x: x[at], hyper)  # noqa: B023
            jax.block_until_ready(alone(jax.random.key(at), own))

    took = bench.in_turn(
        {
            "under vmap": lambda: jax.block_until_ready(together(seeds, hyper)),
            "in one program, one at a time": lambda: jax.block_until_ready(in_turn(seeds, hyper)),
            "one after another": one_after_another,
        }
    )
    rollouts = len(seeds) * ITERATIONS.value * QUESTIONS * SAMPLES
    c, updates = model.config, EPOCHS.value
    bench.show(
        f"{len(seeds)} runs of RLOO, {ITERATIONS.value} iterations of {QUESTIONS * SAMPLES} "
        f"rollouts, {updates} updates each, {NEW_TOKENS} new tokens, {c.layers} layers × {c.width}",
        took,
        dict.fromkeys(took, rollouts),
        "rollouts",
    )


if __name__ == "__main__":
    app.run(main)
