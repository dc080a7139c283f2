import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qdcjax.rl.advantages import (
    dead_groups,
    gae,
    leave_one_out,
    on_last_action,
    standardised,
    whiten,
)

B, T = 5, 9


@pytest.fixture
def episodes():
    """Rewards, values, and actions of several lengths with holes; the last row has none."""
    rng = np.random.default_rng(0)
    lengths = np.array([9, 6, 3, 1, 0])
    mask = (np.arange(T) < lengths[:, None]).astype(np.float32)
    mask[0, [2, 3, 6]] = mask[1, 0] = 0
    return tuple(jnp.asarray(x, jnp.float32) for x in (*rng.normal(size=(2, B, T)), mask))


def by_hand(rewards, values, mask, gamma, lam):
    """The definition, over each row's actions alone."""
    advantages = np.zeros((B, T))
    for row in range(B):
        actions = np.flatnonzero(mask[row])
        r, v = rewards[row, actions], np.append(values[row, actions], 0.0)
        delta = r + gamma * v[1:] - v[:-1]
        for t, action in enumerate(actions):
            decay = (gamma * lam) ** np.arange(len(actions) - t)
            advantages[row, action] = decay @ delta[t:]
    return advantages, (advantages + values) * mask


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.8), (0.9, 0.0), (1.0, 1.0)])
def test_gae_by_its_definition(episodes, gamma, lam):
    expected = by_hand(*episodes, gamma, lam)
    for found, want in zip(gae(*episodes, gamma, lam), expected, strict=True):
        np.testing.assert_allclose(found, want, atol=1e-5)


def test_what_is_no_action_changes_nothing(episodes):
    rewards, values, mask = episodes
    other = [jnp.where(mask > 0, x, 100.0) for x in (rewards, values)]
    np.testing.assert_array_equal(gae(*other, mask, 0.9, 0.8), gae(*episodes, 0.9, 0.8))


def test_a_hundred_columns_of_padding_change_nothing(episodes):
    padded = [jnp.pad(x, ((0, 0), (0, 100))) for x in episodes]
    found = gae(*padded, 0.9, 0.8)
    for wide, narrow in zip(found, gae(*episodes, 0.9, 0.8), strict=True):
        np.testing.assert_allclose(wide[:, :T], narrow, atol=1e-6)
        assert not np.any(wide[:, T:])
    white = whiten(found[0], padded[2])
    np.testing.assert_allclose(white[:, :T], whiten(found[0][:, :T], episodes[2]), atol=1e-6)


def test_a_return_is_the_score_less_the_later_divergence(episodes):
    """With gamma = lambda = 1 and V = 0, token by token and exactly."""
    mask = episodes[2]
    divergence = jnp.round(8 * episodes[0]) / 8 * mask  # eighths add without rounding
    scores = jnp.asarray([1.0, 0, 1, 1, 1])
    rewards = on_last_action(scores, mask) - divergence
    _, returns = gae(rewards, jnp.zeros((B, T)), mask, 1.0, 1.0)
    later = np.cumsum(divergence[:, ::-1], axis=1)[:, ::-1]
    np.testing.assert_array_equal(returns, (scores[:, None] - later) * mask)


def test_the_score_sits_on_the_last_action(episodes):
    rewards = on_last_action(jnp.arange(1.0, 6.0), episodes[2])
    found = {(int(row), int(t)): float(rewards[row, t]) for row, t in np.argwhere(rewards)}
    assert found == {(0, 8): 1, (1, 5): 2, (2, 2): 3, (3, 0): 4}


@pytest.mark.parametrize("shift_mean", [True, False])
def test_whitening_by_numpy(episodes, shift_mean):
    found = np.asarray(whiten(3 * episodes[0] + 2, episodes[2], shift_mean))
    x, _, mask = map(np.asarray, episodes)
    chosen = x[mask > 0]
    assert not found[mask == 0].any()
    mean = 3 * chosen.mean() + 2
    expected = (3 * chosen + 2 - mean) / np.sqrt(9 * chosen.var(ddof=1) + 1e-8)
    np.testing.assert_allclose(found[mask > 0], expected + (not shift_mean) * mean, atol=1e-5)


def test_whitening_one_element_or_none_gives_no_nan():
    x, mask = jnp.full((1, 3), 7.0), jnp.zeros((1, 3))
    assert not np.any(whiten(x, mask))
    assert not np.any(whiten(x, mask.at[0, 1].set(1)))


SCORES = jnp.asarray([[1, 0, 0, 1], [0.1, 0.1, 0.1, 0.1], [0, 3, 1, 0]])


def test_leaving_one_out_by_hand():
    found = leave_one_out(SCORES)
    expected = [[s - (sum(row) - s) / 3 for s in row] for row in SCORES.tolist()]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_standardising_by_numpy():
    found = standardised(SCORES)
    for row in (0, 2):
        scores = np.asarray(SCORES[row])
        expected = (scores - scores.mean()) / scores.std(ddof=1)
        np.testing.assert_allclose(found[row], expected, atol=1e-5)


@pytest.mark.parametrize("advantages", [leave_one_out, standardised])
def test_equal_scores_give_exactly_nothing(advantages):
    assert dead_groups(SCORES).tolist() == [False, True, False]
    assert np.all(advantages(SCORES)[1] == 0)
    # Seven of one number add up to seven times it, but for rounding.
    equal = jnp.tile(jax.random.uniform(jax.random.key(0), (200, 1)), 7)
    assert np.all(advantages(equal) == 0)
    thirds = jnp.asarray([[0.1 + 0.2 + 1.0, 1.0 + 0.2 + 0.1]], jnp.float32) + jnp.asarray([0, 1e-7])
    assert thirds[0, 0] != thirds[0, 1] and np.all(advantages(thirds) == 0)
    alone = advantages(jnp.asarray([[0.3], [1.0]]))
    assert np.all(alone == 0) and alone.shape == (2, 1)


def test_all_of_it_under_jit_and_vmap(episodes):
    several = [jnp.stack([x, x]) for x in episodes]
    together = jax.jit(jax.vmap(lambda r, v, m: whiten(gae(r, v, m, 0.9, 0.8)[0], m)))(*several)
    alone = whiten(gae(*episodes, 0.9, 0.8)[0], episodes[2])
    np.testing.assert_allclose(together[1], alone, atol=1e-5)


@pytest.mark.parametrize("advantages", [leave_one_out, standardised])
def test_what_does_not_count_is_in_no_baseline(advantages):
    """A question's other samples have the advantages that they have without it."""
    scores = jnp.asarray([[1.0, 0.0, 0.25, 1.0], [1.0, 0.0, 0.0, 0.0]])
    counted = jnp.asarray([[1.0, 1.0, 1.0, 0.0], [0.0, 1.0, 1.0, 1.0]])
    found = advantages(scores, counted)
    np.testing.assert_allclose(found[0, :3], advantages(scores[:1, :3])[0], atol=1e-6)
    assert found[0, 3] == 0 and np.all(found[1] == 0)
    assert dead_groups(scores, counted).tolist() == [False, True]
