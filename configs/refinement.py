"""When, where and how to refine: global and local refiners of drafts (GLoRe, steps 5–7).

    python -m qdcjax.main --config=configs/refinement.py --config.checkpoint=runs/sorm-default

Expect, with seed 0, in 4 to 6 minutes on two CPU cores after that run: refiners that fix 11 to 16 %
of the wrong drafts, and an ORM that cannot choose, so that greedy drafts stay the best
(docs/refinement.md).

Without a checkpoint, the run of reward models is made first, as the member `sorm`; with one, that
run's own config is read, and the fields of `config.sorm` are not.
"""

from ml_collections import ConfigDict, config_dict

from configs import expert_iteration, sorm

EXPERTS = "expert_iteration"


def get_config(preset: str = "") -> ConfigDict:
    size = "" if preset == EXPERTS else preset
    config = ConfigDict({"study": "refinement", "preset": preset, "seed": 0})
    config.checkpoint = config_dict.placeholder(str)
    config.sorm = sorm.get_config(size)
    del config.sorm.seed  # this run's own
    config.mesh = config.sorm.mesh
    config.policy = ConfigDict({"lora": config.sorm.policy.lora})  # of the refiners
    config.pairs = ConfigDict({"per_draft": 16, "validation_questions": 50})
    config.refiner = ConfigDict(
        {
            "steps": 600,
            "batch_size": 32,
            "microbatches": 4,
            "buckets": 3,
            "log_every": 50,
            "checkpoint_every": 300,
            "evaluate_every": 100,
            "optimizer": ConfigDict({"learning_rate": 1e-3, "warmup": 0.05}),
        }
    )
    config.predictions = predictions()
    if preset == "smoke":
        smoke(config)
    elif preset == EXPERTS:
        experts(config)
    elif preset:
        gsm8k(config)
    return config


def smoke(config: ConfigDict) -> None:
    """Seconds: a few steps."""
    config.pairs.validation_questions = 4
    config.refiner.update(steps=20, batch_size=16, microbatches=1, buckets=1)


def experts(config: ConfigDict) -> None:
    """As in the paper, the student comes from expert iteration, the member `experts`."""
    config.experts = expert_iteration.get_config()
    del config.experts.seed
    for section in ("drafts", "verify", "verify_many", "evaluation"):
        config.sorm[section].calculator = True


def gsm8k(config: ConfigDict) -> None:
    """A pretrained student on GSM8K."""
    rewards = config.sorm.reward
    config.pairs.validation_questions = 100
    config.refiner.update(steps=1_000, batch_size=rewards.batch_size, microbatches=1)
    config.refiner.optimizer.learning_rate = config.sorm.sft.optimizer.learning_rate


def predictions() -> ConfigDict:
    """Claims of the paper's page about refinement, each with its threshold fixed before any run."""
    found = {
        "G3": ("either refiner fixes 5 points more of the wrong drafts than each alone", 0.05),
        "G4_ungated": ("refining every draft gains less than 2 points over greedy", 0.02, "below"),
        "G4_three": ("the best of draft and both refinements beats the best of three samples", 0.0),
        "G4_best": ("the best of three samples beats one greedy answer", 0.0),
        "G5_truth": ("a local refiner fixes more where the true error is marked", 0.0),
        "G5_sorm": ("and more where the SORM marks it than where the ORM does", 0.0),
    }
    fields = "claim", "threshold", "direction"
    return ConfigDict({name: dict(zip(fields, of, strict=False)) for name, of in found.items()})
