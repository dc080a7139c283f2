"""The programs that the engine runs, compiled for a model, a way of decoding and a mesh.

What they give back lies where the next one expects it, so that each is compiled once a shape.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from qdcjax.decoding import generate
from qdcjax.decoding.placement import params_like, params_shardings, shardings_of
from qdcjax.models.transformer import Transformer
from qdcjax.training.sharding import batch_sharding, on_mesh

# Tokens between looks of the host at what is finished. Fewer where it writes in the samples: one
# that waits for it does so until the next look.
CHUNK, CHUNK_WITH_PAUSES = 16, 4


@dataclasses.dataclass(frozen=True)
class Programs:
    """Of B prompts under way, of P tokens at most; R of them enter at a time.

    Attributes:
      empty: `(B, P) -> (state, keys)`, in which none has begun.
      enter: `(params, state, keys, tokens [R, P], lengths [R], streams [R], first, places [R], key)
        -> (state, keys)`: reads prompts and puts them in those places; B or more is nowhere.
        `first` is the index of the first sample.
      run: `(params, state, keys) -> (state, keys)` after the tokens of a chunk of each sample.
    """

    empty: Callable
    enter: Callable
    run: Callable


@functools.lru_cache(maxsize=64)
def compiled_for(model: Transformer, decoding: generate.Decoding, mesh: Mesh) -> Programs:
    """The programs, each compiled when it is first called on a shape."""
    shape = jax.eval_shape(lambda: generate.empty(model, 1, 1, decoding))
    there = shardings_of(shape, mesh)

    @functools.partial(jax.jit, static_argnums=(0, 1), out_shardings=there)
    def empty(size, width):
        keys = jnp.broadcast_to(jax.random.key(0), (size, decoding.samples))
        return generate.empty(model, size, width, decoding), keys

    @functools.partial(jax.jit, donate_argnums=(1, 2), out_shardings=there)
    def enter(params, state, keys, tokens, lengths, streams, first, places, key):
        new_keys = sample_keys(key, streams, decoding.samples, first)
        new = on_mesh(generate.start, mesh)(model, params, tokens, lengths, new_keys, decoding)
        state = generate.insert(state, new, places)
        return state, keys.at[places].set(new_keys, mode="drop")

    chunk = CHUNK_WITH_PAUSES if decoding.pause_tokens else CHUNK

    @functools.partial(jax.jit, donate_argnums=(1, 2), out_shardings=there)
    def run(params, state, keys):
        return generate.run(model, params, state, keys, decoding, chunk), keys

    return Programs(empty, enter, run)


def sample_keys(key, streams, samples: int, first):
    """[B, K] keys: fold_in(fold_in(key, stream), sample index)."""

    def of_prompt(stream):
        prompt_key = jax.random.fold_in(key, stream)
        return jax.vmap(lambda k: jax.random.fold_in(prompt_key, k))(first + jnp.arange(samples))

    return jax.vmap(of_prompt)(streams)


def lower(
    model: Transformer,
    decoding: generate.Decoding,
    mesh: Mesh,
    size: int,
    entering: int,
    width: int,
) -> tuple[jax.stages.Lowered, jax.stages.Lowered]:
    """Those that read `entering` prompts of `width` tokens, and go on with all `size` of them.

    Ready to be compiled for a mesh whose devices need not be here; nothing is allocated.
    """
    programs = compiled_for(model, decoding, mesh)
    state = jax.eval_shape(lambda: generate.empty(model, size, width, decoding))
    key = jax.eval_shape(lambda: jax.random.key(0))
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), (size, decoding.samples)))
    params, state, keys = jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        (params_like(model), state, keys),
        (params_shardings(model, mesh), *shardings_of(state, mesh)),
    )
    rows = functools.partial(jax.ShapeDtypeStruct, sharding=batch_sharding(mesh))
    prompts = [rows((entering, width), np.int32)]
    prompts += [rows((entering,), kind) for kind in (np.int32, np.uint32)]
    places, first = np.zeros(entering, np.int32), np.uint32(0)
    read = programs.enter.lower(params, state, keys, *prompts, first, places, key)
    return read, programs.run.lower(params, state, keys)
