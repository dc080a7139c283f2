"""A generator with its critic: two states that each take the one training step."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qdcjax.models.generator import Critic, CriticConfig, Generator, GeneratorConfig, generate
from qdcjax.training.adversarial import CriticTraining, adversarial_program
from qdcjax.training.fit import TrainSettings
from qdcjax.training.members import SubsetBatches, fit_members
from qdcjax.training.optimizer import OptimizerConfig, make_optimizer
from qdcjax.training.point_losses import adversarial_loss, critic_loss
from qdcjax.training.sharding import MeshConfig, make_mesh
from qdcjax.training.step import make_update

GENERATOR = Generator(GeneratorConfig(latent=1, ambient=2, width=16, layers=2))
CRITIC = Critic(CriticConfig(width=16, layers=2))
ADAM = OptimizerConfig(5e-3, warmup=0.0, schedule="constant", b1=0.5, b2=0.9)
SETTINGS = TrainSettings(300, 3 * 32, ADAM, log_every=50, checkpoint_every=100)
LEARNING = CriticTraining(3, 0.1, ADAM)


def points(count: int, seed: int) -> np.ndarray:
    """Around (2, −1)."""
    return (0.1 * np.random.default_rng(seed).normal(size=(count, 2)) + [2, -1]).astype(np.float32)


def test_an_update_is_three_of_the_critic_and_then_one_of_the_generator():
    warm = dataclasses.replace(ADAM, warmup=0.1)
    learning = dataclasses.replace(LEARNING, optimizer=warm)
    program = adversarial_program(GENERATOR, CRITIC, SETTINGS, learning)
    key = jax.random.key(3)
    pair = program.start(jax.random.key(0), None)
    batch = {"points": jnp.asarray(points(96, 0)), "mask": jnp.ones(96)}
    found, metrics = jax.jit(program.update)(pair, batch, key)

    keys = jax.random.split(key)
    optimizer = make_optimizer(warm, 900)  # its rate rises over a tenth of its own steps
    update = jax.jit(make_update(critic_loss(GENERATOR, CRITIC, 0.1), optimizer))
    critic, distances = pair.critic, []
    for part in range(3):
        rows = {name: x[32 * part : 32 * part + 32] for name, x in batch.items()}
        critic, of = update(critic, {**rows, "generator": pair.params}, keys[0])
        distances.append(float(of["critic_distance"]))
    update = jax.jit(make_update(adversarial_loss(GENERATOR, CRITIC), make_optimizer(ADAM, 300)))
    generator, _ = update(pair.generator, {"mask": jnp.ones(32), "critic": critic.params}, keys[1])
    chex.assert_trees_all_close(found.critic, critic, atol=1e-6)
    chex.assert_trees_all_close(found.generator, generator, atol=1e-6)
    assert (int(found.step), int(found.critic.step)) == (1, 3)
    assert float(metrics["critic_distance"]) == pytest.approx(np.mean(distances), abs=1e-6)
    assert (float(metrics["elements"]), bool(metrics["finite"])) == (96, True)


def test_a_critic_that_is_not_finite_stops_the_run():
    program = adversarial_program(GENERATOR, CRITIC, SETTINGS, LEARNING)
    pair = program.start(jax.random.key(0), None)
    batch = {"points": jnp.full((96, 2), jnp.inf), "mask": jnp.ones(96)}
    found, metrics = jax.jit(program.update)(pair, batch, jax.random.key(3))
    assert not bool(metrics["finite"])
    chex.assert_trees_all_equal(found.critic.params, pair.critic.params)


def test_members_find_their_points(devices, tmp_path):
    """Two seeds, killed and gone on with: generated points are where the data are."""
    data = {"points": points(500, 1), "mask": np.ones(500, np.float32)}

    def train(folder, steps=300):
        return fit_members(
            adversarial_program(GENERATOR, CRITIC, SETTINGS, LEARNING),
            SubsetBatches(data, [(0, 500), (0, 100)], 96, [0, 1]),
            SETTINGS if steps == 300 else TrainSettings(steps, 96, ADAM, checkpoint_every=100),
            seeds=[0, 1],
            at_once=2,
            mesh=make_mesh(MeshConfig(1), devices[:1]),
            workdir=tmp_path / folder,
            name="generators",
        )

    whole = train("whole")
    for params in whole:
        found = generate(GENERATOR, params, jax.random.key(9), 500)
        assert jnp.linalg.norm(found.mean(axis=0) - jnp.asarray([2.0, -1.0])) < 0.5, (
            "2.2 away at first"
        )
    train("cut", 100)
    chex.assert_trees_all_equal(train("cut"), whole)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"steps": 0}, "steps=0 must be at least 1"),
        ({"penalty": -1}, "penalty=-1 must be at least 0"),
    ],
)
def test_bad_fields_are_named_in_one_line(fields, words):
    with pytest.raises(ValueError, match=f"^{words}$"):
        CriticTraining(**{"steps": 1, "penalty": 0.0, "optimizer": ADAM, **fields})
