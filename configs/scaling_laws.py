"""Scaling laws on data of low dimension: how fast loss falls with data and parameters.

    python -m qdcjax.main --config=configs/scaling_laws.py

Transformers learn a distance on manifolds of known dimension d, and language models learn corpora
of different complexity (arXiv 2411.06646). Each curve is fitted by a power law and held against
2 / (2 + d) in data and 2 / d in parameters.

Expect, with seed 0, in 11 minutes on two slow CPU cores: slopes of 1.6, .9 and .5 on spheres of 2,
4 and 8 dimensions, everywhere steeper than the theory's bound (docs/scaling_laws.md).
"""

from ml_collections import ConfigDict

from configs import sft
from qdcjax.tasks.corpora import TEXT

PRESETS = ("smoke", "study", "gpu", "paper")


def get_config(preset: str = "") -> ConfigDict:
    config = ConfigDict({"study": "scaling_laws", "preset": preset, "seeds": (0,)})
    config.cpu_devices = 2
    base = sft.get_config()
    config.mesh, config.policy = base.mesh, base.policy
    config.members_at_once = 1
    config.regression = ConfigDict(
        {
            "manifolds": {
                "sphere2": {"kind": "sphere", "dimension": 2},
                "sphere4": {"kind": "sphere", "dimension": 4},
                "sphere8": {"kind": "sphere", "dimension": 8},
            },
            "widths": (16,),
            "anchors": 8,
            "sizes": (128, 256, 512, 1_024, 2_048, 4_096),
            "tested": 2_048,
            "shape": {"width": 32, "head_width": 16, "mlp_width": 96},
            "models": {
                "base": {},
                "narrow": shape(layers=2, width=8),
                "slim": shape(layers=2, width=16),
                "deep": shape(layers=8, width=16),
            },
        }
    )
    config.regression_training = training(steps=500, batch_size=128, learning_rate=2e-3)
    config.tokenizer = ConfigDict({"vocab_size": 512})
    stories = {field: value for field, value in base.task.items() if field != "name"}
    config.corpora = ConfigDict(
        {
            "sums": {"kind": "traced_integers", "operation": "add", "longest": 3, "each": 4},
            "stories": {"kind": "word_problems", "each": 4, **stories},
            "python": text("standard_library"),
        }
    )
    config.language = ConfigDict(
        {
            "sizes": (4_096, 8_192, 16_384, 32_768, 65_536),
            "context": 128,
            "held_out": 32_768,
            "models": {
                "base": {},
                "slim": shape(layers=2, width=32),
                "narrow": shape(layers=2, width=16),
            },
        }
    )
    config.language_training = training(steps=500, batch_size=8, learning_rate=3e-3)
    config.dimension = dimension()
    config.predictions = predictions()
    if preset in PRESETS:
        {"smoke": smoke, "study": study, "gpu": gpu, "paper": paper}[preset](config)
    elif preset:
        raise ValueError(f"preset={preset!r} must be one of {', '.join(PRESETS)}, or nothing")
    return config


