"""What the benchmarks share: shapes, a peer with the same weights, timing, the device's own rates.

Ours and the peer's runs take turns in one process, so that a busy machine slows both.
"""

import dataclasses
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the peer needs memory too

import jax
import jax.numpy as jnp
import rich.console
import rich.table
from absl import flags

from qdcjax.models import pretrained
from qdcjax.models.config import TransformerConfig
from qdcjax.models.transformer import Transformer, init_params

try:
    import torch
    import transformers
except ImportError:
    torch = None

SHAPES = {
    "student": TransformerConfig(
        vocab_size=640, layers=2, width=64, heads=2, kv_heads=2, head_width=32, mlp_width=192
    ),
    "smollm2": TransformerConfig(
        vocab_size=49_152, layers=30, width=576, heads=9, kv_heads=3, head_width=64,
        mlp_width=1_536, dtype="bfloat16", remat="dots", logit_chunk=256,
    ),
    "llama_1b": TransformerConfig(
        vocab_size=32_000, layers=16, width=2_048, heads=32, kv_heads=8, head_width=64,
        mlp_width=8_192, tied=False, dtype="bfloat16", remat="dots", logit_chunk=512,
    ),
}  # fmt: skip

SHAPE = flags.DEFINE_enum("shape", "student", list(SHAPES), "Shape of the model.")
LAYERS = flags.DEFINE_integer("layers", None, "Layers, where fewer than the shape's are wanted.")
DTYPE = flags.DEFINE_string("dtype", None, "Of the arithmetic, where not the shape's.")
REMAT = flags.DEFINE_string("remat", None, "What is computed again, where not the shape's.")
REPEATS = flags.DEFINE_integer("repeats", 9, "Runs of each side; the table tells medians.")
PEER = flags.DEFINE_bool("peer", True, "Run transformers too, where it is installed.")

HERE = jax.devices()[0]
ACCELERATOR = HERE.platform != "cpu"


@dataclasses.dataclass(frozen=True)
class Took:
    """Median seconds of a run: on the clock, and of this process on all CPU cores."""

    wall: float
    cpu: float


def model_and_params() -> tuple[Transformer, dict]:
    """The model of the flags, with random weights."""
    shape = SHAPES[SHAPE.value]
    model = Transformer(
        dataclasses.replace(
            shape,
            layers=LAYERS.value or shape.layers,
            dtype=DTYPE.value or shape.dtype,
            remat=REMAT.value or shape.remat,
        )
    )
    return model, jax.jit(init_params, static_argnums=0)(model, jax.random.key(0))


def load_peer(model: Transformer, params):
    """The same model in transformers, float32 weights on the same device; None without it."""
    if torch is None or not PEER.value:
        return None
    with tempfile.TemporaryDirectory() as folder:
        pretrained.export(Path(folder), model.config, params)
        peer = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return peer.to("cuda" if ACCELERATOR else "cpu")


def in_turn(runs: Mapping[str, Callable[[], object]]) -> dict[str, Took]:
    """Times the runs, one after another in every repeat, each once before for warming up."""
    for run in runs.values():
        run()
    walls, cpus = ({name: [] for name in runs} for _ in range(2))
    for _ in range(REPEATS.value):
        for name, run in runs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            walls[name].append(time.perf_counter() - wall)
            cpus[name].append(time.process_time() - cpu)
    return {n: Took(statistics.median(walls[n]), statistics.median(cpus[n])) for n in runs}


def product_rate(dtype: str) -> float:
    """Measured FLOP/s of large matrix products."""
    n, times = (8_192, 20) if ACCELERATOR else (1_024, 4)
    x = jnp.ones((n, n), dtype) / n

    @jax.jit
    def products(x):
        return jax.lax.fori_loop(0, times, lambda _, y: y @ x, x)

    took = in_turn({"": lambda: products(x).block_until_ready()})[""]
    return 2 * n**3 * times / took.wall


def memory_rate() -> float:
    """Measured bytes a second, read and written, of a pass over an array larger than any cache."""
    x = jnp.ones(2**30 if ACCELERATOR else 2**26, jnp.float32)
    add = jax.jit(lambda x: x + 1)
    took = in_turn({"": lambda: add(x).block_until_ready()})[""]
    return 2 * x.nbytes / took.wall


def show(
    title: str, took: Mapping[str, Took], counts: Mapping[str, float], unit: str, *notes: str
) -> None:
    """Prints a table of speeds, how much slower each is than the first, and lines below it."""
    console = rich.console.Console(width=100, highlight=False)
    table = rich.table.Table("", "ms", f"{unit}/s", "slower", "in CPU seconds")
    first = next(iter(took))
    per_wall = {name: each.wall / counts[name] for name, each in took.items()}
    per_cpu = {name: each.cpu / counts[name] for name, each in took.items()}
    for name, each in took.items():
        table.add_row(
            name,
            f"{each.wall * 1e3:,.1f}",
            f"{1 / per_wall[name]:,.0f}",
            f"{per_wall[name] / per_wall[first]:.2f} ×",
            f"{per_cpu[name] / per_cpu[first]:.2f} ×",
        )
    for line in (f"{title} ({HERE.device_kind})", table, *notes):
        console.print(line)
