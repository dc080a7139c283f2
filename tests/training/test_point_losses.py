"""Losses of points, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qdcjax.models.autoencoder import ChartAutoencoder, ChartConfig, lipschitz_bound
from qdcjax.training.optimizer import OptimizerConfig, make_optimizer
from qdcjax.training.point_losses import denoising_loss
from qdcjax.training.step import init_state, make_update

RNG = np.random.default_rng(0)
CLEAN = RNG.normal(size=(12, 3)).astype(np.float32)
BATCH = {
    name: jnp.asarray(of, jnp.float32)
    for name, of in {
        "noisy": CLEAN + 0.1 * RNG.normal(size=(12, 3)),
        "clean": CLEAN,
        "weights": RNG.dirichlet(np.ones(12)),
    }.items()
}
WEIGHTS = np.asarray(BATCH["weights"])


def made(form: str, charts: int = 3):
    model = ChartAutoencoder(ChartConfig(3, 2, charts, form, width=8))
    return model, model.init(jax.random.key(0), BATCH["clean"])["params"]


def test_partition_is_the_error_of_the_weighted_sum():
    model, params = made("partition")
    loss, metrics = denoising_loss(model)(params, BATCH, jax.random.key(0))
    output = np.asarray(model.apply({"params": params}, BATCH["noisy"]))
    expected = (WEIGHTS * ((output - CLEAN) ** 2).sum(axis=1)).sum()
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert float(metrics["squared_error"]) == pytest.approx(expected, rel=1e-5)


def test_predictor_is_the_best_chart_s_error_and_a_cross_entropy():
    model, params = made("predictor")
    loss, metrics = denoising_loss(model, temperature=0.5)(params, BATCH, jax.random.key(0))
    u, p = model.apply({"params": params}, BATCH["noisy"], method="encode")
    points = model.apply({"params": params}, u, method="decode_charts")
    errors = ((np.asarray(points) - CLEAN[:, None]) ** 2).sum(axis=-1)
    target = np.exp(-errors / 0.5)
    target /= target.sum(axis=1, keepdims=True)
    terms = errors.min(axis=1) - (target * np.log(np.asarray(p))).sum(axis=1)
    assert float(loss) == pytest.approx((WEIGHTS * terms).sum(), rel=1e-5)
    chosen = errors[np.arange(12), np.asarray(p).argmax(axis=1)]
    assert float(metrics["squared_error"]) == pytest.approx((WEIGHTS * chosen).sum(), rel=1e-5)


def test_charts_do_not_learn_from_the_cross_entropy():
    """Its target is fixed: no chart gets worse so that the weights look better."""
    model, params = made("predictor")
    of_charts = [
        jax.grad(lambda p, T=T: denoising_loss(model, T)(p, BATCH, jax.random.key(0))[0])(params)
        for T in (0.1, 10.0)
    ]
    for name in ("outward_0", "outward_1", "last", "coordinates"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
            of_charts[0][name],
            of_charts[1][name],
        )
    assert not np.allclose(*(of["weigher"]["kernel"] for of in of_charts))


@pytest.mark.parametrize("form", ["partition", "predictor"])
def test_the_penalty_counts_once_whatever_the_microbatches(form):
    model, params = made(form)
    with_penalty, without = (denoising_loss(model, lipschitz=w) for w in (0.5, 0.0))
    key = jax.random.key(0)
    difference = with_penalty(params, BATCH, key)[0] - without(params, BATCH, key)[0]
    assert float(difference) == pytest.approx(0.5 * float(lipschitz_bound(params).mean()), rel=1e-4)
    optimizer = make_optimizer(OptimizerConfig(1e-3), 1)
    batch = {**{k: v for k, v in BATCH.items() if k != "weights"}, "mask": jnp.ones(12)}
    losses = [
        make_update(with_penalty, optimizer, parts)(init_state(params, optimizer), batch, key)[1]
        for parts in (1, 3)
    ]
    assert float(losses[0]["loss"]) == pytest.approx(float(losses[1]["loss"]), rel=1e-5)
