"""A decoder-only transformer in Flax Linen: RMSNorm, rotary positions, SwiGLU, grouped queries.

The layers are one scanned block, so parameters are stacked on a leading axis L and compilation
does not grow with depth. Parameter tree (V vocabulary, D width, H heads, KV key-value heads,
d head width, F MLP width):

    embed/embedding [V, D]
    layers/attention/{query [L, D, H, d], key [L, D, KV, d], value [L, D, KV, d], out [L, H, d, D]}
    layers/mlp/{gate [L, D, F], up [L, D, F], down [L, F, D]}      each under /kernel
    layers/{attention_norm, mlp_norm}/scale [L, D],  final_norm/scale [D]
    head/kernel [D, V] when the output is not tied; score/{kernel [D, 1], bias [1]} for scalars
"""

import dataclasses
import functools
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from qdcjax.models.attention import cached_attention, causal_attention, rotary_angles, rotate
from qdcjax.models.cache import Cache, LayerCache

UNROLLED = 4  # layers; a scan that is this short costs more than it saves

REMAT_POLICIES = {
    "none": None,
    "full": jax.checkpoint_policies.nothing_saveable,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
    """Shape and arithmetic of a transformer.

    Attributes:
      vocab_size: V.
      layers: L.
      width: D.
      heads: H query heads.
      kv_heads: KV, a divisor of H.
      head_width: d, even.
      mlp_width: F.
      output: `tokens` gives logits over the vocabulary; `scalar` one number a position
        (a value or a reward in logits).
      tied: whether the output uses the embedding matrix.
      rope_base: base of the rotary frequencies.
      norm_eps: added to the mean square in RMSNorm.
      max_length: longest sequence that the model is meant for, in tokens.
      dtype: of the arithmetic; parameters are float32, as are norms, softmax and logits.
      remat: what the backward pass recomputes: `none`, `full`, or `dots` (all but products).
    """

    vocab_size: int
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    mlp_width: int
    output: Literal["tokens", "scalar"] = "tokens"
    tied: bool = True
    rope_base: float = 10_000.0
    norm_eps: float = 1e-5
    max_length: int = 2_048
    dtype: str = "float32"
    remat: str = "none"

    def __post_init__(self):
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads={self.kv_heads} must divide heads={self.heads}")
        if self.head_width % 2:
            raise ValueError(f"head_width={self.head_width} must be even for rotary positions")
        if self.remat not in REMAT_POLICIES:
            raise ValueError(f"remat={self.remat!r} must be one of {', '.join(REMAT_POLICIES)}")
        if self.output not in ("tokens", "scalar"):
            raise ValueError(f"output={self.output!r} must be tokens or scalar")
        if self.dtype not in ("float32", "bfloat16"):
            raise ValueError(f"dtype={self.dtype!r} must be float32 or bfloat16")


class RMSNorm(nn.Module):
    """x / √(mean(x²) + eps) · scale, in float32."""

    eps: float
    dtype: str

    @nn.compact
    def __call__(self, x):
        """Normalises the last axis."""
        scale = self.param(
            "scale", nn.with_logical_partitioning(nn.initializers.ones, ("norm",)), x.shape[-1:]
        )
        x = x.astype(jnp.float32)
        mean_square = jnp.mean(jnp.square(x), axis=-1, keepdims=True)
        return (x * jax.lax.rsqrt(mean_square + self.eps) * scale).astype(self.dtype)


class Projection(nn.Module):
    """A product over the last axes of x, run as one matrix product [N, in] × [in, out].

    All leading axes are flattened first: XLA's CPU backend is much slower on the gradient of a
    product with several batch axes.

    Attributes:
      inputs, outputs: sizes of the axes summed over and of the axes made.
      axes: logical names of both, for sharding.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    axes: tuple[str, ...]
    dtype: str
    scale: float = 1.0

    @nn.compact
    def __call__(self, x):
        """[..., *inputs] → [..., *outputs]."""
        fan_in = 1
        for size in self.inputs:
            fan_in *= size
        kernel = self.param(
            "kernel",
            nn.with_logical_partitioning(
                nn.initializers.normal(self.scale * fan_in**-0.5), self.axes
            ),
            (*self.inputs, *self.outputs),
        )
        leading = x.shape[: x.ndim - len(self.inputs)]
        flat = x.reshape(-1, fan_in) @ kernel.astype(self.dtype).reshape(fan_in, -1)
        return flat.reshape(*leading, *self.outputs)


class Attention(nn.Module):
    """Multi-head attention with rotary positions and grouped key-value heads."""

    config: TransformerConfig

    def setup(self):
        """Makes the four projections."""
        c = self.config
        heads, kv_heads = (c.heads, c.head_width), (c.kv_heads, c.head_width)
        self.query = Projection((c.width,), heads, ("embed", "heads", "head_width"), c.dtype)
        self.key = Projection((c.width,), kv_heads, ("embed", "kv_heads", "head_width"), c.dtype)
        self.value = Projection((c.width,), kv_heads, ("embed", "kv_heads", "head_width"), c.dtype)
        self.out = Projection(
            heads, (c.width,), ("heads", "head_width", "embed"), c.dtype, (2 * c.layers) ** -0.5
        )

    def __call__(self, x, angles, segment_ids):
        """Whole sequences: x [B, T, D] → output [B, T, D] and keys, values [B, KV, T, d]."""
        query, key, value = (p(x).swapaxes(1, 2) for p in (self.query, self.key, self.value))
        cos, sin = (a[:, None] for a in angles)
        query, key = rotate(query, (cos, sin)), rotate(key, (cos, sin))
        mixed = causal_attention(query, key, value, segment_ids)
        return self.out(mixed.swapaxes(1, 2)), (key, value)

    def step(self, x, angles, cache_layer: LayerCache, cache: Cache):
        """One token of each sample: x [B, K, D] → output [B, K, D] and the layer's new cache."""
        cos, sin = (a[:, :, None] for a in angles)
        query, key = rotate(self.query(x), (cos, sin)), rotate(self.key(x), (cos, sin))
        cache_layer = cache_layer.write(key, self.value(x), cache.lengths)
        mixed = cached_attention(query, cache_layer, cache.prefix_lengths, cache.lengths + 1)
        return self.out(mixed), cache_layer


class MLP(nn.Module):
    """SwiGLU: (silu(x W_gate) ⊙ x W_up) W_down (Shazeer 2020)."""

    config: TransformerConfig

    @nn.compact
    def __call__(self, x):
        """[..., D] → [..., D]."""
        c = self.config
        gate = Projection((c.width,), (c.mlp_width,), ("embed", "mlp"), c.dtype, name="gate")(x)
        up = Projection((c.width,), (c.mlp_width,), ("embed", "mlp"), c.dtype, name="up")(x)
        return Projection(
            (c.mlp_width,), (c.width,), ("mlp", "embed"), c.dtype, (2 * c.layers) ** -0.5,
            name="down",
        )(nn.silu(gate) * up)  # fmt: skip


class Block(nn.Module):
    """One pre-norm layer: x + attention(norm(x)), then x + mlp(norm(x))."""

    config: TransformerConfig

    def setup(self):
        """Makes the two halves and their norms."""
        c = self.config
        self.attention_norm = RMSNorm(c.norm_eps, c.dtype)
        self.attention = Attention(c)
        self.mlp_norm = RMSNorm(c.norm_eps, c.dtype)
        self.mlp = MLP(c)

    def __call__(self, x, angles, segment_ids):
        """Whole sequences: [B, T, D] → [B, T, D] and this layer's keys and values."""
        mixed, keys_values = self.attention(self.attention_norm(x), angles, segment_ids)
        x = x + mixed
        return x + self.mlp(self.mlp_norm(x)), keys_values

    def step(self, x, angles, cache_layer: LayerCache, cache: Cache):
        """One token of each sample: [B, K, D] → [B, K, D] and this layer's new cache."""
        mixed, cache_layer = self.attention.step(self.attention_norm(x), angles, cache_layer, cache)
        x = x + mixed
        return x + self.mlp(self.mlp_norm(x)), cache_layer


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
        self.final_norm = RMSNorm(c.norm_eps, c.dtype)
        if c.output == "scalar":
            self.score = nn.Dense(
                1,
                dtype="float32",
                kernel_init=nn.with_logical_partitioning(nn.initializers.zeros, ("embed", None)),
            )
        elif not c.tied:
            self.head = Projection((c.width,), (c.vocab_size,), ("embed", "vocab"), c.dtype)

    def __call__(self, tokens, segment_ids=None, positions=None):
        """Logits [B, T, V] or scalars [B, T], float32, of right-padded tokens [B, T].

        Args:
          tokens: [B, T] ids.
          segment_ids: [B, T] document of each token where several are packed in a row.
          positions: [B, T] position of each token in its document; 0…T−1 by default.
        """
        return self.output(self.hidden(tokens, segment_ids, positions)[0])

    def hidden(self, tokens, segment_ids=None, positions=None):
        """Normalised last hidden states [B, T, D], and keys and values [L, B, KV, T, d]."""
        if positions is None:
            positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
        angles = rotary_angles(positions, self.config.head_width, self.config.rope_base)
        x, keys_values = self.layers(self.embed(tokens), angles, segment_ids)
        return self.final_norm(x), keys_values

    def output(self, hidden):
        """Logits [..., V] or scalars [...] of hidden states [..., D]."""
        if self.config.output == "scalar":
            return self.score(hidden.astype(jnp.float32))[..., 0]
        if not self.config.tied:
            return self.head(hidden).astype(jnp.float32)
        flat = hidden.reshape(-1, hidden.shape[-1])
        logits = jax.lax.dot_general(
            flat,
            self.embed.embedding.astype(flat.dtype),
            (((1,), (1,)), ((), ())),
            preferred_element_type=jnp.float32,
        )
        return logits.reshape(*hidden.shape[:-1], -1)


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
    c = model.config
    hidden, (keys, values) = model.apply({"params": params}, tokens, method="hidden")
    last = jnp.take_along_axis(hidden, (lengths - 1)[:, None, None], axis=1)[:, 0]
    own = jnp.zeros((tokens.shape[0], samples, c.kv_heads, slots, c.head_width), c.dtype)
    layers = tuple(LayerCache(keys[i], values[i], own, own) for i in range(c.layers))
    cache = Cache(layers, lengths, jnp.zeros((tokens.shape[0], samples), jnp.int32))
    return model.apply({"params": params}, last, method="output"), cache


def decode_step(model: Transformer, params, unstacked, tokens, cache: Cache):
    """One more token for every sample.

    The layers are unrolled here (`unstacked` is `layer_params(params)`, made once outside the
    sampling loop): a scan would copy the whole cache at every token.

    Args:
      tokens: [B, K] newest token of each sample.
      cache: where sample (b, k) has `cache.lengths[b, k]` own tokens before this one.

    Returns:
      Output [B, K, V] for the next token, and the cache with this token in it.
    """
    c = model.config
    positions = cache.prefix_lengths[:, None] + cache.lengths
    angles = rotary_angles(positions, c.head_width, c.rope_base)
    x = jnp.take(params["embed"]["embedding"], tokens, axis=0).astype(c.dtype)
    block, layers = Block(c), []
    for weights, layer in zip(unstacked, cache.layers, strict=True):
        x, layer = block.apply({"params": weights}, x, angles, layer, cache, method="step")
        layers.append(layer)
    x = RMSNorm(c.norm_eps, c.dtype).apply({"params": params["final_norm"]}, x)
    output = model.apply({"params": params}, x, method="output")
    return output, cache.replace(layers=tuple(layers), lengths=cache.lengths + 1)
