"""A decoder-only transformer in Flax Linen, of one family or another by its config.

The layers are one scanned block, so parameters are stacked on a leading axis L and compilation
does not grow with depth. Parameter tree (V vocabulary, D width, H heads, KV key-value heads,
d head width, F MLP width, N longest length):

    embed/embedding [V, D],  position/embedding [N, D] where positions are learned
    layers/attention/{query [L, D, H, d], key [L, D, KV, d], value [L, D, KV, d], out [L, H, d, D]}
    layers/mlp/{gate [L, D, F], up [L, D, F], down [L, F, D]}; no gate in the GELU families
        each under /kernel, and /bias [L, ...outputs] where the product adds one
    layers/attention/{query_norm, key_norm}/scale [L, d] with qk_norm
    layers/{attention_norm, mlp_norm}/scale [L, D],  final_norm/scale [D]; LayerNorms have a /bias
    head/kernel [D, V] when the output is not tied; score/{kernel [D, 1], bias [1]} for scalars
    value/{hidden [D, D], out [D, 1]}, each under /kernel and /bias, with a value head
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from qdcjax.models.attention import rotary_angles
from qdcjax.models.cache import Cache, empty_cache
from qdcjax.models.config import REMAT_POLICIES, TransformerConfig
from qdcjax.models.layers import Block, Projection, by_rows, make_norm, to_logits

UNROLLED = 4  # layers; a scan that is this short costs more than it saves


class Transformer(nn.Module):
    """The decoder. `model.apply({'params': params}, tokens)` gives logits or scalars.

    Attributes:
      config: shape and arithmetic.
    """

    config: TransformerConfig

    def setup(self):
        """Makes embedding, scanned layers, final norm and output."""
        c = self.config
        self.embed = nn.Embed(
            c.vocab_size,
            c.width,
            dtype=c.dtype,
            embedding_init=nn.with_logical_partitioning(
                nn.initializers.normal(c.width**-0.5), ("vocab", "embed")
            ),
        )
        if c.positions == "learned":
            self.position = nn.Embed(
                c.max_length,
                c.width,
                dtype=c.dtype,
                embedding_init=nn.with_logical_partitioning(
                    nn.initializers.normal(0.1 * c.width**-0.5), (None, "embed")
                ),
            )
        block = Block
        if c.remat != "none":
            block = nn.remat(Block, policy=REMAT_POLICIES[c.remat], prevent_cse=False)
        self.layers = nn.scan(
            block,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=nn.broadcast,
            length=c.layers,
            unroll=c.layers if c.layers <= UNROLLED else 1,
            metadata_params={nn.PARTITION_NAME: "layers"},
        )(c)
        self.final_norm = make_norm(c)
        if c.output == "scalar":
            self.score = nn.Dense(
                1,
                dtype="float32",
                kernel_init=nn.with_logical_partitioning(nn.initializers.zeros, ("embed", None)),
            )
        elif not c.tied:
            self.head = Projection(
                (c.width,), (c.vocab_size,), ("embed", "vocab"), c.dtype, logits=True
            )
        if c.value_head:
            self.value = ValueHead(c.width)

    def __call__(self, tokens, segment_ids=None, positions=None):
        """Logits [B, T, V] or scalars [B, T], float32, of right-padded tokens [B, T].

        Args:
          tokens: [B, T] ids.
          segment_ids: [B, T] document of each token where several are packed in a row.
          positions: [B, T] position of each token in its document; 0…T−1 by default.
        """
        hidden = self.hidden(tokens, segment_ids, positions)[0]
        if self.config.value_head and self.is_initializing():
            self.values(hidden)
        return self.output(hidden)

    def hidden(self, tokens, segment_ids=None, positions=None):
        """Normalised last hidden states [B, T, D], and keys and values [L, B, KV, T, d]."""
        length = tokens.shape[1]
        if positions is None:
            positions = jnp.arange(length)[None]
        x, angles = self.embedded(tokens, positions, length)
        x, keys_values = self.layers(by_rows(x), angles, segment_ids)
        return self.final_norm(x), keys_values

    def embedded(self, tokens, positions, length: int):
        """Vectors [..., D] of tokens [...], and the angles [..., d/2] by which positions turn.

        Positions are below `length`.
        """
        c = self.config
        if c.input == "numbers":
            x = tokens[..., None].astype(c.dtype) * self.embed(jnp.zeros(1, jnp.int32))
        else:
            x = self.embed(tokens)
        if c.positions == "learned":
            return x + self.position(positions), None
        return x, rotary_angles(positions, length, c.turned, c.rope_base, c.rope_scaling)

    def output(self, hidden):
        """Logits [..., V] or scalars [...] of hidden states [..., D]."""
        if self.config.output == "scalar":
            return self.score(hidden.astype(jnp.float32))[..., 0]
        if not self.config.tied:
            return self.head(hidden)
        flat = hidden.reshape(-1, hidden.shape[-1])
        return to_logits(flat, self.embed.embedding, 1).reshape(*hidden.shape[:-1], -1)

    def values(self, hidden):
        """The value head's numbers [...] of hidden states [..., D]."""
        return self.value(hidden.astype(jnp.float32))


