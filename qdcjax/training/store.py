"""A trained model on disk: its shape (`model.json`), parameters (Orbax) and tokeniser."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from qdcjax.data.tokenizers import Tokenizer, load_tokenizer
from qdcjax.models.transformer import Transformer, TransformerConfig
from qdcjax.training.checkpoints import load_params, save_params

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


def save_model(folder: Path, stored: StoredModel) -> None:
    """Writes all three parts into `folder`; the shape file comes last and marks it whole."""
    folder.mkdir(parents=True, exist_ok=True)
    stored.tokenizer.save(folder / "tokenizer")
    save_params(folder / "params", stored.params)
    shape = dataclasses.asdict(stored.model.config)
    (folder / SHAPE_FILE).write_text(json.dumps(shape, indent=1) + "\n")


def load_model(folder: Path) -> StoredModel:
    """Reads what `save_model` wrote, on any number of devices.

    Raises:
      FileNotFoundError: no model lies there.
      ValueError: a part is unreadable, or tokeniser and parameters do not belong together.
    """
    folder = Path(folder)
    if not (folder / SHAPE_FILE).is_file():
        raise FileNotFoundError(f"no trained model in {folder}: {SHAPE_FILE} is missing")
    config = TransformerConfig(**json.loads((folder / SHAPE_FILE).read_text()))
    tokenizer = load_tokenizer(folder / "tokenizer")
    params = load_params(folder / "params")
    rows = params["embed"]["embedding"].shape[0]
    if not tokenizer.vocab_size <= rows == config.vocab_size:
        raise ValueError(
            f"tokeniser and checkpoint in {folder} do not match: {tokenizer.vocab_size} tokens, "
            f"{rows} embedding rows, vocab_size={config.vocab_size}"
        )
    return StoredModel(Transformer(config), params, tokenizer)
