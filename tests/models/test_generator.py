"""Generators and critics: shapes, and what their form promises."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from qdcjax.models.generator import Critic, CriticConfig, Generator, GeneratorConfig, generate


def test_a_generator_maps_the_cube_continuously():
    model = Generator(GeneratorConfig(latent=2, ambient=5, width=16))
    z = jax.random.uniform(jax.random.key(0), (50, 2))
    params = model.init(jax.random.key(1), z)["params"]
    points = model.apply({"params": params}, z)
    assert points.shape == (50, 5)
    near = model.apply({"params": params}, z + 1e-4)
    assert 0 < jnp.abs(near - points).max() < 1e-2
    np.testing.assert_allclose(  # one layer of ReLU after another, by hand
        points[:1],
        by_hand({k: jax.tree.map(np.asarray, v) for k, v in params.items()}, np.asarray(z[:1])),
        atol=1e-5,
    )


def test_latent_points_are_uniform_on_the_cube(monkeypatch):
    monkeypatch.setattr(Generator, "apply", lambda self, variables, z: z)
    model = Generator(GeneratorConfig(latent=2, ambient=5))
    z = np.asarray(generate(model, {}, jax.random.key(0), 4_000))
    assert z.shape == (4_000, 2) and z.min() >= 0 and z.max() < 1
    np.testing.assert_allclose(z.mean(axis=0), 0.5, atol=0.03)
    np.testing.assert_allclose(z.var(axis=0), 1 / 12, atol=0.01)


def by_hand(params, z):
    x = 2 * z - 1
    for layer in range(4):
        dense = params[f"Dense_{layer}"]
        x = x @ dense["kernel"] + dense["bias"]
        x = np.maximum(x, 0) if layer < 3 else x
    return x


@pytest.mark.parametrize("spectral", [False, True])
def test_a_spectral_critic_is_1_lipschitz_whatever_its_parameters(spectral):
    model = Critic(CriticConfig(width=32, spectral=spectral))
    x = jax.random.normal(jax.random.key(0), (400, 6))
    params = model.init(jax.random.key(1), x)["params"]
    params = jax.tree.map(lambda leaf: 5 * leaf + 0.1, params)
    values = model.apply({"params": params}, x)
    assert values.shape == (400,)
    slopes = np.abs(values[:200] - values[200:]) / np.linalg.norm(x[:200] - x[200:], axis=1)
    assert (slopes.max() <= 1.001) == spectral
    if spectral:
        scaled = jax.tree.map(lambda leaf: 3 * leaf if leaf.ndim == 2 else leaf, params)
        np.testing.assert_allclose(model.apply({"params": scaled}, x), values, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        (GeneratorConfig, {"latent": 0, "ambient": 5}, "latent=0 must be at least 1"),
        (GeneratorConfig, {"latent": 6, "ambient": 5}, "latent=6 must be at most ambient=5"),
        (CriticConfig, {"layers": 0}, "layers=0 must be at least 1"),
    ],
)
def test_bad_shapes_are_named_in_one_line(monkeypatch, kind, fields, words):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as in a user's run
    with pytest.raises(ValueError, match=f"^{words}$"):
        kind(**fields)
