"""The families of decoders that Hugging Face's `transformers` names, as configs and tables.

LLaMA 2 and 3 and SmolLM2 (`llama`), Mistral, Qwen 2.5 (`qwen2`), Qwen 3, GPT-NeoX and Pythia
(`gpt_neox`), GPT-2.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qdcjax.models.config import ARITHMETIC, RopeScaling, TransformerConfig
from qdcjax.models.tensor_table import (
    CONV,
    CONV_OUT,
    CONV_QKV,
    FLAT,
    FLAT_QKV,
    HEAD_QKV,
    LINEAR,
    LINEAR_OUT,
    SAME,
    Layout,
    Tensor,
)

Fields = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Family:
    """One architecture of `transformers`.

    Attributes:
      architecture: the class that computes it.
      read: fields of its `config.json` → ours.
      write: our config → those fields.
      table: our config → its tensors.
      prefix: of tensor names, left out in some files.
      ignored: ends of the names of tensors that hold nothing learnt.
    """

    architecture: str
    read: Callable[[Fields], TransformerConfig]
    write: Callable[[TransformerConfig], dict[str, Any]]
    table: Callable[[TransformerConfig], Sequence[Tensor]]
    prefix: str
    ignored: tuple[str, ...] = ()


def read_config(fields: Fields) -> TransformerConfig:
    """Our config for the fields of a `config.json`.

    Raises:
      ValueError: an architecture, or a feature of one, that `Transformer` does not compute.
    """
    return _family(fields.get("model_type")).read(fields)


def write_config(config: TransformerConfig) -> dict[str, Any]:
    """The fields of a `config.json` for our config.

    Raises:
      ValueError: a model of scalars, or a mixture of features that no family has.
    """
    name = model_type(config)
    fields = {"model_type": name, "architectures": [FAMILIES[name].architecture]}
    fields |= FAMILIES[name].write(config) | {"dtype": "float32"}
    arithmetic = {field: getattr(config, field) for field in ARITHMETIC}
    as_read = dataclasses.replace(read_config(fields), **arithmetic)
    if as_read != config:
        differs = [
            field.name
            for field in dataclasses.fields(config)
            if getattr(config, field.name) != getattr(as_read, field.name)
        ]
        raise ValueError(f"no family of models is like this one: {name} differs in {differs}")
    return fields


def family(config: TransformerConfig) -> Family:
    """The family whose tensors a config's parameters fill."""
    return FAMILIES[model_type(config)]


def model_type(config: TransformerConfig) -> str:
    """The name of the family that computes a config."""
    if config.positions == "learned":
        return "gpt2"
    if config.norm == "layer":
        return "gpt_neox"
    if config.qk_norm:
        return "qwen3"
    if config.bias == "qkv":
        return "qwen2"
    return "mistral" if config.window else "llama"


def _family(name: Any) -> Family:
    if name not in FAMILIES:
        raise ValueError(f"model_type={name!r} must be one of {', '.join(FAMILIES)}")
    return FAMILIES[name]


# LLaMA and its relatives.


def _read_llama(fields: Fields) -> TransformerConfig:
    _require(fields, "hidden_act", "silu")
    for name in ("attention_bias", "mlp_bias", "use_sliding_window"):
        _require(fields, name, False)
    kind, width, heads = (
        fields["model_type"],
        fields["hidden_size"],
        fields["num_attention_heads"],
    )
    return TransformerConfig(
        vocab_size=fields["vocab_size"],
        layers=fields["num_hidden_layers"],
        width=width,
        heads=heads,
        kv_heads=fields.get("num_key_value_heads") or heads,
        head_width=fields.get("head_dim") or width // heads,
        mlp_width=fields["intermediate_size"],
        tied=fields["tie_word_embeddings"],
        norm_eps=fields["rms_norm_eps"],
        max_length=fields["max_position_embeddings"],
        window=(fields.get("sliding_window") or 0) if kind == "mistral" else 0,
        bias="qkv" if kind == "qwen2" else "none",
        qk_norm=kind == "qwen3",
        **_read_rope(fields),
    )


def _write_llama(c: TransformerConfig) -> dict[str, Any]:
    return {
        "vocab_size": c.vocab_size,
        "num_hidden_layers": c.layers,
        "hidden_size": c.width,
        "num_attention_heads": c.heads,
        "num_key_value_heads": c.kv_heads,
        "head_dim": c.head_width,
        "intermediate_size": c.mlp_width,
        "hidden_act": "silu",
        "tie_word_embeddings": c.tied,
        "rms_norm_eps": c.norm_eps,
        "max_position_embeddings": c.max_length,
        "sliding_window": c.window or None,
        **_write_rope(c),
    }


