"""A generator and its critic as one member's training: two states, each with the one step."""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from qdcjax.models.generator import Critic, Generator
from qdcjax.training.fit import TrainSettings
from qdcjax.training.members import Program
from qdcjax.training.optimizer import OptimizerConfig, make_optimizer
from qdcjax.training.point_losses import adversarial_loss, critic_loss
from qdcjax.training.step import TrainState, init_state, make_update


@dataclasses.dataclass(frozen=True)
class CriticTraining:
    """How a critic learns.

    Attributes:
      steps: of the critic before each of the generator's.
      penalty: see `point_losses.critic_loss`.
      optimizer: its own.
    """

    steps: int
    penalty: float
    optimizer: OptimizerConfig

    def __post_init__(self):
        if self.steps < 1:
            raise ValueError(f"steps={self.steps} must be at least 1")
        if self.penalty < 0:
            raise ValueError(f"penalty={self.penalty} must be at least 0")


@flax.struct.dataclass
class Pair:
    """The states of both; as a whole it has the generator's step and parameters."""

    generator: TrainState
    critic: TrainState

    @property
    def step(self) -> jax.Array:
        """Updates of the generator so far."""
        return self.generator.step

    @property
    def params(self) -> Any:
        """The generator's."""
        return self.generator.params


def adversarial_program(
    generator: Generator, critic: Critic, settings: TrainSettings, learning: CriticTraining
) -> Program:
    """`learning.steps` updates of the critic, each on its part of the batch, then the generator's.

    Args:
      generator, critic: the models.
      settings: of the generator; a batch has the rows of all critic steps.
      learning: of the critic.
    """
    of_generator = make_optimizer(settings.optimizer, settings.steps)
    of_critic = make_optimizer(learning.optimizer, settings.steps * learning.steps)
    update_critic = make_update(critic_loss(generator, critic, learning.penalty), of_critic)
    update_generator = make_update(adversarial_loss(generator, critic), of_generator)

    def start(key: jax.Array, begin: Any) -> Pair:
        keys = jax.random.split(key)
        z = jnp.zeros((1, generator.config.latent))
        x = jnp.zeros((1, generator.config.ambient))
        return Pair(
            init_state(generator.init(keys[0], z)["params"], of_generator),
            init_state(critic.init(keys[1], x)["params"], of_critic),
        )

    def update(pair: Pair, batch: dict, key: jax.Array) -> tuple[Pair, dict]:
        keys = jax.random.split(key)
        parts = jax.tree.map(lambda x: x.reshape(learning.steps, -1, *x.shape[1:]), batch)

        def step(state: TrainState, part: dict) -> tuple[TrainState, dict]:
            return update_critic(state, {**part, "generator": pair.params}, keys[0])

        state, metrics = jax.lax.scan(step, pair.critic, parts)
        last = {"mask": parts["mask"][-1], "critic": state.params}
        generator_state, of_step = update_generator(pair.generator, last, keys[1])
        return Pair(generator_state, state), of_step | {
            "critic_distance": metrics["critic_distance"].mean(),
            "elements": batch["mask"].sum(),
            "finite": of_step["finite"] & metrics["finite"].all(),
        }

    return Program(start, update)
