"""Problems that there are before any is made: what writers know, seeds, and cells of archives."""

import dataclasses
import functools
import math
import random
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh
from sklearn.cluster import KMeans

from qdcjax.data.batches import Example
from qdcjax.data.examples import completion_examples
from qdcjax.data.sentencepiece_tokenizer import train_sentencepiece
from qdcjax.data.tokenizers import Tokenizer, load_tokenizer
from qdcjax.experiments.stages import fine_tuning
from qdcjax.experiments.stages.dials import DEEPEST, Exam, ordered_templates
from qdcjax.experiments.stages.text_samples import Lsa
from qdcjax.synthesis.operations import OPERATIONS, Demonstrations
from qdcjax.synthesis.samples import SEED, CellsOf, Made
from qdcjax.synthesis.verification import verified
from qdcjax.tasks.problem import Problem
from qdcjax.tasks.word_problems import Dials, Misconceptions, WordProblems, demonstrations
from qdcjax.training.processes import is_writer
from qdcjax.workdir import Workdir

TEXTS = 2_000  # lessons that the tokeniser is trained on


@dataclasses.dataclass(frozen=True)
class Source:
    """The problems that there are before any is made, and that a writer knows.

    Attributes:
      templates: how many; the r-th most frequent has a weight of r^−skew.
      skew: 0 where all are as frequent.
      steps: of the longest problems; from 1 to so many.
      largest: cap of every quantity.
      quality: how likely a step of a solution is right; see `Misconceptions`.
      seeds: problems to begin from.
      known: problems that the writer learned, the seeds among them.
    """

    templates: int
    skew: float
    steps: int
    largest: int
    quality: float
    seeds: int
    known: int

    def __post_init__(self):
        most = len(ordered_templates())
        if not 1 <= self.templates <= most:
            raise ValueError(f"templates={self.templates} must be from 1 to {most}")
        if not 1 <= self.steps < DEEPEST:
            raise ValueError(f"steps={self.steps} must be from 1 to {DEEPEST - 1}")
        if not 0 <= self.skew < math.inf:
            raise ValueError(f"skew={self.skew} must be a number that is not under 0")
        if not 0 <= self.quality <= 1:
            raise ValueError(f"quality={self.quality} must be in 0…1")
        if not 1 <= self.seeds <= self.known:
            raise ValueError(f"seeds={self.seeds} must be from 1 to the known={self.known}")

    @property
    def names(self) -> tuple[str, ...]:
        """The templates, the most frequent first."""
        return ordered_templates()[: self.templates]

    def problems(self, seed: int) -> tuple[Problem, ...]:
        """The known problems with solutions as people wrote them, the seeds first."""
        return _problems(self, seed, "train", self.known)

    def texts(self, seed: int) -> list[str]:
        """Questions and solutions of the known problems."""
        return [f"{problem.question}\n{problem.solution}" for problem in self.problems(seed)]

    def unseen(self, seed: int, count: int) -> tuple[Problem, ...]:
        """Others like them, of the test split."""
        return _problems(self, seed, "test", count)

    def exams(self) -> dict[str, Exam]:
        """What is asked: `in`, of all templates as often; `templates`, held out; `deeper`."""
        return {
            "in": Exam(False, 1, self.steps),
            "templates": Exam(True, 1, self.steps),
            "deeper": Exam(False, self.steps + 1, DEEPEST),
        }


@functools.lru_cache(maxsize=8)
def _problems(source: Source, seed: int, split: str, total: int) -> tuple[Problem, ...]:
    weights = np.arange(1, source.templates + 1.0) ** -source.skew
    counts = np.ceil(total * weights / weights.sum()).astype(int)
    found: list[Problem] = []
    for name, count in zip(source.names, counts, strict=True):
        dials = Dials((name,), min_depth=1, max_depth=source.steps, largest=source.largest)
        found += WordProblems(dials, seed).problems(split, int(count))
    random.Random(f"{seed}/source").shuffle(found)
    known = [
        dataclasses.replace(problem, id=f"{SEED if split == 'train' else split}-{n}")
        for n, problem in enumerate(found[:total])
    ]
    return tuple(demonstrations(known, Misconceptions(1.0, 1 - source.quality, seed + 1)))


@functools.lru_cache(maxsize=16)
def seed_samples(source: Source, seed: int) -> tuple[Made, ...]:
    """The seeds, as the pipeline takes them."""
    return tuple(
        verified(problem.id, 0, SEED, (), 0, problem.question, problem.solution)
        for problem in source.problems(seed)[: source.seeds]
    )


