"""Losses of policies and values, token by token, and Kullback–Leibler divergences.

Every function maps [B, T] to [B, T]: the caller weighs and sums, as `training.step.make_update`
asks. Log-probabilities are those of the tokens that were sampled.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

LARGEST = 20.0  # of a difference of log-probabilities before exp


def clipped_policy_loss(
    log_probs: Float[Array, "B T"],
    old_log_probs: Float[Array, "B T"],
    advantages: Float[Array, "B T"],
    low: float = 0.2,
    high: float = 0.2,
    dual: float = 0.0,
) -> tuple[Float[Array, "B T"], Float[Array, "B T"]]:
    """max(−A ρ, −A clip(ρ, 1 − low, 1 + high)), and 1 where the clipped side is taken.

    ρ = exp(log π − log π_old) (PPO, Schulman et al. 2017, eq. 7); `high` above `low` leaves
    unlikely tokens more room to grow (clip-higher, Yu et al. 2025). `dual` above 1 bounds what a
    bad token may cost, min(·, −A dual) where A < 0, however much likelier it became (dual clip, Ye
    et al. 2020, eq. 5); 0 sets no such bound.
    """
    ratio = jnp.exp(jnp.clip(log_probs - old_log_probs, -LARGEST, LARGEST))
    plain, clipped = -advantages * ratio, -advantages * jnp.clip(ratio, 1 - low, 1 + high)
    loss, taken = jnp.maximum(plain, clipped), clipped > plain
    if dual:
        bounded = (advantages < 0) & (loss > -advantages * dual)
        loss, taken = jnp.where(bounded, -advantages * dual, loss), taken | bounded
    return loss, taken.astype(jnp.float32)


def clipped_value_loss(
    values: Float[Array, "B T"],
    old_values: Float[Array, "B T"],
    returns: Float[Array, "B T"],
    clip: float,
) -> Float[Array, "B T"]:
    """½ max((V − R)², (clip(V, V_old ± clip) − R)²); an infinite `clip` gives ½ (V − R)²."""
    near = jnp.clip(values, old_values - clip, old_values + clip)
    return 0.5 * jnp.maximum(jnp.square(values - returns), jnp.square(near - returns))


def k1(log_probs: Float[Array, "B T"], reference: Float[Array, "B T"]) -> Float[Array, "B T"]:
    """log π − log π_ref: unbiased for KL(π ‖ π_ref) under samples of π; what rewards subtract."""
    return log_probs - reference


def k3(log_probs: Float[Array, "B T"], reference: Float[Array, "B T"]) -> Float[Array, "B T"]:
    """exp(d) − d − 1 with d = log π_ref − log π: as `k1`, and never negative; what losses add."""
    difference = jnp.clip(reference - log_probs, -LARGEST, LARGEST)
    return jnp.exp(difference) - difference - 1


def adapted_kl_coefficient(
    coefficient: float, kl: float, target: float, samples: int, horizon: int
) -> float:
    """beta (1 + clip(kl / target − 1, ±.2) n / horizon) (Ziegler et al. 2019, section 2.2).

    Args:
      coefficient: beta so far.
      kl: the mean over sequences of the sum over tokens.
      target: of that.
      samples: n, sequences since the last change.
      horizon: in sequences.
    """
    error = min(max(kl / target - 1, -0.2), 0.2)
    return coefficient * (1 + error * samples / horizon)


def explained_variance(
    values: Float[Array, "B T"], returns: Float[Array, "B T"], mask: Float[Array, "B T"]
) -> Float[Array, ""]:
    """1 − Var(R − V) / Var(R) over the masked elements; 0 where the returns do not vary."""
    count = jnp.maximum(mask.sum(), 1)

    def variance(x):
        mean = (x * mask).sum() / count
        return (jnp.square(x - mean) * mask).sum() / count

    total = variance(returns)
    return jnp.where(total > 0, 1 - variance(returns - values) / jnp.where(total > 0, total, 1), 0)
