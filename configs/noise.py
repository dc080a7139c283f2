"""Noise in chains of thought: what a model survives in the traces that it learns from.

    python -m qdcjax.main --config=configs/noise.py

Students of traced integers (arXiv 2402.04004), each of a training set noised in its own way, are
asked clean questions: sums of numbers of one and two digits.

Expect, with seed 0, in 4 minutes on two CPU cores: 100 % of sums right after clean traces and
21 % after answers alone; 60 % after traces with dynamic noise of .1, and 4 % after half of the
characters were noised, which in such small students does more harm (RESULTS.md).
"""

from ml_collections import ConfigDict

from configs import sft


def get_config(preset: str = "") -> ConfigDict:
    if preset not in ("", "smoke"):
        raise ValueError(f"preset={preset!r} must be smoke, or nothing")
    config = ConfigDict({"study": "noise", "preset": preset, "seeds": (0,)})
    student = sft.get_config()
    config.mesh = student.mesh
    config.operations = ConfigDict({"add": {"longest": 2}})
    config.questions = 20_000
    config.cells = cells()
    config.tokenizer = ConfigDict({"vocab_size": 512})
    config.policy = student.policy
    for field in ("pretrained", "lora"):
        del config.policy[field]
    config.students = ConfigDict(
        {
            "steps": 1_200,
            "batch_size": 16,
            "pack": 128,
            "log_every": 50,
            "checkpoint_every": 300,
            "optimizer": ConfigDict({"learning_rate": 3e-3, "warmup": 0.1}),
        }
    )
    config.members_at_once = 1
    config.evaluation = student.evaluation
    config.evaluation.update(samples=4, max_new_tokens=120)
    for field in ("splits", "calculator"):
        del config.evaluation[field]
    config.predictions = predictions()
    if preset == "smoke":
        smoke(config)
    return config


def cells() -> ConfigDict:
    """Training sets (`experiments.noise_data.Cell`) that N1, N2 and N4 need.

    Characters are noised in the answer line too.
    """
    character = {"kind": "character", "answer": True}
    return ConfigDict(
        {
            "clean": {},
            "answer": {"form": "answer"},
            "character50": {"level": 0.5, **character},
            "character100": {"level": 1.0, **character},
            "dynamic10": {"kind": "dynamic", "level": 0.1},
        }
    )


def smoke(config: ConfigDict) -> None:
    """Seconds: a few steps."""
    config.questions = 60
    config.policy.update(width=32, head_width=16, mlp_width=96)
    config.students.update(steps=20, batch_size=4, log_every=10, checkpoint_every=10)
    config.evaluation.update(questions=8, samples=2, max_new_tokens=48, batch_size=16)
    mixed = {"mixes": ("character50", "dynamic10"), "contamination": 0.5}
    config.cells.mixed = ConfigDict(mixed | {"drop": "dynamic10", "share": 0.5})


def predictions() -> ConfigDict:
    """Claims of the paper's page, each with its threshold fixed before any run."""
    found = {
        "N1": ("traces beat answers alone by 20 points on clean data", 0.2),
        "N2_little": ("half of the characters noised costs at most 5 points", 0.05, "below"),
        "N2_cliff": ("all of them noised costs 30 points more than half", 0.3),
        "N4_static": ("dynamic noise of .1 costs 20 points more than static of .5", 0.2),
    }
    fields = "claim", "threshold", "direction"
    return ConfigDict({name: dict(zip(fields, of, strict=False)) for name, of in found.items()})
