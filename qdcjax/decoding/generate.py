"""Token generation as pure functions: prefill, then a loop of record → decode → choose.

B prompts, K samples of each, T new tokens at most, V vocabulary. Every sample has its own length,
position and random key; nothing that a sample sees depends on its neighbours.
"""

import dataclasses
import functools

import flax.struct
import jax
import jax.numpy as jnp

from qdcjax.decoding.choose import choose, uniforms
from qdcjax.models.cache import Cache, empty_cache
from qdcjax.models.transformer import Transformer, decode_step, layer_params, prefill


@dataclasses.dataclass(frozen=True)
class Decoding:
    """What a compiled generator is specialised to.

    Attributes:
      samples: K, of each prompt.
      max_new_tokens: T.
      temperature, top_k, top_p: see `choose`.
      stop_tokens: ids that end a sample; the end token is part of it.
      pause_tokens: ids after which a sample waits for the host (the calculator's `=`).
      begin: ids that every sample begins with; they are forced, not chosen.
      forced: room for tokens that the host puts in at one go.
    """

    samples: int
    max_new_tokens: int
    temperature: float
    top_k: int = 0
    top_p: float = 1.0
    stop_tokens: tuple[int, ...] = ()
    pause_tokens: tuple[int, ...] = ()
    begin: tuple[int, ...] = ()
    forced: int = 0


@flax.struct.dataclass
class Generation:
    """Samples under way.

    Attributes:
      chosen: each sample's next token, chosen and not yet written: [B, K] ids, their
        log-probabilities and kept log-mass. (Logits, V times as much, are not kept.)
      cache: keys and values so far.
      lengths: [B, K] tokens so far.
      tokens, log_probs, kept_log_mass: [B, K, T]; zero past each length.
      sampled: [B, K, T], 1 on tokens that the policy chose, 0 on forced ones.
      done: [B, K] a stop token was chosen or the room is used up.
      paused: [B, K] waits for the host.
      queue: [B, K, F] tokens to force next; queued: [B, K] how many of them.
    """

    chosen: tuple[jax.Array, jax.Array, jax.Array]
    cache: Cache
    lengths: jax.Array
    tokens: jax.Array
    log_probs: jax.Array
    kept_log_mass: jax.Array
    sampled: jax.Array
    done: jax.Array
    paused: jax.Array
    queue: jax.Array
    queued: jax.Array


def start(
    model: Transformer, params, prompts, prompt_lengths, keys, decoding: Decoding
) -> Generation:
    """Reads each prompt once, for all of its samples.

    Args:
      prompts: [B, P] right-padded ids.
      prompt_lengths: [B]; 0 marks an empty row, which is done at once.
      keys: [B, K] random keys of the samples.
    """
    K, T = decoding.samples, decoding.max_new_tokens
    begun = empty(model, *prompts.shape, decoding)
    logits, cache = prefill(model, params, prompts, jnp.maximum(prompt_lengths, 1), K, T)
    begin = len(decoding.begin)
    return begun.replace(
        chosen=_choose(jnp.repeat(logits[:, None], K, axis=1), keys, begun.lengths, decoding),
        cache=cache,
        done=begun.done & (prompt_lengths == 0)[:, None],
        queue=begun.queue.at[..., :begin].set(jnp.asarray(decoding.begin, jnp.int32)),
        queued=begun.queued + begin,
    )


def empty(model: Transformer, prompts: int, width: int, decoding: Decoding) -> Generation:
    """A state of B prompts of which none has begun: all done, to be filled by `insert`."""
    K, T = decoding.samples, decoding.max_new_tokens
    of_samples = functools.partial(jnp.zeros, (prompts, K))
    of_tokens = functools.partial(jnp.zeros, (prompts, K, T))
    queue = (prompts, K, max(decoding.forced, len(decoding.begin), 1))
    return Generation(
        chosen=(of_samples(jnp.int32), of_samples(), of_samples()),
        cache=empty_cache(model.config, prompts, width, K, T),
        lengths=of_samples(jnp.int32),
        tokens=of_tokens(jnp.int32),
        log_probs=of_tokens(),
        kept_log_mass=of_tokens(),
        sampled=of_tokens(bool),
        done=jnp.ones((prompts, K), bool),
        paused=of_samples(bool),
        queue=jnp.zeros(queue, jnp.int32),
        queued=of_samples(jnp.int32),
    )


