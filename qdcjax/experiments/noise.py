"""Noise in chains of thought (Havrilla and Iyer 2024, arXiv 2402.04004): what a model survives.

A model learns traces of an operation on integers; each cell of a grid noises its training set in
another way. All are asked clean questions.
"""

import functools
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
from jax.sharding import Mesh

from qdcjax.data.examples import prompt_text
from qdcjax.data.tokenizers import Tokenizer, load_tokenizer
from qdcjax.experiments import fine_tuning, from_config, noise_report, publish
from qdcjax.experiments.noise_data import (
    CLEAN,
    Cell,
    Copies,
    documents,
    examples_of,
    noised_copy,
    noises_of,
    train_tokenizer,
)
from qdcjax.experiments.noise_findings import find
from qdcjax.models.transformer import Transformer
from qdcjax.reasoning.rollouts import parts_of_problems, sample_solutions
from qdcjax.tasks.problem import Problem
from qdcjax.tasks.traced_integers import TracedIntegers
from qdcjax.training.members import fit_members
from qdcjax.training.processes import is_writer
from qdcjax.training.store import StoredModel, load_model, save_model
from qdcjax.workdir import Workdir

TEXTS = 2_000  # of each operation, that the tokeniser is trained on
ANSWER_COLUMNS = ("problem_id", "sample", "text", "correct", "truncated")
DATA_FIELDS = ("seeds", "questions", "operations", "cells")


def run(config: Mapping[str, Any], workdir: Workdir) -> dict[str, float]:
    """All cells of all operations; returns the summary."""
    mesh, cells = from_config.mesh(config["mesh"]), cells_of(config)
    predictions = from_config.predictions(config["predictions"])
    tests = {name: test_problems(config, name) for name in config["operations"]}
    publish.fix_predictions(workdir)

    # 1. Traces, clean and with each noise.
    copies = {name: traces(config, workdir, name, cells) for name in config["operations"]}
    tokenizer = train_own_tokenizer(config, workdir, copies)

    # 2. A student of each cell and seed; those of an operation learn in one program.
    students = {
        name: train_students(config, workdir, name, cells, copies[name], tokenizer, mesh)
        for name in copies
    }

    # 3. Their answers to clean questions.
    answers = {
        (name, way): answer(config, workdir, name, way, tests[name], students[name], mesh)
        for name, way in itertools.product(students, ("greedy", "sampled"))
    }
    found = find(config["seeds"], cells, copies, answers, predictions)
    return publish.publish(
        workdir,
        lambda: noise_report.report(workdir, found),
        publish.flat(found.results),
        found.verdicts,
    )


def cells_of(config: Mapping[str, Any]) -> dict[str, Cell]:
    """The cells of the grid: name → cell.

    Raises:
      ValueError: a field that no cell has, or a cell that is mixed of one that is not there.
    """
    cells = {
        name: from_config.make(Cell, fields, f"cells.{name}")
        for name, fields in config["cells"].items()
    }
    for name, cell in cells.items():
        for part in cell.mixes:
            if part not in cells or cells[part].kind == "none":
                raise ValueError(f"cells.{name}.mixes: {part!r} is no cell with a noise of its own")
    return cells


def task_of(config: Mapping[str, Any], operation: str, seed: int) -> TracedIntegers:
    """The task of one operation and seed."""
    fields = {"name": "traced_integers", "operation": operation, **config["operations"][operation]}
    return from_config.task(fields, seed)


def test_problems(config: Mapping[str, Any], operation: str) -> dict[int, Sequence[Problem]]:
    """Seed → the clean questions that its students are asked.

    Raises:
      ValueError: the operation has fewer.
    """
    count = config["evaluation"]["questions"]
    return {
        seed: task_of(config, operation, seed).problems("test", count) for seed in config["seeds"]
    }


def traces(
    config: Mapping[str, Any], workdir: Workdir, operation: str, cells: Mapping[str, Cell]
) -> dict[int, Copies]:
    """Table `traces-<operation>`: the training problems of each seed, clean and with each noise."""
    noises, count = [CLEAN, *noises_of(cells)], config["questions"]
    tasks = {seed: task_of(config, operation, seed) for seed in config["seeds"]}
    problems = functools.cache(lambda seed: tasks[seed].problems("train", count))

    def make(part: tuple) -> dict[str, list]:
        seed, noise = part
        return noised_copy(tasks[seed], problems(seed), noise)

    parts = list(itertools.product(config["seeds"], noises))
    table = workdir.table(f"traces-{operation}", DATA_FIELDS, [], lambda: parts, make)
    questions, responses, survived = (
        {part: table[name][at * count : (at + 1) * count] for at, part in enumerate(parts)}
        for name in ("prompt", "response", "survived")
    )
    return {
        seed: Copies(
            questions[seed, CLEAN],
            {noise: responses[seed, noise] for noise in noises},
            {noise: sum(survived[seed, noise]) / count for noise in noises},
        )
        for seed in config["seeds"]
    }


