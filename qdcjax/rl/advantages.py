"""Rewards on tokens, and advantages from them.

Shapes: B completions of T tokens. `mask` [B, T] is 1 on action tokens, those that the policy chose,
up to and including the first end token. It may have holes: what the environment inserts (a
calculator's result, a marker) is no action, and values and advantages pass across it unchanged.
G questions with K completions each have scores [G, K].
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

EPSILON = 1e-8  # added to a variance before its root
ROUNDING = 1e-6  # of a sum of rewards, relative


def on_last_action(scores: Float[Array, "B"], mask: Float[Array, "B T"]) -> Float[Array, "B T"]:
    """Each completion's score as the reward of its last action; none without an action."""
    T = mask.shape[1]
    last = T - 1 - jnp.argmax(mask[:, ::-1] > 0, axis=1)
    return scores[:, None] * mask * (jnp.arange(T) == last[:, None])


def gae(
    rewards: Float[Array, "B T"],
    values: Float[Array, "B T"],
    mask: Float[Array, "B T"],
    gamma: float,
    lam: float,
) -> tuple[Float[Array, "B T"], Float[Array, "B T"]]:
    """Generalised advantage estimates, not whitened, and returns (Schulman et al. 2016, eq. 16).

        delta_t = r_t + gamma V_{t+1} − V_t,   A_t = delta_t + gamma lam A_{t+1},   R_t = A_t + V_t

    where t + 1 is the next action, and V and A are 0 after the last one.

    Args:
      rewards: of each action; others do not count.
      values: V before each action.
      mask: 1 on actions.
      gamma: discount an action.
      lam: 1 gives A = (discounted sum of rewards) − V, 0 the one-step error.

    Returns:
      Advantages and returns, 0 where the mask is.
    """

    def back(after, now):
        next_value, next_advantage = after
        reward, value, acts = now
        advantage = reward + gamma * next_value - value + gamma * lam * next_advantage
        carried = jnp.where(acts, value, next_value), jnp.where(acts, advantage, next_advantage)
        return carried, jnp.where(acts, advantage, 0.0)

    acts = mask > 0
    start = jnp.zeros(values.shape[:1]), jnp.zeros(values.shape[:1])
    by_time = (rewards.T, values.T, acts.T)
    advantages = jax.lax.scan(back, start, by_time, reverse=True)[1].T
    return advantages, jnp.where(acts, advantages + values, 0.0)


def whiten(
    x: Float[Array, "B T"], mask: Float[Array, "B T"], shift_mean: bool = True
) -> Float[Array, "B T"]:
    """(x − mean) / √(variance + 1e-8) over the masked elements of the whole batch, 0 elsewhere.

    Args:
      x: such as advantages.
      mask: 1 on the n elements that count; the variance is over n − 1.
      shift_mean: otherwise the mean is put back after the division.
    """
    count = mask.sum()
    mean = (x * mask).sum() / jnp.maximum(count, 1)
    variance = (jnp.square(x - mean) * mask).sum() / jnp.maximum(count - 1, 1)
    whitened = (x - mean) * jax.lax.rsqrt(variance + EPSILON)
    return (whitened if shift_mean else whitened + mean) * mask


def leave_one_out(
    scores: Float[Array, "G K"], counted: Float[Array, "G K"] | None = None
) -> Float[Array, "G K"]:
    """Each score less the mean of the others of its question (RLOO, Ahmadian et al. 2024, eq. 8).

    Exactly 0 where all that count are equal, and for one alone. Scores that do not count (`counted`
    is 0: samples that are masked out) are in no mean, and get 0.
    """
    counted = jnp.ones_like(scores) if counted is None else counted
    total, n = ((x * counted).sum(axis=1, keepdims=True) for x in (scores, jnp.ones_like(scores)))
    others = (total - scores) / jnp.maximum(n - 1, 1)
    return jnp.where(dead_groups(scores, counted)[:, None], 0.0, (scores - others) * counted)


def standardised(
    scores: Float[Array, "G K"], counted: Float[Array, "G K"] | None = None
) -> Float[Array, "G K"]:
    """(score − mean) / (deviation + 1e-8) within each question (GRPO, Shao et al. 2024, §4.1.2).

    The deviation is over K − 1; `counted` and equal scores are as for `leave_one_out`.
    """
    counted = jnp.ones_like(scores) if counted is None else counted
    n = counted.sum(axis=1, keepdims=True)
    mean = (scores * counted).sum(axis=1, keepdims=True) / jnp.maximum(n, 1)
    centred = (scores - mean) * counted
    variance = jnp.square(centred).sum(axis=1, keepdims=True) / jnp.maximum(n - 1, 1)
    scaled = centred / (jnp.sqrt(variance) + EPSILON)
    return jnp.where(dead_groups(scores, counted)[:, None], 0.0, scaled)


def dead_groups(
    scores: Float[Array, "G K"], counted: Float[Array, "G K"] | None = None
) -> Bool[Array, "G"]:
    """Which questions teach nothing, since all their completions that count have one score.

    Scores are sums, whose rounding depends on the order: those within 1e-6 of the largest are one.
    """
    counts = jnp.ones_like(scores) if counted is None else counted
    largest = jnp.where(counts > 0, scores, -jnp.inf).max(axis=1)
    least = jnp.where(counts > 0, scores, jnp.inf).min(axis=1)
    return largest - least <= ROUNDING * jnp.maximum(jnp.abs(largest), jnp.abs(least))
