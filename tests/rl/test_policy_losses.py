import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qdcjax.rl.losses import (
    adapted_kl_coefficient,
    clipped_policy_loss,
    clipped_value_loss,
    explained_variance,
    k1,
    k3,
)


def row(*values: float):
    return jnp.asarray([values], jnp.float32)


def test_the_policy_s_loss_by_hand():
    """Ratios of 1, 1.5, .5 with advantages of both signs: clipped where it would gain too much."""
    new = jnp.log(row(1, 1.5, 1.5, 0.5, 0.5))
    loss, clipped = clipped_policy_loss(new, row(0, 0, 0, 0, 0), row(2, 2, -2, 2, -2))
    np.testing.assert_allclose(loss, row(-2, -2.4, 3, -1, 1.6), rtol=1e-6)
    assert clipped.tolist() == [[0, 1, 0, 0, 1]]


def test_clipping_higher_leaves_more_room_upwards_alone():
    new = jnp.log(row(1.5, 0.5))
    loss, _ = clipped_policy_loss(new, row(0, 0), row(1, -1), low=0.2, high=0.28)
    np.testing.assert_allclose(loss, row(-1.28, 0.8), rtol=1e-6)


def test_on_policy_its_gradient_is_that_of_reinforce():
    old, advantages = row(-1.0, -0.2, -3.0), row(0.5, -2.0, 1.0)
    gradient = jax.grad(lambda new: clipped_policy_loss(new, old, advantages)[0].sum())(old)
    np.testing.assert_allclose(gradient, -advantages, rtol=1e-6)


@pytest.mark.parametrize("far", [1e3, -1e3])
def test_a_ratio_out_of_all_bounds_stays_finite(far):
    def loss(new):
        return clipped_policy_loss(new, row(0.0), row(-1.0))[0].sum()

    value, gradient = jax.value_and_grad(loss)(row(far))
    assert np.isfinite(value) and np.isfinite(gradient).all()
    assert np.isfinite(k3(row(far), row(0.0))).all()


def test_a_difference_of_log_probs_counts_as_twenty_at_most():
    far, e20 = 25.0, 485_165_195.41
    loss, _ = clipped_policy_loss(row(far, -far), row(0, 0), row(-1, 1))
    np.testing.assert_allclose(loss, row(e20, -1 / e20), rtol=1e-6)
    np.testing.assert_allclose(k3(row(0, far), row(far, 0)), row(e20 - 21, 19), rtol=1e-6)
    near, e19 = 19.0, 178_482_300.96
    loss, _ = clipped_policy_loss(row(near), row(0), row(-1))
    np.testing.assert_allclose(loss, row(e19), rtol=1e-6)
    np.testing.assert_allclose(k3(row(0), row(near)), row(e19 - 20), rtol=1e-6)


def test_the_value_s_loss_by_hand():
    values, old, returns = row(1.0, 1.0, 0.1), row(0.0, 0.9, 0.0), row(0.0, 2.0, 1.0)
    found = clipped_value_loss(values, old, returns, clip=0.2)
    np.testing.assert_allclose(found, row(0.5, 0.5, 0.405), rtol=1e-6)
    moved_away = clipped_value_loss(row(1.0), row(0.0), row(1.0), clip=0.2)
    np.testing.assert_allclose(moved_away, 0.5 * 0.8**2, rtol=1e-6)
    plain = clipped_value_loss(values, old, returns, clip=np.inf)
    np.testing.assert_allclose(plain, 0.5 * (values - returns) ** 2, rtol=1e-6)


def test_both_estimators_are_unbiased_and_one_is_never_negative():
    """Over all of a small vocabulary, weighted by the policy, both are its divergence."""
    rng = np.random.default_rng(0)
    policy, reference = (jax.nn.log_softmax(jnp.asarray(rng.normal(size=(1, 7)))) for _ in "ab")
    divergence = float(jnp.sum(jnp.exp(policy) * (policy - reference)))
    for estimator in (k1, k3):
        found = float(jnp.sum(jnp.exp(policy) * estimator(policy, reference)))
        assert found == pytest.approx(divergence, rel=1e-5)
    assert (k3(policy, reference) >= 0).all() and (k1(policy, reference) < 0).any()


def test_the_coefficient_follows_the_divergence():
    assert adapted_kl_coefficient(0.1, 6.0, 6.0, 64, 1_000) == pytest.approx(0.1)
    assert adapted_kl_coefficient(0.1, 6.6, 6.0, 500, 1_000) == pytest.approx(0.1 * 1.05)
    assert adapted_kl_coefficient(0.1, 60.0, 6.0, 500, 1_000) == pytest.approx(0.1 * 1.1)
    assert adapted_kl_coefficient(0.1, 0.0, 6.0, 500, 1_000) == pytest.approx(0.1 * 0.9)


def test_explained_variance_of_the_right_the_mean_and_nothing():
    returns, mask = row(1, 2, 3, 50), row(1, 1, 1, 0)
    assert explained_variance(returns, returns, mask) == pytest.approx(1)
    assert explained_variance(row(2, 2, 2, 9), returns, mask) == pytest.approx(0, abs=1e-6)
    assert explained_variance(row(3, 2, 1, 9), returns, mask) == pytest.approx(-3, rel=1e-5)
    assert explained_variance(returns, row(1, 1, 1, 1), mask) == 0


def test_dual_clip_bounds_what_a_bad_token_costs():
    """A bad token that became 10 times as likely costs 3 |A| and teaches nothing more."""
    ratio, advantages = jnp.log(jnp.asarray([[10.0, 2.0, 10.0]])), row(-2.0, -2.0, 2.0)
    loss, clipped = clipped_policy_loss(ratio, 0 * ratio, advantages, dual=3.0)
    np.testing.assert_allclose(loss, row(6.0, 4.0, -2.4), rtol=1e-6)
    np.testing.assert_array_equal(clipped, row(1, 0, 1))
    without, _ = clipped_policy_loss(ratio, 0 * ratio, advantages)
    np.testing.assert_allclose(without, row(20.0, 4.0, -2.4), rtol=1e-6)
    slope = jax.grad(lambda x: clipped_policy_loss(x, 0 * x, advantages, dual=3.0)[0].sum())(ratio)
    assert slope[0, 0] == 0 != slope[0, 1]
