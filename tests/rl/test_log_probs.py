"""The trainer's view of completions is the sampler's, and a critic sees no token that it values."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qdcjax.decoding import Prompts, SamplingSettings, sample
from qdcjax.models.transformer import Transformer
from qdcjax.rl.log_probs import completion_log_probs, completion_values
from qdcjax.training.store import StoredModel

SETTINGS = SamplingSettings(samples=3, max_new_tokens=22, buckets=1)
OPTIONS = {"batch_size": 12, "widths": (96,)}


@pytest.fixture(scope="module")
def drawn(policy):
    """`drawn(**settings)`: prompts, completions, the sampler's log-probabilities, what it chose."""

    def drawn(**settings):
        found = sample(
            policy.model,
            policy.params,
            Prompts(policy.prompts(), np.arange(4, dtype=np.uint32)),
            dataclasses.replace(SETTINGS, **settings),
            jax.random.key(11),
            policy.tokenizer,
        )
        at = [(n, k, slice(found.lengths[n, k])) for n, k in np.ndindex(found.lengths.shape)]
        log_probs, sampled = ([of[a] for a in at] for of in (found.log_probs, found.sampled))
        prompts = [policy.prompts()[n] for n, _, _ in at]
        return prompts, [found.tokens[a].tolist() for a in at], log_probs, sampled

    return drawn


@pytest.fixture(scope="module")
def stored(policy) -> StoredModel:
    return StoredModel(policy.model, policy.params, policy.tokenizer)


@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.3])
def test_on_policy_the_ratio_is_one(drawn, stored, temperature):
    prompts, completions, expected, _ = drawn(temperature=temperature)
    found = completion_log_probs(stored, prompts, completions, temperature, **OPTIONS)
    assert [len(values) for values in found] == [len(ids) for ids in completions]
    found, expected = np.concatenate(found), np.concatenate(expected)
    assert np.abs(np.exp(found - expected) - 1).max() < 1e-4
    assert expected.min() < -0.5, "no token was a surprise"
    other = completion_log_probs(stored, prompts, completions, temperature + 0.2, **OPTIONS)
    assert np.abs(np.concatenate(other) - expected).max() > 0.01


def test_around_forced_tokens_the_ratio_is_one(drawn, stored):
    prompts, completions, expected, sampled = drawn(temperature=0.6, calculator=True)
    found = completion_log_probs(stored, prompts, completions, 0.6, **OPTIONS)
    chosen = np.concatenate(sampled)
    ratios = np.exp(np.concatenate(found) - np.concatenate(expected))
    assert not chosen.all() and np.abs(ratios[chosen] - 1).max() < 1e-4


@pytest.fixture(scope="module")
def critic(policy, random_params):
    model = Transformer(dataclasses.replace(policy.model.config, output="scalar"))
    return model, random_params(model)


def test_a_token_s_value_is_that_of_the_text_before_it(critic, policy):
    """Of prompt and tokens so far, each text by itself; the first value sees the prompt alone."""
    model, params = critic
    completion = [9, 4, 200, 31, 2]
    prompts = [policy.prompts()[1], policy.prompts()[0][:4]]
    apply = jax.jit(lambda row: model.apply({"params": params}, row[None])[0])
    found = completion_values(model, params, prompts, [completion, completion[:2]], **OPTIONS)
    assert [len(values) for values in found] == [5, 2]
    for prompt, values in zip(prompts, found, strict=True):
        for t, value in enumerate(values):
            text = [*prompt, *completion[:t]]
            row = jnp.zeros(96, int).at[: len(text)].set(jnp.asarray(text))
            np.testing.assert_allclose(value, apply(row)[len(text) - 1], atol=1e-5)
    assert np.ptp(found[0]) > 0.05


def test_a_value_does_not_see_its_token(critic, policy):
    prompts = policy.prompts()[:1] * 2
    one, other = completion_values(*critic, prompts, [[9, 4, 5], [9, 8, 5]], **OPTIONS)
    np.testing.assert_allclose(one[:2], other[:2], atol=1e-6)
    assert abs(one[2] - other[2]) > 1e-3