def start(
    config: Mapping[str, Any], workdir: Workdir, source: Source, mesh: Mesh
) -> fine_tuning.Start:
    """What writers begin as, and students of a writer that is given."""
    own = functools.partial(written_tokenizer, config, workdir, source)
    return fine_tuning.start_of(config, workdir, mesh, own)


def written_tokenizer(config: Mapping[str, Any], workdir: Workdir, source: Source) -> Tokenizer:
    """Stage `tokenizer`: of what a writer learns."""

    def make(folder: Path) -> None:
        if is_writer():
            known = source.problems(config["seeds"][0])
            texts = [text for pair in lessons(known, OPERATIONS, TEXTS, 0) for text in pair]
            train_sentencepiece(texts, config["tokenizer"]["vocab_size"]).save(folder)

    return load_tokenizer(workdir.stage("tokenizer", ["seeds", "source", "tokenizer"], [], make))


def lessons(
    problems: Sequence[Problem], operations: Collection[str], count: int, seed: int
) -> list[tuple[str, str]]:
    """Prompts and completions, as many of each operation.

    Of an operation that no problem is an outcome of, such as another template's where there is but
    one, there are none.

    Raises:
      ValueError: there are none of any operation.
    """
    demonstrate, rng = Demonstrations(problems), random.Random(f"{seed}/lessons")
    names = list(operations)
    found = (demonstrate(names[n % len(names)], rng) for n in range(count))
    pairs = [pair for pair in found if pair is not None]
    if not pairs:
        raise ValueError(f"{len(problems):,} problems are no outcome of {', '.join(names)}")
    return pairs


def lesson_examples(
    pairs: Sequence[tuple[str, str]], tokenizer: Tokenizer, most: int
) -> list[Example]:
    """Lessons with the loss on the completions."""
    prompts, completions = zip(*pairs, strict=True)
    return completion_examples(tokenizer, prompts, completions, most)


@dataclasses.dataclass(frozen=True)
class Cells:
    """Cells of an archive: by checkable features of a problem, or by its embedding.

    Attributes:
      kind: `features`: a template, a number of steps, and how large the answer is. `embeddings`:
        the nearest of `count` centres of the known problems' embeddings.
      sizes: bounds of the answer, rising.
      count: of centres.
      width: of the embeddings.
    """

    kind: str
    sizes: tuple[int, ...]
    count: int
    width: int

    def __post_init__(self):
        if self.kind not in ("features", "embeddings"):
            raise ValueError(f"kind={self.kind!r} must be features or embeddings")
        if list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError(f"sizes={self.sizes} must rise")
        if min(self.count, self.width) < 1:
            raise ValueError(f"count={self.count} and width={self.width} must be at least 1")

    def number(self, source: Source) -> int:
        """How many cells there are."""
        if self.kind == "embeddings":
            return self.count
        return source.templates * source.steps * (len(self.sizes) + 1)

    def of(self, source: Source, seed: int) -> CellsOf:
        """Samples → their cells.

        Raises:
          ValueError: more centres than known problems.
        """
        if self.kind == "features":
            return functools.partial(_by_features, self, source)
        if self.count > source.known:
            raise ValueError(f"cells.count={self.count:,} is more than the {source.known:,} known")
        embed, centres = embedding_of(source, seed, self.width), _centres(self, source, seed)
        return functools.partial(_by_embeddings, embed, centres)


def _by_features(cells: Cells, source: Source, made: Sequence[Made]) -> list[int]:
    places = {name: place for place, name in enumerate(source.names)}
    shape = (source.templates, source.steps, len(cells.sizes) + 1)

    def cell_of(one: Made) -> int:
        if one.invalid or one.template not in places or not 1 <= one.steps <= source.steps:
            return -1
        size = int(np.searchsorted(cells.sizes, int(one.gold)))
        return int(np.ravel_multi_index((places[one.template], one.steps - 1, size), shape))

    return [cell_of(one) for one in made]


def _by_embeddings(embed: Lsa, centres: KMeans, made: Sequence[Made]) -> list[int]:
    if not made:
        return []
    found = centres.predict(embed([one.text for one in made]))
    return [-1 if one.invalid else int(cell) for one, cell in zip(made, found, strict=True)]


@functools.lru_cache(maxsize=8)
def _centres(cells: Cells, source: Source, seed: int) -> KMeans:
    known = embedding_of(source, seed, cells.width)(source.texts(seed))
    return KMeans(cells.count, n_init=1, random_state=0).fit(known)


@functools.lru_cache(maxsize=8)
def embedding_of(source: Source, seed: int, width: int) -> Lsa:
    """Texts → [n, width], by the singular vectors of the known problems."""
    return Lsa(source.texts(seed), width)
