"""PPO, RLOO and GRPO as one algorithm with three ways to an advantage.

    PPO    r_t = R_t − beta k1_t, A by GAE against a critic (Schulman et al. 2017)
    RLOO   R − beta Σ_t k1_t, less the mean of the question's other samples (Ahmadian et al. 2024)
    GRPO   R standardised within the question; KL as a loss, k3 (Shao et al. 2024)

All three then take clipped steps on log π. On-policy with one epoch the ratio is 1, and the step is
REINFORCE's. N completions of T tokens; G questions with K each, question by question.
"""

import dataclasses
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from qdcjax.models.transformer import Transformer
from qdcjax.rl.advantages import dead_groups, gae, leave_one_out, standardised, whiten
from qdcjax.rl.losses import clipped_policy_loss, clipped_value_loss, k1, k3
from qdcjax.training.losses import next_token_loss
from qdcjax.training.step import LossFn

ALGORITHMS = ("ppo", "rloo", "grpo")
OF_POLICY = ("advantages", "old_log_probs", "reference")  # of a token, in a policy's batches
OF_CRITIC = ("old_values", "returns")
AT_LEAST_NOTHING = ("kl", "kl_target", "clip_low", "clip_high", "gamma", "lam", "value_clip")
AT_LEAST_NOTHING += ("penalty", "dual_clip", "critic_warmup", "value_weight")
REWARDS = ("sparse", "dense", "orm_sparse", "orm_dense", "task")


@dataclasses.dataclass(frozen=True)
class PolicyGradient:
    """How a policy learns from its rollouts.

    Attributes:
      algorithm: where advantages come from: `ppo`, `rloo` or `grpo`.
      reward: what a completion earns (see `rl.rewards`).
      iterations: of sampling and learning.
      questions: sampled anew in an iteration.
      epochs: passes over an iteration's rollouts.
      kl: beta, the weight of the divergence from the starting point.
      kl_in: whether it is part of the `reward` (k1) or of the `loss` (k3).
      kl_target: nats a completion that an adaptive beta steers to; 0 leaves beta as it is.
      kl_horizon: sequences over which it does.
      clip_low, clip_high: how far the ratio may go below and above 1.
      dual_clip: bound of what a bad token costs, as a multiple of its advantage; 0 for none.
      critic: PPO's value model: a trunk of its own that begins as the `policy`'s or as the
        `reward_model`'s (V = σ(score)), or a head on the `shared` trunk of the policy.
      critic_warmup: iterations at the beginning in which the critic alone learns.
      value_weight: of the critic's loss beside the policy's, on a shared trunk.
      gamma, lam: of GAE.
      value_clip: how far a value may move from what it was; infinite for no bound.
      truncated: a completion without an end: `zero` reward, a `penalty`, or `masked` out.
      penalty: what is then taken away.
      normalise: the loss is a mean over all `tokens` of the step or over its `sequences`, each a
        mean over its own tokens (GRPO's own).
    """

    algorithm: Literal["ppo", "rloo", "grpo"]
    iterations: int
    questions: int
    reward: Literal["sparse", "dense", "orm_sparse", "orm_dense", "task"] = "sparse"
    epochs: int = 1
    kl: float = 0.05
    kl_in: Literal["reward", "loss"] = "reward"
    kl_target: float = 0.0
    kl_horizon: int = 10_000
    clip_low: float = 0.2
    clip_high: float = 0.2
    dual_clip: float = 0.0
    critic: Literal["policy", "reward_model", "shared"] = "policy"
    critic_warmup: int = 0
    value_weight: float = 0.1
    gamma: float = 1.0
    lam: float = 0.95
    value_clip: float = 0.2
    truncated: Literal["zero", "penalty", "masked"] = "zero"
    penalty: float = 0.0
    normalise: Literal["tokens", "sequences"] = "tokens"

    def __post_init__(self):
        words = {
            "algorithm": ALGORITHMS,
            "reward": REWARDS,
            "kl_in": ("reward", "loss"),
            "critic": ("policy", "reward_model", "shared"),
            "truncated": ("zero", "penalty", "masked"),
            "normalise": ("tokens", "sequences"),
        }
        for name, allowed in words.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} must be one of {', '.join(allowed)}"
                )
        least = {"iterations": 1, "questions": 1, "epochs": 1, "kl_horizon": 1}
        least |= dict.fromkeys(AT_LEAST_NOTHING, 0)
        for name, value in least.items():
            if getattr(self, name) < value:
                raise ValueError(f"{name}={getattr(self, name)} must be at least {value}")
        for name in ("gamma", "lam"):
            if getattr(self, name) > 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at most 1")
        if 0 < self.dual_clip <= 1:
            raise ValueError(f"dual_clip={self.dual_clip} must be above 1, or 0 for none")
        if self.critic_warmup >= self.iterations:
            raise ValueError(
                f"critic_warmup={self.critic_warmup} must leave some of the "
                f"{self.iterations} iterations to the policy"
            )
        if self.critic_warmup and self.algorithm != "ppo":
            raise ValueError(f"critic_warmup={self.critic_warmup}: {self.algorithm} has no critic")
        if self.kl_target and self.kl_in == "loss":
            raise ValueError(f"kl_target={self.kl_target} adapts the reward: set kl_in=reward")

    @property
    def shares_trunk(self) -> bool:
        """Whether the critic is a head on the policy's trunk."""
        return self.algorithm == "ppo" and self.critic == "shared"

    @property
    def from_reward_model(self) -> list[str]:
        """The fields whose values ask for a reward model."""
        asks = {"reward": self.reward.startswith("orm"), "critic": self.critic == "reward_model"}
        return [field for field, asked in asks.items() if asked]


