"""Training sets of word problems with three dials, at matched tokens, and tests of students."""

import dataclasses
import itertools
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import numpy as np

from qdcjax.data.batches import Example
from qdcjax.data.examples import completion_examples, prompt_text
from qdcjax.data.tables import columns
from qdcjax.data.tokenizers import Tokenizer
from qdcjax.experiments.stages.text_samples import describe, lsa
from qdcjax.measures.diversity import cell_entropy, facility_location, vendi_score
from qdcjax.synthesis.selection import qdit
from qdcjax.tasks.problem import Problem
from qdcjax.tasks.word_problems import (
    HELD_OUT_TEMPLATES,
    TEMPLATES,
    Dials,
    Misconceptions,
    WordProblems,
    demonstrations,
)
from qdcjax.workdir import Workdir

DIALS = ("quality", "diversity", "complexity")
BASE = "base"  # the set that others are held against
DRAWS = 50  # of as many problems at random as a filter keeps
SPARE = 1.05  # problems that are drawn, beside what the tokens are thought to need


@dataclasses.dataclass(frozen=True)
class DialSet:
    """A training set.

    Attributes:
      quality: how likely a step is right, whatever it is; a solution of d steps is right with
        quality^d, and goes on from what came out.
      diversity: templates; those of a smaller number are among those of a larger one.
      complexity: steps of the longest problems; from 1 to so many are equally frequent.
    """

    quality: float = 1.0
    diversity: int = 16
    complexity: int = 3

    def __post_init__(self):
        if not 0 <= self.quality <= 1:
            raise ValueError(f"quality={self.quality} must be in 0…1")
        if not 1 <= self.diversity <= len(ordered_templates()):
            raise ValueError(
                f"diversity={self.diversity} must be from 1 to {len(ordered_templates())} templates"
            )
        if not 1 <= self.complexity <= DEEPEST:
            raise ValueError(f"complexity={self.complexity} must be from 1 to {DEEPEST} steps")


DEEPEST = 5


def ordered_templates() -> tuple[str, ...]:
    """Templates of 1 to 5 steps that are not held out, in a random order that never changes."""
    every = range(1, DEEPEST + 1)
    names = [
        name
        for name, template in TEMPLATES.items()
        if set(every) <= set(template.depths) and name not in HELD_OUT_TEMPLATES
    ]
    random.Random(0).shuffle(names)
    return tuple(names)


def task_of(of: DialSet, largest: int, seed: int) -> WordProblems:
    """The problems that a set is drawn from."""
    names = ordered_templates()[: of.diversity]
    return WordProblems(Dials(names, max_depth=of.complexity, min_depth=1, largest=largest), seed)


