"""The sampling engine: prompts of any length and number → completions.

Prompts are sorted into a few length buckets and full batches, so a run compiles once a bucket.
N prompts, K samples of each, T new tokens at most.
"""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from qdcjax.data.batches import bucket_lengths
from qdcjax.data.tokenizers import Tokenizer
from qdcjax.decoding import generate
from qdcjax.decoding.calculator import calculate, pause_tokens
from qdcjax.models.transformer import Transformer
from qdcjax.reporting.progress import progress

FORCED_ROOM = 16  # tokens of the longest calculator answer


@dataclasses.dataclass(frozen=True)
class Prompts:
    """What to go on from.

    Attributes:
      tokens: ids of each prompt, begin token included.
      streams: [N] uint32, one random stream a prompt (see `stream`).
    """

    tokens: Sequence[Sequence[int]]
    streams: np.ndarray


@dataclasses.dataclass(frozen=True)
class SamplingSettings:
    """How to sample.

    Attributes:
      samples: K completions of each prompt.
      max_new_tokens: T, the end token included.
      temperature: 0 for greedy.
      top_k, top_p: cuts of the distribution; 0 and 1 for none.
      stop_strings: texts that end a completion (needs a tokeniser).
      calculator: whether `<<…=` is answered by exact arithmetic (needs a tokeniser).
      batch_size: samples (prompts × K) in flight.
      buckets: number of padded prompt lengths.
      first_sample: index of the first sample, for going on where an earlier call ended.
    """

    samples: int = 1
    max_new_tokens: int = 256
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    stop_strings: tuple[str, ...] = ()
    calculator: bool = False
    batch_size: int = 256
    buckets: int = 2
    first_sample: int = 0


