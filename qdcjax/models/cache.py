"""Keys and values of prompts and samples, as an explicit pytree: cache in, cache out."""

import flax.struct
import jax
import jax.numpy as jnp


@flax.struct.dataclass
class LayerCache:
    """One layer's keys and values: B prompts, K samples of each, P and S positions.

    Attributes:
      prefix_keys, prefix_values: [B, KV, P, d], each prompt's stored once, right-padded.
      keys, values: [B, K, KV, S, d], each sample's own tokens.
    """

    prefix_keys: jax.Array
    prefix_values: jax.Array
    keys: jax.Array
    values: jax.Array

    def write(self, key, value, slots):
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
    prefix_lengths: jax.Array
    lengths: jax.Array
