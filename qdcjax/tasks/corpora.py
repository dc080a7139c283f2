"""Corpora of text documents: generated ones of known structure, files, data sets.

A document is a text; which ones there are, and their order, is a function of the corpus alone.
"""

import dataclasses
import gzip
import os
import random
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import datasets

from qdcjax.tasks.problem import Task
from qdcjax.tasks.text_sets import folder_rows

# Fields in a config of a corpus of texts that are there, whichever kind it is.
TEXT = {
    "source": "",
    "suffixes": (".txt", ".md", ".py"),
    "field": "text",
    "split": "train",
    "subset": "",
}


class Corpus(Protocol):
    """A source of documents."""

    def documents(self, count: int | None = None) -> list[str]:
        """The first `count` documents, or as many as there are."""


@dataclasses.dataclass(frozen=True)
class Problems:
    """Questions and solutions of a generated task, one after another.

    Attributes:
      task: whose training problems are written out.
      each: problems in a document.
    """

    task: Task
    each: int = 8

    def documents(self, count: int | None = None) -> list[str]:
        """See `Corpus`; 1,000 by default."""
        count = 1_000 if count is None else count
        problems = self.task.problems("train", count * self.each)
        texts = [f"{problem.question}\n{problem.solution}\n" for problem in problems]
        return ["\n".join(texts[at : at + self.each]) for at in range(0, len(texts), self.each)]


@dataclasses.dataclass(frozen=True)
class Files:
    """The text files of a folder, in random order.

    Attributes:
      folder: of the files, looked through to its bottom.
      suffixes: of their names; a file that ends in `.gz` besides is unpacked.
      leave_out: names of folders that are not looked into.
    """

    folder: str
    suffixes: tuple[str, ...] = (".txt", ".md", ".py")
    leave_out: tuple[str, ...] = ()

    def documents(self, count: int | None = None) -> list[str]:
        """See `Corpus`.

        Raises:
          ValueError: there is no such folder, or no text in it.
        """
        paths = sorted(self._paths())
        random.Random(0).shuffle(paths)
        found = []
        for text in map(read_text, paths):
            if count is not None and len(found) >= count:
                break
            if text.strip():
                found.append(text)
        if not found:
            raise ValueError(
                f"folder={self.folder}: no text in files that end in {', '.join(self.suffixes)}"
            )
        return found

    def _paths(self) -> Iterator[Path]:
        folder = Path(self.folder)
        if not folder.is_dir():
            raise ValueError(f"folder={self.folder}: there is no such folder")
        for parent, folders, names in os.walk(folder):
            folders[:] = set(folders) - set(self.leave_out)
            for name in names:
                path = Path(parent, name)
                if name.removesuffix(".gz").endswith(self.suffixes) and path.is_file():
                    yield path


def standard_library() -> Files:
    """The source of this Python's own library, without its tests: about 11 MB in 1,700 files."""
    others = ("site-packages", "test", "tests", "idlelib", "__pycache__")
    return Files(sysconfig.get_paths()["stdlib"], (".py",), others)


@dataclasses.dataclass(frozen=True)
class DataSet:
    """Texts of an Arrow folder, or of a data set of the Hugging Face hub.

    Attributes:
      source: a folder that `datasets` saved, or an id on the hub.
      field: the column with the text.
      split: of the data set.
      subset: the hub's name of a part, or empty.
    """

    source: str
    field: str = "text"
    split: str = "train"
    subset: str = ""

    def documents(self, count: int | None = None) -> list[str]:
        """See `Corpus`; of the hub only what is needed is read.

        Raises:
          ValueError: no such column, or no text in it.
        """
        rows = self._rows()
        if self.field not in (rows.column_names or ()):
            raise ValueError(
                f"field={self.field!r} is no column of {self.source}: it has "
                f"{', '.join(rows.column_names or ())}"
            )
        found = []
        for row in rows:
            if count is not None and len(found) >= count:
                break
            if isinstance(row[self.field], str) and row[self.field].strip():
                found.append(row[self.field])
        if not found:
            raise ValueError(f"field={self.field!r} of {self.source} has no text")
        return found

    def _rows(self):
        if Path(self.source).is_dir():
            return folder_rows(self.source, self.split)
        return datasets.load_dataset(
            self.source, self.subset or None, split=self.split, streaming=True
        )


def read_text(path: Path) -> str:
    """UTF-8; what is none of it reads as a mark in its place."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    return data.decode("utf-8", errors="replace")
