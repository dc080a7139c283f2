"""A trained model on disk: its shape (`model.json`), parameters (Orbax) and tokeniser."""

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from qdcjax.data.tokenizers import Tokenizer, load_tokenizer
from qdcjax.models.config import TransformerConfig
from qdcjax.models.transformer import Transformer
from qdcjax.training.checkpoints import load_params, save_params
from qdcjax.training.processes import is_writer, wait_for_all
from qdcjax.training.sharding import init_on_mesh, mesh_of, param_shardings

SHAPE_FILE = "model.json"


@dataclasses.dataclass(frozen=True)
class StoredModel:
    """A model ready to use.

    Attributes:
      model: the Linen module.
      params: its parameters.
      tokenizer: that it was trained with.
    """

    model: Transformer
    params: Any
    tokenizer: Tokenizer

    def with_shape(self, key: jax.Array, **changes) -> "StoredModel":
        """The same trunk in a model of another output, whose own parameters are fresh.

        Args:
          key: of the fresh parameters.
          changes: of `TransformerConfig`, such as `output="scalar"` or `value_head=True`.
        """
        model = Transformer(dataclasses.replace(self.model.config, **changes))
        fresh = init_on_mesh(model, key, mesh_of(self.params))
        # Copies, since training gives its initial parameters' memory away.
        kept = {name: jax.tree.map(jnp.copy, self.params[name]) for name in fresh
                if name in self.params}  # fmt: skip
        return StoredModel(model, {**fresh, **kept}, self.tokenizer)

    def with_token(self, text: str) -> "StoredModel":
        """The same model with one more token, whose rows begin as the mean of all others'.

        A spare row of the embedding becomes the token's; without one the embedding grows, to a
        multiple of the mesh's tensor axis.
        """
        tokenizer, config = self.tokenizer.with_token(text), self.model.config
        mesh, known = mesh_of(self.params), self.tokenizer.vocab_size
        if tokenizer.vocab_size == known:
            return self
        parts = mesh.shape["tensor"]
        rows = max(config.vocab_size, parts * math.ceil(tokenizer.vocab_size / parts))
        model = Transformer(dataclasses.replace(config, vocab_size=rows))

        @functools.partial(jax.jit, out_shardings=param_shardings(model, mesh))
        def grow(params):
            grown = dict(params)
            for module, name, axis in (("embed", "embedding", 0), ("head", "kernel", 1)):
                if module in params:
                    old = jax.lax.slice_in_dim(params[module][name], 0, known, axis=axis)
                    mean = jnp.mean(old, axis, keepdims=True)
                    new = jnp.repeat(mean, rows - known, axis)
                    grown[module] = params[module] | {name: jnp.concatenate([old, new], axis)}
            return grown

        return StoredModel(model, grow(self.params), tokenizer)


def save_model(folder: Path, stored: StoredModel) -> None:
    """Writes all three parts into `folder`; the shape file comes last and marks it whole."""
    folder.mkdir(parents=True, exist_ok=True)
    save_params(folder / "params", stored.params)
    if is_writer():
        stored.tokenizer.save(folder / "tokenizer")
        shape = dataclasses.asdict(stored.model.config) | {"files": _files(folder)}
        (folder / SHAPE_FILE).write_text(json.dumps(shape, indent=1) + "\n")
    wait_for_all(f"{folder} is written")


def load_model(folder: Path, mesh: Mesh | None = None) -> StoredModel:
    """Reads what `save_model` wrote, from whatever mesh, onto another.

    Args:
      folder: as given to `save_model`.
      mesh: to spread the parameters over; by default they go to the first device.

    Raises:
      FileNotFoundError: no model lies there.
      ValueError: a part is unreadable, or tokeniser and parameters do not belong together.
    """
    folder = Path(folder)
    if not (folder / SHAPE_FILE).is_file():
        raise FileNotFoundError(f"no trained model in {folder}: {SHAPE_FILE} is missing")
    try:
        shape = json.loads((folder / SHAPE_FILE).read_text())
        _check_files(folder, shape.pop("files", {}))
        config = TransformerConfig.from_dict(shape)
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError, TypeError) as error:
        raise ValueError(f"{folder / SHAPE_FILE} is no model's shape: {error}") from error
    tokenizer = load_tokenizer(folder / "tokenizer")
    model = Transformer(config)
    params = load_params(folder / "params", param_shardings(model, mesh) if mesh else None)
    rows = params["embed"]["embedding"].shape[0]
    if not tokenizer.vocab_size <= rows == config.vocab_size:
        raise ValueError(
            f"tokeniser and checkpoint in {folder} do not match: {tokenizer.vocab_size} tokens, "
            f"{rows} embedding rows, vocab_size={config.vocab_size}"
        )
    return StoredModel(model, params, tokenizer)


def _files(folder: Path) -> dict[str, int | str]:
    """File → its size; the tokeniser's → its hash, for another may have the same size."""
    found: dict[str, int | str] = {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in sorted((folder / "params").rglob("*"))
        if path.is_file()
    }
    for path in sorted((folder / "tokenizer").iterdir()):
        found[path.relative_to(folder).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _check_files(folder: Path, saved: Mapping[str, int | str]) -> None:
    """Raises when a file is not as it was saved; Orbax's own words for it fill pages."""
    found = _files(folder) if saved else {}
    for name, mark in saved.items():
        if found.get(name) == mark:
            continue
        if name.startswith("tokenizer/"):
            raise ValueError(
                f"tokeniser and checkpoint in {folder} do not match: {name} is missing or is not "
                "the one that the model was trained with"
            )
        size = found.get(name, "no such file")
        raise ValueError(
            f"checkpoint {folder}/params cannot be read: {name} was saved with {mark} bytes and "
            f"has {size}"
        )
