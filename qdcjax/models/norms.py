"""Norms whose gradients are finite everywhere, and the spectral norm of a layer."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def safe_sqrt(x: jax.Array) -> jax.Array:
    """√x, and 0 with gradient 0 where x is 0 or, by rounding, below; NaN stays NaN."""
    return jnp.where(x <= 0, 0.0, jnp.sqrt(jnp.where(x <= 0, 1.0, x)))


def safe_norm(x: jax.Array) -> jax.Array:
    """|x| over the last axis, whose gradient at 0 is 0."""
    return safe_sqrt(jnp.sum(x**2, axis=-1))


def distances(x: Float[Array, "N D"], y: Float[Array, "M D"]) -> Float[Array, "N M"]:
    """|x_i − y_j|, by products; the gradient at 0 is 0.

    Points that are much farther from the origin than from each other lose digits.
    """
    products = jnp.matmul(x, y.T, precision="highest")
    squares = jnp.sum(x**2, axis=-1)[:, None] + jnp.sum(y**2, axis=-1) - 2 * products
    return safe_sqrt(squares)


def spectral_norm(kernel: Float[Array, "... i o"], squarings: int = 6) -> Float[Array, "..."]:
    """The largest singular value, by 2^k steps of the power method as k squarings.

    v, the largest column of (WᵀW)^(2^k), is held fixed, so that the gradient is that of
    |W v| / |v|: u vᵀ, as the singular value's own is. Of W = 0 both are 0. It is cheap enough for
    every step.
    """
    if kernel.shape[-2] < kernel.shape[-1]:
        kernel = jnp.swapaxes(kernel, -1, -2)  # of the same norm, and the smaller WᵀW
    # A layer that a penalty has all but put out would be lost in the squares.
    largest = jax.lax.stop_gradient(jnp.abs(kernel).max(axis=(-2, -1), keepdims=True))
    scale = jnp.where(largest == 0, 1.0, largest)
    kernel = kernel / scale
    gram = jnp.swapaxes(kernel, -1, -2) @ kernel
    for _ in range(squarings):
        size = jnp.linalg.norm(gram, axis=(-2, -1), keepdims=True)
        gram /= jnp.where(size == 0, 1.0, size)
        gram = gram @ gram
    place = jnp.diagonal(gram, axis1=-2, axis2=-1).argmax(axis=-1)
    v = jnp.take_along_axis(gram, place[..., None, None], axis=-1)
    v = jax.lax.stop_gradient(jnp.where(largest == 0, 1.0, v))
    stretched = safe_norm((kernel @ v)[..., 0]) / jnp.linalg.norm(v[..., 0], axis=-1)
    return scale[..., 0, 0] * stretched