def advantages_and_returns(
    settings: PolicyGradient,
    samples: int,
    rewards: Float[Array, "N T"],
    mask: Float[Array, "N T"],
    log_probs: Float[Array, "N T"],
    reference: Float[Array, "N T"],
    values: Float[Array, "N T"],
    kl: Float[Array, ""] | float,
) -> tuple[Float[Array, "N T"], Float[Array, "N T"]]:
    """Advantages (PPO's whitened over the mask) and returns, of the rollouts of an iteration.

    Args:
      settings: the algorithm and its numbers.
      samples: K.
      rewards: at the tokens that earn them, without the divergence's part.
      mask: 1 on actions.
      log_probs, reference: log π_old and log π_start of the tokens, at the sampling temperature.
      values: V before each token; read by PPO only.
      kl: beta now.
    """
    charged = kl * k1(log_probs, reference) * mask if settings.kl_in == "reward" else 0.0
    earned, rewards = rewards, rewards - charged
    if settings.algorithm == "ppo":
        advantages, returns = gae(rewards, values, mask, settings.gamma, settings.lam)
        return whiten(advantages, mask), returns
    earned, totals = (x.sum(axis=1).reshape(-1, samples) for x in (earned, rewards))
    counted = (mask.sum(axis=1) > 0).astype(totals.dtype).reshape(-1, samples)
    if settings.algorithm == "rloo":
        scores = leave_one_out(totals, counted)
    else:  # the deviation of equal rewards is that of divergences, by which nothing is to be scaled
        dead = dead_groups(earned, counted)
        scores = jnp.where(dead[:, None], 0.0, standardised(totals, counted))
    return scores.reshape(-1, 1) * mask, jnp.zeros_like(mask)


def token_weights(settings: PolicyGradient, mask: Float[Array, "N T"]) -> Float[Array, "N T"]:
    """How much each action counts in the policy's loss, up to a factor: `normalise`."""
    if settings.normalise == "tokens":
        return mask
    return mask / jnp.maximum(mask.sum(axis=1, keepdims=True), 1)


def values_before(model: Transformer, params, tokens):
    """[B, T]: entry t is V of the text before token t, told by the state at t − 1."""
    return _before(model.apply({"params": params}, tokens))


def chances_before(model: Transformer, params, tokens):
    """`values_before` of a reward model: V = σ(score), the chance of a right answer."""
    return _before(jax.nn.sigmoid(model.apply({"params": params}, tokens)))


def shared_values_before(model: Transformer, params, tokens):
    """`values_before` of a value head on the policy's trunk."""
    hidden = model.apply({"params": params}, tokens, method="hidden")[0]
    return _before(model.apply({"params": params}, hidden, method="values"))


def _before(values):
    return jnp.pad(values[:, :-1], ((0, 0), (1, 0)))