def insert(state: Generation, new: Generation, rows) -> Generation:
    """Puts newly begun prompts in place of finished ones.

    Args:
      state: of B prompts.
      new: of R prompts.
      rows: [R] where each goes; B or more for nowhere.
    """
    return jax.tree.map(lambda old, x: old.at[rows].set(x, mode="drop"), state, new)


def run(
    model: Transformer,
    params,
    state: Generation,
    keys,
    decoding: Decoding,
    steps: int,
    early_exit: bool = True,
) -> Generation:
    """Generates at most `steps` tokens of every sample that is neither done nor paused.

    Args:
      keys: [B, K] random keys of the samples.
      steps: at most so many.
      early_exit: stop when nothing is left to do; otherwise a scan of all steps, which is what to
        use under vmap, where a while loop would turn each cache write into a whole-cache select.
    """
    unstacked = layer_params(params)

    def active(state):
        return ~(state.done | state.paused)

    def step(state: Generation) -> Generation:
        B, K = state.lengths.shape
        goes = active(state)
        token, log_prob, kept = state.chosen
        forced = state.queued > 0
        token = jnp.where(forced, state.queue[..., 0], token)
        rows, samples = jnp.arange(B)[:, None], jnp.arange(K)[None, :]
        at = jnp.where(goes, state.lengths, decoding.max_new_tokens)  # out of range: dropped

        def record(values, new):
            return values.at[rows, samples, at].set(new.astype(values.dtype), mode="drop")

        lengths = state.lengths + goes
        ends = jnp.isin(token, jnp.asarray(decoding.stop_tokens, jnp.int32)) & ~forced
        full = lengths >= decoding.max_new_tokens
        waits = jnp.isin(token, jnp.asarray(decoding.pause_tokens, jnp.int32)) & ~forced
        logits, cache = decode_step(model, params, unstacked, token, state.cache)
        chosen = _choose(logits, keys, lengths, decoding)
        return Generation(
            chosen=jax.tree.map(lambda new, old: jnp.where(goes, new, old), chosen, state.chosen),
            cache=cache.replace(lengths=lengths),
            lengths=lengths,
            tokens=record(state.tokens, token),
            log_probs=record(state.log_probs, jnp.where(forced, 0.0, log_prob)),
            kept_log_mass=record(state.kept_log_mass, jnp.where(forced, 0.0, kept)),
            sampled=record(state.sampled, ~forced),
            done=state.done | (goes & (ends | full)),
            paused=state.paused | (goes & waits & ~full),
            queue=jnp.where((goes & forced)[..., None], _shift(state.queue), state.queue),
            queued=state.queued - (goes & forced),
        )

    if early_exit:
        return jax.lax.while_loop(
            lambda carry: (carry[0] < steps) & jnp.any(active(carry[1])),
            lambda carry: (carry[0] + 1, step(carry[1])),
            (0, state),
        )[1]
    return jax.lax.scan(lambda s, _: (step(s), None), state, None, length=steps)[0]


def _choose(logits, keys, positions, decoding: Decoding):
    """Tokens, log-probabilities and kept log-mass [B, K] from logits [B, K, V]."""
    B, K, V = logits.shape
    chosen = choose(
        logits.reshape(-1, V),
        uniforms(keys.reshape(-1), positions.reshape(-1)),
        decoding.temperature,
        decoding.top_k,
        decoding.top_p,
    )
    return tuple(x.reshape(B, K) for x in chosen)


def _shift(queue):
    """The queue without its first token."""
    return jnp.concatenate([queue[..., 1:], jnp.zeros_like(queue[..., :1])], axis=-1)
