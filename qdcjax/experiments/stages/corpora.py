"""Corpora as tokens: one tokeniser for all of a run, documents apart, rows of equal length."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qdcjax.data.tokenizers import Tokenizer, load_tokenizer, train_sentencepiece
from qdcjax.experiments.running import from_config
from qdcjax.tasks.corpora import TEXT, Corpus, DataSet, Files, Problems, standard_library
from qdcjax.training.processes import is_writer
from qdcjax.workdir import Workdir

TEXTS = ("standard_library", "files", "data_set")
CHARACTERS = 400_000  # of each corpus, that the tokeniser is trained on
CHUNK = 20_000  # characters that it sees at a time


@dataclasses.dataclass(frozen=True)
class Documents:
    """A corpus as tokens, without begin and end.

    Attributes:
      train, held_out: ids of each document.
    """

    train: Sequence[Sequence[int]]
    held_out: Sequence[Sequence[int]]


def corpus_of(fields: Mapping[str, Any], name: str, seed: int) -> Corpus:
    """The corpus of a section `corpora.<name>`: its `kind`, and the fields of that.

    `standard_library`, `files` (of the folder `source`) and `data_set` (a folder or an id of the
    hub, `source`) are texts that are there, and have the fields of `TEXT`. Any other kind is a task
    of `from_config.TASKS`, whose problems are written out, `each` of them a document.
    """
    fields, section = dict(fields), f"corpora.{name}"
    kind = fields.pop("kind")
    if kind in TEXTS:
        unknown = sorted(set(fields) - set(TEXT))
        if unknown:
            raise ValueError(f"{section}.{unknown[0]} is no field of kind={kind}")
        of = TEXT | fields
        if kind == "standard_library":
            return standard_library()
        if not of["source"]:
            raise ValueError(f"{section}.source must name what kind={kind} reads")
        if kind == "files":
            return Files(of["source"], tuple(of["suffixes"]))
        return DataSet(of["source"], of["field"], of["split"], of["subset"])
    if kind not in from_config.TASKS:
        known = ", ".join((*TEXTS, *from_config.TASKS))
        raise ValueError(f"{section}.kind={kind!r} must be one of {known}")
    each = fields.pop("each")
    return Problems(from_config.task({"name": kind, **fields}, seed), each)


def train_tokenizer(config: Mapping[str, Any], workdir: Workdir) -> Tokenizer:
    """Stage `tokenizer`: one of all corpora, of as much text from each."""

    def make(folder: Path) -> None:
        texts = []
        for name, fields in config["corpora"].items():
            taken = "".join(corpus_of(fields, name, 0).documents(2_000))[:CHARACTERS]
            texts += [taken[at : at + CHUNK] for at in range(0, len(taken), CHUNK)]
        if is_writer():
            train_sentencepiece(texts, config["tokenizer"]["vocab_size"]).save(folder)

    return load_tokenizer(workdir.stage("tokenizer", ["corpora", "tokenizer"], [], make))


def read_corpus(
    config: Mapping[str, Any],
    workdir: Workdir,
    name: str,
    tokenizer: Tokenizer,
    tokens: int,
    held_out: int,
    after: str = "tokenizer",
) -> Documents:
    """Table `corpus-<name>`: documents until there are so many tokens of either part.

    Every tenth document is held out.

    Args:
      config, workdir: of the run.
      name: of the corpus.
      tokenizer: for its text.
      tokens, held_out: that are needed for training, and for what it is measured by.
      after: the stage that the tokeniser comes from.

    Raises:
      ValueError: the corpus is too small.
    """

    def make(part: str) -> dict[str, list]:
        corpus, rows, missing = corpus_of(config["corpora"][part], part, 0), [], {}
        count = 256
        while not missing or any(of > 0 for of in missing.values()):
            texts = corpus.documents(count)
            encoded = tokenizer.encode_many(texts)
            rows, missing = [], {False: tokens, True: held_out}
            for number, ids in enumerate(encoded):
                apart = number % 10 == 0
                if missing[apart] > 0 and ids:
                    rows.append((apart, ids))
                    missing[apart] -= len(ids) + 2
            if len(texts) < count and any(of > 0 for of in missing.values()):
                parts = {False: ("training", tokens), True: ("being held out", held_out)}
                lacking = missing[True] > 0
                words, asked = parts[lacking]
                raise ValueError(
                    f"corpora.{part}: {asked - missing[lacking]:,} tokens for {words}, and "
                    f"{asked:,} are needed: lower language.sizes or language.held_out"
                )
            count *= 2
        return {"held_out": [apart for apart, _ in rows], "tokens": [ids for _, ids in rows]}

    fields = ["corpora", "tokenizer", "language"]
    table = workdir.table(f"corpus-{name}", fields, [after], lambda: [name], make)
    apart, ids = table["held_out"][:], table["tokens"][:]
    found = {side: [of for of, a in zip(ids, apart, strict=True) if a == side] for side in (0, 1)}
    return Documents(found[0], found[1])


def rows_of(
    documents: Sequence[Sequence[int]], tokenizer: Tokenizer, length: int, count: int | None = None
) -> dict[str, np.ndarray]:
    """Documents one after another, each between begin and end, cut into rows of `length`.

    Of those the first `count`, or all.

    Returns:
      `tokens` [R, T] int32 and `mask` [R, T], 1 on what is predicted: all but a row's first token
      and the begin tokens.
    """
    ends = [np.array([tokenizer.bos_id]), np.array([tokenizer.eos_id])]
    pieces = [piece for ids in documents for piece in (ends[0], np.asarray(ids), ends[1])]
    stream = np.concatenate(pieces).astype(np.int32)
    begins = np.zeros(len(stream), bool)
    begins[np.cumsum([0, *(len(ids) + 2 for ids in documents[:-1])])] = True
    count = len(stream) // length if count is None else count
    tokens = stream[: count * length].reshape(count, length)
    mask = ~begins[: count * length].reshape(count, length)
    mask[:, 0] = False
    return {"tokens": tokens, "mask": mask.astype(np.float32)}
