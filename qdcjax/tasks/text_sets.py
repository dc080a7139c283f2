"""Sets of prompts and responses that are there: JSONL and other files, Arrow folders, the hub."""

import csv
import dataclasses
import glob
import gzip
import itertools
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import datasets

from qdcjax.tasks.json_texts import json_of

# What the two texts of a sample are usually called, whatever the case; the more telling first.
PROMPTS = ("question", "prompt", "instruction", "problem", "query", "input", "text")
RESPONSES = ("solution", "response", "output", "completion", "answer")
SEPARATORS = {".csv": ",", ".tsv": "\t"}
LONGEST = 100_000_000  # characters of a field
FIRST = 100  # rows that are looked through for fields
# Endings of files, which no data set of the hub has.
NO_HUB = (".jsonl", ".json", ".ndjson", *SEPARATORS, ".parquet", ".txt", ".arrow")
Pair = tuple[str, str]


@dataclasses.dataclass(frozen=True)
class TextSet:
    """Prompts and responses, read one after another.

    Attributes:
      path: a file of one JSON object a line, or of a list of them (packed with gzip or not), of
        Parquet or CSV; a folder that `datasets` saved, or a table of a run, `stages/<name>`; or an
        id on the hub.
      split, subset: of a folder with several splits, or on the hub.
      prompt, response: names of the fields; empty for the first of `PROMPTS` and `RESPONSES` that
        is there, where an `input` belongs to an `instruction`. Without a response they are the
        users' and the assistants' turns of `messages`, if there are any.
    """

    path: str
    split: str = "train"
    subset: str = ""
    prompt: str = ""
    response: str = ""

    def pairs(self) -> Iterator[Pair]:
        """A prompt and a response a row; either is empty where a row has no such text.

        Raises:
          ValueError: a line that is no JSON object, or a field that is not there.
          FileNotFoundError: there is nothing at that path.
        """
        rows = iter(self.rows())
        head = list(itertools.islice(rows, FIRST))
        if not head:
            return
        prompt, response = self._fields({name: None for row in head for name in row})
        for number, row in enumerate(itertools.chain(head, rows), start=1):
            if prompt == "messages":
                try:
                    yield _of_messages(row.get(prompt))
                except (AttributeError, TypeError):
                    raise ValueError(
                        f"{self.path}, row {number}: messages must be a list of role and content"
                    ) from None
            else:
                asked = [_text(row.get(prompt))]
                if prompt.lower() == "instruction" and not self.prompt:
                    asked.append(_text(row.get("input")))
                yield "\n".join(filter(None, asked)), _text(row.get(response))

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """The rows as they are."""
        path = Path(self.path)
        suffix = Path(path.name.removesuffix(".gz")).suffix
        is_file = suffix in NO_HUB or self.path.startswith(("/", ".", "~"))
        if path.is_dir():
            yield from folder_rows(self.path, self.split)
        elif not is_file:
            subset = self.subset or None
            yield from datasets.load_dataset(self.path, subset, split=self.split, streaming=True)
        elif not path.is_file():
            raise FileNotFoundError(f"{self.path}: there is no such file or folder")
        elif suffix == ".parquet":
            files = glob.escape(self.path)
            yield from datasets.load_dataset(
                "parquet", data_files=files, split="train", streaming=True
            )
        elif suffix in SEPARATORS:
            yield from _table(path, SEPARATORS[suffix])
        else:
            yield from _lines(path)

    def _fields(self, row: Mapping[str, Any]) -> tuple[str, str]:
        for name in filter(None, (self.prompt, self.response)):
            if name not in row:
                raise ValueError(f"{self.path}: no field {name!r}, but {', '.join(row)}")
        called = {name.lower(): name for name in row}
        prompts = [called[name] for name in PROMPTS if name in called]
        prompt = self.prompt or next(iter(prompts), "")
        responses = [called[name] for name in RESPONSES if name in called]
        response = self.response or next((name for name in responses if name != prompt), "")
        if not (self.prompt or response) and "messages" in row:
            return "messages", "messages"
        if not prompt:
            raise ValueError(
                f"{self.path}: name the field of the prompt; there are {', '.join(row)}"
            )
        return prompt, response


def folder_rows(path: str, split: str) -> datasets.Dataset:
    """What `datasets` saved in a folder, of which a split is wanted where it has several.

    A table of a run is a folder of several such, `part-*`, which are read as one.

    Raises:
      ValueError: it has no such split, or no row.
    """
    parts = sorted(Path(path).glob("part-*/"))
    try:
        if parts:
            return datasets.concatenate_datasets(
                [datasets.load_from_disk(str(part)) for part in parts]
            )
        stored = datasets.load_from_disk(path)
    except IndexError:  # a data set without rows is saved, and not loaded
        raise ValueError(f"{path}: there is nothing in it") from None
    if not isinstance(stored, datasets.DatasetDict):
        return stored
    if split not in stored:
        raise ValueError(f"{path}: split={split!r} is none of {', '.join(stored)}")
    return stored[split]


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig", errors="replace") as lines:
        try:
            is_list = lines.read(100).lstrip().startswith("[")
            lines.seek(0)
            if is_list:
                for item, row in enumerate(json_of(lines.read(), str(path), list), start=1):
                    if not isinstance(row, dict):
                        kind = type(row).__name__
                        raise ValueError(f"{path}, item {item}: {kind}, not an object")
                    yield row
                return
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield json_of(line, f"{path}, line {number}", dict)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path}: what is packed in it is damaged ({error})") from None


def _table(path: Path, separator: str) -> Iterator[Mapping[str, Any]]:
    """Rows of a file whose first line names the fields; all are texts."""
    csv.field_size_limit(LONGEST)
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig", errors="replace", newline="") as lines:
        reader = csv.DictReader(lines, delimiter=separator)
        try:
            for row in reader:
                yield {name: value for name, value in row.items() if name is not None}
        except csv.Error as error:
            raise ValueError(f"{path}, line {reader.line_num}: {error}") from None


def _text(value: Any) -> str:
    """UTF-8 that can be written; of a list of turns or parts, their texts."""
    if isinstance(value, (list, tuple)):
        return "\n".join(_text(part) for part in value)
    if isinstance(value, dict):
        return _text(value.get("content", value.get("text")))
    return "" if value is None else str(value).encode(errors="replace").decode()


def _of_messages(turns: Any) -> Pair:
    """What users and systems say, and what the assistant does."""
    said: dict[bool, list[str]] = {True: [], False: []}
    for turn in turns or ():
        said[turn.get("role") == "assistant"].append(_text(turn.get("content")))
    return "\n".join(said[False]), "\n".join(said[True])
