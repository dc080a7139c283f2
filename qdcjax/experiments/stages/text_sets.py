"""Sets of prompts and responses that a card describes: streamed, counted, sampled."""

import dataclasses
import hashlib
import itertools
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from qdcjax.experiments.running import from_config
from qdcjax.files import read_json, write_json, write_part
from qdcjax.measures.intervals import Interval
from qdcjax.measures.streams import Overlap, TextStream
from qdcjax.tasks.text_sets import Pair, TextSet
from qdcjax.tasks.word_problems.misconceptions import Misconceptions, demonstrations
from qdcjax.training.processes import is_writer
from qdcjax.workdir import Workdir

AT_ONCE, CHARACTERS = 20_000, 4_000_000  # samples that are counted together, at most
ENDINGS = r"(\.(jsonl|json|ndjson|parquet|csv|tsv))?(\.gz)?$"
WIDEST = 512  # dimensions of an embedding by singular vectors
ORDERS = (1, 2, 3)  # n-grams that are counted


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a set comes from.

    Attributes:
      path: a file, a folder, or an id on the hub; empty where it is generated.
      pairs: its samples.
    """

    path: str
    pairs: Callable[[], Iterator[Pair]]


@dataclasses.dataclass(frozen=True)
class CardSettings:
    """What of the sets is looked at.

    Attributes:
      sampled: samples of each set that are looked at one by one; all are counted.
      size: samples of a block, see `subsamples.at_size`.
      embedding: `lsa`, singular vectors of the words' and word pairs' tf-idf, found on all sets
        together; or `policy`, the mean hidden state of `config.checkpoint`.
      width: of the embedding, for `lsa`.
      clusters: of all sets together.
      examples: of duplicates, and of each cluster.
    """

    sampled: int = 2_000
    size: int = 500
    embedding: str = "lsa"
    width: int = 64
    clusters: int = 8
    examples: int = 5

    def __post_init__(self):
        for name in ("width", "clusters", "examples"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 2")
        if self.width > WIDEST:
            raise ValueError(f"width={self.width} must be at most {WIDEST}")
        if self.size < 10:
            raise ValueError(f"size={self.size} must be at least 10")
        if self.size > self.sampled:
            raise ValueError(f"size={self.size} must be at most sampled={self.sampled}")
        if self.embedding not in ("lsa", "policy"):
            raise ValueError(f"embedding={self.embedding!r} must be lsa or policy")


def sources_of(config: Mapping[str, Any]) -> dict[str, Source]:
    """Name → samples of each set: of what `data.path` names, or of generated problems.

    A set is called as its file, and where two are called alike as its folder too.

    Raises:
      ValueError: two files of one name.
    """
    if not config["data"]["path"]:
        return {name: _generated(config, name) for name in config["sets"]}
    paths = [Path(path.strip()) for path in config["data"]["path"].split(",")]
    names = [re.sub(ENDINGS, "", path.name) for path in paths]
    if len(set(names)) < len(names):
        names = [f"{path.parent.name}_{name}" for path, name in zip(paths, names, strict=True)]
    if len(set(names)) < len(names):
        raise ValueError(f"data.path: two sets are called {max(names, key=names.count)!r}")
    found = {}
    for name, path in zip(names, map(str, paths), strict=True):
        found[name] = Source(
            path, from_config.make(TextSet, config["data"] | {"path": path}, "data").pairs
        )
    return found


def _generated(config: Mapping[str, Any], name: str) -> Source:
    fields = dict(config["sets"][name])
    count = fields.pop("count")
    wrong = {of: fields.pop(of) for of in ("hard", "err")}
    solvers = from_config.make(Misconceptions, wrong, f"sets.{name}")
    task = from_config.task({"name": "word_problems", **fields}, config["seed"])

    def pairs() -> Iterator[Pair]:
        for problem in demonstrations(task.problems("train", count), solvers):
            yield problem.question, problem.solution

    return Source("", pairs)


def tests_of(config: Mapping[str, Any]) -> list[str]:
    """Prompts of the test set that `against` names; none where it names none."""
    fields = dict(config["against"])
    count, _ = fields.pop("count"), fields.pop("n")
    if fields["path"]:
        pairs = from_config.make(TextSet, fields, "against").pairs()
        return [prompt for prompt, _ in itertools.islice(pairs, count)]
    if config["data"]["path"]:
        return []
    task = from_config.task({"name": "word_problems"}, config["seed"])
    return [problem.question for problem in task.problems("test", count)]


@dataclasses.dataclass(frozen=True)
class Read:
    """A set that was read.

    Attributes:
      counts: of the whole set, name → number or interval.
      prompts, responses: of the sample.
      contaminated: [tests] the share of each test prompt's runs of words that the set has.
    """

    counts: Mapping[str, float | Interval]
    prompts: Sequence[str]
    responses: Sequence[str]
    contaminated: np.ndarray

    @property
    def texts(self) -> list[str]:
        """Prompts with their responses."""
        return ["\n".join(pair) for pair in zip(self.prompts, self.responses, strict=True)]


def check_sources(config: Mapping[str, Any]) -> None:
    """Raises ValueError or OSError, one line, where a set has no row that can be read."""
    for name, source in sources_of(config).items():
        if next(source.pairs(), None) is None:
            raise ValueError(f"there is nothing in {source.path or f'sets.{name}'}")
    if config["against"]["path"] and not tests_of(
        config | {"against": config["against"] | {"count": 1}}
    ):
        raise ValueError(f"against.path={config['against']['path']}: there is nothing in it")


def read(
    config: Mapping[str, Any], workdir: Workdir, name: str, source: Source, settings: CardSettings
) -> Read:
    """Stage `set-<name>`: the whole set counted, and a sample of it.

    Raises:
      ValueError: fewer samples than are compared, or the file is another one than was counted.
    """
    contents = [_contents(path) for path in (source.path, config["against"]["path"])]

    def make(folder: Path) -> None:
        stream = TextStream(ORDERS, settings.sampled, config["seed"])
        tests = tests_of(config)
        overlap = Overlap(tests, config["against"]["n"]) if tests else None
        empty = 0
        for some in _parts(source.pairs()):
            kept = [pair for pair in some if pair[0].strip()]
            empty += len(some) - len(kept)
            stream.add(["\n".join(pair) for pair in kept], kept)
            if overlap and kept:
                overlap.add([text for pair in kept for text in pair])
        counts = {"samples": stream.texts, "tokens": stream.tokens, "without_prompt": empty}
        estimates = {"distinct_texts": stream.distinct_texts()}
        estimates |= {f"distinct_{n}_of_all": stream.distinct_n(n) for n in ORDERS}
        prompts = [prompt for prompt, _ in stream.sample]
        responses = [response for _, response in stream.sample]
        shutil.rmtree(folder / "sample", ignore_errors=True)  # of a run that was killed
        write_part(folder / "sample", {"prompt": prompts, "response": responses})
        if is_writer():
            shares = overlap.shares.tolist() if overlap else []
            of = {name: dataclasses.asdict(found) for name, found in estimates.items()}
            found = {"counts": counts, "of": of, "tests": shares, "contents": contents}
            write_json(folder / "counts.json", found)

    reads = ["seed", "data", "against", "card.sampled"]
    if not config["data"]["path"]:
        reads.append(f"sets.{name}")
    folder = workdir.stage(f"set-{name}", reads, [], make)
    found = read_json(folder / "counts.json")
    for what, now, then in zip((name, "against.path"), contents, found["contents"], strict=True):
        if now != then:
            raise ValueError(f"{what} has changed since it was counted: use --redo=set-{name}")
    counts = found["counts"]
    if counts["samples"] < settings.size:
        raise ValueError(
            f"{name}: {counts['samples']:,} samples with a prompt ({counts['without_prompt']:,} "
            f"without), and card.size={settings.size:,} are compared"
        )
    counts |= {of: Interval(**ends) for of, ends in found["of"].items()}
    sample = datasets.load_from_disk(str(folder / "sample"))
    return Read(counts, sample["prompt"][:], sample["response"][:], np.array(found["tests"]))


def _parts(pairs: Iterator[Pair]) -> Iterator[list[Pair]]:
    """Pairs in parts of a bounded number and length."""
    part: list[Pair] = []
    length = 0
    for pair in pairs:
        part.append(pair)
        length += sum(map(len, pair))
        if len(part) >= AT_ONCE or length >= CHARACTERS:
            yield part
            part, length = [], 0
    if part:
        yield part


def _contents(path: str) -> list[str]:
    """Hashes of the files of a set; none on the hub, or of what is generated."""
    if not path:
        return []
    where = Path(path)
    files = sorted(where.rglob("*.arrow")) if where.is_dir() else [where]
    return [_hash(file) for file in files if file.is_file()]


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