def train_own_tokenizer(
    config: Mapping[str, Any], workdir: Workdir, copies: Mapping[str, Mapping[int, Copies]]
) -> Tokenizer:
    """Stage `tokenizer`: one for all students, of the first seed's clean traces."""
    first = [of_seed[config["seeds"][0]] for of_seed in copies.values()]

    def make(folder: Path) -> None:
        texts = [
            f"{prompt_text(of.questions[n])}{of.responses[CLEAN][n]}"
            for of in first
            for n in range(min(TEXTS, len(of.questions)))
        ]
        if is_writer():
            train_tokenizer(texts, config["tokenizer"]["vocab_size"]).save(folder)

    after = [f"traces-{name}" for name in copies]
    return load_tokenizer(workdir.stage("tokenizer", ["tokenizer"], after, make))


def train_students(
    config: Mapping[str, Any],
    workdir: Workdir,
    operation: str,
    cells: Mapping[str, Cell],
    copies: Mapping[int, Copies],
    tokenizer: Tokenizer,
    mesh: Mesh,
) -> dict[tuple[str, int], Path]:
    """Stage `students-<operation>`: (cell, seed) → the folder of its student."""
    name, members = f"students-{operation}", list(itertools.product(cells, config["seeds"]))
    model = Transformer(fine_tuning.own_shape(config, tokenizer.vocab_size))
    settings = from_config.training(config, "students", mesh)

    def make(folder: Path) -> None:
        length = model.config.max_length
        examples = [
            examples_of(
                tokenizer,
                documents(cells[cell], cells, copies[seed], seed),
                length,
                settings.pack,
            )
            for cell, seed in members
        ]
        found = fit_members(
            model,
            examples,
            settings,
            seeds=[seed for _, seed in members],
            at_once=config["members_at_once"],
            mesh=mesh,
            workdir=workdir.path,
            name=name,
        )
        for member, params in zip(members, found, strict=True):
            save_model(folder / student_name(*member), StoredModel(model, params, tokenizer))

    fields = [*DATA_FIELDS, "policy", "students"]
    folder = workdir.stage(name, fields, [f"traces-{operation}", "tokenizer"], make)
    return {member: folder / student_name(*member) for member in members}


def student_name(cell: str, seed: int) -> str:
    """The folder of a student among those of its operation."""
    return f"{cell}-{seed}"


def answer(
    config: Mapping[str, Any],
    workdir: Workdir,
    operation: str,
    way: str,
    problems: Mapping[int, Sequence[Problem]],
    students: Mapping[tuple[str, int], Path],
    mesh: Mesh,
) -> datasets.Dataset:
    """Table `<way>-<operation>`: every student's answers to the test questions of its seed.

    Args:
      way: `greedy`, one answer; or `sampled`, several at the temperature of `config.evaluation`.
      problems: seed → test questions.
      students: (cell, seed) → folder of the model.
    """
    changes = {"samples": 1, "temperature": 0.0} if way == "greedy" else {}
    settings = from_config.sampling(config, "evaluation", **changes)

    def make(member: tuple[str, int]) -> dict[str, list]:
        cell, seed = member
        task, name = task_of(config, operation, seed), f"{way} {operation} {student_name(*member)}"
        student = load_model(students[member], mesh)
        key = from_config.key({"seed": seed}, "evaluation")
        rows: dict[str, list] = {column: [] for column in ANSWER_COLUMNS}
        for part in parts_of_problems(student, problems[seed], settings):
            made = sample_solutions(student, task, *part, key, name)
            rows = {column: rows[column] + made[column] for column in rows}
        return rows | {"cell": [cell] * len(rows["text"]), "seed": [seed] * len(rows["text"])}

    fields = ["seeds", "operations", "evaluation"]
    return workdir.table(
        f"{way}-{operation}", fields, [f"students-{operation}"], lambda: list(students), make
    )
