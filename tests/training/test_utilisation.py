"""FLOPs of a step against XLA's own count, and MFU in the logs of a device that is known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qdcjax.models.config import TransformerConfig
from qdcjax.models.transformer import Transformer, param_shapes
from qdcjax.reporting.metrics import read_metrics
from qdcjax.training import utilisation
from qdcjax.training.loop import Training
from qdcjax.training.step import TrainState
from qdcjax.training.utilisation import Utilisation, peak_flops, step_flops

# Wide enough that products are nearly all of the work.
WIDE = TransformerConfig(
    vocab_size=1_024, layers=2, width=256, heads=4, kv_heads=2, head_width=64, mlp_width=512
)
SHAPES = {
    "llama": WIDE,
    "no gate": dataclasses.replace(WIDE, mlp="gelu", kv_heads=4),
    "scalar": dataclasses.replace(WIDE, output="scalar"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_flops_of_the_forward_pass_are_xlas(name):
    config, rows, length = SHAPES[name], 2, 64
    model = Transformer(config)
    tokens = jax.ShapeDtypeStruct((rows, length), jnp.int32)
    forward = jax.jit(lambda params, tokens: model.apply({"params": params}, tokens))
    counted = forward.lower(param_shapes(model), tokens).cost_analysis()["flops"]
    # XLA counts both halves of the attention matrix, and all element-wise work.
    masked = rows * 2 * config.layers * config.heads * config.head_width * length * length
    ours = step_flops(config, rows, length) / 3 + masked
    assert counted == pytest.approx(ours, rel=0.06)


@pytest.mark.parametrize(
    ("kind", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("TPU v5 lite", 197e12),
        ("TPU v5p", 459e12),
        ("TPU v4", 275e12),
        ("cpu", None),
    ],
)
def test_peaks(kind, peak):
    assert peak_flops(kind) == peak


@dataclasses.dataclass(frozen=True)
class Device:
    device_kind: str


def run(tmp_path, kind):
    """Three steps of nothing; the log's records and the utilisation."""
    used = Utilisation(WIDE, np.array([Device(kind)] * 4))

    def update(state, batch, key):
        metrics = {"loss": 1.0, "finite": True, "elements": 64.0}
        return state.replace(step=state.step + 1), metrics

    batches = [{"tokens": np.zeros((2, 32), np.int32)}] * 3
    training = Training(
        update,
        TrainState(0, {}, ()),
        key=jax.random.key(0),
        workdir=tmp_path,
        name="student",
        log_every=3,
        utilisation=used,
    )
    with training:
        training.run(batches, 3)
    return read_metrics(tmp_path / "metrics.jsonl", "student"), used


def test_mfu_is_logged_where_the_peak_is_known(tmp_path):
    records, used = run(tmp_path, "NVIDIA H100 80GB HBM3")
    seconds = 2 * 64 / records[0]["elements_per_second"]  # the first step, compiled, is left out
    assert used.peak == 4 * 989e12
    assert records[0]["mfu"] == pytest.approx(2 * step_flops(WIDE, 2, 32) / seconds / used.peak)
    assert "989 TFLOP/s × 4 NVIDIA H100 80GB HBM3" in str(used)


def test_an_unknown_device_says_unknown(tmp_path):
    records, used = run(tmp_path, "cpu")
    assert "mfu" not in records[0] and "elements_per_second" in records[0]
    assert str(used) == "MFU unknown: no peak is known for cpu"
    assert utilisation.peak_flops("Radeon") is None
