"""Expert iteration: a policy learns from its own right answers, round after round.

    python -m qdcjax.main --config=configs/expert_iteration.py

Expect, with seed 0, greedy accuracy to rise from 47 % to 91 % on test questions
(docs/rl_comparison.md).

Another run's policy is the starting point with --config.checkpoint=runs/sft-default.
"""

from ml_collections import ConfigDict, config_dict

from configs import sft


def get_config(preset: str = "") -> ConfigDict:
    config = sft.get_config(preset)
    config.study = "expert_iteration"
    config.checkpoint = config_dict.placeholder(str)
    config.model = "student"
    config.expert_iteration = ConfigDict(
        {
            "rounds": 2,
            "init_from": "start",
            "most_per_question": 4,
            "references": False,
            "true_equations": False,
        }
    )
    config.rollouts = ConfigDict(
        {
            "split": "rewards",
            "questions": 1_000,
            "samples": 16,
            "temperature": 1.0,
            "max_new_tokens": 120,
            "batch_size": 512,
            "buckets": 1,
            "calculator": False,
        }
    )
    config.finetune = config.sft.copy_and_resolve_references()
    for field in ("questions", "validation_questions", "evaluate_every"):
        del config.finetune[field]
    config.predictions = predictions()
    if preset == "smoke":
        smoke(config)
    elif preset:
        gsm8k(config)
    else:
        embedded(config)
    return config


def embedded(config: ConfigDict) -> None:
    """Minutes on two CPU cores."""
    sft.fallible(config)
    config.rollouts.calculator = True
    config.finetune.update(steps=400)
    config.finetune.optimizer.learning_rate = 1e-3


def smoke(config: ConfigDict) -> None:
    """Seconds: two rounds on a few questions."""
    config.rollouts.update(questions=24, samples=4, max_new_tokens=64, batch_size=96)
    config.finetune.update(steps=20)
    config.finetune.optimizer.learning_rate = 1e-3


def gsm8k(config: ConfigDict) -> None:
    """A pretrained student on all questions of GSM8K's train split; the paper has K = 96."""
    config.expert_iteration.update(rounds=2, most_per_question=16, references=True)
    config.rollouts.update(split="train", questions=0, max_new_tokens=256, batch_size=768)
    if config.preset != "smollm2":
        config.expert_iteration.update(rounds=5, most_per_question=0)
        config.rollouts.update(samples=96, max_new_tokens=512)


def predictions() -> ConfigDict:
    """Claims with their thresholds, fixed before any run."""
    return ConfigDict(
        {
            "gain": {
                "claim": "expert iteration raises greedy accuracy on test questions",
                "threshold": 0.0,
            },
            "R7": {
                "claim": "later rounds find right solutions with other operations than the first: "
                "at least .1 a question",
                "threshold": 0.1,
            },
        }
    )
