"""Students that learn together, each its own training set, and their graded answers."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import jax
import numpy as np
from jax.sharding import Mesh

from qdcjax.data.batches import Example, make_batches
from qdcjax.data.packing import pack, trim
from qdcjax.data.tokenizers import Tokenizer
from qdcjax.decoding import SamplingSettings
from qdcjax.experiments.running import from_config
from qdcjax.experiments.stages.policies import load_policy
from qdcjax.models.transformer import Transformer, init_params
from qdcjax.reasoning.rollouts import parts_of_problems, sample_solutions
from qdcjax.tasks.problem import Problem, Task
from qdcjax.training.fit import TrainSettings
from qdcjax.training.losses import language_model_loss
from qdcjax.training.members import MemberBatches, fit_members, make_program
from qdcjax.training.processes import to_host
from qdcjax.training.store import StoredModel, load_model, save_model
from qdcjax.workdir import Workdir

COLUMNS = ("problem_id", "sample", "text", "correct", "truncated")

Member = tuple[str, int]  # name of the training set, and seed
Students = dict[Member, Path]  # the folder of each model


@dataclasses.dataclass(frozen=True)
class Course:
    """What one student learns, for itself and for those that would learn the same.

    Attributes:
      rows: packed and trimmed examples.
      seed: of its parameters and of the rows' order.
      begin: the files that it goes on from, if any.
      members: whose student it is.
    """

    rows: Sequence[Example]
    seed: int
    begin: Path | None
    members: list[Member]

    @property
    def length(self) -> int:
        """Of the rows."""
        return len(self.rows[0]["tokens"]) if self.rows else 0


def courses_by_length(
    members: Sequence[Member],
    examples_of: Callable[[Member], list[Example]],
    settings: TrainSettings,
    begin: Mapping[Member, Path],
) -> dict[int, list[Course]]:
    """Rows' length → courses with rows of it, the longest rows first; see `learn_students`."""
    courses: dict[tuple, Course] = {}
    for member in members:
        rows, start = trim(pack(examples_of(member), settings.pack)), begin.get(member)
        taught = hashlib.sha256()
        for row in rows:
            for name in sorted(row):
                taught.update(row[name])
        new = Course(rows, member[1], start, [])
        courses.setdefault((taught.digest(), member[1], start), new).members.append(member)
    lengths = sorted({course.length for course in courses.values()}, reverse=True)
    return {
        length: [course for course in courses.values() if course.length == length]
        for length in lengths
    }


def learn_students(
    config: Mapping[str, Any],
    workdir: Workdir,
    name: str,
    fields: Sequence[str],
    after: Sequence[str],
    members: Sequence[Member],
    examples_of: Callable[[Member], list[Example]],
    model: Transformer,
    tokenizer: Tokenizer,
    settings: TrainSettings,
    mesh: Mesh,
    begin: Mapping[Member, Path] | None = None,
) -> Students:
    """Stage `<name>`, with a folder for each student.

    Those whose rows are of one length learn in one program (see `packing.trim`). Where rows, seed
    and beginning are the same, one learns for all.

    Args:
      config, workdir, mesh: of the run; `members_at_once` of them are under vmap.
      name, fields, after: of the stage, see `Workdir.stage`.
      members: all that learn.
      examples_of: member → what it learns, which is packed into rows of `settings.pack`.
      model, tokenizer, settings: of all.
      begin: the files that each goes on from, see `policies.load_policy`; fresh ones by default.
    """
    begin = begin or {}

    def make(folder: Path) -> None:
        init, loss = functools.partial(init_params, model), language_model_loss(model)
        program = make_program(init, loss, settings)
        if begin:
            program = make_program(init, loss, settings, lambda _, start: start)
        load = functools.cache(lambda path: to_host(load_policy(config, path, mesh).params))

        def learn(courses: Sequence[Course], length: int) -> list[Any]:
            starts = [load(course.begin) for course in courses if course.begin]
            return fit_members(
                program,
                MemberBatches(
                    [make_batches(of.rows, settings.batch_size, of.seed) for of in courses]
                ),
                settings,
                seeds=[course.seed for course in courses],
                at_once=config["members_at_once"],
                mesh=mesh,
                workdir=workdir.path,
                name=f"{name}/rows-of-{length}",
                begin=jax.tree.map(lambda *leaves: np.stack(leaves), *starts) if starts else None,
            )

        for length, courses in courses_by_length(members, examples_of, settings, begin).items():
            for course, params in zip(courses, learn(courses, length), strict=True):
                for member in course.members:
                    save_model(
                        folder / student_name(*member), StoredModel(model, params, tokenizer)
                    )

    folder = workdir.stage(name, fields, after, make)
    return {member: folder / student_name(*member) for member in members}


def ask(
    workdir: Workdir,
    name: str,
    fields: Sequence[str],
    students: Students,
    asked: Callable[[Member], tuple[Task, Sequence[Problem]]],
    settings: SamplingSettings,
    mesh: Mesh,
) -> datasets.Dataset:
    """Table `<name>`: every student's answers, as `graded` has them.

    Args:
      workdir, mesh: of the run.
      name, fields: of the table, see `Workdir.table`.
      students: who is asked.
      asked: member → the task that grades, and the problems.
      settings: of the sampling.
    """

    def make(member: Member) -> dict[str, list]:
        description = f"{name} {student_name(*member)}"
        student = load_model(students[member], mesh)
        return graded(student, *asked(member), settings, *member, description)

    stages = [folder.relative_to(workdir.path / "stages").parts[0] for folder in students.values()]
    after = list(dict.fromkeys(stages))
    return workdir.table(name, fields, after, lambda: list(students), make)


def graded(
    policy: StoredModel,
    task: Task,
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


def student_name(cell: str, seed: int) -> str:
    """The folder of a student in the stage."""
    return f"{cell}-{seed}"
