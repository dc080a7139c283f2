"""Generators of points and critics of them (arXiv 2302.13183).

Shapes: B points of D coordinates, ℓ latent ones.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from qdcjax.models.norms import spectral_norm


@dataclasses.dataclass(frozen=True)
class GeneratorConfig:
    """A generator's shape.

    Attributes:
      latent: ℓ.
      ambient: D.
      width, layers: of the hidden layers.
    """

    latent: int
    ambient: int
    width: int = 128
    layers: int = 3

    def __post_init__(self):
        for name in ("latent", "ambient", "width", "layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if self.latent > self.ambient:
            raise ValueError(f"latent={self.latent} must be at most ambient={self.ambient}")


class Generator(nn.Module):
    """A ReLU network from the unit cube to R^D."""

    config: GeneratorConfig

    @nn.compact
    def __call__(self, z: Float[Array, "B l"]) -> Float[Array, "B D"]:
        """The points of latent ones in (0, 1)^ℓ."""
        x = 2 * z - 1
        for _ in range(self.config.layers):
            x = nn.relu(nn.Dense(self.config.width)(x))
        return nn.Dense(self.config.ambient)(x)


def generate(model: Generator, params, key: jax.Array, count: int) -> jax.Array:
    """So many points [count, D] of a generator, whose latent ones are uniform on (0, 1)^ℓ."""
    z = jax.random.uniform(key, (count, model.config.latent))
    return model.apply({"params": params}, z)


@dataclasses.dataclass(frozen=True)
class CriticConfig:
    """A critic's shape.

    Attributes:
      width, layers: of the hidden layers.
      spectral: whether every layer is divided by its spectral norm, so that the critic is
        1-Lipschitz (Miyato et al. 2018).
    """

    width: int = 128
    layers: int = 3
    spectral: bool = False

    def __post_init__(self):
        for name in ("width", "layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")


class Critic(nn.Module):
    """A ReLU network from R^D to R, the f of W1 = sup { E f(x) − E f(y) : |f|_Lip ≤ 1 }."""

    config: CriticConfig

    @nn.compact
    def __call__(self, x: Float[Array, "B D"]) -> Float[Array, "B"]:
        """f at each point."""
        widths = [self.config.width] * self.config.layers
        for number, width in enumerate([*widths, 1]):
            kernel = self.param(
                f"kernel_{number}", nn.initializers.lecun_normal(), (x.shape[-1], width)
            )
            if self.config.spectral:
                kernel = kernel / spectral_norm(kernel)
            x = x @ kernel + self.param(f"bias_{number}", nn.initializers.zeros, (width,))
            x = nn.relu(x) if number < len(widths) else x
        return jnp.squeeze(x, axis=-1)
