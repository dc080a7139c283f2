import dataclasses
import types

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, log_softmax

from qdcjax.models.config import TransformerConfig
from qdcjax.models.transformer import Transformer
from qdcjax.training.losses import (
    binary_loss,
    language_model_loss,
    squared_error_loss,
    token_log_probs,
)


class Table:
    """Stands for a model: the output at a token is a row of a table, `params['embed']`."""

    config = types.SimpleNamespace(logit_chunk=0)

    def apply(self, variables, x, *_, method=None):
        if method == "hidden":
            return x, None
        return variables["params"]["embed"][x]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.3])
def test_token_t_is_scored_by_the_position_before_it(rng, temperature):
    table, tokens = rng.normal(size=(5, 5)) * 3, rng.integers(0, 5, (2, 6))
    actual = token_log_probs(
        Table(), {"embed": jnp.asarray(table)}, jnp.asarray(tokens), temperature
    )
    assert actual.shape == (2, 5)
    for b in range(2):
        for t in range(1, 6):
            expected = log_softmax(table[tokens[b, t - 1]] / temperature)[tokens[b, t]]
            assert float(actual[b, t - 1]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("scale", [1, 30])
def test_language_model_loss_is_the_weighted_sum_over_predicted_tokens(rng, scale):
    table, tokens = scale * rng.normal(size=(5, 5)), rng.integers(0, 5, (2, 6))
    for t in range(1, 6):  # the first row's tokens are all the likeliest ones
        tokens[0, t] = table[tokens[0, t - 1]].argmax()
    weights = rng.random((2, 6))
    weights[:, 0] = 0
    batch = {"tokens": jnp.asarray(tokens), "weights": jnp.asarray(weights)}
    loss, metrics = language_model_loss(Table())({"embed": jnp.asarray(table)}, batch, None)
    log_probs = log_softmax(table, axis=-1)
    pairs = [(tokens[b, t - 1], tokens[b, t], weights[b, t]) for b in range(2) for t in range(1, 6)]
    assert float(loss) == pytest.approx(-sum(w * log_probs[i, j] for i, j, w in pairs), rel=1e-5)
    right = sum(w * (table[i].argmax() == j) for i, j, w in pairs)
    assert float(metrics["token_accuracy"]) == pytest.approx(right, rel=1e-5)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("chunk", [4, 6, 12, 512])
def test_logits_by_chunks_give_the_loss_and_gradient_of_all_at_once(
    rng, random_params, tied, chunk
):
    config = TransformerConfig(
        vocab_size=11, layers=1, width=8, heads=2, kv_heads=1, head_width=4, mlp_width=12, tied=tied
    )
    batch = {
        "tokens": jnp.asarray(rng.integers(0, 11, (3, 12))),
        "weights": jnp.asarray(rng.random((3, 12)), jnp.float32),
    }
    params = random_params(Transformer(config))

    def gradient(config):
        loss = language_model_loss(Transformer(config))
        return jax.value_and_grad(
            lambda p: jax.tree.map(lambda x: 2 * x, loss(p, batch, None)), has_aux=True
        )(params)

    whole = gradient(config)
    parts = gradient(dataclasses.replace(config, logit_chunk=chunk))
    chex.assert_trees_all_close(parts, whole, rtol=1e-5, atol=1e-6)


def test_binary_loss_and_its_gradient_at_marked_positions_alone(rng):
    scores = rng.normal(size=6)
    tokens = np.arange(6)[None]  # every position its own score
    labels, weights = rng.random((1, 6)), np.asarray([[0, 0.5, 0, 0, 0.25, 0.25]])
    batch = {"tokens": tokens, "labels": labels, "weights": weights}
    batch = jax.tree.map(jnp.asarray, batch)
    gradient_of = jax.value_and_grad(binary_loss(Table()), has_aux=True)
    (loss, metrics), gradient = gradient_of({"embed": jnp.asarray(scores)}, batch, None)
    gradient = gradient["embed"]
    p = expit(scores)
    terms = -(labels * np.log(p) + (1 - labels) * np.log(1 - p))
    assert float(loss) == pytest.approx(np.sum(weights * terms), rel=1e-5)
    np.testing.assert_allclose(gradient, (weights * (p - labels))[0], atol=1e-6)
    assert not np.asarray(gradient)[[0, 2, 3]].any()
    right = np.sum(weights * ((scores > 0) == (labels > 0.5)))
    assert float(metrics["accuracy"]) == pytest.approx(right, rel=1e-5)


def test_squared_error_is_that_of_the_last_position(random_params):
    shape = TransformerConfig(
        vocab_size=1, input="numbers", output="scalar", positions="learned", max_length=5,
        layers=1, width=16, heads=2, kv_heads=2, head_width=8, mlp_width=32,
    )  # fmt: skip
    model = Transformer(shape)
    params = random_params(model)
    numbers = jax.random.normal(jax.random.key(0), (3, 5))
    targets, weights = jnp.array([1.0, -2.0, 0.5]), jnp.array([0.5, 0.3, 0.2])
    batch = {"tokens": numbers, "targets": targets, "weights": weights}
    loss, _ = squared_error_loss(model)(params, batch, None)
    found = model.apply({"params": params}, numbers)[:, 4]
    assert loss == pytest.approx(float(jnp.sum(weights * (found - targets) ** 2)), rel=1e-5)
