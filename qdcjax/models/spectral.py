"""The spectral norm of a layer, cheap enough for every step."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def spectral_norm(kernel: Float[Array, "... i o"], squarings: int = 6) -> Float[Array, "..."]:
    """The largest singular value, by 2^k steps of the power method as k squarings.

    v ∝ (WᵀW)^(2^k) 1 is held fixed, so that the gradient is that of |W v| / |v|: u vᵀ, as the
    singular value's own is.
    """
    gram = jnp.swapaxes(kernel, -1, -2) @ kernel
    for _ in range(squarings):
        gram /= jnp.linalg.norm(gram, axis=(-2, -1), keepdims=True)
        gram = gram @ gram
    v = jax.lax.stop_gradient(gram.sum(axis=-1, keepdims=True))
    return jnp.linalg.norm((kernel @ v)[..., 0], axis=-1) / jnp.linalg.norm(v[..., 0], axis=-1)
