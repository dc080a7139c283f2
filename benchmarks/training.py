"""Training steps against transformers on the same weights, and against the device's own rates.

    pip install -e '.[parity]' && python benchmarks/training.py --shape=smollm2

The sizes are made for one GPU, and smaller where there is none. `--packed` compares rows that hold
several examples with one example a row instead.
"""

import dataclasses

import bench
import jax
import numpy as np
from absl import app, flags
from bench import torch

from qdcjax.data.batches import make_batches
from qdcjax.data.packing import pack
from qdcjax.models.transformer import Transformer
from qdcjax.training.fit import TrainSettings, lower_update
from qdcjax.training.losses import language_model_loss
from qdcjax.training.optimizer import OptimizerConfig, make_optimizer
from qdcjax.training.sharding import MeshConfig, make_mesh
from qdcjax.training.step import compile_update, init_state, make_update
from qdcjax.training.utilisation import peak_flops, step_flops

# Shape → rows, tokens a row, microbatches: on an accelerator, on a CPU.
SIZES = {
    "student": ((32, 160, 1), (32, 160, 8)),
    "smollm2": ((32, 1_024, 1), (2, 256, 1)),
    "llama_1b": ((8, 2_048, 1), (1, 256, 1)),
}
ROWS = flags.DEFINE_integer("rows", None, "Of a batch.")
LENGTH = flags.DEFINE_integer("length", None, "Tokens a row.")
MICROBATCHES = flags.DEFINE_integer("microbatches", None, "Of a batch of ours.")
PACKED = flags.DEFINE_bool("packed", False, "Compare packed rows with one example a row.")
STEPS = 10 if bench.ACCELERATOR else 1  # that are dispatched before the host waits


class Ours:
    """Steps of our trainer: loss, gradient, clipping, AdamW."""

    def __init__(self, model, params, microbatches: int):
        optimizer = make_optimizer(OptimizerConfig(1e-3), 1_000_000)
        update = make_update(language_model_loss(model), optimizer, microbatches)
        self.update = compile_update(update)
        self.state = init_state(jax.tree.map(jax.numpy.copy, params), optimizer)
        self.key = jax.random.key(0)

    def take(self, batches) -> None:
        """One step for each batch, the host waiting for the last one."""
        for batch in batches:
            self.state, metrics = self.update(self.state, jax.device_put(batch), self.key)
        jax.block_until_ready((self.state, metrics))


def peer_steps(peer, tokens: np.ndarray, mask: np.ndarray):
    """The same steps by PyTorch: autocast to bfloat16 and compiled on a GPU."""
    device = next(peer.parameters()).device
    adam = torch.optim.AdamW(peer.parameters(), lr=1e-3, fused=True)
    ids = torch.tensor(tokens, dtype=torch.long, device=device)
    labels = torch.where(torch.tensor(mask, device=device) > 0, ids, -100)
    call = torch.compile(peer) if bench.ACCELERATOR else peer

    def run():
        for _ in range(STEPS):
            adam.zero_grad()
            with torch.autocast(device.type, torch.bfloat16, enabled=bench.ACCELERATOR):
                loss = call(input_ids=ids, labels=labels, use_cache=False).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(peer.parameters(), 1.0)
            adam.step()
        loss.item()

    return run


def against_peer(model, params, rows: int, length: int, microbatches: int) -> None:
    """Prints the table of full rows, and the least that the step can take."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, model.config.vocab_size, (rows, length)).astype(np.int32)
    batch = {"tokens": tokens, "mask": np.ones(tokens.shape, np.float32)}
    peer = bench.load_peer(model, params)
    ours = Ours(model, params, microbatches)
    sides = {"qdcjax": lambda: ours.take([batch] * STEPS)}
    if peer is not None:
        sides["transformers"] = peer_steps(peer, tokens, batch["mask"])
    took = bench.in_turn(sides)

    seconds = took["qdcjax"].wall / STEPS
    flops = step_flops(model.config, rows, length)
    moved, a_layer = bytes_moved(model.config, rows, length)
    rate, memory = bench.product_rate(model.config.dtype), bench.memory_rate()
    peak = peak_flops(bench.HERE.device_kind)
    bench.show(
        f"training step, {rows} × {length} tokens, {model.config.layers} layers",
        took,
        dict.fromkeys(took, rows * length * STEPS),
        "tokens",
        f"products: {flops / 1e12:,.3f} TFLOP take {flops / rate * 1e3:,.1f} ms at the measured "
        f"{rate / 1e12:,.2f} TFLOP/s, {flops / rate / seconds:.0%} of a step of ours",
        f"memory: {moved / 1e9:,.2f} GB (XLA's count; {a_layer / 1e9:,.3f} a layer) take "
        f"{moved / memory * 1e3:,.1f} ms at the measured {memory / 1e9:,.0f} GB/s, "
        f"{moved / memory / seconds:.0%}",
        "MFU unknown: no peak is known for this device"
        if peak is None
        else f"MFU {flops / seconds / peak:.1%} of {peak / 1e12:,.0f} TFLOP/s",
    )


def bytes_moved(config, rows: int, length: int) -> tuple[float, float]:
    """Bytes that a step moves by XLA's count, and a layer's part of them.

    XLA counts a loop's body once: models of one and two layers, which have no loop, tell what a
    layer adds.
    """
    settings = TrainSettings(1_000, rows, OptimizerConfig(1e-3))
    mesh = make_mesh(MeshConfig(1), [bench.HERE])

    def of(layers: int) -> float:
        model = Transformer(dataclasses.replace(config, layers=layers, logit_chunk=0))
        lowered = lower_update(model, language_model_loss, settings, mesh, length)
        return lowered.compile().cost_analysis()["bytes accessed"]

    one, two = of(1), of(2)
    return one + (config.layers - 1) * (two - one), two - one


def packed_against_padded(model, params, rows: int, length: int, microbatches: int) -> None:
    """Prints real tokens a second on examples as long as GSM8K's.

    Their lengths are log-normal with mean 5.14 and deviation .36 of the logarithm (SmolLM2's
    tokeniser on question and answer).
    """
    rng = np.random.default_rng(0)
    lengths = np.minimum(rng.lognormal(5.14, 0.36, 2_000), length).astype(int)
    examples = [
        {"tokens": rng.integers(0, model.config.vocab_size, n).astype(np.int32),
         "mask": np.ones(n, np.float32)} for n in lengths
    ]  # fmt: skip
    sides, real = {}, {}
    for name, these, buckets in (
        ("packed", pack(examples, length), 1),
        ("two padded lengths", examples, 2),
        ("one padded length", examples, 1),
    ):
        stream = make_batches(these, rows, seed=0, buckets=buckets)
        batches = [dict(stream[i]) for i in range(max(STEPS, 4))]
        for batch in batches:
            del batch["index"], batch["length"]
        real[name] = sum(batch["mask"].sum() for batch in batches)
        sides[name] = lambda batches=batches: ours.take(batches)
    ours = Ours(model, params, microbatches)
    bench.show(
        f"examples of {lengths.mean():.0f} tokens on average, rows of {length} where packed",
        bench.in_turn(sides), real, "real tokens",
    )  # fmt: skip


def main(_) -> None:
    """Prints the tables."""
    model, params = bench.model_and_params()
    rows, length, microbatches = SIZES[bench.SHAPE.value][0 if bench.ACCELERATOR else 1]
    sizes = ROWS.value or rows, LENGTH.value or length, MICROBATCHES.value or microbatches
    (packed_against_padded if PACKED.value else against_peer)(model, params, *sizes)


if __name__ == "__main__":
    app.run(main)
