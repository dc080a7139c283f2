"""Chart autoencoders: with one chart the ordinary one; charts, weights and bounds by definition."""

import chex
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from qdcjax.models.autoencoder import (
    ChartAutoencoder,
    ChartConfig,
    lipschitz_bound,
    with_centres,
)

POINTS = jnp.asarray(np.random.default_rng(0).normal(size=(40, 5)), jnp.float32)


def made(**shape):
    """A model of which no parameter is 0."""
    model = ChartAutoencoder(ChartConfig(5, width=16, **shape))
    params = model.init(jax.random.key(0), POINTS)["params"]
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    noise = [0.3 * jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)]
    return model, jax.tree.map(jnp.add, params, jax.tree.unflatten(tree, noise))


def apply(model, params, method, *x):
    return model.apply({"params": params}, *x, method=method)


@pytest.mark.parametrize("form", ["partition", "predictor"])
@pytest.mark.parametrize("layers", [2, 3])
def test_with_one_chart_it_is_the_plain_autoencoder(form, layers):
    model, params = made(latent=2, charts=1, form=form, layers=layers)
    relu = lambda x: np.maximum(x, 0)  # noqa: E731

    def dense(x, name):
        kernel, bias = (np.asarray(params[name][part]) for part in ("kernel", "bias"))
        return x @ kernel.reshape(kernel.shape[-2:]) + bias.reshape(-1)

    x = np.asarray(POINTS)
    for layer in range(layers - 1):
        x = relu(dense(x, f"trunk_{layer}"))
    x = relu(dense(x, "inward"))
    x = 1 / (1 + np.exp(-dense(x, "coordinates")))
    assert x.shape == (40, 2)
    for layer in range(layers):
        x = relu(dense(x, f"outward_{layer}"))
    expected = dense(x, "last") + np.asarray(params["centres"])[0]
    np.testing.assert_allclose(apply(model, params, "__call__", POINTS), expected, atol=1e-5)


def test_the_forms_differ_in_how_charts_make_a_point_alone():
    partition, params = made(latent=2, charts=3)
    coordinates, weights = apply(partition, params, "encode", POINTS)
    assert coordinates.shape == (40, 3, 2) and 0 < coordinates.min() < coordinates.max() < 1
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    charts = apply(partition, params, "decode_charts", coordinates)
    np.testing.assert_allclose(
        apply(partition, params, "__call__", POINTS),
        sum(np.asarray(weights)[:, c, None] * charts[:, c] for c in range(3)),
        atol=1e-5,
    )
    predictor = ChartAutoencoder(ChartConfig(5, 2, 3, "predictor", 16))
    best = np.asarray(weights).argmax(axis=1)
    assert len(set(best)) > 1
    expected = np.asarray(charts)[np.arange(40), best]
    np.testing.assert_allclose(apply(predictor, params, "__call__", POINTS), expected, atol=1e-5)


def test_a_chart_reads_and_writes_through_its_own_parameters():
    model, params = made(latent=2, charts=3)
    before = apply(model, params, "decode_charts", apply(model, params, "encode", POINTS)[0])
    for name in ("inward", "coordinates", "outward_0", "outward_1"):
        changed = {**params, name: {**params[name], "bias": params[name]["bias"].at[1].add(1.0)}}
        after = apply(model, changed, "decode_charts", apply(model, changed, "encode", POINTS)[0])
        moved = np.abs(np.asarray(after - before)).max(axis=(0, 2))
        assert moved[1] > 0.01 and moved[[0, 2]].max() == 0, name


def test_charts_begin_around_their_centres():
    model = ChartAutoencoder(ChartConfig(5, 2, 3, width=16))
    params = model.init(jax.random.key(0), POINTS)["params"]
    centres = 10.0 * jnp.arange(15, dtype=jnp.float32).reshape(3, 5)
    moved = apply(model, with_centres(params, centres), "decode_charts", jnp.full((1, 3, 2), 0.5))
    near = np.linalg.norm(moved[0, :, None] - centres[None], axis=-1).argmin(axis=1)
    assert near.tolist() == [0, 1, 2]


def test_no_chart_stretches_more_than_its_bound():
    model, params = made(latent=2, charts=3)
    bound = np.asarray(lipschitz_bound(params))
    rng = np.random.default_rng(2)
    a, b = (jnp.asarray(rng.uniform(size=(2_000, 3, 2)), jnp.float32) for _ in range(2))
    moved = [apply(model, params, "decode_charts", x) for x in (a, b)]
    stretch = np.linalg.norm(moved[0] - moved[1], axis=-1) / np.linalg.norm(a - b, axis=-1)
    assert (stretch.max(axis=0) <= bound).all() and (stretch.max(axis=0) > bound / 100).all()
    for name in ("outward_0", "outward_1", "last"):
        doubled = {**params, name: jax.tree.map(lambda x: 2 * x, params[name])}
        np.testing.assert_allclose(lipschitz_bound(doubled), 2 * bound, rtol=1e-5, err_msg=name)


def test_a_chart_s_kernel_begins_as_a_layer_of_its_own_would():
    """With a variance of 1 / inputs, however many charts there are."""
    model = ChartAutoencoder(ChartConfig(5, 2, 50, width=64))
    kernel = model.init(jax.random.key(0), POINTS)["params"]["inward"]["kernel"]
    np.testing.assert_allclose(np.var(kernel), 1 / 64, rtol=0.1)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"charts": 0}, "charts=0 must be at least 1"),
        ({"latent": 6}, "latent=6 must be at most ambient=5"),
        ({"layers": 1}, "layers=1 must be at least 2: one is the charts' own"),
        ({"form": "sum"}, "form='sum' must be partition or predictor"),
    ],
)
def test_bad_shapes_are_named_in_one_line(monkeypatch, fields, words):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as in a user's run
    with pytest.raises(ValueError, match=f"^{words}$"):
        ChartConfig(**{"ambient": 5, "latent": 2, **fields})


def test_trees_of_one_shape_for_both_forms():
    chex.assert_trees_all_equal_shapes(
        made(latent=2, charts=3)[1], made(latent=2, charts=3, form="predictor")[1]
    )
