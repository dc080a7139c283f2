"""Algorithms that make data, at one budget: their QDC, and what students learn (arXiv 2412.02980).

A writer that knows some kinds of problems well and others little makes word problems by each
algorithm's recipe. Candidates are read back and graded. Students learn the seeds and what an
algorithm emits. They begin as the writer; where that is given, as `config.policy`.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import datasets
from jax.sharding import Mesh

from qdcjax.data.batches import Example
from qdcjax.experiments.findings.qdc_algorithms import find
from qdcjax.experiments.reports import qdc_algorithms as algorithms_report
from qdcjax.experiments.running import from_config, publish
from qdcjax.experiments.stages import making, member_students, sources
from qdcjax.experiments.stages.fine_tuning import Start
from qdcjax.experiments.stages.making import Workshop, Writers
from qdcjax.experiments.stages.member_students import Member, Students
from qdcjax.experiments.stages.sources import Source
from qdcjax.synthesis.recipes import Recipe
from qdcjax.synthesis.samples import Made
from qdcjax.workdir import Workdir

SEEDS, WRITER = "seeds", "writer"  # the student of the seeds alone, and who has learned none


def run(config: Mapping[str, Any], workdir: Workdir) -> dict[str, float]:
    """All algorithms and seeds; returns the summary."""
    mesh = from_config.mesh(config["mesh"])
    workshop, recipes = check(config)
    source = workshop.source
    predictions = from_config.predictions(config["predictions"])
    publish.fix_predictions(workdir)

    # 1. Who writes, and what each algorithm makes with the same number of candidates.
    start = sources.start(config, workdir, source, mesh)
    if config["checkpoint"]:
        writers = making.given_writer(config, workdir)
    else:
        writers = making.train_writers(config, workdir, source, start, mesh)
    made = making.make_all(config, workdir, recipes, workshop, writers, mesh)
    emitted = making.emitted(config, workdir, recipes, workshop, made)
    fronts = making.fronts(config, workdir, recipes, workshop, made)

    # 2. Students of the seeds and of what each emitted; they and the writer are asked.
    students = learn(config, workdir, source, start, writers, emitted, mesh)
    if not config["checkpoint"]:
        students |= {(WRITER, seed): place for seed, (_, place) in writers.items()}
    answers = ask(config, workdir, source, students, mesh)
    found = find(config, workshop, made, emitted, fronts[:], answers, predictions)
    return publish.publish(
        workdir,
        lambda: algorithms_report.report(workdir, found, recipes, made, emitted),
        publish.flat(found.results),
        found.verdicts,
    )


def learn(
    config: Mapping[str, Any],
    workdir: Workdir,
    source: Source,
    start: Start,
    writers: Writers,
    emitted: Mapping[str, Mapping[int, Sequence[Made]]],
    mesh: Mesh,
) -> Students:
    """Stage `students`: of the seeds alone, and of the seeds and what each algorithm emitted.

    They begin as the writer, or as `start` where that is given.
    """
    most = start.model.config.max_length

    def examples(member: Member) -> list[Example]:
        name, seed = member
        made = [] if name == SEEDS else emitted[name][seed]
        samples = [*sources.seed_samples(source, seed), *made]
        return making.pair_examples(samples, start.tokenizer, most)

    members = list(itertools.product((SEEDS, *emitted), config["seeds"]))
    begin = {of: start.place if config["checkpoint"] else writers[of[1]][1] for of in members}
    return member_students.learn_students(
        config,
        workdir,
        "students",
        ["seeds", "source", "policy", "students"],
        [start.stage, *dict.fromkeys(stage for stage, _ in writers.values()), "emitted"],
        members,
        examples,
        start.model,
        start.tokenizer,
        from_config.training(config, "students", mesh),
        mesh,
        begin=begin if all(begin.values()) else None,
    )


def ask(
    config: Mapping[str, Any], workdir: Workdir, source: Source, students: Students, mesh: Mesh
) -> dict[str, datasets.Dataset]:
    """Tables `answers-<test>`: one greedy answer a question."""
    questions = config["evaluation"]["questions"]
    return {
        name: member_students.ask(
            workdir,
            f"answers-{name}",
            ["seeds", "source", "evaluation"],
            students,
            lambda of, exam=exam: exam.problems(source.names, source.largest, of[1], questions),
            from_config.sampling(config, "evaluation", samples=1, temperature=0.0),
            mesh,
        )
        for name, exam in source.exams().items()
    }


def check(config: Mapping[str, Any]) -> tuple[Workshop, dict[str, Recipe]]:
    """The workshop, and all recipes with their ablations.

    Raises:
      ValueError: one line that names the field.
    """
    workshop = making.workshop(config)
    if config["checkpoint"] and not workshop.shots:
        raise ValueError("writing.shots=0: a given writer has to be shown what it is asked for")
    recipes = {
        name: from_config.make(Recipe, fields, f"recipes.{name}")
        for name, fields in config["recipes"].items()
    }
    if (of := config["front"]["algorithm"]) not in recipes:
        raise ValueError(f"front.algorithm={of!r} must be one of {', '.join(recipes) or 'none'}")
    for name in config["ablations"]:
        if name not in recipes:
            raise ValueError(f"ablations: {name!r} is none of {', '.join(recipes)}")
        for part in recipes[name].parts():
            fields = {**config["recipes"][name], "without": part}
            recipes[f"{name}-{part}"] = from_config.make(Recipe, fields, f"recipes.{name}")
    writing = config["writing"]
    if not 1 <= writing["rounds"] <= writing["candidates"]:
        raise ValueError(
            f"writing.rounds={writing['rounds']} must be from 1 to the "
            f"candidates={writing['candidates']}"
        )
    for exam, seed in itertools.product(workshop.source.exams().values(), config["seeds"]):
        asked, source = config["evaluation"]["questions"], workshop.source
        exam.problems(source.names, source.largest, seed, asked)  # raises where there are fewer
    # Tables have the name of the first that needs them, so those that only select come last.
    return workshop, dict(sorted(recipes.items(), key=lambda item: item[1].select != "none"))
