"""The task of generated word problems: splits, dials, grading and step truth."""

import dataclasses
import functools
import hashlib
import itertools
import random
from collections.abc import Iterator, Sequence

import numpy as np

from qdcjax.tasks import answers
from qdcjax.tasks.problem import Problem
from qdcjax.tasks.word_problems import graph, nouns
from qdcjax.tasks.word_problems.draw import SMALLEST, draw_rows
from qdcjax.tasks.word_problems.library import HELD_OUT_TEMPLATES, TEMPLATES
from qdcjax.tasks.word_problems.rendering import Layout, layout
from qdcjax.tasks.word_problems.template import MOST_MOVES, Template

# Splits of the templates that are not held out, and their shares in percent of all
# problems. `rewards` are the questions whose rollouts train reward models.
SHARES = {"train": 60, "rewards": 20, "validation": 10, "test": 10}
IN_DISTRIBUTION_SPLITS = tuple(SHARES)
SPLITS = (*IN_DISTRIBUTION_SPLITS, "held_out")

MOST_DISTRACTORS = 2
LEAST_LARGEST = 10
LEAST_LARGEST_WITH_DISTRACTORS = 40  # so that a number is left that a problem does not use
BLOCK = 512  # rows drawn at once
MOST_EMPTY_BLOCKS = 100  # in a row, before a source counts as exhausted
MOST_REPEATS = 500  # questions in a row that were there before, likewise


@dataclasses.dataclass(frozen=True)
class Dials:
    """What the problems are like.

    Attributes:
      templates: names of the in-distribution templates; empty for all not held out.
      held_out_templates: names of the templates of the `held_out` split.
      operators: the operators that solutions may use.
      min_depth: smallest number of steps.
      max_depth: largest number of steps, at most 8.
      distractors: irrelevant sentences a question, 0 to 2.
      largest: cap of every quantity, given or derived.
    """

    templates: tuple[str, ...] = ()
    held_out_templates: tuple[str, ...] = HELD_OUT_TEMPLATES
    operators: str = "+-*/"
    min_depth: int = 2
    max_depth: int = 4
    distractors: int = 0
    largest: int = 60

    def __post_init__(self):
        for field in ("templates", "held_out_templates"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
            for name in getattr(self, field):
                if name not in TEMPLATES:
                    raise ValueError(f"{field}: no template is called {name!r}")
        if both := sorted(set(self.templates) & set(self.held_out_templates)):
            raise ValueError(f"templates: {both[0]!r} is also in held_out_templates")
        if not self.operators or set(self.operators) - set("+-*/"):
            raise ValueError(f"operators: {self.operators!r} should be some of '+-*/'")
        if not 1 <= self.min_depth <= self.max_depth <= MOST_MOVES:
            raise ValueError(
                f"min_depth, max_depth: {self.min_depth}, {self.max_depth} should be "
                f"in order and in 1..{MOST_MOVES}"
            )
        if not 0 <= self.distractors <= MOST_DISTRACTORS:
            raise ValueError(f"distractors: {self.distractors} should be in 0..{MOST_DISTRACTORS}")
        least = LEAST_LARGEST_WITH_DISTRACTORS if self.distractors else LEAST_LARGEST
        if self.largest < least:
            raise ValueError(
                f"largest: {self.largest} should be at least {least} "
                f"with {self.distractors} distractors"
            )
        if not self.sources("train"):
            raise ValueError(
                f"templates: none has depth {self.min_depth}..{self.max_depth} with the "
                f"operators {self.operators!r} alone"
            )

    def sources(self, split: str) -> dict[int, tuple[Template, ...]]:
        """The templates of a split that fit the dials, by depth."""
        if split == "held_out":
            names: Sequence[str] = self.held_out_templates
        else:
            names = self.templates or [n for n in TEMPLATES if n not in self.held_out_templates]
        allowed = set(self.operators)
        fitting = {
            depth: tuple(
                TEMPLATES[name]
                for name in dict.fromkeys(names)
                if depth in TEMPLATES[name].depths and TEMPLATES[name].operators(depth) <= allowed
            )
            for depth in range(self.min_depth, self.max_depth + 1)
        }
        return {depth: templates for depth, templates in fitting.items() if templates}


def split_of(template: str, depth: int, givens: Sequence[int]) -> str:
    """The in-distribution split that a problem belongs to, whatever the seed.

    A stable hash of template, depth and numbers decides it, so problems that differ only in
    names, nouns or distractors are in one split, and no problem is in two.
    """
    key = f"{template}/{depth}/{','.join(map(str, givens))}"
    slot = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest()) % 100
    for split, share in SHARES.items():
        if slot < share:
            return split
        slot -= share
    raise AssertionError("the shares of the splits do not add up to 100")


