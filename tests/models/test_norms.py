"""Norms and distances against NumPy's, and their gradients where they vanish."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdcjax.models.norms import distances, safe_norm, spectral_norm

POINTS = jax.random.normal(jax.random.key(0), (12, 3))
FAR = POINTS[::-1] + 3


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


@pytest.mark.parametrize("size", [1e-30, 1e-20, 1e10])
def test_spectral_norm_of_a_layer_of_any_size(size):
    found, gradient = jax.value_and_grad(spectral_norm)(size * POINTS)
    expected, expected_gradient = jax.value_and_grad(spectral_norm)(POINTS)
    assert float(found) == pytest.approx(size * float(expected), rel=1e-4)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-4)


def test_spectral_norm_of_a_layer_whose_rows_add_to_nothing():
    kernel = jnp.asarray([[1.0, -1.0], [1.0, -1.0]])
    found, gradient = jax.value_and_grad(spectral_norm)(kernel)
    assert float(found) == pytest.approx(2)
    np.testing.assert_allclose(gradient, kernel / 2, atol=1e-6)


def test_what_is_not_a_number_is_not_hidden():
    assert jnp.isnan(spectral_norm(POINTS.at[0, 0].set(jnp.nan)))
    assert jnp.isnan(distances(POINTS.at[0, 0].set(jnp.nan), FAR)[0]).all()


def test_spectral_norm_of_layers_of_which_one_is_nothing():
    kernels = jnp.stack([POINTS, jnp.zeros_like(POINTS)])
    found, gradient = jax.value_and_grad(lambda x: spectral_norm(x).sum())(kernels)
    assert float(found) == pytest.approx(float(spectral_norm(kernels[0])))
    assert not gradient[1].any() and jnp.isfinite(gradient).all()


def test_a_norm_of_zero_has_a_gradient_of_zero():
    gradient = jax.grad(lambda x: safe_norm(x).sum())(jnp.asarray([[0.0, 0.0], [3.0, 4.0]]))
    np.testing.assert_allclose(gradient, [[0, 0], [0.6, 0.8]], atol=1e-6)


def test_distances_by_products_are_those_of_differences():
    expected = np.linalg.norm(np.asarray(POINTS)[:, None] - np.asarray(FAR), axis=-1)
    np.testing.assert_allclose(distances(POINTS, FAR), expected, rtol=1e-5)
    weights = np.random.default_rng(1).normal(size=(12, 12))
    gradient = jax.grad(lambda x: (weights * distances(x, FAR)).sum())(POINTS)
    ways = (POINTS[:, None] - FAR) / expected[..., None]
    np.testing.assert_allclose(gradient, (weights[..., None] * ways).sum(axis=1), atol=1e-4)


def test_distances_of_points_from_themselves_are_about_zero_and_draw_nowhere():
    own = np.asarray(distances(POINTS, POINTS))
    assert np.diag(own).max() < 2e-3 and (own + np.eye(12)).min() > 0.1
    gradient = jax.grad(lambda x: jnp.trace(distances(x, x)))(POINTS)
    np.testing.assert_allclose(gradient, 0, atol=2e-3)
