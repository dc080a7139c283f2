"""A check of PPO and expert iteration: shortest paths, from a policy that walks at random.

    python -m qdcjax.main --config=configs/random_walks.py
    python -m qdcjax.main --config=configs/random_walks.py:expert_iteration

Expect, with seed 0, in two minutes and in one on two CPU cores: greedy answers that are shortest
paths rise from 5 % to 100 % (docs/rl_comparison.md).
"""

from ml_collections import ConfigDict

from configs import expert_iteration, ppo


def get_config(preset: str = "") -> ConfigDict:
    if preset not in ("", "smoke", "expert_iteration"):
        raise ValueError(f"preset={preset!r} must be smoke, expert_iteration, or nothing")
    by_ppo = preset != "expert_iteration"
    config = (ppo if by_ppo else expert_iteration).get_config("")
    config.name, config.preset = "random_walks", preset
    config.task = ConfigDict(
        {"name": "random_walks", "nodes": 21, "edges": 0.1, "longest": 10, "seed": 1002}
    )
    config.misconceptions.update(hard=0.0, err=0.0)
    config.evaluation.calculator = config.rollouts.calculator = False
    config.tokenizer.vocab_size = 300
    config.sft.update(questions=1_000, validation_questions=0, steps=300, microbatches=1, buckets=1)
    config.evaluation.update(splits=("test",), questions=0, max_new_tokens=16)
    config.rollouts.update(split="train", questions=1_000, samples=16, max_new_tokens=16)
    if by_ppo:
        config.policy_gradient.update(reward="task", iterations=40, questions=32, kl=0.0)
        for section in (config.learn, config.critic):
            section.microbatches = 1
    else:
        config.finetune.update(steps=300, microbatches=1, buckets=1)
    if preset == "smoke":
        config.sft.steps = 50
        config.policy_gradient.update(iterations=2, questions=8)
        config.rollouts.update(questions=16, samples=4)
        config.learn.batch_size = config.critic.batch_size = 16
    return config
