"""The sampling engine: prompts of any length and number → completions.

Prompts are sorted into a few length buckets, and a run compiles once a bucket. Within a bucket
finished prompts are replaced by waiting ones between chunks of tokens (continuous batching), so
that short completions do not wait for long ones. Prompts are spread over the mesh on which the
parameters lie; several processes call the engine together and each gets all the samples.
N prompts, K samples of each, T new tokens at most.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from qdcjax.data.batches import bucket_lengths, length_buckets
from qdcjax.data.tokenizers import Tokenizer
from qdcjax.decoding import generate, programs
from qdcjax.decoding.forced import pause_tokens, reply_tokens
from qdcjax.decoding.placement import params_for_sampling
from qdcjax.models.transformer import Transformer
from qdcjax.reporting.progress import progress
from qdcjax.training.processes import to_host
from qdcjax.training.sharding import mesh_of, spread, whole_rows

FORCED_ROOM = 16  # tokens of the longest text that the host writes at one go
REFILLS = 4  # a batch takes in waiting prompts a quarter at a time


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
      marker: text that is forced at the beginning and after every line end (needs a tokeniser).
      batch_size: samples (prompts × K) in flight.
      buckets: number of padded prompt lengths.
      widths: the padded prompt lengths themselves, for several calls that share their compiled
        programs (see `shared_shapes`).
      first_sample: index of the first sample, for going on where an earlier call ended.
    """

    samples: int = 1
    max_new_tokens: int = 256
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    stop_strings: tuple[str, ...] = ()
    calculator: bool = False
    marker: str = ""
    batch_size: int = 256
    buckets: int = 2
    widths: tuple[int, ...] = ()
    first_sample: int = 0

    def __post_init__(self):
        least = {"samples": 1, "max_new_tokens": 1, "batch_size": 1, "buckets": 1}
        least |= {"temperature": 0, "top_k": 0, "first_sample": 0}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise ValueError(f"{name}={getattr(self, name)} must be at least {value}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p={self.top_p} must be above 0 and at most 1")


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


def shared_shapes(settings: SamplingSettings, lengths: Sequence[int]) -> SamplingSettings:
    """Settings under which calls on parts of some prompts compile no more than one on all of them.

    Args:
      settings: how to sample.
      lengths: of all prompts.
    """
    return dataclasses.replace(
        settings,
        widths=bucket_lengths(lengths, settings.buckets),
        batch_size=min(settings.batch_size, settings.samples * len(lengths)),
    )