def _llama_table(c: TransformerConfig) -> list[Tensor]:
    layer = "model.layers.{}"
    rows = [
        _row("model.embed_tokens.weight", "embed/embedding", SAME),
        _row(f"{layer}.input_layernorm.weight", "layers/attention_norm/scale", SAME),
        _row(f"{layer}.post_attention_layernorm.weight", "layers/mlp_norm/scale", SAME),
    ]
    for theirs, ours in (("q", "query"), ("k", "key"), ("v", "value")):
        name, ours = f"{layer}.self_attn.{theirs}_proj", f"layers/attention/{ours}"
        rows.append(_row(f"{name}.weight", f"{ours}/kernel", LINEAR))
        if c.bias == "qkv":
            rows.append(_row(f"{name}.bias", f"{ours}/bias", FLAT))
        if c.qk_norm and theirs != "v":
            norm = f"{layer}.self_attn.{theirs}_norm.weight"
            rows.append(_row(norm, f"{ours}_norm/scale", SAME))
    rows.append(_row(f"{layer}.self_attn.o_proj.weight", "layers/attention/out/kernel", LINEAR_OUT))
    for name in ("gate", "up", "down"):
        rows.append(_row(f"{layer}.mlp.{name}_proj.weight", f"layers/mlp/{name}/kernel", LINEAR))
    rows.append(_row("model.norm.weight", "final_norm/scale", SAME))
    if not c.tied:
        rows.append(_row("lm_head.weight", "head/kernel", LINEAR))
    return rows


# GPT-NeoX.


def _read_gpt_neox(fields: Fields) -> TransformerConfig:
    _require(fields, "attention_bias", True)
    width, heads = fields["hidden_size"], fields["num_attention_heads"]
    head_width = width // heads
    rope = fields.get("rope_parameters") or {}
    share = rope.get("partial_rotary_factor", fields.get("rotary_pct", 0.25))
    turned = int(head_width * share)
    return TransformerConfig(
        vocab_size=fields["vocab_size"],
        layers=fields["num_hidden_layers"],
        width=width,
        heads=heads,
        kv_heads=heads,
        head_width=head_width,
        mlp_width=fields["intermediate_size"],
        tied=fields["tie_word_embeddings"],
        norm="layer",
        norm_eps=fields["layer_norm_eps"],
        max_length=fields["max_position_embeddings"],
        bias="all",
        mlp=_read_activation(fields, "hidden_act"),
        parallel=fields.get("use_parallel_residual", True),
        rope_width=0 if turned == head_width else turned,
        **_read_rope(fields, "rotary_emb_base"),
    )


def _write_gpt_neox(c: TransformerConfig) -> dict[str, Any]:
    rope = _write_rope(c)
    share = c.turned / c.head_width
    rope["rope_parameters"]["partial_rotary_factor"] = share
    return {
        "vocab_size": c.vocab_size,
        "num_hidden_layers": c.layers,
        "hidden_size": c.width,
        "num_attention_heads": c.heads,
        "intermediate_size": c.mlp_width,
        "hidden_act": ACTIVATIONS[c.mlp],
        "tie_word_embeddings": c.tied,
        "layer_norm_eps": c.norm_eps,
        "max_position_embeddings": c.max_length,
        "attention_bias": True,
        "use_parallel_residual": c.parallel,
        "rotary_pct": share,
        "rotary_emb_base": c.rope_base,
        **rope,
    }


def _gpt_neox_table(c: TransformerConfig) -> list[Tensor]:
    layer = "gpt_neox.layers.{}"
    qkv = [f"layers/attention/{name}" for name in ("query", "key", "value")]
    rows = [
        _row("gpt_neox.embed_in.weight", "embed/embedding", SAME),
        *_norm(f"{layer}.input_layernorm", "layers/attention_norm"),
        *_norm(f"{layer}.post_attention_layernorm", "layers/mlp_norm"),
        *_fused(f"{layer}.attention.query_key_value", qkv, HEAD_QKV, HEAD_QKV),
        *_fused(f"{layer}.attention.dense", ["layers/attention/out"], LINEAR_OUT),
        *_fused(f"{layer}.mlp.dense_h_to_4h", ["layers/mlp/up"], LINEAR),
        *_fused(f"{layer}.mlp.dense_4h_to_h", ["layers/mlp/down"], LINEAR),
        *_norm("gpt_neox.final_layer_norm", "final_norm"),
    ]
    return rows if c.tied else [*rows, _row("embed_out.weight", "head/kernel", LINEAR)]


# GPT-2.


def _read_gpt2(fields: Fields) -> TransformerConfig:
    _require(fields, "scale_attn_by_inverse_layer_idx", False)
    _require(fields, "scale_attn_weights", True)
    width, heads = fields["n_embd"], fields["n_head"]
    return TransformerConfig(
        vocab_size=fields["vocab_size"],
        layers=fields["n_layer"],
        width=width,
        heads=heads,
        kv_heads=heads,
        head_width=width // heads,
        mlp_width=fields.get("n_inner") or 4 * width,
        tied=fields["tie_word_embeddings"],
        positions="learned",
        norm="layer",
        norm_eps=fields["layer_norm_epsilon"],
        max_length=fields["n_positions"],
        bias="all",
        mlp=_read_activation(fields, "activation_function"),
    )


def _write_gpt2(c: TransformerConfig) -> dict[str, Any]:
    return {
        "vocab_size": c.vocab_size,
        "n_layer": c.layers,
        "n_embd": c.width,
        "n_head": c.heads,
        "n_inner": c.mlp_width,
        "n_positions": c.max_length,
        "activation_function": ACTIVATIONS[c.mlp],
        "layer_norm_epsilon": c.norm_eps,
        "tie_word_embeddings": c.tied,
    }


