"""Loss functions of token sequences; each is a weighted sum, as `step.make_update` asks.

Shapes: B sequences of T tokens, right-padded. `weights` [B, T] add to one over the step.
"""

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

    def loss_fn(params, batch, key):
        del key  # no dropout
        logits = _apply(model, params, batch)[:, :-1]
        targets, weights = batch["tokens"][:, 1:], batch["weights"][:, 1:]
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
        # The target is the argmax when its loss is that of the largest logit; an argmax is slow.
        best = jax.nn.logsumexp(logits, axis=-1) - jnp.max(logits, axis=-1)
        right = jax.lax.stop_gradient(loss <= best)
        return jnp.sum(weights * loss), {"token_accuracy": jnp.sum(weights * right)}

    return loss_fn


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


def _apply(model: Transformer, params, batch):
    """The model's output for the rows of a batch, packed or not."""
    return model.apply(
        {"params": params}, batch["tokens"], batch.get("segment_ids"), batch.get("positions")
    )
