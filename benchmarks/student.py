"""The default student's shape against PyTorch and transformers on the same weights, on this CPU.

    pip install -e '.[parity]' && python benchmarks/student.py

Prints wall and CPU seconds: on a shared machine compare the latter. Each measurement is the median
of repeats after a warm-up; ours and the peer's are measured in turn in one process.
"""

import statistics
import time

import jax
import numpy as np
import rich.console
import rich.table
import torch
import transformers

from qdcjax.decoding import Prompts, SamplingSettings, sample
from qdcjax.models.config import TransformerConfig
from qdcjax.models.transformer import Transformer, init_params
from qdcjax.training.losses import language_model_loss
from qdcjax.training.optimizer import OptimizerConfig, make_optimizer
from qdcjax.training.step import compile_update, init_state, make_update

SHAPE = TransformerConfig(
    vocab_size=640, layers=2, width=64, heads=2, kv_heads=2, head_width=32, mlp_width=192
)
BATCH, LENGTH, MICROBATCHES = 32, 160, 8
QUESTIONS, SAMPLES, PROMPT, NEW_TOKENS = 32, 8, 64, 96
REPEATS = 9


class NoEnd:
    """Stands in for a tokeniser: no token ends a sample, so both sides make as many."""

    eos_id = -1


def peer(params) -> transformers.LlamaForCausalLM:
    """The same weights as a transformers model."""
    c = SHAPE
    config = transformers.LlamaConfig(
        vocab_size=c.vocab_size, hidden_size=c.width, intermediate_size=c.mlp_width,
        num_hidden_layers=c.layers, num_attention_heads=c.heads, num_key_value_heads=c.kv_heads,
        head_dim=c.head_width, rms_norm_eps=c.norm_eps, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": c.rope_base},
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)

    def tensor(x, rows: int = 0):
        x = np.asarray(x)
        return torch.tensor(x if not rows else x.reshape(rows, -1).T.copy())

    weights = {
        "model.embed_tokens.weight": tensor(params["embed"]["embedding"]),
        "model.norm.weight": tensor(params["final_norm"]["scale"]),
    }
    names = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "out": "o_proj"}
    for i in range(c.layers):
        layer = jax.tree.map(lambda x, i=i: x[i], params["layers"])
        stem = f"model.layers.{i}"
        for ours, theirs in names.items():
            rows = c.heads * c.head_width if ours == "out" else c.width
            kernel = layer["attention"][ours]["kernel"]
            weights[f"{stem}.self_attn.{theirs}.weight"] = tensor(kernel, rows)
        for name in ("gate", "up", "down"):
            kernel = layer["mlp"][name]["kernel"]
            weights[f"{stem}.mlp.{name}_proj.weight"] = tensor(kernel, kernel.shape[0])
        weights[f"{stem}.input_layernorm.weight"] = tensor(layer["attention_norm"]["scale"])
        weights[f"{stem}.post_attention_layernorm.weight"] = tensor(layer["mlp_norm"]["scale"])
    model.load_state_dict(weights, strict=False)
    return model


def median(run) -> tuple[float, float]:
    """Median wall and CPU seconds of `run()`."""
    run()
    walls, cpus = [], []
    for _ in range(REPEATS):
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return statistics.median(walls), statistics.median(cpus)


def training(model, params, theirs) -> tuple[int, tuple, tuple]:
    """Tokens a step; seconds of ours and of PyTorch's step: loss, gradient, clipping, AdamW."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, SHAPE.vocab_size, (BATCH, LENGTH)).astype(np.int32)
    mask = np.broadcast_to(np.arange(LENGTH) >= LENGTH // 2, tokens.shape).astype(np.float32)
    optimizer = make_optimizer(OptimizerConfig(1e-3), 1_000)
    update = compile_update(make_update(language_model_loss(model), optimizer, MICROBATCHES))
    state = init_state(jax.tree.map(jax.numpy.copy, params), optimizer)
    key = jax.random.key(0)

    def ours():
        nonlocal state
        state, metrics = update(state, {"tokens": tokens, "mask": mask}, key)
        jax.block_until_ready((state, metrics))

    adam = torch.optim.AdamW(theirs.parameters(), lr=1e-3, fused=True)
    ids = torch.tensor(tokens, dtype=torch.long)
    labels = torch.where(torch.tensor(mask) > 0, ids, -100)

    def torchs():
        adam.zero_grad()
        theirs(input_ids=ids, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        adam.step()

    return BATCH * LENGTH, median(ours), median(torchs)


def sampling(model, params, theirs) -> tuple[int, tuple, tuple]:
    """New tokens; seconds of our engine and of transformers' generate, at temperature 1."""
    rng = np.random.default_rng(0)
    prompts = rng.integers(0, SHAPE.vocab_size, (QUESTIONS, PROMPT))
    settings = SamplingSettings(SAMPLES, NEW_TOKENS, batch_size=QUESTIONS * SAMPLES, buckets=1)
    ids = Prompts(prompts.tolist(), np.arange(QUESTIONS))

    def ours():
        sample(model, params, ids, settings, jax.random.key(0), NoEnd())

    @torch.no_grad()
    def generate():
        theirs.generate(
            torch.tensor(prompts), do_sample=True, num_return_sequences=SAMPLES, top_k=0,
            max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, pad_token_id=0,
        )  # fmt: skip

    return QUESTIONS * SAMPLES * NEW_TOKENS, median(ours), median(generate)


def main() -> None:
    """Prints the table."""
    model = Transformer(SHAPE)
    params = init_params(model, jax.random.key(0))
    theirs = peer(params)
    tokens = np.random.default_rng(1).integers(0, SHAPE.vocab_size, (2, 40))
    gap = np.abs(
        np.asarray(model.apply({"params": params}, tokens))
        - theirs(torch.tensor(tokens)).logits.detach().numpy()
    ).max()
    print(f"largest difference of logits: {gap:.1e}; torch threads: {torch.get_num_threads()}")
    table = rich.table.Table("", "tokens/s", "peer tokens/s", "ratio, wall", "ratio, CPU seconds")
    for name, measure in {"training step": training, "sampling": sampling}.items():
        count, ours, others = measure(model, params, theirs)
        table.add_row(
            name,
            f"{count / ours[0]:,.0f}",
            f"{count / others[0]:,.0f}",
            f"{others[0] / ours[0]:.2f}",
            f"{others[1] / ours[1]:.2f}",
        )
    rich.console.Console(width=100).print(table)


if __name__ == "__main__":
    main()
