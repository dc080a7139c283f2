"""Sampling against transformers on the same weights, and against the memory's own rate.

    pip install -e '.[parity]' && python benchmarks/sampling.py --shape=smollm2

The sizes are made for one GPU, and smaller where there is none. `--ragged` measures an evaluation
like GSM8K's test set instead: one sample a question, of very different lengths.
"""

import bench
import jax
import numpy as np
from absl import app, flags
from bench import torch

from qdcjax.decoding import Prompts, SamplingSettings, sample
from qdcjax.models.transformer import count_params

# Shape → questions, samples of each, prompt tokens, new tokens: on an accelerator, on a CPU.
SIZES = {
    "student": ((32, 8, 64, 96), (32, 8, 64, 96)),
    "smollm2": ((8, 96, 128, 256), (2, 8, 128, 32)),
    "llama_1b": ((8, 96, 128, 256), (1, 8, 128, 16)),
}
QUESTIONS = flags.DEFINE_integer("questions", None, "Different prompts.")
SAMPLES = flags.DEFINE_integer("samples", None, "Of each question.")
PROMPT = flags.DEFINE_integer("prompt", None, "Tokens of a prompt.")
NEW_TOKENS = flags.DEFINE_integer("new_tokens", None, "Of each sample.")
RAGGED = flags.DEFINE_bool("ragged", False, "Measure an evaluation with samples of all lengths.")
BATCH = flags.DEFINE_integer("batch", None, "Samples in flight, of a ragged evaluation.")
END = 0  # the token that ends a ragged sample


class Ends:
    """Stands in for a tokeniser: which token ends a sample."""

    eos_id = END


def fixed(model, params, questions: int, samples: int, prompt: int, new: int) -> None:
    """Prints the table of samples of one length, and the least that they can take."""
    rng = np.random.default_rng(0)
    prompts = rng.integers(0, model.config.vocab_size, (questions, prompt))
    settings = SamplingSettings(samples, new, batch_size=questions * samples, buckets=1)
    ids = Prompts(prompts.tolist(), np.arange(questions))
    sides = {
        "qdcjax": lambda: sample(model, params, ids, settings, jax.random.key(0)),
    }
    if (peer := bench.load_peer(model, params)) is not None:
        if model.config.dtype == "bfloat16":
            peer = peer.to(torch.bfloat16)
        start = torch.tensor(prompts, device=peer.device)
        static = {"cache_implementation": "static"} if bench.ACCELERATOR else {}

        @torch.no_grad()
        def generate():
            peer.generate(
                start,
                attention_mask=torch.ones_like(start),
                do_sample=True,
                top_k=0,
                num_return_sequences=samples,
                max_new_tokens=new,
                min_new_tokens=new,
                pad_token_id=0,
                **static,
            ).cpu()

        sides["transformers"] = generate
    took = bench.in_turn(sides)

    c = model.config
    width = 2 if c.dtype == "bfloat16" else 4
    a_token = 2 * c.layers * c.kv_heads * c.head_width * width  # bytes of its keys and values
    weights = count_params(params) * width
    own = questions * samples * a_token * new / 2
    a_step = weights + questions * prompt * a_token + own
    memory = bench.memory_rate()
    bench.show(
        f"sampling, {questions} questions × {samples} samples, prompt {prompt}, {new} new tokens, "
        f"{c.layers} layers",
        took,
        dict.fromkeys(took, questions * samples * new),
        "tokens",
        f"a step must read {a_step / 1e6:,.1f} MB on average: weights {weights / 1e6:,.1f}, shared "
        f"prompts {questions * prompt * a_token / 1e6:,.1f}, own tokens {own / 1e6:,.1f}",
        f"at the measured {memory / 1e9:,.0f} GB/s that allows "
        f"{questions * samples * memory / a_step:,.0f} tokens/s",
    )


def ragged(model, params, questions: int, new: int, in_flight: int) -> None:
    """Prints how long an evaluation takes, and what replacing finished rows saves.

    Prompts are as long as GSM8K's questions: log-normal, mean 4.03 and deviation .35 of the
    logarithm. One token in about 120 ends a sample, by an end token whose embedding is long enough.
    """
    rng = np.random.default_rng(0)
    c = model.config
    lengths = rng.lognormal(4.03, 0.35, questions).astype(int)
    prompts = [rng.integers(1, c.vocab_size, n).tolist() for n in lengths]
    params = ending(params, c, 1 / 120)
    settings = SamplingSettings(1, new, batch_size=in_flight, buckets=2)

    def run(these: slice) -> np.ndarray:
        part = Prompts(prompts[these], np.arange(questions)[these])
        return sample(model, params, part, settings, jax.random.key(0), Ends()).lengths

    made = run(slice(None))

    def batch_by_batch():
        for first in range(0, questions, in_flight):
            run(slice(first, first + in_flight))

    took = bench.in_turn(
        {"finished rows replaced": lambda: run(slice(None)), "batch by batch": batch_by_batch}
    )
    bench.show(
        f"evaluation, {questions} questions, at most {new} new tokens, {in_flight} in flight, "
        f"{c.layers} layers",
        took,
        dict.fromkeys(took, made.sum()),
        "tokens",
        f"samples of {made.mean():.0f} tokens on average, {np.mean(made == new):.0%} of {new}",
    )


def ending(params, config, chance: float):
    """Weights under which a random model ends a sample after any token with about this chance.

    The final norm leaves |h|² = D, so that the end token's logit e · h is about normal with
    deviation |e|; those of the others hardly differ. |e| is found by bisection.
    """
    draws = np.random.default_rng(0).normal(size=100_000)
    low, high = 0.0, 100.0
    for _ in range(40):
        size = (low + high) / 2
        found = np.mean(1 / (1 + config.vocab_size * np.exp(-np.clip(size * draws, -50, 50))))
        low, high = (size, high) if found < chance else (low, size)
    direction = jax.random.normal(jax.random.key(1), (config.width,)) / config.width**0.5
    params = jax.tree.map(lambda x: x, params)
    if config.tied:
        params["embed"]["embedding"] = params["embed"]["embedding"].at[END].set(size * direction)
    else:
        params["head"]["kernel"] = params["head"]["kernel"].at[:, END].set(size * direction)
    return params


def main(_) -> None:
    """Prints the table."""
    model, params = bench.model_and_params()
    sizes = SIZES[bench.SHAPE.value][0 if bench.ACCELERATOR else 1]
    if RAGGED.value:
        questions, new, in_flight = (1_319, 256, 768) if bench.ACCELERATOR else (128, 256, 32)
        ragged(
            model,
            params,
            QUESTIONS.value or questions,
            NEW_TOKENS.value or new,
            BATCH.value or in_flight,
        )
        return
    given = QUESTIONS.value, SAMPLES.value, PROMPT.value, NEW_TOKENS.value
    fixed(model, params, *(g or s for g, s in zip(given, sizes, strict=True)))


if __name__ == "__main__":
    app.run(main)
