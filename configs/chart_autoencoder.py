"""Chart autoencoders: how well charts of d coordinates denoise a d-dimensional manifold.

    python -m qdcjax.main --config=configs/chart_autoencoder.py

Networks learn from pairs of a noisy and a clean point, and are asked fresh noisy ones
(arXiv 2303.09863).

Expect, with seeds 0 to 2, in under 10 minutes on two slow CPU cores: on S^2 from 4,096 pairs a
squared error of 1.4e-4 by four charts, 6.4e-3 by one of as many coordinates
(docs/chart_autoencoder.md).
"""

from ml_collections import ConfigDict

from configs import sft

PRESETS = ("smoke", "gpu")
SPHERES = {f"sphere{d}": {"kind": "sphere", "dimension": d} for d in (1, 2, 3, 4, 5, 6, 8)}
SPHERE, TORUS = SPHERES["sphere2"], {"kind": "torus"}
UNION = {"kind": "union", "parts": {"one": SPHERE, "other": TORUS}}
SURFACES = {"torus": TORUS, "union": UNION}
SURFACES |= {kind: {"kind": kind} for kind in ("swiss_roll", "genus_two")}
# Of the wide sweep: manifold → a distance under its reach.
REACH = {"sphere1": 0.99, "sphere2": 0.99, "sphere4": 0.99}
REACH |= {"torus": 0.24, "union": 0.24, "swiss_roll": 0.21, "genus_two": 0.012}
EVERY = ("charts", "predictor", "plain", "plain_wide")
SIZES = (64, 256, 1_024, 4_096)


def get_config(preset: str = "") -> ConfigDict:
    config = ConfigDict({"study": "chart_autoencoder", "preset": preset, "seeds": (0, 1, 2)})
    config.cpu_devices = 2
    config.mesh = sft.get_config().mesh
    config.members_at_once = 1
    one = {"sizes": SIZES[-1:], "models": ("charts",)}
    config.cases = ConfigDict(
        {
            "sphere2": case(SPHERE, models=(*EVERY, "charts2", "charts8")),
            "quiet": case(SPHERE, normal=0.2, **one),
            "loud": case(SPHERE, normal=0.8, **one),
            "isotropic": case(SPHERE, normal=0.0, isotropic=0.05, **one),
            "isotropic_less": case(SPHERE, normal=0.0, isotropic=0.02, **one),
            "isotropic_more": case(SPHERE, normal=0.0, isotropic=0.1, **one),
            "tangential": case(SPHERE, normal=0.0, tangential=0.05, **one),
            "wide": case(SPHERE, width=50, **one),
            "sphere4": case(SPHERES["sphere4"]),
            "torus": case(TORUS, normal=0.2, sizes=SIZES[-1:], models=EVERY),
        }
    )
    config.base = "sphere2"
    config.models = ConfigDict(
        {
            "charts": model(),
            "predictor": {**model(form="predictor"), "start": "farthest", "lipschitz": 1e-5},
            "plain": model(charts=1),
            "plain_wide": model(charts=1, extra=1),
            "charts2": model(charts=2),
            "charts8": model(charts=8),
        }
    )
    config.tested = 4_096
    config.training = training(steps=3_000, batch_size=256, learning_rate=2e-3)
    config.predictions = predictions()
    if preset in PRESETS:
        {"smoke": smoke, "gpu": gpu}[preset](config)
    elif preset:
        raise ValueError(f"preset={preset!r} must be one of {', '.join(PRESETS)}, or nothing")
    return config


def case(
    manifold: dict,
    width: int = 10,
    normal: float = 0.5,
    tangential: float = 0.0,
    isotropic: float = 0.0,
    sizes: tuple[int, ...] = SIZES,
    models: tuple[str, ...] = ("charts",),
) -> dict:
    """A manifold in R^width; noise at right angles up to `normal`, along it, or in all ways."""
    noise = {"normal": normal, "tangential": tangential, "isotropic": isotropic}
    return {"manifold": manifold, "width": width, **noise, "sizes": sizes, "models": models}


def model(form: str = "partition", charts: int = 4, extra: int = 0) -> dict:
    """Four charts; one is the ordinary autoencoder, with `extra` latent dimensions beyond d."""
    shape = {"form": form, "charts": charts, "width": 64, "layers": 2}
    return shape | {"extra": extra, "start": "random", "temperature": 0.01, "lipschitz": 0.0}


def training(steps: int, batch_size: int, learning_rate: float) -> ConfigDict:
    """Twenty lines of the log."""
    return ConfigDict(
        {
            "steps": steps,
            "batch_size": batch_size,
            "log_every": steps // 20,
            "checkpoint_every": steps // 4,
            "optimizer": ConfigDict({"learning_rate": learning_rate, "warmup": 0.02}),
        }
    )


def smoke(config: ConfigDict) -> None:
    """Seconds: a few steps."""
    config.seeds = (0,)
    config.tested = 64
    for fields in config.cases.values():
        fields.sizes = (16, 32, 64) if len(fields.sizes) > 1 else (64,)
    config.cases.sphere2.models = EVERY
    for fields in config.models.values():
        fields.width = 8
    config.training.update(training(steps=20, batch_size=16, learning_rate=2e-3))


def gpu(config: ConfigDict) -> None:
    """One GPU: all manifolds × ambient dimensions × noises × sizes, five seeds; 64 at a time."""
    config.seeds = (0, 1, 2, 3, 4)
    config.members_at_once = 64
    sizes = (*SIZES, 4 * SIZES[-1])
    cases = {
        f"isotropic_{sigma}": case(SPHERE, normal=0.0, isotropic=sigma / 100, sizes=sizes)
        for sigma in (2, 5, 10)
    }
    for name, reach in REACH.items():
        manifold = (SPHERES | SURFACES)[name]
        for width in (10, 50, 100):
            for percent in (20, 50, 80):
                models = tuple(config.models) if (width, percent) == (10, 50) else ("charts",)
                normal = reach * percent / 100
                of = case(manifold, width, normal=normal, sizes=sizes, models=models)
                cases[f"{name}_{width}_{percent}"] = of
        along = case(manifold, normal=0.0, tangential=0.05 * reach, sizes=sizes)
        cases[f"{name}_tangential"] = along
    config.cases, config.base = ConfigDict(cases), "sphere2_10_50"
    config.training.update(training(steps=4_000, batch_size=256, learning_rate=2e-3))


def predictions() -> ConfigDict:
    """Claims of the paper's page, each with its threshold fixed before any run."""
    found = {
        "C1": ("the slope of the error in n is at most −2 / (d + 2) everywhere", 0.0, "below"),
        "C2": ("on closed surfaces the d-latent autoencoder's error is 3 times the charts'", 3.0),
        "C3": ("of normal noise less than 5 % is left at the largest n", 0.05, "below"),
        "C4": ("of isotropic noise d σ² is left, within 25 %", 0.25, "below"),
        "C5": ("five times the ambient dimension at most doubles the error", 2.0, "below"),
        "C6": ("on a sphere of more dimensions the error is larger", 1.0),
    }
    fields = "claim", "threshold", "direction"
    return ConfigDict({name: dict(zip(fields, of, strict=False)) for name, of in found.items()})