@dataclasses.dataclass(frozen=True)
class PolicyLoss:
    """Makes the policy's loss: Σ w_t (clipped loss of token t + beta k3_t).

    Batch, beside `tokens` and `mask`: `advantages`, `old_log_probs` and `reference` [B, T], each
    of the token that stands there. Metrics: the share of tokens that are clipped; KL(π_old ‖ π) as
    k3 estimates it from the samples of π_old, exp(d) − d − 1 with d = log π − log π_old; and k3_t.

    Attributes:
      clip_low, clip_high, dual_clip: see `PolicyGradient`.
      kl: beta of k3; 0 where the divergence is in the reward.
      temperature: that the tokens were sampled at.
      beside: the critic's loss, on a shared trunk; its batch has `warm` [B, T] too, 1 while the
        critic alone learns.
    """

    clip_low: float
    clip_high: float
    kl: float
    temperature: float
    dual_clip: float = 0.0
    beside: "SharedValueLoss | None" = None

    def __call__(self, model: Transformer) -> LossFn:
        """The loss function of a model."""

        def term(logits, log_probs, of_token):
            del logits
            weights, old = of_token["weights"], of_token["old_log_probs"]
            clips = self.clip_low, self.clip_high, self.dual_clip
            loss, clipped = clipped_policy_loss(log_probs, old, of_token["advantages"], *clips)
            divergence = k3(log_probs, of_token["reference"])
            loss = loss + self.kl * divergence
            if self.beside is not None:
                loss = loss * (1 - of_token["warm"])
            metrics = {"clip_fraction": clipped, "update_kl": k3(old, log_probs)}
            metrics["reference_kl"] = divergence
            sums = {name: jnp.sum(weights * value) for name, value in metrics.items()}
            return jnp.sum(weights * loss), jax.lax.stop_gradient(sums)

        if self.beside is None:
            return next_token_loss(model, term, OF_POLICY, self.temperature)
        beside = self.beside(model)
        return next_token_loss(model, term, [*OF_POLICY, "warm"], self.temperature, beside)

    @property
    def fields(self) -> tuple[str, ...]:
        """What its batch has beside `tokens` and `mask`."""
        return OF_POLICY if self.beside is None else (*OF_POLICY, "warm", *OF_CRITIC)


def policy_loss(
    settings: PolicyGradient, temperature: float, kl: Float[Array, ""] | float
) -> PolicyLoss:
    """The loss of an algorithm's policy, with its critic's where they share a trunk.

    Args:
      settings: the algorithm.
      temperature: that the tokens are sampled at.
      kl: beta, in which members of one program on the chip differ; it counts where `kl_in` says.
    """
    s = settings
    shared = SharedValueLoss(s.value_clip, s.value_weight) if s.shares_trunk else None
    kl = kl if s.kl_in == "loss" else 0.0
    return PolicyLoss(s.clip_low, s.clip_high, kl, temperature, s.dual_clip, shared)


@dataclasses.dataclass(frozen=True)
class ValueLoss:
    """Makes the critic's loss: Σ w_t of the clipped squared error of V before token t.

    Batch, beside `tokens` and `mask`: `old_values` and `returns` [B, T].

    Attributes:
      clip: see `PolicyGradient.value_clip`.
      values: how the model tells V: `values_before`, or `chances_before` for a reward model.
    """

    clip: float
    values: Callable = values_before

    def __call__(self, model: Transformer) -> LossFn:
        """The loss function of a model with scalar output."""

        def loss_fn(params, batch, key):
            del key
            values = self.values(model, params, batch["tokens"])
            loss = clipped_value_loss(values, batch["old_values"], batch["returns"], self.clip)
            return jnp.sum(batch["weights"] * loss), {}

        return loss_fn


@dataclasses.dataclass(frozen=True)
class SharedValueLoss:
    """`ValueLoss` of a value head on the policy's trunk, times a weight, beside `PolicyLoss`.

    While `warm` is 1 its gradient stops at the trunk.

    Attributes:
      clip: see `PolicyGradient.value_clip`.
      weight: see `PolicyGradient.value_weight`.
    """

    clip: float
    weight: float

    def __call__(self, model: Transformer):
        """Adds to `next_token_loss`."""

        def beside(params, hidden, batch):
            warm = batch["warm"][..., None] > 0
            hidden = jnp.where(warm, jax.lax.stop_gradient(hidden), hidden)
            values = _before(model.apply({"params": params}, hidden, method="values"))
            loss = clipped_value_loss(values, batch["old_values"], batch["returns"], self.clip)
            loss = jnp.sum(batch["weights"] * loss)
            return self.weight * loss, {"value_loss": jax.lax.stop_gradient(loss)}

        return beside
