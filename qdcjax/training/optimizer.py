"""AdamW with warm-up, a schedule and clipping."""

import dataclasses
from typing import Literal

import jax
import optax


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """AdamW and its learning rate.

    Attributes:
      learning_rate: the peak.
      warmup: share of all steps over which the rate rises linearly from 0; rounded to
        whole steps, and with none the first step has the peak.
      schedule: after that, `constant` or a `cosine` to `final` · learning_rate.
      final: the rate at the last step as a share of the peak (cosine only).
      weight_decay: decoupled, on matrices only (not on norms and biases).
      clip: largest global gradient norm.
      b1, b2, eps: Adam's own.
    """

    learning_rate: float
    warmup: float = 0.05
    schedule: Literal["cosine", "constant"] = "cosine"
    final: float = 0.0
    weight_decay: float = 0.0
    clip: float = 1.0
    b1: float = 0.9
    b2: float = 0.95
    eps: float = 1e-8

    def __post_init__(self):
        if self.schedule not in ("cosine", "constant"):
            raise ValueError(f"schedule={self.schedule!r} must be cosine or constant")
        for name in ("learning_rate", "clip", "eps"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)} must be above 0")
        for name in ("warmup", "final", "b1", "b2"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)} must be within 0…1")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay={self.weight_decay} must be at least 0")


def learning_rate(config: OptimizerConfig, steps: int) -> optax.Schedule:
    """Step → learning rate for a run of `steps` steps."""
    warmup = round(config.warmup * steps)
    if config.schedule == "constant":
        peak = optax.constant_schedule(config.learning_rate)
    else:
        falling = max(1, steps - warmup)
        peak = optax.cosine_decay_schedule(config.learning_rate, falling, config.final)
    if not warmup:
        return peak
    return optax.join_schedules(
        [optax.linear_schedule(0.0, config.learning_rate, warmup), peak], [warmup]
    )


def make_optimizer(config: OptimizerConfig, steps: int) -> optax.GradientTransformation:
    """Clipping, then AdamW; the weight decay leaves vectors and scalars alone."""
    return optax.chain(
        optax.clip_by_global_norm(config.clip),
        optax.adamw(
            learning_rate(config, steps),
            b1=config.b1,
            b2=config.b2,
            eps=config.eps,
            weight_decay=config.weight_decay,
            mask=_matrices,
        ),
    )


def _matrices(params):
    """Which leaves are products' kernels and embeddings, by name: norms are stacked vectors."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: path[-1].key.startswith(("kernel", "embedding")), params
    )
