"""Keys and values of prompts and samples, as an explicit pytree: cache in, cache out."""

import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from qdcjax.models.config import TransformerConfig


@flax.struct.dataclass
class LayerCache:
    """One layer's keys and values: B prompts, K samples of each, P and S positions.

    Attributes:
      prefix_keys, prefix_values: [B, KV, P, d], each prompt's stored once, right-padded.
      keys, values: [B, K, KV, S, d], each sample's own tokens.
    """

    prefix_keys: Float[Array, "B KV P d"]
    prefix_values: Float[Array, "B KV P d"]
    keys: Float[Array, "B K KV S d"]
    values: Float[Array, "B K KV S d"]

    def write(
        self,
        key: Float[Array, "B K KV d"],
        value: Float[Array, "B K KV d"],
        slots: Int[Array, "B K"],
    ) -> "LayerCache":
        """Puts the newest token of each sample at its own position.

        Args:
          key, value: [B, K, KV, d].
          slots: [B, K] position of the token among the sample's own tokens.
        """
        rows = jnp.arange(key.shape[0])[:, None]
        samples = jnp.arange(key.shape[1])[None, :]
        return self.replace(
            keys=self.keys.at[rows, samples, :, slots].set(key.astype(self.keys.dtype)),
            values=self.values.at[rows, samples, :, slots].set(value.astype(self.values.dtype)),
        )


@flax.struct.dataclass
class Cache:
    """The cache of a decoder.

    Attributes:
      layers: one `LayerCache` a layer; separate arrays, so that a step updates each in place.
      prefix_lengths: [B] tokens of each prompt.
      lengths: [B, K] own tokens of each sample so far.
    """

    layers: tuple[LayerCache, ...]
    prefix_lengths: Int[Array, "B"]
    lengths: Int[Array, "B K"]

    @property
    def end(self) -> int:
        """P + S: positions that there is room for are below it."""
        layer = self.layers[0]
        return layer.prefix_keys.shape[2] + layer.keys.shape[3]


def empty_cache(
    config: TransformerConfig, prompts: int, width: int, samples: int, slots: int
) -> Cache:
    """A cache of B prompts of P tokens, with room for S tokens of each of K samples: all zeros."""
    c = config
    prefix = jnp.zeros((prompts, c.kv_heads, width, c.head_width), c.dtype)
    own = jnp.zeros((prompts, samples, c.kv_heads, slots, c.head_width), c.dtype)
    return Cache(
        layers=(LayerCache(prefix, prefix, own, own),) * c.layers,
        prefix_lengths=jnp.zeros(prompts, jnp.int32),
        lengths=jnp.zeros((prompts, samples), jnp.int32),
    )