@dataclasses.dataclass(frozen=True)
class Samples:
    """Completions, as host arrays.

    Attributes:
      tokens: [N, K, T] ids, zero past each length; the end token is included.
      lengths: [N, K].
      log_probs: [N, K, T] of each token under softmax(logits / temperature), nothing cut.
      kept_log_mass: [N, K, T] log of the probability that top-k and top-p kept.
      sampled: [N, K, T] true where the policy chose the token, false on forced ones and padding.
      truncated: [N, K] true where the room ended before the completion did.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    log_probs: np.ndarray
    kept_log_mass: np.ndarray
    sampled: np.ndarray
    truncated: np.ndarray


def stream(*parts: object) -> int:
    """A uint32 made from a problem's id and a prefix: the name of a prompt's random numbers."""
    import hashlib

    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")


def sample(
    model: Transformer,
    params,
    prompts: Prompts,
    settings: SamplingSettings,
    key: jax.Array,
    tokenizer: Tokenizer,
    description: str = "sample",
) -> Samples:
    """Samples K completions of every prompt.

    The random bits of a token depend on (key, the prompt's stream, the sample's index, the
    token's position) and on nothing else: not on batch size, order or neighbours.

    Args:
      model, params: the policy.
      prompts: ids and streams.
      settings: how.
      key: of this call.
      tokenizer: for the end token, stop strings and the calculator.
      description: of the progress bar.

    Raises:
      ValueError: a prompt that leaves no room within the model's `max_length`.
    """
    lengths = np.asarray([len(tokens) for tokens in prompts.tokens])
    longest = int(lengths.max(initial=0)) + settings.max_new_tokens
    if longest > model.config.max_length:
        raise ValueError(
            f"a prompt of {lengths.max()} tokens and max_new_tokens={settings.max_new_tokens} "
            f"exceed the model's max_length={model.config.max_length}"
        )
    N, K, T = len(lengths), settings.samples, settings.max_new_tokens
    decoding = generate.Decoding(
        samples=K,
        max_new_tokens=T,
        temperature=settings.temperature,
        top_k=settings.top_k,
        top_p=settings.top_p,
        stop_tokens=(tokenizer.eos_id,),
        pause_tokens=pause_tokens(tokenizer) if settings.calculator else (),
        forced=FORCED_ROOM if settings.calculator else 0,
    )
    result = Samples(
        tokens=np.zeros((N, K, T), np.int32),
        lengths=np.zeros((N, K), np.int32),
        log_probs=np.zeros((N, K, T), np.float32),
        kept_log_mass=np.zeros((N, K, T), np.float32),
        sampled=np.zeros((N, K, T), bool),
        truncated=np.zeros((N, K), bool),
    )
    batches = _batches(lengths, max(1, settings.batch_size // K), settings.buckets)
    with progress(N * K, description, "samples") as bar:
        for rows, size, width in batches:
            state = _complete(model, params, prompts, rows, size, width, settings, decoding, key,
                              tokenizer)  # fmt: skip
            ended = np.isin(state["last"], decoding.stop_tokens)
            for name in ("tokens", "lengths", "log_probs", "kept_log_mass", "sampled"):
                getattr(result, name)[rows] = state[name][: len(rows)]
            result.truncated[rows] = ~ended[: len(rows)]
            bar.advance(len(rows) * K, tokens=int(result.lengths[rows].sum()))
    if settings.stop_strings:
        _cut_at_stop_strings(result, settings.stop_strings, tokenizer)
    return result


def _batches(lengths: np.ndarray, size: int, buckets: int):
    """(rows, batch size, padded length) of each batch; the largest shape comes first."""
    if not len(lengths):
        return []
    size = min(size, len(lengths))
    padded = np.asarray(bucket_lengths(lengths, buckets, multiple=32))
    of_row = padded[np.searchsorted(padded, lengths)]
    batches = []
    for width in sorted(set(of_row.tolist()), reverse=True):
        rows = np.flatnonzero(of_row == width)
        batches += [(rows[i : i + size], size, width) for i in range(0, len(rows), size)]
    return batches


def _complete(
    model, params, prompts, rows, size, width, settings, decoding, key, tokenizer
) -> dict[str, np.ndarray]:
    """Generates one batch to its end; the host answers the calculator's pauses."""
    tokens = np.zeros((size, width), np.int32)
    lengths = np.zeros(size, np.int32)
    streams = np.zeros(size, np.uint32)
    for at, row in enumerate(rows):
        lengths[at] = len(prompts.tokens[row])
        tokens[at, : lengths[at]] = prompts.tokens[row]
        streams[at] = prompts.streams[row]
    first = np.uint32(settings.first_sample)
    state, keys = _start(model, params, tokens, lengths, streams, first, key, decoding)
    while True:
        state = _run(model, params, state, keys, decoding)
        if not decoding.pause_tokens or not np.any(state.paused):
            break
        queue, queued = _answers(state, tokenizer)
        state = state.replace(
            queue=jnp.asarray(queue), queued=jnp.asarray(queued), paused=state.paused & False
        )
    lengths = np.asarray(state.lengths)
    out = {
        name: np.asarray(getattr(state, name))
        for name in ("tokens", "log_probs", "kept_log_mass", "sampled")
    }
    at = np.maximum(lengths - 1, 0)[..., None]
    last = np.take_along_axis(out["tokens"], at, axis=-1)[..., 0]
    return {**out, "lengths": lengths, "last": last}


def sample_keys(key, streams, samples: int, first):
    """[B, K] keys: fold_in(fold_in(key, stream), sample index)."""

    def of_prompt(stream):
        prompt_key = jax.random.fold_in(key, stream)
        return jax.vmap(lambda k: jax.random.fold_in(prompt_key, k))(first + jnp.arange(samples))

    return jax.vmap(of_prompt)(streams)


@functools.partial(jax.jit, static_argnames=("model", "decoding"))
def _start(model, params, tokens, lengths, streams, first, key, decoding):
    keys = sample_keys(key, streams, decoding.samples, first)
    return generate.start(model, params, tokens, lengths, decoding), keys


@functools.partial(jax.jit, static_argnames=("model", "decoding"), donate_argnames="state")
def _run(model, params, state, keys, decoding):
    return generate.run(model, params, state, keys, decoding)


def _answers(state: generate.Generation, tokenizer: Tokenizer):
    """Tokens that the calculator puts into each paused sample (none where it has no answer)."""
    tokens, lengths = np.asarray(state.tokens), np.asarray(state.lengths)
    queue = np.zeros(state.queue.shape, np.int32)
    queued = np.zeros(lengths.shape, np.int32)
    for b, k in np.argwhere(np.asarray(state.paused)):
        answer = calculate(tokenizer.decode(tokens[b, k, : lengths[b, k]]))
        ids = tokenizer.encode(answer) if answer else []
        if len(ids) <= FORCED_ROOM:
            queue[b, k, : len(ids)] = ids
            queued[b, k] = len(ids)
    return queue, queued


def _cut_at_stop_strings(result: Samples, stop_strings, tokenizer: Tokenizer) -> None:
    """Ends each completion with the token that completes its first stop string."""
    for n, k in np.ndindex(result.lengths.shape):
        ids = result.tokens[n, k, : result.lengths[n, k]]
        text = tokenizer.decode(ids)
        if not any(stop in text for stop in stop_strings):
            continue
        end = next(
            i for i in range(1, len(ids) + 1)
            if any(stop in tokenizer.decode(ids[:i]) for stop in stop_strings)
        )  # fmt: skip
        result.lengths[n, k] = end
        result.truncated[n, k] = False
        for values in (result.tokens, result.log_probs, result.kept_log_mass, result.sampled):
            values[n, k, end:] = 0