def training_set(
    of: DialSet, tokens: int, largest: int, seed: int, tokenizer: Tokenizer, max_length: int
) -> list[Example]:
    """As many problems as have so many tokens, question, solution and both ends.

    Raises:
      ValueError: there are not so many problems, or one is longer than `max_length`.
    """
    count = max(1, tokens // 100)
    while True:
        found = examples_of(pairs_of(of, count, largest, seed), tokenizer, max_length)
        total = sum(len(example["tokens"]) for example in found)
        if total >= tokens:
            break
        count = int(SPARE * count * tokens / total) + 1
    ends = np.cumsum([len(example["tokens"]) for example in found])
    return found[: int(np.searchsorted(ends, tokens, side="right"))]


def pairs_of(of: DialSet, count: int, largest: int, seed: int) -> list[Problem]:
    """Training problems with the solutions that are learned."""
    problems = task_of(of, largest, seed).problems("train", count)
    return list(demonstrations(problems, Misconceptions(1.0, 1 - of.quality, seed + 1)))


def examples_of(
    problems: Sequence[Problem], tokenizer: Tokenizer, max_length: int
) -> list[Example]:
    """Questions and solutions, with the loss on the solutions."""
    return completion_examples(
        tokenizer,
        [prompt_text(problem.question) for problem in problems],
        [problem.solution for problem in problems],
        max_length,
    )


@dataclasses.dataclass(frozen=True)
class Exam:
    """What students are asked.

    Attributes:
      held_out: whether the templates are those that no set has; else they are all sets'.
      min_depth, max_depth: of the problems.
    """

    held_out: bool
    min_depth: int
    max_depth: int

    def problems(
        self, names: Sequence[str], largest: int, seed: int, count: int
    ) -> tuple[WordProblems, list[Problem]]:
        """The task that grades, and the problems; `names` are of templates that may be learned."""
        depths = {"min_depth": self.min_depth, "max_depth": self.max_depth}
        task = WordProblems(Dials(tuple(names), largest=largest, **depths), seed)
        return task, task.problems("held_out" if self.held_out else "test", count)


def exams_of(sets: Mapping[str, DialSet]) -> dict[str, Exam]:
    """What is asked, of templates and numbers of steps.

    `in` distribution: those of all sets; `more`: more steps than all sets have, which some do;
    `templates` and `deeper`: of none.
    """
    shallow, deep = (pick(of.complexity for of in sets.values()) for pick in (min, max))
    tests = {"in": Exam(False, 1, shallow)}
    if deep > shallow:
        tests["more"] = Exam(False, shallow + 1, deep)
    tests["templates"] = Exam(True, 1, shallow)
    if deep < DEEPEST:
        tests["deeper"] = Exam(False, deep + 1, DEEPEST)
    return tests


def exam_problems(
    config: Mapping[str, Any], sets: Mapping[str, DialSet], exam: Exam, seed: int
) -> tuple[WordProblems, list[Problem]]:
    """The task and the problems of a test."""
    names = ordered_templates()[: min(of.diversity for of in sets.values())]
    return exam.problems(names, config["largest"], seed, config["evaluation"]["questions"])


def levels_of(sets: Mapping[str, DialSet], dial: str) -> list[str]:
    """The sets that differ from the base in this dial alone, and the base, by its value."""
    fixed = {of: getattr(sets[BASE], of) for of in DIALS if of != dial}
    alike = [
        name for name, of in sets.items() if all(getattr(of, f) == v for f, v in fixed.items())
    ]
    return sorted(alike, key=lambda name: getattr(sets[name], dial))


def described(
    config: Mapping[str, Any], workdir: Workdir, sets: Mapping[str, DialSet]
) -> datasets.Dataset:
    """Table `described`: what the first `config.described` problems of each set are.

    Columns: those of `text_samples.describe`, `set`, `seed`, `template`, and `text`.
    """

    def make(part: tuple[str, int]) -> dict[str, list]:
        name, seed = part
        rows = [
            describe(problem.question, problem.solution)
            | {"set": name, "seed": seed, "template": problem.meta["template"]}
            | {"text": f"{problem.question}\n{problem.solution}"}
            for problem in pairs_of(sets[name], config["described"], config["largest"], seed)
        ]
        return columns(rows)

    parts = list(itertools.product(sets, config["seeds"]))
    fields = ["seeds", "sets", "largest", "described"]
    return workdir.table("described", fields, [], lambda: parts, make)


def selections(
    config: Mapping[str, Any],
    workdir: Workdir,
    sets: Mapping[str, DialSet],
    table: datasets.Dataset,
) -> datasets.Dataset:
    """Table `selections`: subsets of the set that has the lowest quality and is the base otherwise.

    `selection.count` of its described problems are kept by QDIT, at each weight `alpha` of
    diversity; their quality is the share of right steps. Those whose answer is right are kept by
    the filter, and held against as many at random, the mean over draws: a solution of more steps is
    less often right, so that kinds, which are templates with a number of steps, get fewer.

    Columns `seed`, `way` (`qdit`, `right`, `random`), `alpha`, `quality`, `vendi`, `covered`
    (facility location), `cells` (exp of their entropy).
    """
    of, every = config["selection"], table[:]
    worst = levels_of(sets, "quality")[0]

    def make(seed: int) -> dict[str, list]:
        own = [
            row
            for row, (name, number) in enumerate(zip(every["set"], every["seed"], strict=True))
            if (name, number) == (worst, seed)
        ]
        quality = np.nan_to_num([every["process"][row] for row in own])
        right = np.flatnonzero(np.nan_to_num([every["answer"][row] for row in own]) > 0)
        kinds = [f"{every['template'][row]} {every['steps'][row]}" for row in own]
        embeddings = lsa([every["text"][row] for row in own], of["width"])

        def cells_of(kept: np.ndarray) -> float:
            return math.exp(cell_entropy([kinds[row] for row in kept]))

        def row_of(way: str, alpha: float, kept: np.ndarray) -> dict[str, Any]:
            found = {"seed": seed, "way": way, "alpha": alpha, "quality": quality[kept].mean()}
            return found | {
                "vendi": vendi_score(embeddings[kept]),
                "covered": facility_location(embeddings, embeddings[kept]),
                "cells": cells_of(kept),
            }

        rows = [
            row_of("qdit", alpha, qdit(quality, embeddings, of["count"], alpha))
            for alpha in of["alphas"]
        ]
        rng = np.random.default_rng(seed)
        drawn = [rng.permutation(len(own))[: len(right)] for _ in range(DRAWS)]
        cells = float(np.mean([cells_of(kept) for kept in drawn]))
        unknown = dict.fromkeys(("alpha", "quality", "vendi", "covered"), math.nan)
        rows += [row_of("right", math.nan, right)]
        rows += [{"seed": seed, "way": "random", **unknown, "cells": cells}]
        return columns(rows)

    seeds = list(config["seeds"])
    return workdir.table("selections", ["selection"], ["described"], lambda: seeds, make)
