"""Noise in chains of thought (Havrilla and Iyer 2024, arXiv 2402.04004): what a model survives.

A model learns traces of an operation on integers; each cell of a grid noises its training set in
another way. All are asked clean questions.
"""

import functools
import itertools
from collections.abc import Collection, Mapping
from typing import Any

from jax.sharding import Mesh

from qdcjax.experiments.findings.noise import find
from qdcjax.experiments.reports import noise as noise_report
from qdcjax.experiments.running import from_config, publish
from qdcjax.experiments.stages.noise_answers import WAYS, Tasks, answer
from qdcjax.experiments.stages.noise_data import (
    CLEAN,
    OWN_FIELDS,
    Cell,
    Cells,
    Copies,
    fields_of,
    noised_copy,
    noises_of,
)
from qdcjax.experiments.stages.noise_prompting import prompt, prompting_of
from qdcjax.experiments.stages.noise_students import settings_of, train_students
from qdcjax.tasks.traced_integers import MixedOperations, TracedIntegers
from qdcjax.workdir import Workdir


def run(config: Mapping[str, Any], workdir: Workdir) -> dict[str, float]:
    """All cells of all operations; returns the summary."""
    mesh, prompting = from_config.mesh(config["mesh"]), prompting_of(config)
    predictions = from_config.predictions(config["predictions"])
    tasks, cells = check(config, mesh)
    publish.fix_predictions(workdir)

    # 1. Traces, clean and with each noise.
    copies = {name: traces(config, workdir, name, of, cells[name]) for name, of in tasks.items()}

    # 2. A student of each cell and seed.
    students = train_students(config, workdir, cells, copies, mesh)

    # 3. Their answers to clean questions, and those of the pretrained model after examples.
    answers = {
        (name, way): answer(config, workdir, name, way, tasks[name], students[name], mesh)
        for name, way in itertools.product(tasks, WAYS)
    }
    if prompting.shots:
        for name, of in tasks.items():
            answers[name, "prompted"] = prompt(config, workdir, name, of, prompting, mesh)
    found = find(config["seeds"], cells, copies, answers, predictions, prompting.contexts())
    return publish.publish(
        workdir,
        lambda: noise_report.report(workdir, found),
        publish.flat(found.results),
        found.verdicts,
    )


def check(config: Mapping[str, Any], mesh: Mesh) -> tuple[dict[str, Tasks], dict[str, Cells]]:
    """The task of each operation and seed, and the cells of each operation.

    Raises:
      ValueError: one line that names the field.
    """
    every = {
        name: from_config.make(Cell, fields, f"cells.{name}")
        for name, fields in config["cells"].items()
    }
    tasks, cells, prompting = {}, {}, prompting_of(config)
    asked = max(config["evaluation"]["questions"], prompting.questions if prompting.shots else 0)
    for operation, fields in config["operations"].items():
        tasks[operation] = {seed: task_of(config, operation, seed) for seed in config["seeds"]}
        for task in tasks[operation].values():
            task.problems("test", asked)  # raises where there are fewer
        cells[operation] = cells_of(operation, fields.get("cells", every), every)
        settings_of(config, operation, mesh)
    return tasks, cells


def cells_of(operation: str, names: Collection[str], every: Cells) -> dict[str, Cell]:
    """The cells of the grid that an operation takes part in."""
    for name in names:
        if name not in every:
            raise ValueError(f"operations.{operation}.cells: {name!r} is no cell")
        for part in every[name].mixes:
            if part not in names or every[part].kind == "none":
                raise ValueError(f"cells.{name}.mixes: {part!r} is no cell with a noise of its own")
    return {name: every[name] for name in names}


def task_of(
    config: Mapping[str, Any], operation: str, seed: int
) -> TracedIntegers | MixedOperations:
    """The task in `config.operations`; `mix` names others there.

    Raises:
      ValueError: a field that is wrong, or a mix of a mix.
    """
    every = config["operations"]
    fields = {name: of for name, of in every[operation].items() if name not in OWN_FIELDS}
    if "mix" not in fields:
        named = {"name": "traced_integers", "operation": operation, **fields}
        return from_config.task(named, seed)
    if len(fields) > 1 or any("mix" in every.get(name, "mix") for name in fields["mix"]):
        raise ValueError(f"operations.{operation}: mix={fields['mix']} must name operations alone")
    return MixedOperations(tuple(task_of(config, name, seed) for name in fields["mix"]))


def traces(
    config: Mapping[str, Any],
    workdir: Workdir,
    operation: str,
    tasks: Tasks,
    cells: Cells,
) -> dict[int, Copies]:
    """Table `traces-<operation>`: the training problems of each seed, clean and with each noise."""
    noises, count = [CLEAN, *noises_of(cells)], config["questions"]
    problems = functools.cache(lambda seed: tasks[seed].problems("train", count))

    def make(part: tuple) -> dict[str, list]:
        seed, noise = part
        return noised_copy(tasks[seed], problems(seed), noise)

    parts = list(itertools.product(config["seeds"], noises))
    fields = ["seeds", "questions", "cells", *fields_of(config["operations"], operation, "cells")]
    table = workdir.table(f"traces-{operation}", fields, [], lambda: parts, make)
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