@dataclasses.dataclass(frozen=True)
class WordProblems:
    """Generated problems; a `Task` (`qdcjax.tasks.problem`) with `step_truth`.

    Problems are a function of (dials, seed, split). Splits are those of `SPLITS`.
    """

    dials: Dials = Dials()
    seed: int = 0

    def problems(self, split: str, count: int | None = None) -> list[Problem]:
        """The first `count` problems of a split, the same whatever count is asked.

        Depths are drawn uniformly, then templates among those of that depth. No two
        questions of a split are the same. Raises ValueError for an unknown split, without a
        count, and when the split has fewer problems.
        """
        if split not in SPLITS:
            raise ValueError(f"split {split!r}: word problems have {', '.join(SPLITS)}")
        if count is None or count < 0:
            raise ValueError(f"count {count}: word problems are generated, say how many")
        found = list(_problems(self, split, count))
        if len(found) < count:
            raise ValueError(
                f"count {count}: split {split!r} has only {len(found)} problems with {self.dials}"
            )
        return found

    def is_correct(self, problem: Problem, completion: str) -> bool:
        """Whether the completion's final answer equals the problem's."""
        return answers.is_correct(completion, problem.answer)

    def step_truth(self, problem: Problem, steps: Sequence[str]) -> list[bool]:
        """Entry i is true when steps 0…i all hold in the problem's graph of quantities."""
        return graph.step_truth(problem.meta, steps)

    def _generate(self, split: str) -> Iterator[Problem]:
        rng = random.Random(f"{self.seed}/{split}")
        sources = {
            depth: [
                (layout(template, depth), self._rows(template, depth, split))
                for template in templates
            ]
            for depth, templates in self.dials.sources(split).items()
        }
        seen: set[str] = set()
        while sources:
            depth = list(sources)[int(rng.random() * len(sources))]
            index = int(rng.random() * len(sources[depth]))
            problem = self._next(*sources[depth][index], split, rng, seen)
            if problem is not None:
                yield problem
                continue
            del sources[depth][index]  # exhausted
            if not sources[depth]:
                del sources[depth]

    def _rows(self, template: Template, depth: int, split: str) -> Iterator[list[int]]:
        """Rows of quantities that belong to the split, until many blocks have none."""
        seed = hashlib.blake2b(f"{self.seed}/{split}/{template.name}/{depth}".encode()).digest()
        rng = np.random.Generator(np.random.PCG64(int.from_bytes(seed[:16])))
        givens = len(template.givens(depth))
        empty = 0
        while empty < MOST_EMPTY_BLOCKS:
            empty += 1
            for row in draw_rows(template, depth, self.dials.largest, rng, BLOCK).tolist():
                if split == "held_out" or split_of(template.name, depth, row[:givens]) == split:
                    empty = 0
                    yield row

    def _next(
        self,
        text: Layout,
        rows: Iterator[list[int]],
        split: str,
        rng: random.Random,
        seen: set[str],
    ) -> Problem | None:
        """The next problem whose question is new, or None when the source is exhausted."""
        for row in itertools.islice(rows, MOST_REPEATS):
            sentences = self._distractors(row, text.constants, rng)
            filled = row + text.choose_nouns(rng)
            question = text.question(filled, sentences, rng)
            if question in seen:
                continue
            seen.add(question)
            id = f"word_problems/{split}/{len(seen) - 1}"
            return text.problem(filled, question, id, split)
        return None

    def _distractors(
        self, row: list[int], constants: Sequence[int], rng: random.Random
    ) -> list[str]:
        """Irrelevant sentences whose numbers are none of the problem's."""
        if not self.dials.distractors:
            return []
        taken = {*row, *constants}
        free = [n for n in range(SMALLEST, self.dials.largest + 1) if n not in taken]
        chosen = rng.sample(nouns.DISTRACTORS, self.dials.distractors)
        return [
            sentence % n for sentence, n in zip(chosen, rng.sample(free, len(chosen)), strict=True)
        ]


@functools.lru_cache(maxsize=8)
def _problems(task: WordProblems, split: str, count: int) -> tuple[Problem, ...]:
    """Kept, since the stages of a study ask for the same questions again and again."""
    return tuple(itertools.islice(task._generate(split), count))
