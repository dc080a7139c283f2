"""Answers of the noise study's models to clean test problems, as Arrow tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import datasets
from jax.sharding import Mesh

from qdcjax.decoding import SamplingSettings
from qdcjax.experiments.running import from_config
from qdcjax.experiments.stages.noise_data import fields_of
from qdcjax.experiments.stages.noise_students import Students, student_name
from qdcjax.reasoning.rollouts import parts_of_problems, sample_solutions
from qdcjax.tasks.problem import Problem
from qdcjax.tasks.traced_integers import MixedOperations, TracedIntegers
from qdcjax.training.store import StoredModel, load_model
from qdcjax.workdir import Workdir

COLUMNS = ("problem_id", "sample", "text", "correct", "truncated")
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

    def make(member: tuple[str, int]) -> dict[str, list]:
        cell, seed = member
        problems = tasks[seed].problems("test", config["evaluation"]["questions"])
        student = load_model(students[member], mesh)
        name = f"{way} {operation} {student_name(*member)}"
        return graded(student, tasks[seed], problems, settings, cell, seed, name)

    stages = [folder.relative_to(workdir.path / "stages").parts[0] for folder in students.values()]
    fields = ["seeds", "evaluation", *fields_of(config["operations"], operation)]
    after = list(dict.fromkeys(stages))
    return workdir.table(f"{way}-{operation}", fields, after, lambda: list(students), make)


def graded(
    policy: StoredModel,
    task: TracedIntegers | MixedOperations,
    problems: Sequence[Problem],
    settings: SamplingSettings,
    cell: str,
    seed: int,
    description: str,
) -> dict[str, list[Any]]:
    """Answers to problems, as `COLUMNS`, `cell` and `seed`."""
    key = from_config.key({"seed": seed}, "evaluation")
    rows: dict[str, list] = {column: [] for column in COLUMNS}
    for part in parts_of_problems(policy, problems, settings):
        made = sample_solutions(policy, task, *part, key, description)
        rows = {column: rows[column] + made[column] for column in rows}
    count = len(rows["text"])
    return rows | {"cell": [cell] * count, "seed": [seed] * count}
