"""The spectral norm against that of a singular value decomposition."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qdcjax.models.spectral import spectral_norm


@given(st.integers(0, 50), st.sampled_from([(3, 3), (2, 7), (7, 2), (32, 32)]))
def test_spectral_norm_and_its_gradient(seed, shape):
    kernels = np.random.default_rng(seed).normal(size=(4, *shape)).astype(np.float32)
    expected = np.linalg.norm(kernels, ord=2, axis=(1, 2))
    found = spectral_norm(jnp.asarray(kernels))
    assert (found <= expected * 1.0001).all()
    np.testing.assert_allclose(found, expected, rtol=0.02)
    u, values, v = np.linalg.svd(kernels[0])
    if values[0] > 1.1 * values[1]:
        gradient = jax.grad(spectral_norm)(jnp.asarray(kernels[0]))
        np.testing.assert_allclose(gradient, np.outer(u[:, 0], v[0]), atol=0.02)
