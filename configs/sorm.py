"""Stepwise outcome reward models from a policy's own rollouts (GLoRe, steps 1–4).

    python -m qdcjax.main --config=configs/sorm.py

Expect, with seed 0, in 5 to 15 minutes on two CPU cores: a student of 66 % greedy accuracy, a SORM
that judges steps with 72 % balanced accuracy against the ORM's 65 % (docs/sorm.md).

With the student of another run: --config.checkpoint=runs/expert_iteration-default
--config.model=round-2.
"""

from ml_collections import ConfigDict, config_dict

from configs import sft


def get_config(preset: str = "") -> ConfigDict:
    config = sft.get_config(preset)
    config.study = "sorm"
    config.checkpoint, config.model = config_dict.placeholder(str), "student"
    config.drafts = ConfigDict(
        {
            "split": "rewards",
            "questions": 1_250,
            "samples": 4,
            "temperature": 1.0,
            "max_new_tokens": 120,
            "batch_size": 512,
            "buckets": 1,
        }
    )
    config.verify = ConfigDict(
        {
            "samples": 8,
            "temperature": 1.0,
            "max_new_tokens": 120,
            "batch_size": 512,
        }
    )
    config.verify_many = ConfigDict({**config.verify, "prefixes": 256, "samples": 32})
    config.reward = ConfigDict(
        {
            "seeds": (0, 1, 2),
            "threshold": 0.5,
            "steps": 500,
            "batch_size": 32,
            "microbatches": 4,
            "log_every": 25,
            "checkpoint_every": 250,
            "optimizer": ConfigDict({"learning_rate": 1e-3, "warmup": 0.1}),
        }
    )
    config.predictions = predictions()
    if preset == "smoke":
        smoke(config)
    elif preset:
        gsm8k(config)
    return config


def smoke(config: ConfigDict) -> None:
    """Seconds: a few questions and two seeds of each reward model."""
    small = {"max_new_tokens": 64, "batch_size": 96}
    config.drafts.update(questions=24, samples=4, **small)
    config.verify.update(samples=4, **small)
    config.verify_many.update(prefixes=24, samples=8, **small)
    config.reward.update(seeds=(0, 1), steps=20, batch_size=16, microbatches=1, buckets=1)


def predictions() -> ConfigDict:
    """Claims of the paper's page, each with a statistic's threshold fixed before any run."""
    return ConfigDict(
        {
            "G1_steps": {
                "claim": "SORM's step accuracy exceeds the ORM's by at least 4 points",
                "threshold": 0.04,
            },
            "G1_answers": {
                "claim": "the ORM's accuracy on final answers is no lower than the SORM's",
                "threshold": 0.0,
            },
            "G2": {
                "claim": "the ORM calls more right steps wrong than the SORM",
                "threshold": 0.0,
            },
            "G2_hard": {
                "claim": "and more so on questions that the student rarely solves",
                "threshold": 0.0,
            },
            "G6": {
                "claim": "without balancing, values fall more from first to last steps",
                "threshold": 0.0,
            },
            "G7_rise": {
                "claim": "labels from 8 completions are more accurate than from 1",
                "threshold": 0.0,
            },
            "G7_lucky": {
                "claim": "most completions give less precise labels than 1: lucky ones count",
                "threshold": 0.0,
                "direction": "below",
            },
        }
    )


def gsm8k(config: ConfigDict) -> None:
    """A pretrained student on GSM8K, which has no third split and no exact truth of steps."""
    large = {"max_new_tokens": 256, "batch_size": 768}
    config.drafts.update(split="train", questions=2_000, **large)
    config.verify.update(**large)
    config.verify_many.update(**large)
    config.reward.update(steps=1_000, batch_size=config.sft.batch_size, microbatches=1)
    config.reward.optimizer.learning_rate = 2e-5
