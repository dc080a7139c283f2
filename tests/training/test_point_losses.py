"""Losses of points, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qdcjax.measures.transport import exact_w1, sinkhorn_divergence
from qdcjax.models.autoencoder import ChartAutoencoder, ChartConfig, lipschitz_bound
from qdcjax.models.generator import Critic, CriticConfig, Generator, GeneratorConfig, generate
from qdcjax.training.optimizer import OptimizerConfig, make_optimizer
from qdcjax.training.point_losses import (
    adversarial_loss,
    critic_loss,
    denoising_loss,
    sinkhorn_loss,
)
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


GENERATOR = Generator(GeneratorConfig(latent=2, ambient=3, width=8))
OF_GENERATOR = GENERATOR.init(jax.random.key(0), jnp.ones((1, 2)))["params"]
POINTS = {"points": BATCH["clean"], "weights": jnp.full(12, 1 / 12)}
KEY = jax.random.key(5)


def test_the_sinkhorn_loss_is_the_divergence_but_for_a_constant():
    """Differences between two generators are those of the divergence."""
    loss_fn = jax.jit(sinkhorn_loss(GENERATOR, epsilon=0.3))
    moved = jax.tree.map(lambda x: 1.3 * x + 0.2, OF_GENERATOR)
    losses = [float(loss_fn(params, POINTS, KEY)[0]) for params in (OF_GENERATOR, moved)]
    assert float(loss_fn(moved, POINTS, KEY)[1]["converged"]) == pytest.approx(1)
    generated = [generate(GENERATOR, params, KEY, 12) for params in (OF_GENERATOR, moved)]
    expected = [sinkhorn_divergence(x, BATCH["clean"], 0.3) for x in generated]
    assert losses[1] - losses[0] == pytest.approx(expected[1] - expected[0], abs=2e-3)
    assert abs(expected[1] - expected[0]) > 0.02


def test_points_without_weight_do_not_draw_the_generator():
    loss_fn = jax.jit(jax.value_and_grad(sinkhorn_loss(GENERATOR, epsilon=0.3), has_aux=True))
    half = {**POINTS, "weights": jnp.repeat(jnp.array([1 / 6, 0.0]), 6)}
    moved = {**half, "points": half["points"].at[6:].add(100.0)}
    ours, theirs = (loss_fn(OF_GENERATOR, batch, KEY) for batch in (half, moved))
    assert float(ours[0][0]) == pytest.approx(float(theirs[0][0]), abs=1e-3)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3), ours[1], theirs[1])
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(ours[1])) > 0.05


def test_the_sinkhorn_loss_is_the_same_far_from_the_origin():
    loss_fn, last = jax.jit(sinkhorn_loss(GENERATOR, epsilon=0.3)), "Dense_3"
    far = {**OF_GENERATOR, last: {**OF_GENERATOR[last], "bias": OF_GENERATOR[last]["bias"] + 1e3}}
    moved = {**POINTS, "points": POINTS["points"] + 1e3}
    losses = [loss_fn(*given, KEY)[0] for given in ((OF_GENERATOR, POINTS), (far, moved))]
    assert float(losses[1]) == pytest.approx(float(losses[0]), abs=2e-3)


def test_the_sinkhorn_loss_s_gradient_is_that_of_its_values():
    loss_fn = sinkhorn_loss(GENERATOR, epsilon=0.3)
    value = jax.jit(lambda params: loss_fn(params, POINTS, KEY)[0])
    beside, gradient = jax.jit(jax.value_and_grad(value))(OF_GENERATOR)
    assert float(beside) == pytest.approx(float(value(OF_GENERATOR)), abs=1e-5)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    rng = np.random.default_rng(0)
    way = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), jnp.float32), OF_GENERATOR)
    moved = lambda t: value(jax.tree.map(lambda x, w: x + t * w, OF_GENERATOR, way))  # noqa: E731
    ends = moved(-0.01), moved(0.01)
    slope = sum(jnp.vdot(g, w) for g, w in zip(*map(jax.tree.leaves, (gradient, way)), strict=True))
    assert float(slope) == pytest.approx(float(ends[1] - ends[0]) / 0.02, rel=0.05, abs=0.01)


def test_descending_the_sinkhorn_loss_brings_points_together():
    optimizer = make_optimizer(OptimizerConfig(0.02), 150)
    update = jax.jit(make_update(sinkhorn_loss(GENERATOR, epsilon=0.05), optimizer))
    state = init_state(OF_GENERATOR, optimizer)
    batch = {"points": 0.3 * BATCH["clean"] + 2, "mask": jnp.ones(12)}
    far = exact_w1(generate(GENERATOR, OF_GENERATOR, KEY, 12), batch["points"])
    for _ in range(150):
        state, _ = update(state, batch, KEY)
    assert exact_w1(generate(GENERATOR, state.params, KEY, 12), batch["points"]) < far / 5


@pytest.mark.parametrize("penalty", [0.0, 0.5])
def test_critic_and_generator_losses_by_hand(penalty):
    critic = Critic(CriticConfig(width=8))
    params = critic.init(jax.random.key(1), BATCH["clean"])["params"]
    params = jax.tree.map(lambda x: 1.5 * x, params)  # steeper than 1 at some points
    batch = {**POINTS, "generator": OF_GENERATOR}
    loss, metrics = critic_loss(GENERATOR, critic, penalty)(params, batch, KEY)
    f = lambda x: critic.apply({"params": params}, x)  # noqa: E731
    latent, between = jax.random.split(KEY)
    generated = generate(GENERATOR, OF_GENERATOR, latent, 12)
    distance = float(f(BATCH["clean"]).mean() - f(generated).mean())
    assert float(metrics["critic_distance"]) == pytest.approx(distance, abs=1e-6)
    share = jax.random.uniform(between, (12, 1))
    middle = share * BATCH["clean"] + (1 - share) * generated
    steps = 1e-2 * np.eye(3, dtype=np.float32)
    slopes = np.stack([(f(middle + s) - f(middle - s)) / 2e-2 for s in steps], axis=1)
    steep = ((np.linalg.norm(slopes, axis=1) - 1) ** 2).mean()
    assert float(loss) == pytest.approx(penalty * steep - distance, abs=0.02)

    batch = {"critic": params, "weights": POINTS["weights"]}
    loss, _ = adversarial_loss(GENERATOR, critic)(OF_GENERATOR, batch, KEY)
    assert float(loss) == pytest.approx(
        -float(f(generate(GENERATOR, OF_GENERATOR, KEY, 12)).mean()), abs=1e-6
    )
