"""Whole runs of RLOO or PPO in one program on the chip: sampling, reward and updates; many at once.

    python -m qdcjax.main --config=configs/on_chip.py       # RLOO; configs/on_chip.py:ppo
    python -m qdcjax.main --config=configs/on_chip.py \
        --sweep='on_chip.seed=0:16;policy_gradient.kl=0,.01,.03,.1;learn.optimizer.learning_rate=1e-4,3e-4'

Expect, with seed 0, greedy accuracy to rise from 19 % to 30 % on test questions
(docs/rl_comparison.md).

Runs of a sweep that differ in these fields share one program, spread over the devices.
`on_chip.seed` draws rollouts and their order; `seed` draws problems, student and test samples, as
everywhere.
"""

from ml_collections import ConfigDict

from configs import ppo, rloo


def get_config(preset: str = "") -> ConfigDict:
    if preset not in ("", "smoke", "ppo"):
        raise ValueError(f"preset={preset!r} must be smoke, ppo, or nothing")
    if preset == "ppo":
        config = ppo.get_config()
        config.preset = preset
    else:
        config = rloo.get_config(preset)
    config.study = config.name = "on_chip"
    config.evaluation.calculator = config.rollouts.calculator = False  # it works on the host
    if preset != "smoke":
        config.sft.update(questions=30_000, steps=1_800)
        config.policy_gradient.iterations = 24
    config.on_chip = ConfigDict({"seed": 0, "members_at_once": 1})
    del config.evaluate_at
    for field in ("batch_size", "buckets"):
        del config.rollouts[field]
    for section in {"learn", "critic"} & set(config):
        for field in ("microbatches", "checkpoint_every"):
            del config[section][field]
    return config
