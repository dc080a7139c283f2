"""PPO: a policy learns from sampled solutions, a critic, and the divergence from its start.

    python -m qdcjax.main --config=configs/ppo.py

Expect, with seed 0, greedy accuracy to rise from 47 % to 81 % on test questions
(docs/rl_comparison.md).

What the fields of `policy_gradient` mean stands in qdcjax/rl/policy_gradient.py; `meshes` puts a
model on some of the devices. With rewards of a model: --config.policy_gradient.reward=orm_dense
--config.checkpoint=runs/sorm-default --config.reward_model=orm-0
--config.rollouts.split=validation, for that model learned from the first questions of the split
`rewards`.
"""

from ml_collections import ConfigDict, config_dict

from configs import sft


def get_config(preset: str = "") -> ConfigDict:
    config = sft.get_config(preset)
    config.study, config.name = "policy_gradient", "ppo"
    config.checkpoint = config_dict.placeholder(str)
    config.model = "student"
    config.reward_model = config_dict.placeholder(str)
    config.policy_gradient = ConfigDict(
        {
            "algorithm": "ppo",
            "reward": "sparse",
            "iterations": 16,
            "questions": 32,
            "epochs": 2,
            "kl": 0.05,
            "kl_in": "reward",
            "kl_target": 0.0,
            "kl_horizon": 10_000,
            "clip_low": 0.2,
            "clip_high": 0.2,
            "dual_clip": 0.0,
            "critic": "policy",
            "critic_warmup": 0,
            "value_weight": 0.1,
            "gamma": 1.0,
            "lam": 0.95,
            "value_clip": 0.2,
            "truncated": "zero",
            "penalty": 0.0,
            "normalise": "tokens",
        }
    )
    config.evaluate_at = (0.2,)
    config.meshes = ConfigDict(
        {
            role: {"devices": "", "data": -1, "fsdp": 1, "tensor": 1}
            for role in ("policy", "reference", "critic", "reward_model")
        }
    )
    config.rollouts = ConfigDict(
        {
            "split": "rewards",
            "questions": 4_000,
            "samples": 16,
            "temperature": 1.0,
            "max_new_tokens": 120,
            "batch_size": 512,
            "buckets": 1,
            "calculator": False,
        }
    )
    config.learn = ConfigDict(
        {
            "batch_size": 128,
            "microbatches": 16,
            "checkpoint_every": 80,
            "optimizer": ConfigDict(
                {"learning_rate": 3e-4, "warmup": 0.05, "schedule": "constant", "eps": 1e-5}
            ),
        }
    )
    config.critic = config.learn.copy_and_resolve_references()
    config.critic.optimizer.learning_rate = 1e-3
    config.predictions = ConfigDict(
        {
            "gain": {
                "claim": "learning raises greedy accuracy on test questions",
                "threshold": 0.0,
            },
        }
    )
    if preset == "smoke":
        smoke(config)
    elif preset:
        gsm8k(config)
    else:
        sft.fallible(config)
        config.rollouts.calculator = True
        config.policy_gradient.kl = 0.01
    return config


def smoke(config: ConfigDict) -> None:
    """Seconds: three iterations on a few questions."""
    config.policy_gradient.update(iterations=3, questions=8)
    config.rollouts.update(questions=24, samples=4, max_new_tokens=64, batch_size=32)
    for section in (config.learn, config.critic):
        section.update(batch_size=16, microbatches=1, checkpoint_every=4)


def gsm8k(config: ConfigDict) -> None:
    """A pretrained student on all questions of GSM8K's train split."""
    config.policy_gradient.update(iterations=200, questions=64)
    config.rollouts.update(split="train", questions=0, max_new_tokens=256, batch_size=1_024)
    for section, rate in ((config.learn, 1e-6), (config.critic, 1e-5)):
        section.update(batch_size=256, microbatches=8, checkpoint_every=80)
        section.optimizer.learning_rate = rate
    if config.preset != "smollm2":  # a pod's chips share the rows of a microbatch
        config.rollouts.update(max_new_tokens=512)
        config.learn.microbatches = config.critic.microbatches = 4
