"""Rounds in which models learn from what they wrote: candidates, training sets, losses."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from jax.sharding import Mesh

from qdcjax.data.batches import Example
from qdcjax.data.examples import encode_prompts
from qdcjax.data.tokenizers import Tokenizer
from qdcjax.experiments.stages.making import Workshop
from qdcjax.experiments.stages.sources import lesson_examples, lessons, seed_samples
from qdcjax.rl.log_probs import completion_log_probs
from qdcjax.synthesis.operations import prompt
from qdcjax.synthesis.pipeline import emit
from qdcjax.synthesis.recipes import Recipe
from qdcjax.synthesis.samples import Made, as_columns, from_columns
from qdcjax.tasks.problem import Problem
from qdcjax.tasks.word_problems.parsing import parse_question
from qdcjax.training.store import load_model
from qdcjax.workdir import Workdir

Member = tuple[str, int]  # arm and seed
Models = Mapping[Member, tuple[str, Path]]  # the stage and the place of each


@dataclasses.dataclass(frozen=True)
class Arm:
    """A way to learn from oneself.

    Attributes:
      recipe: of what is made; with its memory `accumulate` a model learns what all rounds made,
        with `replace` what the last one did.
      real: whether it learns the seeds as well.
    """

    recipe: Recipe
    real: bool


def candidates(
    config: Mapping[str, Any],
    workdir: Workdir,
    name: str,
    workshop: Workshop,
    recipes: Mapping[str, Recipe],
    models: Models,
    number: int,
    before: Mapping[Member, Sequence[Sequence[Made]]],
    mesh: Mesh,
) -> dict[Member, list[Made]]:
    """Table `<name>-<number>`: a round's candidates of every model, by its arm's recipe.

    Args:
      config, workdir, mesh: of the run.
      name: of the table.
      workshop: of all.
      recipes: arm → recipe.
      models: that write.
      number: of the round.
      before: of each member, the candidates of the rounds before.
    """

    def make(member: Member) -> dict[str, list]:
        arm, seed = member
        run = workshop.begin(recipes[arm], seed)
        for earlier in before.get(member, ()):
            run.replay(earlier)
        writer, count = load_model(models[member][1], mesh), config["writing"]["candidates"]
        made = workshop.round(run, writer, f"{name} {arm}", seed, number, count)
        return as_columns(made) | {"arm": [arm] * count, "seed": [seed] * count}

    fields = ["seeds", "source", "cells", "synthesis", "writing", "arms"]
    after = list(dict.fromkeys(stage for stage, _ in models.values()))
    table = workdir.table(f"{name}-{number}", fields, after, lambda: list(models), make)[:]
    found: dict[Member, list[Made]] = {member: [] for member in models}
    for one, arm, seed in zip(from_columns(table), table["arm"], table["seed"], strict=True):
        found[arm, seed].append(one)
    return found


def learned(
    arm: Arm, seed: int, rounds: Sequence[Sequence[Made]], workshop: Workshop
) -> list[Made]:
    """What a model of an arm learns after these rounds.

    Raises:
      ValueError: nothing.
    """
    accumulates = arm.recipe.used.memory == "accumulate"
    made = [one for of in rounds for one in of] if accumulates else list(rounds[-1])
    rows = emit(arm.recipe, made, workshop.settings, workshop.embed(seed))
    found = [made[row] for row in rows]
    found += seed_samples(workshop.source, seed) if arm.real else ()
    if not found:
        raise ValueError(
            f"round {len(rounds)}, seed {seed}: none of {len(made):,} candidates was accepted, so "
            "that there is nothing to learn: let the writer learn for longer"
        )
    return found


def examples_of(
    config: Mapping[str, Any], samples: Sequence[Made], seed: int, tokenizer: Tokenizer, most: int
) -> list[Example]:
    """Lessons of samples in `config.operations`; one of over `most` tokens is left out."""
    count = config["retraining"]["lessons"]
    pairs = lessons([as_problem(one) for one in samples], config["operations"], count, seed)
    return [
        example
        for example in lesson_examples(pairs, tokenizer, math.inf)
        if len(example["tokens"]) <= most
    ]


def as_problem(one: Made) -> Problem:
    """The problem of a sample with the solution that was made; what asks nothing has no graph."""
    if one.invalid:
        return Problem(one.id, one.question, "", one.solution)
    return dataclasses.replace(parse_question(one.question), solution=one.solution)


def losses(
    config: Mapping[str, Any],
    workdir: Workdir,
    workshop: Workshop,
    models: Models,
    number: int,
    mesh: Mesh,
) -> datasets.Dataset:
    """Table `losses-<number>`: −log p a token of unseen problems with solutions, to be written.

    Columns `arm`, `seed`, `loss`, a row a problem.
    """

    def make(member: Member) -> dict[str, list]:
        arm, seed = member
        model = load_model(models[member][1], mesh)
        unseen = workshop.source.unseen(seed, config["unseen"])
        texts = [f"{problem.question}\n{problem.solution}" for problem in unseen]
        begin = encode_prompts(model.tokenizer, [prompt("write", [])] * len(texts))
        written = [[*of, model.tokenizer.eos_id] for of in model.tokenizer.encode_many(texts)]
        log_probs = completion_log_probs(model, begin, written, 1.0)
        found = [float(-np.mean(of)) for of in log_probs]
        return {"arm": [arm] * len(found), "seed": [seed] * len(found), "loss": found}

    after = list(dict.fromkeys(stage for stage, _ in models.values()))
    fields = ["seeds", "source", "unseen"]
    return workdir.table(f"losses-{number}", fields, after, lambda: list(models), make)