def shape(layers: int, width: int) -> dict[str, int]:
    """Two heads, and an MLP three times as wide: 25 layers × width² parameters or so."""
    return {"layers": layers, "width": width, "head_width": width // 2, "mlp_width": 3 * width}


def text(kind: str) -> dict:
    """A corpus of texts that are there: `standard_library`, `files` or `data_set`."""
    return {"kind": kind, **TEXT}


def training(steps: int, batch_size: int, learning_rate: float) -> ConfigDict:
    """Twenty evaluations of held-out loss, of which the five lowest count."""
    return ConfigDict(
        {
            "steps": steps,
            "batch_size": batch_size,
            "log_every": steps // 20,
            "evaluate_every": steps // 20,
            "checkpoint_every": steps // 3,
            "optimizer": ConfigDict({"learning_rate": learning_rate, "warmup": 0.05}),
        }
    )


def dimension() -> ConfigDict:
    """As the paper measures it: K = 20, arithmetic, batches of 3,600; cosine beside Euclidean."""
    return ConfigDict(
        {
            "passages": 4_000,
            "prefix": 127,
            "places": 32,
            "batch": 3_600,
            "k": 20,
            "aggregate": "arithmetic",
            "metrics": ("euclidean", "cosine"),
            "farthest": 64,
        }
    )


def smoke(config: ConfigDict) -> None:
    """Seconds: a few steps."""
    del config.regression.manifolds["sphere4"]
    del config.regression.models["narrow"]
    del config.language.models["narrow"]
    config.regression.update(sizes=(32, 64, 128), tested=64)
    config.regression.shape.update(**shape(layers=2, width=8))
    config.regression.models.slim.update(shape(layers=2, width=4))
    config.regression.models.deep.update(shape(layers=8, width=4))
    config.regression_training.update(training(steps=20, batch_size=16, learning_rate=2e-3))
    config.policy.update(layers=1, width=16, head_width=8, mlp_width=48)
    config.language.models.slim.update(shape(layers=1, width=8))
    config.language.update(sizes=(2_048, 4_096, 8_192), context=64, held_out=2_048)
    config.language_training.update(training(steps=20, batch_size=4, learning_rate=3e-3))
    config.dimension.update(prefix=63, places=8, batch=100, farthest=16)


def study(config: ConfigDict) -> None:
    """Six seeds, more manifolds, two ambient dimensions, and wider models: S1 to S4.

    The distance is to the nearest of 32 points: that to eight is nearly a formula, soon learned.
    """
    config.seeds = (0, 1, 2, 3, 4, 5)
    config.regression.anchors = 32
    config.regression.manifolds = ConfigDict(
        {
            **config.regression.manifolds,
            "torus2": {"kind": "flat_torus", "dimension": 2},
            "torus4": {"kind": "flat_torus", "dimension": 4},
            "random2": {"kind": "random", "dimension": 2},
            "random4": {"kind": "random", "dimension": 4},
        }
    )
    config.regression.widths = (16, 32)
    config.regression.models.wide = ConfigDict(shape(layers=2, width=64))
    config.regression_training.update(training(steps=1_500, batch_size=128, learning_rate=2e-3))
    config.language.sizes = (8_192, 16_384, 32_768, 65_536, 131_072, 262_144)
    config.language_training.update(training(steps=2_000, batch_size=8, learning_rate=3e-3))


def gpu(config: ConfigDict) -> None:
    """One GPU: GPT-2's shape in five widths, 1.3 to 85 million parameters in their layers.

    With GPT-2's own vocabulary (`paper`) the largest has 124 million in all; here it is 8,192.
    """
    study(config)
    config.seeds = (0,)
    config.members_at_once = 8
    config.regression.sizes = tuple(2**power for power in range(7, 18))
    config.regression.shape.update(shape(layers=6, width=128))
    config.regression.models.wide.update(shape(layers=6, width=256))
    config.regression.models.slim.update(shape(layers=6, width=64))
    config.regression.models.narrow.update(shape(layers=6, width=32))
    config.regression.models.deep.update(shape(layers=24, width=64))
    config.regression_training.update(training(steps=20_000, batch_size=256, learning_rate=5e-4))
    config.tokenizer.vocab_size = 8_192
    gpt2(config)
    config.language.held_out = 262_144
    config.language.sizes = tuple(2**power for power in range(16, 22))
    config.language_training.update(training(steps=2_000, batch_size=32, learning_rate=6e-4))


def paper(config: ConfigDict) -> None:
    """The paper's own settings for language, on a pod: GPT-2, 491,520 tokens a step.

    A model has a chip to itself. First compile it: --compile_only --topology=v5e:4x8
    """
    gpt2(config)
    config.tokenizer.vocab_size = 50_257
    config.corpora = ConfigDict(
        {
            "openwebtext": {**text("data_set"), "source": "Skylion007/openwebtext"},
            "sql": {
                **text("data_set"),
                "source": "bigcode/the-stack-dedup",
                "field": "content",
                "subset": "data/sql",
            },
            "tinystories": {**text("data_set"), "source": "roneneldan/TinyStories"},
        }
    )
    config.language.held_out = 4_194_304
    config.language.sizes = tuple(2**power for power in range(21, 31))
    config.language_training.update(training(steps=20_000, batch_size=480, learning_rate=6e-4))
    config.language_training.microbatches = 30
    config.language_training.optimizer.update(warmup=0.1, final=0.1, b2=0.95, weight_decay=0.1)


def gpt2(config: ConfigDict) -> None:
    """GPT-2's shape in five widths: learned positions, LayerNorm, biases, a wide MLP without gate.

    Regression keeps two heads and float32, below which its loss would end in rounding.
    """
    config.regression.shape.update(heads=2, kv_heads=2, dtype="float32", remat="none")
    config.policy.update(gpt2_shape(width=768), positions="learned", max_length=1_024)
    config.policy.update(norm="layer", bias="all", mlp="gelu_tanh", dtype="bfloat16")
    config.policy.update(remat="dots", logit_chunk=256)
    config.language.models = ConfigDict(
        {"base": {}} | {f"width{width}": gpt2_shape(width) for width in (96, 192, 384, 576)}
    )
    config.language.context = 1_024
    config.dimension.prefix = 1_023


def gpt2_shape(width: int) -> dict[str, int]:
    """Twelve layers, heads of 64 (of 32 where they would be fewer than 3)."""
    head = 64 if width > 96 else 32
    heads = {"heads": width // head, "kv_heads": width // head, "head_width": head}
    return {"layers": 12, "width": width, "mlp_width": 4 * width, **heads}


def predictions() -> ConfigDict:
    """Claims of the paper's page, each with its threshold fixed before any run."""
    found = {
        "S1_order": ("the slope in data is steeper where the dimension is lower", 0.0),
        "S1_ambient": ("and moves by at most .05 with the ambient dimension", 0.05, "below"),
        "S2_slope": ("of text it is within .02 of 2 / (2 + d), d measured", 0.02, "below"),
        "S2_order": ("and steeper for the corpus whose measured dimension is lower", 0.0),
        "S3": ("alpha_D is within .05 of alpha_N / (1 + alpha_N)", 0.05, "below"),
        "S4_depth": ("four times the depth at equal parameters saves at most 10 %", 0.1, "below"),
        "S4_width": ("twice the width saves at least 10 %", 0.1),
    }
    fields = "claim", "threshold", "direction"
    return ConfigDict({name: dict(zip(fields, of, strict=False)) for name, of in found.items()})