def stream(*parts: object) -> int:
    """A uint32 made from a problem's id and a prefix: the name of a prompt's random numbers."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")


def sample(
    model: Transformer,
    params,
    prompts: Prompts,
    settings: SamplingSettings,
    key: jax.Array,
    tokenizer: Tokenizer | None = None,
    description: str = "sample",
    finished: Callable[[np.ndarray, Samples], None] = lambda rows, samples: None,
) -> Samples:
    """Samples K completions of every prompt.

    The random bits of a token depend on (key, the prompt's stream, the sample's index, the
    token's position) and on nothing else: not on batch size, order or neighbours.

    Args:
      model, params: the policy.
      prompts: ids and streams.
      settings: how.
      key: of this call.
      tokenizer: for the end token and whatever settings need it; without one, every sample has
        `max_new_tokens`.
      description: of the progress bar.
      finished: called with the rows of prompts whose samples are whole, and with all samples,
        whenever some are; the devices wait until it returns.

    Raises:
      ValueError: a prompt that leaves no room within the model's `max_length`, or settings that
        need a tokeniser without one.
    """
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        key = jax.random.wrap_key_data(key)  # of the old kind, `jax.random.PRNGKey`
    mesh = mesh_of(params)
    lengths = np.asarray([len(tokens) for tokens in prompts.tokens])
    longest = int(lengths.max(initial=0)) + settings.max_new_tokens
    if longest > model.config.max_length:
        raise ValueError(
            f"a prompt of {lengths.max()} tokens and max_new_tokens={settings.max_new_tokens} "
            f"exceed the model's max_length={model.config.max_length}"
        )
    K, T = settings.samples, settings.max_new_tokens
    decoding = _decoding(settings, tokenizer)
    result = _room(len(lengths), K, T)
    size = max(1, settings.batch_size // K)
    params = params_for_sampling(model, params, mesh)
    with progress(len(lengths) * K, description, "samples") as bar:
        for rows, width in length_buckets(lengths, settings.buckets, settings.widths):
            batch = _Batch(model, params, mesh, prompts, settings, decoding, key, tokenizer)
            places = size if settings.widths else min(size, len(rows))
            for whole in batch.complete(rows, places, width, result):
                if settings.stop_strings:
                    _cut_at_stop_strings(result, whole, settings.stop_strings, tokenizer)
                finished(whole, result)
                tokens = int(result.lengths[whole].sum())
                bar.advance(len(whole) * K, tokens=tokens)
    return result


def _decoding(settings: SamplingSettings, tokenizer: Tokenizer | None) -> generate.Decoding:
    """What the compiled programs are specialised to."""
    pauses = settings.calculator or settings.marker
    if tokenizer is None and (pauses or settings.stop_strings):
        raise ValueError("stop_strings, calculator and marker need a tokenizer")
    return generate.Decoding(
        samples=settings.samples,
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.temperature,
        top_k=settings.top_k,
        top_p=settings.top_p,
        stop_tokens=() if tokenizer is None else (tokenizer.eos_id,),
        pause_tokens=pause_tokens(tokenizer, settings.calculator, settings.marker),
        begin=tuple(tokenizer.encode(settings.marker)) if settings.marker else (),
        forced=FORCED_ROOM if pauses else 0,
    )


def _room(N: int, K: int, T: int) -> Samples:
    """Host arrays for all completions."""
    return Samples(
        tokens=np.zeros((N, K, T), np.int32),
        lengths=np.zeros((N, K), np.int32),
        log_probs=np.zeros((N, K, T), np.float32),
        kept_log_mass=np.zeros((N, K, T), np.float32),
        sampled=np.zeros((N, K, T), bool),
        truncated=np.zeros((N, K), bool),
    )


@dataclasses.dataclass
class _Batch:
    """Prompts under way on the device; finished ones make room for waiting ones."""

    model: Transformer
    params: Any
    mesh: Mesh
    prompts: Prompts
    settings: SamplingSettings
    decoding: generate.Decoding
    key: jax.Array
    tokenizer: Tokenizer | None

    def complete(
        self, rows: np.ndarray, size: int, width: int, result: Samples
    ) -> Iterator[np.ndarray]:
        """Samples all of `rows`, `size` at a time, into `result`; yields rows as they finish."""
        size, entering = _sizes(size, self.mesh)
        waiting = list(rows)
        row_at = np.full(size, -1)  # the prompt in each place; −1 for none
        compiled = programs.compiled_for(self.model, self.decoding, self.mesh)
        state, keys = compiled.empty(size, width)
        while waiting or np.any(row_at >= 0):
            free = np.flatnonzero(row_at < 0)
            while waiting and len(free) >= min(entering, len(waiting)):
                places, free = free[:entering], free[entering:]
                taken, waiting = waiting[: len(places)], waiting[len(places) :]
                places = places[: len(taken)]
                row_at[places] = taken
                new = self._to_enter(taken, places, size, entering, width)
                state, keys = compiled.enter(self.params, state, keys, *new)
            state, keys = compiled.run(self.params, state, keys)
            if self.decoding.pause_tokens:
                state = self._answer(state)
            done = to_host(state.done).all(axis=1) & (row_at >= 0)
            if done.any():
                self._collect(state, np.flatnonzero(done), row_at, result)
                yield row_at[done]
                row_at[done] = -1

    def _to_enter(
        self, taken: Sequence[int], places: np.ndarray, size: int, entering: int, width: int
    ) -> tuple:
        """Waiting prompts as the arguments of `Programs.enter`."""
        tokens = np.zeros((entering, width), np.int32)
        lengths, streams = np.zeros(entering, np.int32), np.zeros(entering, np.uint32)
        at = np.full(entering, size)  # nowhere
        at[: len(places)] = places
        for index, row in enumerate(taken):
            lengths[index] = len(self.prompts.tokens[row])
            tokens[index, : lengths[index]] = self.prompts.tokens[row]
            streams[index] = self.prompts.streams[row]
        first = np.uint32(self.settings.first_sample)
        new = [spread(array, self.mesh) for array in (tokens, lengths, streams)]
        return *new, first, at, self.key

    def _answer(self, state: generate.Generation) -> generate.Generation:
        """Lets paused samples go on, with what the host has to write in them."""
        paused = to_host(state.paused)
        if not paused.any():
            return state
        tokens, lengths = to_host((state.tokens, state.lengths))
        queue, queued = (np.array(x) for x in to_host((state.queue, state.queued)))
        for b, k in np.argwhere(paused):  # with nothing left in their queues
            text = self.tokenizer.decode(tokens[b, k, : lengths[b, k]])
            ids = reply_tokens(self.tokenizer, text, self.settings.calculator, self.settings.marker)
            if len(ids) <= FORCED_ROOM:
                queue[b, k, : len(ids)] = ids
                queued[b, k] = len(ids)
        return state.replace(
            queue=spread(queue, self.mesh),
            queued=spread(queued, self.mesh),
            paused=spread(np.zeros_like(paused), self.mesh),
        )

    def _collect(self, state, places: np.ndarray, row_at: np.ndarray, result: Samples) -> None:
        """Copies finished prompts' samples to the host."""
        rows = row_at[places]
        for name in ("tokens", "lengths", "log_probs", "kept_log_mass", "sampled"):
            getattr(result, name)[rows] = to_host(getattr(state, name))[places]
        last = np.maximum(result.lengths[rows] - 1, 0)[..., None]
        ends = np.take_along_axis(result.tokens[rows], last, axis=-1)[..., 0]
        result.truncated[rows] = ~np.isin(ends, self.decoding.stop_tokens)


def lower(
    model: Transformer, settings: SamplingSettings, mesh: Mesh, width: int
) -> tuple[jax.stages.Lowered, jax.stages.Lowered]:
    """The programs that read prompts of `width` tokens, and make `CHUNK` tokens of every sample."""
    size, entering = _sizes(settings.batch_size // settings.samples, mesh)
    return programs.lower(model, _decoding(settings, None), mesh, size, entering, width)


def _sizes(prompts: int, mesh: Mesh) -> tuple[int, int]:
    """How many prompts are under way, and how many enter at a time."""
    size = whole_rows(prompts, mesh)
    return size, whole_rows(size // REFILLS, mesh)


def _cut_at_stop_strings(
    result: Samples, rows: np.ndarray, stop_strings, tokenizer: Tokenizer
) -> None:
    """Ends each completion of some prompts with the token that completes its first stop string."""
    for n, k in itertools.product(rows, range(result.lengths.shape[1])):
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
