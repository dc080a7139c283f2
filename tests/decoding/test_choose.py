import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from qdcjax.decoding.choose import choose, kept_tokens, uniforms

choose_jit = jax.jit(choose, static_argnums=(2, 3, 4))
GRID = 20_000
NUMBERS = ((np.arange(GRID) + 0.5) / GRID).astype(np.float32)
BELOW_ONE = np.nextafter(np.float32(1), np.float32(0))
# Probabilities .4 .3 .2 .1 of tokens 2 0 3 1.
LOGITS = np.log(np.asarray([0.3, 0.1, 0.4, 0.2], np.float32))


def at_numbers(logits, numbers, temperature=1.0, top_k=0, top_p=1.0):
    rows = np.broadcast_to(logits, (len(numbers), len(logits)))
    return [np.asarray(x) for x in choose_jit(rows, numbers, temperature, top_k, top_p)]


@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.3])
def test_an_even_grid_of_numbers_gives_the_softmax(temperature):
    logits = np.random.default_rng(0).normal(size=20).astype(np.float32) * 2
    tokens, log_probs, kept_log_mass = at_numbers(logits, NUMBERS, temperature)
    frequencies = np.bincount(tokens, minlength=20) / GRID
    # A token's interval of the grid misses its probability by a grid step at most.
    np.testing.assert_allclose(frequencies, softmax(logits / temperature), atol=2 / GRID)
    expected = log_softmax(logits / temperature)[tokens]
    np.testing.assert_allclose(log_probs, expected, atol=1e-5)
    assert not kept_log_mass.any()


def test_zero_temperature_takes_the_likeliest_and_scores_it_at_temperature_one():
    tokens, log_probs, kept_log_mass = at_numbers(LOGITS, NUMBERS[::4000], 0.0)
    assert tokens.tolist() == [2] * 5
    np.testing.assert_allclose(log_probs, np.log(0.4), atol=1e-6)
    assert not kept_log_mass.any()


@pytest.mark.parametrize(
    ("top_k", "top_p", "kept"),
    [
        (1, 1.0, {2}),
        (2, 1.0, {2, 0}),
        (0, 0.05, {2}),
        (0, 0.5, {2, 0}),
        (0, 0.75, {2, 0, 3}),
        (0, 0.95, {2, 0, 3, 1}),
        (3, 0.5, {2, 0}),  # of the three, 2 has .44 and 0 .33
        (3, 0.8, {2, 0, 3}),  # .44 + .33 < .8 within the three: top-p comes after top-k
        (2, 0.55, {2}),  # .4 / .7 = .57
    ],
)
def test_cuts_keep_the_right_tokens_and_tell_their_mass(top_k, top_p, kept):
    probabilities = np.exp(LOGITS)
    mass = sum(probabilities[i] for i in kept)
    tokens, log_probs, kept_log_mass = at_numbers(LOGITS, NUMBERS, 1.0, top_k, top_p)
    assert set(tokens.tolist()) == kept
    np.testing.assert_allclose(kept_log_mass, np.log(mass), atol=1e-5)
    # The log-probability is that of the full softmax; the share of draws is that within the cut.
    np.testing.assert_allclose(log_probs, LOGITS[tokens], atol=1e-5)
    frequencies = np.bincount(tokens, minlength=4) / GRID
    expected = [probabilities[i] / mass if i in kept else 0 for i in range(4)]
    np.testing.assert_allclose(frequencies, expected, atol=2 / GRID)


def test_cuts_are_made_at_the_temperature():
    # At temperature 2 probabilities go as √p: the two likeliest have .61 of the mass, not .7.
    flat = softmax(LOGITS / 2)
    assert set(at_numbers(LOGITS, NUMBERS, 1.0, 0, 0.65)[0].tolist()) == {2, 0}
    tokens, _, kept_log_mass = at_numbers(LOGITS, NUMBERS, 2.0, 0, 0.65)
    assert set(tokens.tolist()) == {2, 0, 3}
    np.testing.assert_allclose(kept_log_mass, np.log(flat[[2, 0, 3]].sum()), atol=1e-5)


def test_the_ends_of_the_unit_interval_stay_on_tokens_that_can_come():
    impossible = -np.inf
    logits = np.asarray([impossible, impossible, 0.0, impossible, 1.0, impossible], np.float32)
    numbers = np.asarray([0, 1e-30, BELOW_ONE], np.float32)
    assert at_numbers(logits, numbers)[0].tolist() == [2, 2, 4]
    tokens = at_numbers(LOGITS, numbers, 1.0, 2)[0]
    assert tokens.tolist() == [0, 0, 2]


@pytest.mark.parametrize(("top_k", "top_p"), [(50, 1.0), (0, 0.9)])
def test_no_number_gives_a_token_that_was_cut(top_k, top_p):
    """XLA's cumulative sum is no running sum: it can rise by rounding where the weight is 0.

    So the numbers tried are those at its steps, where such a rise would show.
    """
    logits = (3 * np.random.default_rng(0).normal(size=2048)).astype(np.float32)
    log_probs = log_softmax(logits)[None]
    kept = np.asarray(kept_tokens(jnp.asarray(log_probs), top_k, top_p))[0]
    weights = np.where(kept, np.exp(log_probs[0]), 0).astype(np.float32)
    steps = np.asarray(jax.jit(jnp.cumsum)(weights))
    numbers = np.unique(steps / steps[-1])
    numbers = np.concatenate([np.nextafter(numbers, 0), numbers, np.nextafter(numbers, 2)])
    numbers = np.unique(np.append(numbers, [0, BELOW_ONE]).astype(np.float32))
    numbers = numbers[numbers < 1][:600]
    tokens = at_numbers(logits, np.pad(numbers, (0, 600 - len(numbers))), 1.0, top_k, top_p)[0]
    assert kept[tokens].all(), f"{(~kept[tokens]).sum()} of {len(numbers)} fell on cut tokens"


def test_numbers_depend_on_key_and_position_alone():
    keys = jax.random.split(jax.random.key(0), 4)
    positions = jnp.asarray([0, 1, 5, 5])
    numbers = uniforms(keys, positions)
    for i in range(4):
        assert uniforms(keys[i : i + 1], positions[i : i + 1])[0] == numbers[i]
    assert len(set(numbers.tolist())) == 4
    assert uniforms(keys[:1], jnp.asarray([1]))[0] != numbers[0]
    many = np.asarray(uniforms(jnp.repeat(keys, 500), jnp.arange(2000)))
    assert many.min() >= 0 and many.max() < 1 and abs(many.mean() - 0.5) < 0.03
