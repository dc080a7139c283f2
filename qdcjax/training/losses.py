"""Loss functions of token sequences; each is a weighted sum, as `step.make_update` asks.

Shapes: B sequences of T tokens, right-padded. `weights` [B, T] add to one over the step.
"""

import math

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from qdcjax.models.transformer import Transformer
from qdcjax.training.step import LossFn


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

    chunk = model.config.logit_chunk

    def loss_fn(params, batch, key):
        del key  # no dropout
        hidden = _apply(model, params, batch, "hidden")[0]
        # Position t predicts token t + 1; the last one predicts nothing.
        targets = jnp.roll(batch["tokens"], -1, axis=1)
        weights = jnp.pad(batch["weights"][:, 1:], ((0, 0), (0, 1)))
        loss_of = _next_token_loss(model)
        if chunk:
            loss_of = _in_chunks(loss_of, math.gcd(chunk, targets.shape[1]))
        output = {name: params[name] for name in ("embed", "head") if name in params}
        loss, right = loss_of(output, hidden, targets, weights)
        return loss, {"token_accuracy": right}

    return loss_fn


def _next_token_loss(model: Transformer):
    """(output parameters, hidden [B, T, D], targets, weights [B, T]) → Σ w · loss, Σ w · right."""

    def loss_of(params, hidden, targets, weights):
        logits = model.apply({"params": params}, hidden, method="output")
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
        # The target is the argmax when its loss is that of the largest logit; an argmax is slow.
        best = jax.nn.logsumexp(logits, axis=-1) - jnp.max(logits, axis=-1)
        right = jax.lax.stop_gradient(loss <= best)
        return jnp.sum(weights * loss), jnp.sum(weights * right)

    return loss_of


def _in_chunks(loss_of, chunk: int):
    """The same sums over `chunk` positions at a time, so that no more logits are held at once.

    The loss is a sum and the first thing that the backward pass comes to, so each chunk's gradient
    is taken beside its loss and only scaled later: nothing is computed twice.
    """

    def cut(hidden, targets, weights):
        """[B, T, …] → [T / chunk, B, chunk, …]."""
        return jax.tree.map(
            lambda x: x.reshape(x.shape[0], -1, chunk, *x.shape[2:]).swapaxes(0, 1),
            (hidden, targets, weights),
        )

    @jax.custom_vjp
    def chunked(params, hidden, targets, weights):
        add = lambda total, part: (jax.tree.map(jnp.add, total, loss_of(params, *part)), None)  # noqa: E731
        return jax.lax.scan(add, (0.0, 0.0), cut(hidden, targets, weights))[0]

    def forward(params, hidden, targets, weights):
        gradient = jax.value_and_grad(loss_of, argnums=(0, 1), has_aux=True)

        def add(total, part):
            sums, (d_params, d_hidden) = gradient(params, *part)
            return jax.tree.map(jnp.add, total, (sums, d_params)), d_hidden

        zeros = jax.tree.map(jnp.zeros_like, ((0.0, 0.0), params))
        (sums, d_params), d_hidden = jax.lax.scan(add, zeros, cut(hidden, targets, weights))
        return sums, (d_params, d_hidden.swapaxes(0, 1).reshape(hidden.shape))

    def backward(gradients, cotangents):
        d_params, d_hidden = jax.tree.map(lambda g: g * cotangents[0].astype(g.dtype), gradients)
        return d_params, d_hidden, None, None

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


def _apply(model: Transformer, params, batch, method: str | None = None):
    """The model's output, or what another method gives, for the rows of a batch, packed or not."""
    rows = batch["tokens"], batch.get("segment_ids"), batch.get("positions")
    return model.apply({"params": params}, *rows, method=method)
