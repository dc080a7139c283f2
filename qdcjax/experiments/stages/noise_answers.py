"""Answers of the noise study's models to clean test problems, as Arrow tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import datasets
from jax.sharding import Mesh

from qdcjax.experiments.running import from_config
from qdcjax.experiments.stages.member_students import Member, Students, ask
from qdcjax.experiments.stages.noise_data import fields_of
from qdcjax.tasks.problem import Problem
from qdcjax.tasks.traced_integers import MixedOperations, TracedIntegers
from qdcjax.workdir import Workdir

WAYS = {"greedy": {"samples": 1, "temperature": 0.0}, "sampled": {}}

Tasks = Mapping[int, TracedIntegers | MixedOperations]  # of an operation: seed → task


def answer(
    config: Mapping[str, Any],
    workdir: Workdir,
    operation: str,
    way: str,
    tasks: Tasks,
    students: Students,
    mesh: Mesh,
) -> datasets.Dataset:
    """Table `<way>-<operation>`: every student's answers to the test questions of its seed.

    Args:
      config, workdir, mesh: of the run.
      operation: of the questions.
      way: `greedy`, one answer; or `sampled`, several at the temperature of `config.evaluation`.
      tasks: seed → task.
      students: (cell, seed) → folder of the model.
    """
    settings = from_config.sampling(config, "evaluation", **WAYS[way])

    def asked(member: Member) -> tuple[TracedIntegers | MixedOperations, Sequence[Problem]]:
        task = tasks[member[1]]
        return task, task.problems("test", config["evaluation"]["questions"])

    fields = ["seeds", "evaluation", *fields_of(config["operations"], operation)]
    return ask(workdir, f"{way}-{operation}", fields, students, asked, settings, mesh)