def _gpt2_table(c: TransformerConfig) -> list[Tensor]:
    layer = "transformer.h.{}"
    qkv = [f"layers/attention/{name}" for name in ("query", "key", "value")]
    rows = [
        _row("transformer.wte.weight", "embed/embedding", SAME),
        _row("transformer.wpe.weight", "position/embedding", SAME),
        *_norm(f"{layer}.ln_1", "layers/attention_norm"),
        *_norm(f"{layer}.ln_2", "layers/mlp_norm"),
        *_fused(f"{layer}.attn.c_attn", qkv, CONV_QKV, FLAT_QKV),
        *_fused(f"{layer}.attn.c_proj", ["layers/attention/out"], CONV_OUT),
        *_fused(f"{layer}.mlp.c_fc", ["layers/mlp/up"], CONV),
        *_fused(f"{layer}.mlp.c_proj", ["layers/mlp/down"], CONV),
        *_norm("transformer.ln_f", "final_norm"),
    ]
    return rows if c.tied else [*rows, _row("lm_head.weight", "head/kernel", LINEAR)]


# Parts of several families.


def _row(name: str, parameter: str, layout: Layout) -> Tensor:
    return Tensor(name, (parameter,), layout)


def _norm(name: str, ours: str) -> list[Tensor]:
    return [
        _row(f"{name}.weight", f"{ours}/scale", SAME),
        _row(f"{name}.bias", f"{ours}/bias", SAME),
    ]


def _fused(name: str, ours: Sequence[str], kernel: Layout, bias: Layout = FLAT) -> list[Tensor]:
    """A product with a bias, which may hold several of ours."""
    return [
        Tensor(f"{name}.weight", tuple(f"{path}/kernel" for path in ours), kernel),
        Tensor(f"{name}.bias", tuple(f"{path}/bias" for path in ours), bias),
    ]


ACTIVATIONS = {"swiglu": "silu", "gelu": "gelu", "gelu_tanh": "gelu_new"}


def _read_activation(fields: Fields, name: str) -> str:
    tanh = ("gelu_new", "gelu_fast", "gelu_pytorch_tanh")
    value = fields[name]
    if value not in ("gelu", *tanh):
        raise ValueError(f"{name}={value!r} must be one of gelu, {', '.join(tanh)}")
    return "gelu_tanh" if value in tanh else "gelu"


def _read_rope(fields: Fields, base: str = "rope_theta") -> dict[str, Any]:
    """Base and scaling, where older files (`rope_theta`) or newer ones (`rope_parameters`) say."""
    rope = fields.get("rope_parameters") or fields.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ("default", "llama3"):
        raise ValueError(f"rope_type={kind!r} must be default or llama3")
    scaling = None
    if kind == "llama3":
        scaling = RopeScaling(
            rope["factor"],
            rope["low_freq_factor"],
            rope["high_freq_factor"],
            rope["original_max_position_embeddings"],
        )
    return {
        "rope_base": float(rope.get("rope_theta", fields.get(base, 10_000.0))),
        "rope_scaling": scaling,
    }


def _write_rope(c: TransformerConfig) -> dict[str, Any]:
    """Both forms, for `transformers` before and since version 5."""
    rope: dict[str, Any] = {"rope_type": "default"}
    if c.rope_scaling is not None:
        rope = {
            "rope_type": "llama3",
            "factor": c.rope_scaling.factor,
            "low_freq_factor": c.rope_scaling.low,
            "high_freq_factor": c.rope_scaling.high,
            "original_max_position_embeddings": c.rope_scaling.original_length,
        }
    return {
        "rope_theta": c.rope_base,
        "rope_scaling": rope if c.rope_scaling is not None else None,
        "rope_parameters": rope | {"rope_theta": c.rope_base},
    }


def _require(fields: Fields, name: str, value: Any) -> None:
    """A feature that is left out of our models must be off; a missing field has the right value."""
    if fields.get(name, value) != value:
        raise ValueError(f"{name}={fields[name]!r} is not supported: it must be {value!r}")


_LLAMA_PARTS = (_read_llama, _write_llama, _llama_table, "model.", (".rotary_emb.inv_freq",))
FAMILIES = {
    "llama": Family("LlamaForCausalLM", *_LLAMA_PARTS),
    "mistral": Family("MistralForCausalLM", *_LLAMA_PARTS),
    "qwen2": Family("Qwen2ForCausalLM", *_LLAMA_PARTS),
    "qwen3": Family("Qwen3ForCausalLM", *_LLAMA_PARTS),
    "gpt_neox": Family(
        "GPTNeoXForCausalLM",
        _read_gpt_neox,
        _write_gpt_neox,
        _gpt_neox_table,
        "gpt_neox.",
        (".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"),
    ),
    "gpt2": Family(
        "GPT2LMHeadModel",
        _read_gpt2,
        _write_gpt2,
        _gpt2_table,
        "transformer.",
        (".attn.bias", ".attn.masked_bias"),
    ),
}
