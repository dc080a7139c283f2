"""Loss functions of token sequences; each is a weighted sum, as `step.make_update` asks.

Shapes: B sequences of T tokens, right-padded. `weights` [B, T] add to one over the step.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from qdcjax.models.transformer import Transformer
from qdcjax.training.step import LossFn

Term = Callable[[jax.Array, jax.Array, dict[str, jax.Array]], tuple[jax.Array, dict]]
Beside = Callable[[Any, jax.Array, dict[str, jax.Array]], tuple[jax.Array, dict]]


def token_log_probs(
    model: Transformer,
    params,
    tokens: Int[Array, "B T"],
    temperature: float | Float[Array, ""] = 1.0,
) -> Float[Array, "B T-1"]:
    """log p(token t | tokens < t) under softmax(logits / temperature), [B, T−1] for t = 1…T−1.

    Token t is scored by the hidden state at position t − 1. The temperature divides the logits
    here as it does in the sampler, so both give the same numbers on the same tokens.
    """
    logits = model.apply({"params": params}, tokens)[:, :-1] / temperature
    return -optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:])


def train_only(trainable, loss_fn: LossFn) -> LossFn:
    """The same loss, of which only some parameters have a gradient.

    Args:
      trainable: tree of booleans like the parameters.
      loss_fn: see `step.make_update`.
    """

    def frozen_loss(params, batch, key):
        free = lambda trained, x: x if trained else jax.lax.stop_gradient(x)  # noqa: E731
        return loss_fn(jax.tree.map(free, trainable, params), batch, key)

    return frozen_loss


def language_model_loss(model: Transformer):
    """Σ w_t · (−log p(token t | tokens < t)), and the weighted token accuracy.

    Batch: `tokens` [B, T]; `mask` [B, T] is 1 on the tokens to be predicted (never on the first of
    an example); of packed rows also `segment_ids` and `positions` (see `data.packing`).
    """

    def term(logits, log_probs, of_token):
        # The token is the argmax when its logit is the largest one; an argmax is slow.
        best = jnp.max(logits, axis=-1) - jax.nn.logsumexp(logits, axis=-1)
        right = jax.lax.stop_gradient(log_probs >= best)
        weights = of_token["weights"]
        return -jnp.sum(weights * log_probs), {"token_accuracy": jnp.sum(weights * right)}

    return next_token_loss(model, term)


def next_token_loss(
    model: Transformer,
    term: Term,
    fields: Sequence[str] = (),
    temperature: float = 1.0,
    beside: Beside | None = None,
) -> LossFn:
    """Σ_t term(logits that predict token t, log p(token t | tokens < t), fields of token t).

    With `logit_chunk` in the model's config, no more logits than that are held at once.

    Args:
      model: gives logits.
      term: `(logits [B, S, V], log_probs [B, S], {name: [B, S]}) -> (loss, metrics)`, both summed
        over its positions; among the fields is `weights`.
      fields: of the batch, [B, T] each, what else the term reads of a token.
      temperature: that divides the logits.
      beside: `(params, hidden states [B, T, D], batch) -> (loss, metrics)` of another head on the
        same trunk, added to the rest.
    """

    def sums(params, hidden, of_token):
        logits = model.apply({"params": params}, hidden, method="output") / temperature
        targets = of_token["tokens"]
        log_probs = -optax.softmax_cross_entropy_with_integer_labels(logits, targets)
        return term(logits, log_probs, of_token)

    def loss_fn(params, batch, key):
        del key  # no dropout
        hidden = _apply(model, params, batch, "hidden")[0]
        # Position t predicts token t + 1; the last one predicts nothing.
        of_token = {
            name: jnp.pad(batch[name][:, 1:], ((0, 0), (0, 1)))
            for name in ("tokens", "weights", *fields)
        }
        output = {name: params[name] for name in ("embed", "head") if name in params}
        function = sums
        if model.config.logit_chunk:
            function = _in_chunks(sums, math.gcd(model.config.logit_chunk, hidden.shape[1]))
        found = function(output, hidden, of_token)
        if beside is not None:
            loss, metrics = beside(params, hidden, batch)
            found = found[0] + loss, found[1] | metrics
        return found

    return loss_fn


def _in_chunks(sums, chunk: int):
    """The same sums over `chunk` positions at a time, so that no more logits are held at once.

    The loss is a sum and the first thing that the backward pass comes to, so each chunk's gradient
    is taken beside its loss and only scaled later: nothing is computed twice.
    """

    def cut(hidden, of_token):
        """[B, T, …] → [T / chunk, B, chunk, …]."""
        return jax.tree.map(
            lambda x: x.reshape(x.shape[0], -1, chunk, *x.shape[2:]).swapaxes(0, 1),
            (hidden, of_token),
        )

    def zeros_of(params, parts):
        first = jax.tree.map(lambda x: x[0], parts)
        shapes = jax.eval_shape(sums, params, *first)
        return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    @jax.custom_vjp
    def chunked(params, hidden, of_token):
        parts = cut(hidden, of_token)
        add = lambda total, part: (jax.tree.map(jnp.add, total, sums(params, *part)), None)  # noqa: E731
        return jax.lax.scan(add, zeros_of(params, parts), parts)[0]

    def forward(params, hidden, of_token):
        gradient = jax.value_and_grad(sums, argnums=(0, 1), has_aux=True)
        parts = cut(hidden, of_token)

        def add(total, part):
            found, (d_params, d_hidden) = gradient(params, *part)
            return jax.tree.map(jnp.add, total, (found, d_params)), d_hidden

        zeros = zeros_of(params, parts), jax.tree.map(jnp.zeros_like, params)
        (found, d_params), d_hidden = jax.lax.scan(add, zeros, parts)
        return found, (d_params, d_hidden.swapaxes(0, 1).reshape(hidden.shape))

    def backward(gradients, cotangents):
        d_params, d_hidden = jax.tree.map(lambda g: g * cotangents[0].astype(g.dtype), gradients)
        return d_params, d_hidden, None

    chunked.defvjp(forward, backward)
    return chunked


def binary_loss(model: Transformer):
    """Σ w_t · cross-entropy of σ(score_t) against labels in [0, 1], and the weighted accuracy.

    Batch: `tokens`, `labels` and `mask` [B, T]; only positions with mask carry loss; of packed rows
    also `segment_ids` and `positions`.
    """

    def loss_fn(params, batch, key):
        del key
        scores = _apply(model, params, batch)
        labels, weights = batch["labels"], batch["weights"]
        loss = optax.sigmoid_binary_cross_entropy(scores, labels)
        right = (scores > 0) == (labels > 0.5)
        return jnp.sum(weights * loss), {"accuracy": jnp.sum(weights * right)}

    return loss_fn


def squared_error_loss(model: Transformer):
    """Σ w (f(x) − y)², f(x) being the scalar at the last position of a row of numbers.

    Batch: `tokens` [B, T], the numbers x; `targets` and `mask` [B].
    """

    def loss_fn(params, batch, key):
        del key
        found = _apply(model, params, batch)[:, -1]
        return jnp.sum(batch["weights"] * (found - batch["targets"]) ** 2), {}

    return loss_fn


def _apply(model: Transformer, params, batch, method: str | None = None):
    """The model's output, or what another method gives, for the rows of a batch, packed or not."""
    rows = batch["tokens"], batch.get("segment_ids"), batch.get("positions")
    return model.apply({"params": params}, *rows, method=method)
