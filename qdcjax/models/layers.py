"""The modules of one decoder layer: norms, products, attention, MLP."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from qdcjax.models.attention import cached_attention, causal_attention, rotate
from qdcjax.models.cache import Cache, LayerCache
from qdcjax.models.config import Lora, TransformerConfig


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


class LayerNorm(nn.Module):
    """(x − mean(x)) / √(var(x) + eps) · scale + bias, in float32."""

    eps: float
    dtype: str

    @nn.compact
    def __call__(self, x):
        """Normalises the last axis."""
        ones = nn.with_logical_partitioning(nn.initializers.ones, ("norm",))
        zeros = nn.with_logical_partitioning(nn.initializers.zeros, ("norm",))
        scale = self.param("scale", ones, x.shape[-1:])
        bias = self.param("bias", zeros, x.shape[-1:])
        x = x.astype(jnp.float32)
        x = x - jnp.mean(x, axis=-1, keepdims=True)
        variance = jnp.mean(jnp.square(x), axis=-1, keepdims=True)
        return (x * jax.lax.rsqrt(variance + self.eps) * scale + bias).astype(self.dtype)


def make_norm(config: TransformerConfig) -> nn.Module:
    """The norm of a layer's input, of the kind that the config names."""
    kind = RMSNorm if config.norm == "rms" else LayerNorm
    return kind(config.norm_eps, config.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def to_logits(hidden, matrix, axis: int):
    """Float32 logits [N, V] of hidden states [N, D], whose gradient costs no float32 products.

    Softmax wants more than bfloat16 of its logits. Left to itself, the gradient would then be a
    float32 array too, and both products of the backward pass would run at a fraction of the speed.

    Args:
      hidden: in the dtype of the arithmetic.
      matrix: [V, D] or [D, V].
      axis: that of the width D in `matrix`.
    """
    return _product(hidden, matrix.astype(hidden.dtype), 1, axis)


def _product(a, b, a_axis: int, b_axis: int):
    contracted = (((a_axis,), (b_axis,)), ((), ()))
    return jax.lax.dot_general(a, b, contracted, preferred_element_type=jnp.float32)


def _to_logits_forward(hidden, matrix, axis):
    return to_logits(hidden, matrix, axis), (hidden, matrix)


def _to_logits_backward(axis, saved, d_logits):
    hidden, matrix = saved
    d_logits = d_logits.astype(hidden.dtype)
    d_hidden = _product(d_logits, matrix.astype(hidden.dtype), 1, 1 - axis)
    factors = (d_logits, hidden) if axis else (hidden, d_logits)
    return d_hidden.astype(hidden.dtype), _product(*factors, 0, 0).astype(matrix.dtype)


to_logits.defvjp(_to_logits_forward, _to_logits_backward)


class Projection(nn.Module):
    """A product over the last axes of x, run as one matrix product [N, in] × [in, out].

    All leading axes are flattened first: XLA's CPU backend is much slower on the gradient of a
    product with several batch axes.

    Attributes:
      inputs, outputs: sizes of the axes summed over and of the axes made.
      axes: logical names of both, for sharding.
      bias: whether a vector is added.
      lora: a low-rank update beside the product, if its name is among the targets.
      logits: whether the outputs are float32, as a softmax wants them.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    axes: tuple[str, ...]
    dtype: str
    scale: float = 1.0
    bias: bool = False
    lora: Lora | None = None
    logits: bool = False

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
        rows = x.reshape(-1, fan_in)
        if self.logits:
            return to_logits(rows, kernel, 0).reshape(*leading, *self.outputs)
        flat = rows @ kernel.astype(self.dtype).reshape(fan_in, -1)
        if self.bias:
            zeros = nn.with_logical_partitioning(
                nn.initializers.zeros, self.axes[len(self.inputs) :]
            )
            flat += self.param("bias", zeros, self.outputs).astype(self.dtype).reshape(-1)
        if self.lora is not None and self.name in self.lora.targets:
            flat += self._update(rows)
        return flat.reshape(*leading, *self.outputs)

    def _update(self, rows):
        """(alpha / rank) x A B; B starts at zero, so that the update does too."""
        rank, n = self.lora.rank, len(self.inputs)
        fan_in = rows.shape[-1]
        draw = nn.with_logical_partitioning(
            nn.initializers.normal(fan_in**-0.5), (*self.axes[:n], None)
        )
        zeros = nn.with_logical_partitioning(nn.initializers.zeros, (None, *self.axes[n:]))
        a = self.param("lora_a", draw, (*self.inputs, rank)).astype(self.dtype)
        b = self.param("lora_b", zeros, (rank, *self.outputs)).astype(self.dtype)
        return (self.lora.alpha / rank) * (rows @ a.reshape(fan_in, rank)) @ b.reshape(rank, -1)


class Attention(nn.Module):
    """Multi-head attention with grouped key-value heads; positions turn queries and keys."""

    config: TransformerConfig

    def setup(self):
        """Makes the four projections."""
        c = self.config
        heads, kv_heads = (c.heads, c.head_width), (c.kv_heads, c.head_width)
        to_heads, to_kv = ("embed", "heads", "head_width"), ("embed", "kv_heads", "head_width")
        bias = c.bias != "none"
        self.query = Projection((c.width,), heads, to_heads, c.dtype, bias=bias, lora=c.lora)
        self.key = Projection((c.width,), kv_heads, to_kv, c.dtype, bias=bias, lora=c.lora)
        self.value = Projection((c.width,), kv_heads, to_kv, c.dtype, bias=bias, lora=c.lora)
        self.out = Projection(
            heads, (c.width,), ("heads", "head_width", "embed"), c.dtype, (2 * c.layers) ** -0.5,
            bias=c.bias == "all", lora=c.lora,
        )  # fmt: skip
        if c.qk_norm:
            self.query_norm = RMSNorm(c.norm_eps, c.dtype)
            self.key_norm = RMSNorm(c.norm_eps, c.dtype)

    def __call__(self, x, angles, segment_ids):
        """Whole sequences: x [B, T, D] → output [B, T, D] and keys, values [B, KV, T, d]."""
        query, key, value = (a.swapaxes(1, 2) for a in self._project(x, angles))
        mixed = causal_attention(query, key, value, segment_ids, self.config.window)
        return self.out(mixed.swapaxes(1, 2)), (key, value)

    def step(self, x, angles, cache_layer: LayerCache, cache: Cache):
        """One token of each sample: x [B, K, D] → output [B, K, D] and the layer's new cache."""
        query, key, value = self._project(x, angles)
        cache_layer = cache_layer.write(key, value, cache.lengths)
        mixed = cached_attention(
            query, cache_layer, cache.prefix_lengths, cache.lengths + 1, self.config.window
        )
        return self.out(mixed), cache_layer

    def _project(self, x, angles):
        """Queries [..., H, d], keys and values [..., KV, d] of x [..., D]."""
        query, key, value = self.query(x), self.key(x), self.value(x)
        if self.config.qk_norm:
            query, key = self.query_norm(query), self.key_norm(key)
        if self.config.positions == "rotary":
            angles = tuple(a[..., None, :] for a in angles)
            query, key = rotate(query, angles), rotate(key, angles)
        return query, key, value


class MLP(nn.Module):
    """SwiGLU, (silu(x W_gate) ⊙ x W_up) W_down (Shazeer 2020), or gelu(x W_up) W_down."""

    config: TransformerConfig

    @nn.compact
    def __call__(self, x):
        """[..., D] → [..., D]."""
        c = self.config
        more = {"bias": c.bias == "all", "lora": c.lora}
        inwards = ((c.width,), (c.mlp_width,), ("embed", "mlp"), c.dtype)
        inner = Projection(*inwards, **more, name="up")(x)
        if c.mlp == "swiglu":
            inner = nn.silu(Projection(*inwards, **more, name="gate")(x)) * inner
        else:
            inner = nn.gelu(inner, approximate=c.mlp == "gelu_tanh")
        return Projection(
            (c.mlp_width,), (c.width,), ("mlp", "embed"), c.dtype, (2 * c.layers) ** -0.5, **more,
            name="down",
        )(inner)  # fmt: skip


def by_rows(x):
    """[B, T, D] with the rows of the batch cut over the mesh, where there is one."""
    return nn.with_logical_constraint(x, ("batch", "length", "width"))


class Block(nn.Module):
    """One pre-norm layer: attention and MLP, one after the other or side by side.

    x + attention(norm(x)), then x + mlp(norm(x));   parallel: x + attention(norm(x)) + mlp(norm(x))
    """

    config: TransformerConfig

    def setup(self):
        """Makes the two halves and their norms."""
        c = self.config
        self.attention_norm = make_norm(c)
        self.attention = Attention(c)
        self.mlp_norm = make_norm(c)
        self.mlp = MLP(c)

    def __call__(self, x, angles, segment_ids):
        """Whole sequences: [B, T, D] → [B, T, D] and this layer's keys and values."""
        mixed, keys_values = self.attention(self.attention_norm(x), angles, segment_ids)
        return by_rows(self._add(x, mixed)), keys_values

    def step(self, x, angles, cache_layer: LayerCache, cache: Cache):
        """One token of each sample: [B, K, D] → [B, K, D] and this layer's new cache."""
        mixed, cache_layer = self.attention.step(self.attention_norm(x), angles, cache_layer, cache)
        return self._add(x, mixed), cache_layer

    def _add(self, x, mixed):
        """The layer's output, of its input and what attention made of it."""
        if self.config.parallel:
            return x + mixed + self.mlp(self.mlp_norm(x))
        x = x + mixed
        return x + self.mlp(self.mlp_norm(x))
