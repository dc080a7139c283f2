"""GRPO: a policy learns from sampled solutions, standardised within each question.

    python -m qdcjax.main --config=configs/grpo.py

Expect, with seed 0, greedy accuracy to rise from 47 % to 83 % on test questions
(docs/rl_comparison.md).

The divergence from the start is part of the loss. policy_gradient.normalise=sequences gives each
solution the same weight, as in the paper; by default each token has it.
"""

from ml_collections import ConfigDict

from configs import ppo


def get_config(preset: str = "") -> ConfigDict:
    config = ppo.get_config(preset)
    config.name = "grpo"
    config.policy_gradient.update(algorithm="grpo", epochs=2, kl_in="loss")
    del config.critic
    return config