class ValueHead(nn.Module):
    """A two-layer MLP to one number, 0 at first (Havrilla et al. 2024, arXiv 2403.04642).

    Attributes:
      width: D.
    """

    width: int

    @nn.compact
    def __call__(self, x):
        """[..., D] → [...]."""
        init = nn.with_logical_partitioning
        into, out = nn.initializers.lecun_normal(), nn.initializers.zeros
        x = nn.Dense(self.width, kernel_init=init(into, ("embed", None)), name="hidden")(x)
        x = nn.Dense(1, kernel_init=init(out, (None, None)), name="out")(nn.gelu(x))
        return x[..., 0]


@functools.partial(jax.jit, static_argnames="model")
def boxed_params(model: Transformer, key):
    """Fresh float32 parameters, each in a box with the logical names of its axes.

    Jitted, so that a run traces a model's initialisation once, for values and shapes alike.
    """
    return model.init(key, jnp.zeros((1, 2), jnp.int32))["params"]


def init_params(model: Transformer, key):
    """Fresh float32 parameters (a plain tree) for `model`."""
    return nn.unbox(boxed_params(model, key))


def param_shapes(model: Transformer):
    """The tree of `init_params` with a `jax.ShapeDtypeStruct` at each leaf."""
    return jax.eval_shape(functools.partial(init_params, model), jax.random.key(0))


def count_params(params) -> int:
    """Number of parameters in a tree."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def layer_params(params) -> tuple:
    """The stacked layer parameters as one tree a layer, for `decode_step`."""
    length = jax.tree.leaves(params["layers"])[0].shape[0]
    return tuple(jax.tree.map(lambda x, i=i: x[i], params["layers"]) for i in range(length))


def hidden_states(model: Transformer, params, tokens):
    """What each layer gives for right-padded tokens [B, T]: [L + 1, B, T, D], the embedding first.

    The last one is before the final norm.
    """
    length = tokens.shape[1]
    positions = jnp.arange(length)[None]
    x, angles = model.apply({"params": params}, tokens, positions, length, method="embedded")
    block = Block(model.config)

    def layer(x, weights):
        x, _ = block.apply({"params": weights}, x, angles, None)
        return x, x

    states = jax.lax.scan(layer, by_rows(x), params["layers"])[1]
    return jnp.concatenate([x[None], states])


def prefill(model: Transformer, params, tokens, lengths, samples: int, slots: int):
    """Reads prompts once; K samples of each can then go on from there.

    Args:
      model, params: the decoder.
      tokens: [B, P] right-padded prompts.
      lengths: [B] tokens of each.
      samples: K.
      slots: S, room for each sample's own tokens.

    Returns:
      Output at each prompt's last token ([B, V] logits), and the `Cache`.
    """
    hidden, (keys, values) = model.apply({"params": params}, tokens, method="hidden")
    last = jnp.take_along_axis(hidden, (lengths - 1)[:, None, None], axis=1)[:, 0]
    cache = empty_cache(model.config, *tokens.shape, samples, slots)
    layers = tuple(
        layer.replace(prefix_keys=keys[i], prefix_values=values[i])
        for i, layer in enumerate(cache.layers)
    )
    cache = cache.replace(layers=layers, prefix_lengths=lengths)
    return model.apply({"params": params}, last, method="output"), cache


def decode_step(model: Transformer, params, unstacked, tokens, cache: Cache):
    """One more token for every sample.

    The layers are unrolled here (`unstacked` is `layer_params(params)`, made once outside the
    sampling loop): a scan would copy the whole cache at every token.

    Args:
      tokens: [B, K] newest token of each sample.
      cache: where sample (b, k) has `cache.lengths[b, k]` own tokens before this one; what a sample
        without room for another is given means nothing.

    Returns:
      Output [B, K, V] for the next token, and the cache with this token in it.
    """
    c = model.config
    positions = jnp.minimum(cache.prefix_lengths[:, None] + cache.lengths, cache.end - 1)
    x, angles = model.apply({"params": params}, tokens, positions, cache.end, method="embedded")
    block, layers = Block(c), []
    for weights, layer in zip(unstacked, cache.layers, strict=True):
        x, layer = block.apply({"params": weights}, x, angles, layer, cache, method="step")
        layers.append(layer)
    x = make_norm(c).apply({"params": params["final_norm"]}, x)
    output = model.apply({"params": params}, x, method="output")
    return output, cache.replace(layers=tuple(layers), lengths=cache.lengths + 1)
