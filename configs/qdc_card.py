"""A card of data sets: quality, diversity and complexity side by side, at one size.

    python -m qdcjax.main --config=configs/qdc_card.py
    python -m qdcjax.main --config=configs/qdc_card.py --config.data.path=FILE_OR_HUB_NAME

Any JSONL, Parquet or CSV file, Arrow folder or data set of the hub, or several, with commas between
(arXiv 2412.02980). Without a path: three sets of generated word problems.

Expect, with seed 0, in 13 to 40 seconds on two CPU cores: of 500 problems of three templates a
Vendi score of 12.6, of all templates 49.6, and 46 % right answers from fallible solvers
(docs/qdc_card.md).
"""

from ml_collections import ConfigDict, config_dict

from configs import sft
from qdcjax.tasks.word_problems import DEFAULT_TEMPLATES

PRESETS = ("smoke",)


def get_config(preset: str = "") -> ConfigDict:
    config = ConfigDict({"study": "qdc_card", "preset": preset, "seed": 0})
    base = sft.get_config()
    config.mesh, config.policy = base.mesh, base.policy
    fields = {"split": "train", "subset": "", "prompt": "", "response": ""}
    config.data = ConfigDict({"path": "", **fields})
    # What the data may hold and should not: prompts whose runs of n words are looked for.
    config.against = ConfigDict({"path": "", **fields, "split": "test", "n": 13, "count": 2_000})
    config.sets = ConfigDict(
        {
            "few": generated(templates=DEFAULT_TEMPLATES[:3]),
            "many": generated(),
            "wrong": generated(hard=0.5, err=0.5),
        }
    )
    # Likelihoods under a policy, and its hidden states as embeddings.
    config.checkpoint = config_dict.placeholder(str)
    config.model = "student"
    config.card = ConfigDict(
        {
            "sampled": 2_000,
            "size": 500,
            "embedding": "lsa",
            "width": 64,
            "clusters": 8,
            "examples": 5,
        }
    )
    if preset == "smoke":
        for of in config.sets.values():
            of.count = 200
        config.card.update(sampled=150, size=50, width=8, clusters=3)
        config.against.count = 200
    elif preset:
        raise ValueError(f"preset={preset!r} must be one of {', '.join(PRESETS)}, or nothing")
    return config


def generated(
    count: int = 5_000, templates: tuple[str, ...] = (), hard: float = 0.0, err: float = 0.0
) -> ConfigDict:
    """Word problems of these templates, or of all; with the solutions of fallible solvers."""
    dials = {"templates": templates, "min_depth": 1, "max_depth": 5, "largest": 60}
    return ConfigDict({"count": count, **dials, "hard": hard, "err": err})
