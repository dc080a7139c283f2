"""The intrinsic dimension of a language model's hidden states.

    python -m qdcjax.main --config=configs/intrinsic_dimension.py

Language models of several widths learn the source of Python's own library, and the dimension of
their hidden states on held-out files is measured: in every layer, between positions, over
training; Euclidean and cosine side by side, by maximum likelihood, TwoNN and Gride over scales.

Expect, in 11 minutes on two slow CPU cores: 5.2, 5.4 and 6.7 dimensions at widths of 32, 64 and
128, half of that by the cosine distance (docs/intrinsic_dimension.md).

Any policy: --config.checkpoint=runs/sft-default, or =smollm2, or several that share a tokeniser,
=runs/one,runs/other. Any text:
--config.corpora.text.kind=files --config.corpora.text.source=FOLDER, or kind=data_set, of which the
source is an Arrow folder or an id of the hub.
"""

from ml_collections import ConfigDict, config_dict

from configs import scaling_laws, sft

PRESETS = ("smoke", "study", "gpu")


def get_config(preset: str = "") -> ConfigDict:
    config = ConfigDict({"study": "intrinsic_dimension", "preset": preset, "seeds": (0, 1, 2)})
    config.cpu_devices = 2
    base = sft.get_config()
    config.mesh, config.policy = base.mesh, base.policy
    config.checkpoint = config_dict.placeholder(str)
    config.model = "student"
    config.corpora = ConfigDict({"text": scaling_laws.text("standard_library")})
    config.tokenizer = ConfigDict({"vocab_size": 512})
    config.language = ConfigDict({"sizes": (524_288,), "context": 128, "held_out": 65_536})
    config.models = models(32, 64, 128)
    config.pretrain = pretraining(steps=400)
    config.rate_width = 128  # above it the learning rate falls as 1 / width
    config.layers = ()
    config.positions = (0, 8, 32, 64, 96, 127)
    config.dimension = scaling_laws.dimension()
    config.sensitivity = ConfigDict(
        {"ks": (5, 10, 20, 50, 100), "batches": (900, 1_800, 3_600, 7_200, 14_400)}
    )
    config.predictions = predictions()
    if preset in PRESETS:
        {"smoke": smoke, "study": study, "gpu": gpu}[preset](config)
    elif preset:
        raise ValueError(f"preset={preset!r} must be one of {', '.join(PRESETS)}, or nothing")
    return config


def smoke(config: ConfigDict) -> None:
    """Seconds: a few steps."""
    config.seeds = (0, 1)
    config.models = ConfigDict(
        {"width16": scaling_laws.shape(1, 16), "width32": scaling_laws.shape(1, 32)}
    )
    config.language.update(sizes=(16_384,), context=64, held_out=8_192)
    config.pretrain.update(scaling_laws.training(steps=20, batch_size=4, learning_rate=3e-3))
    config.pretrain.evaluate_every = 10
    config.positions = (0, 32, 63)
    config.dimension.update(prefix=63, places=8, batch=100, farthest=16)
    config.sensitivity.update(ks=(10, 20), batches=(100, 200))


def pretraining(steps: int) -> ConfigDict:
    """The dimension is measured eight times on the way; once takes as long as 20 steps or more."""
    config = scaling_laws.training(steps, batch_size=8, learning_rate=3e-3)
    config.evaluate_every = steps // 8
    return config


def models(*widths: int) -> ConfigDict:
    """Four layers, and widths."""
    return ConfigDict({f"width{width}": scaling_laws.shape(4, width) for width in widths})


def study(config: ConfigDict) -> None:
    """S5 over the paper's widths, 64 to 512, trained three times as long as the default's."""
    config.models = models(64, 128, 256, 512)
    config.language.sizes = (2_097_152,)
    config.pretrain.update(pretraining(steps=1_200))


def gpu(config: ConfigDict) -> None:
    """One GPU: widths from 64 to 512, six layers, context 1,024, 98 million tokens of 4."""
    config.models = ConfigDict(
        {f"width{w}": {**scaling_laws.shape(6, w), "head_width": 32, "heads": w // 32,
                       "kv_heads": w // 32} for w in (64, 128, 256, 512)}
    )  # fmt: skip
    config.policy.update(max_length=1_024, dtype="bfloat16", remat="dots", logit_chunk=256)
    config.tokenizer.vocab_size = 8_192
    config.language.update(sizes=(4_000_000,), context=1_024, held_out=400_000)
    config.pretrain.update(scaling_laws.training(steps=3_000, batch_size=32, learning_rate=1e-3))
    config.positions = (0, 32, 128, 512, 1_023)
    config.dimension.prefix = 1_023


def predictions() -> ConfigDict:
    """Claims of the paper's page, each with its threshold fixed before any run."""
    moves = "the dimension moves by less than 20 %"
    found = {
        "S5_width": f"{moves} over the models' widths",
        "S5_layer": f"{moves} over the upper half of the layers",
        "S5_position": f"{moves} over positions after the first few dozen tokens",
    }
    return ConfigDict(
        {
            name: {"claim": claim, "threshold": 0.2, "direction": "below"}
            for name, claim in found.items()
        }
    )
