"""Choosing a token from logits: greedy, temperature, top-k and top-p, by one uniform number.

N rows, V tokens. Log-probabilities are those of the full softmax at the temperature, the ones
that the trainer scores; what top-k or top-p cut away is reported apart as `kept_log_mass`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key


def uniforms(keys: Key[Array, "N"], positions: Int[Array, "N"]) -> Float[Array, "N"]:
    """One number in [0, 1) a row, from the row's own key and its token's position only.

    Args:
      keys: [N] random keys, one a sample (see `programs.sample_keys`).
      positions: [N] position among the sample's own tokens.
    """
    return jax.vmap(lambda key, t: jax.random.uniform(jax.random.fold_in(key, t)))(keys, positions)


def kept_tokens(log_probs: Float[Array, "N V"], top_k: int, top_p: float) -> Bool[Array, "N V"]:
    """Which tokens top-k and then top-p keep, [N, V]; ties with the last kept one stay too.

    top-p keeps the smallest set of most likely tokens whose probability reaches p (Holtzman et
    al. 2020), so always at least one.
    """
    kept = jnp.ones(log_probs.shape, bool)
    if top_k:
        kept &= log_probs >= jax.lax.top_k(log_probs, top_k)[0][:, -1:]
    if top_p < 1.0:
        within = jax.nn.softmax(jnp.where(kept, log_probs, -jnp.inf), axis=-1)
        ordered = jnp.sort(within, axis=-1)[:, ::-1]
        before = jnp.cumsum(ordered, axis=-1) - ordered
        least = jnp.min(jnp.where(before < top_p, ordered, jnp.inf), axis=-1, keepdims=True)
        kept &= within >= least
    return kept


def choose(
    logits: Float[Array, "N V"],
    numbers: Float[Array, "N"],
    temperature: float,
    top_k: int = 0,
    top_p: float = 1.0,
) -> tuple[Int[Array, "N"], Float[Array, "N"], Float[Array, "N"]]:
    """Picks a token for each row by inverting the cumulative distribution at `numbers`.

    One uniform number a row costs far less than V Gumbel numbers and gives the same law.

    Args:
      logits: [N, V] float32.
      numbers: [N] in [0, 1).
      temperature: 0 for the most likely token (its log-probability is then that at temperature 1).
      top_k: 0 for all.
      top_p: 1 for all.

    Returns:
      tokens [N] int32, log_probs [N], kept_log_mass [N] (0 without top-k and top-p).
    """
    log_probs = jax.nn.log_softmax(logits / (temperature or 1.0), axis=-1)
    kept_log_mass = jnp.zeros(logits.shape[0])
    if temperature == 0:
        tokens = jnp.argmax(logits, axis=-1)
    else:
        weights = jnp.exp(log_probs)
        if top_k or top_p < 1.0:
            weights = jnp.where(kept_tokens(log_probs, top_k, top_p), weights, 0.0)
            kept_log_mass = jnp.log(weights.sum(axis=-1))
        cumulative = jnp.cumsum(weights, axis=-1)
        target = numbers[:, None] * cumulative[:, -1:]
        # The first token with weight past the target; where rounding leaves none, the last one.
        index = jnp.arange(logits.shape[-1])
        possible = weights > 0
        first = jnp.min(
            jnp.where(possible & (cumulative > target), index, logits.shape[-1]), axis=-1
        )
        tokens = jnp.minimum(first, jnp.max(jnp.where(possible, index, 0), axis=-1))
    tokens = tokens.astype(jnp.int32)
    chosen = jnp.take_along_axis(log_probs, tokens[:, None], axis=1)[:, 0]
    return tokens, chosen, kept_log_mass
