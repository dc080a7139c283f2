"""The shape and arithmetic of a transformer: one description for all families of decoders."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_type_hints

import jax

REMAT_POLICIES = {
    "none": None,
    "full": jax.checkpoint_policies.nothing_saveable,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}

# Fields of `TransformerConfig` that say how a model is computed and not which one it is.
ARITHMETIC = ("dtype", "remat", "logit_chunk")


@dataclasses.dataclass(frozen=True)
class RopeScaling:
    """LLaMA 3's stretching of rotary positions to longer texts.

    A frequency whose wavelength is under `original_length / high` stays, one over
    `original_length / low` is divided by `factor`, and those between are blended linearly in
    `original_length / wavelength`.
    """

    factor: float
    low: float
    high: float
    original_length: int


PROJECTIONS = ("query", "key", "value", "out", "gate", "up", "down")


@dataclasses.dataclass(frozen=True)
class Lora:
    """Low-rank updates of some products: x W + (alpha / rank) x A B (Hu et al. 2021, section 4.1).

    Attributes:
      rank: of the update; A is [in, rank], B is [rank, out].
      alpha: scale of the update.
      targets: which products, of `PROJECTIONS`.
    """

    rank: int
    alpha: float = 16.0
    targets: tuple[str, ...] = ("query", "key", "value", "out")

    def __post_init__(self):
        if self.rank < 1:
            raise ValueError(f"lora.rank={self.rank} must be at least 1")
        for name in self.targets:
            if name not in PROJECTIONS:
                raise ValueError(f"lora.targets: {name!r} must be one of {', '.join(PROJECTIONS)}")


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
    """Shape and arithmetic of a transformer.

    Attributes:
      vocab_size: V; 1 where the input is numbers.
      layers: L.
      width: D.
      heads: H query heads.
      kv_heads: KV, a divisor of H.
      head_width: d, even.
      mlp_width: F.
      input: `tokens`, or `numbers`: a sequence of real numbers, each of which stretches one vector.
      output: `tokens` gives logits over the vocabulary; `scalar` one number a position
        (a value or a reward in logits).
      value_head: whether a two-layer MLP tells a value from the last hidden states, beside the
        output.
      tied: whether the output uses the embedding matrix.
      positions: `rotary`, or `learned` vectors that are added to the embeddings.
      rope_base: base of the rotary frequencies.
      rope_width: how many of a head's d elements are turned, the first ones; 0 for all.
      rope_scaling: LLaMA 3's, or None.
      window: how many positions a token sees, itself included; 0 for all before it.
      norm: `rms` (RMSNorm) or `layer` (LayerNorm with bias).
      norm_eps: added to the mean square or the variance.
      bias: which products add a bias: `none`, `qkv` (queries, keys, values), or `all` (those of
        attention and MLP).
      qk_norm: RMSNorm over d of queries and keys, before they are turned.
      mlp: `swiglu`, or an MLP without a gate: `gelu`, `gelu_tanh` (its tanh approximation).
      parallel: attention and MLP both read the layer's input, and both are added to it.
      lora: low-rank updates beside some products, or None.
      max_length: longest sequence that the model is meant for, in tokens.
      dtype: of the arithmetic; parameters are float32, as are norms, softmax and logits.
      remat: what the backward pass recomputes: `none`, `full`, or `dots` (all but products).
      logit_chunk: positions of each row whose logits the language-model loss holds at one time;
        0 for all.
    """

    vocab_size: int
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    mlp_width: int
    input: Literal["tokens", "numbers"] = "tokens"
    output: Literal["tokens", "scalar"] = "tokens"
    value_head: bool = False
    tied: bool = True
    positions: Literal["rotary", "learned"] = "rotary"
    rope_base: float = 10_000.0
    rope_width: int = 0
    rope_scaling: RopeScaling | None = None
    window: int = 0
    norm: Literal["rms", "layer"] = "rms"
    norm_eps: float = 1e-5
    bias: Literal["none", "qkv", "all"] = "none"
    qk_norm: bool = False
    mlp: Literal["swiglu", "gelu", "gelu_tanh"] = "swiglu"
    parallel: bool = False
    lora: Lora | None = None
    max_length: int = 2_048
    dtype: Literal["float32", "bfloat16"] = "float32"
    remat: Literal["none", "full", "dots"] = "none"
    logit_chunk: int = 0

    def __post_init__(self):
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads={self.kv_heads} must divide heads={self.heads}")
        if self.head_width % 2:
            raise ValueError(f"head_width={self.head_width} must be even for rotary positions")
        if self.rope_width % 2 or not 0 <= self.rope_width <= self.head_width:
            raise ValueError(
                f"rope_width={self.rope_width} must be even and at most {self.head_width}"
            )
        if self.window < 0:
            raise ValueError(f"window={self.window} must be 0 or a number of positions")
        for name, kind in get_type_hints(type(self)).items():
            words = get_args(kind)
            if words and isinstance(words[0], str) and getattr(self, name) not in words:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} must be one of {', '.join(words)}"
                )

    @property
    def turned(self) -> int:
        """How many of a head's elements are turned by their position."""
        return self.rope_width or self.head_width

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "TransformerConfig":
        """The inverse of `dataclasses.asdict`, e.g. after JSON."""
        scaling, lora = fields.get("rope_scaling"), fields.get("lora")
        nested = {
            "rope_scaling": RopeScaling(**scaling) if scaling else None,
            "lora": Lora(**lora | {"targets": tuple(lora["targets"])}) if lora else None,
        }
        return cls(**{**fields, **nested})
