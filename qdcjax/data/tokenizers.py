"""The one form of every tokeniser, and how one is found in a folder or a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from qdcjax.data import json_tokenizer, sentencepiece_tokenizer
from qdcjax.data.gguf_tokenizer import load_gguf_tokenizer
from qdcjax.data.json_tokenizer import load_json_tokenizer
from qdcjax.data.sentencepiece_tokenizer import SentencePieceTokenizer, train_sentencepiece

__all__ = ["Tokenizer", "load_tokenizer", "train_sentencepiece"]


class Tokenizer(Protocol):
    """Text to ids and back.

    Attributes:
      vocab_size: ids are below it.
      bos_id, eos_id, pad_id: begin, end and padding; begin and padding are the end token where
        the source has none of its own. No text is ever encoded to one of these.
    """

    vocab_size: int
    bos_id: int
    eos_id: int
    pad_id: int

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without begin and end tokens."""

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of each text, on all cores."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; begin, end and padding are left out."""

    def with_token(self, text: str) -> "Tokenizer":
        """The same tokeniser with one token more, which a text becomes wherever it stands.

        One that has such a token already gives itself.
        """

    def save(self, folder: str | Path) -> None:
        """Writes the tokeniser's own files into a folder, for `load_tokenizer`."""


def load_tokenizer(path: str | Path) -> Tokenizer:
    """The tokeniser at `path`.

    Args:
      path: a `tokenizer.json`, a sentencepiece `.model`, a `.gguf`, or a folder with one of
        them (looked for in this order).

    Raises:
      FileNotFoundError: there is no such path, or the folder holds none of them.
      ValueError: the file is damaged or of an unknown kind.
    """
    file = _find(Path(path))
    if file.suffix == ".json":
        return load_json_tokenizer(file)
    if file.suffix == ".gguf":
        return load_gguf_tokenizer(file)
    if file.suffix == ".model":
        try:
            return SentencePieceTokenizer(file.read_bytes())
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error
    raise ValueError(f"{file}: a tokeniser ends in .json, .model or .gguf")


def _find(path: Path) -> Path:
    """The tokeniser's file: `path` itself, or the one in the folder `path`."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: there is no such file or folder to read a tokeniser from")
    for name in (json_tokenizer.FILE_NAME, sentencepiece_tokenizer.FILE_NAME):
        if (path / name).is_file():
            return path / name
    ggufs = sorted(path.glob("*.gguf"))
    if len(ggufs) == 1:
        return ggufs[0]
    raise FileNotFoundError(
        f"{path}: no tokenizer.json, no tokenizer.model and {len(ggufs)} .gguf files "
        "(one is needed) in this folder"
    )
