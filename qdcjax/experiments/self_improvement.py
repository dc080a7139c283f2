"""Models that learn from what they wrote, round after round (arXiv 2412.02980, Q4 and Q6).

A base model learned real problems. In each round every arm's model writes problems with solutions
by its recipe, and the base is trained anew on what was accepted; what the arms differ in is the
filter, the archive, the selection, and whether real data and earlier rounds stay.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from jax.sharding import Mesh

from qdcjax.experiments.findings.self_improvement import START, find
from qdcjax.experiments.reports import self_improvement as self_improvement_report
from qdcjax.experiments.running import from_config, publish
from qdcjax.experiments.stages import fine_tuning, making, member_students, self_training, sources
from qdcjax.experiments.stages.making import Workshop
from qdcjax.experiments.stages.self_training import Arm, Member, Models
from qdcjax.synthesis.recipes import Recipe
from qdcjax.synthesis.samples import Made
from qdcjax.workdir import Workdir


def run(config: Mapping[str, Any], workdir: Workdir) -> dict[str, float]:
    """All arms, seeds and rounds; returns the summary."""
    mesh = from_config.mesh(config["mesh"])
    workshop, arms = check(config)
    predictions = from_config.predictions(config["predictions"])
    publish.fix_predictions(workdir)

    # 1. The base, what it writes, and what it thinks of real problems.
    start = sources.start(config, workdir, workshop.source, mesh)
    bases = making.train_writers(config, workdir, workshop.source, start, mesh)
    models: Models = {(START, seed): bases[seed] for seed in config["seeds"]}
    plain = {name: Recipe() for name in (START, *arms)}
    shared = config, workdir
    probes = [self_training.candidates(*shared, "probe", workshop, plain, models, 0, {}, mesh)]
    losses = [self_training.losses(*shared, workshop, models, 0, mesh)]
    answers = {START: ask(*shared, workshop, START, models, mesh)}

    # 2. Rounds: candidates, the base trained anew on what was accepted, and the same two looks.
    members = list(itertools.product(arms, config["seeds"]))
    begin = {(arm, seed): bases[seed] for arm, seed in members}
    models, made = begin, {member: [] for member in members}
    recipes = {name: arm.recipe for name, arm in arms.items()}
    for number in range(1, config["rounds"] + 1):
        found = self_training.candidates(
            *shared, "candidates", workshop, recipes, models, number, made, mesh
        )
        made = {member: [*made[member], found[member]] for member in members}
        models = learn(*shared, workshop, arms, made, begin, start, number, mesh)
        probes.append(
            self_training.candidates(*shared, "probe", workshop, plain, models, number, {}, mesh)
        )
        losses.append(self_training.losses(*shared, workshop, models, number, mesh))
    answers["last"] = ask(*shared, workshop, "last", models, mesh)

    tables = [table[:] for table in losses], {name: table[:] for name, table in answers.items()}
    found = find(config, workshop, arms, made, probes, *tables, predictions)
    return publish.publish(
        workdir,
        lambda: self_improvement_report.report(workdir, found, arms),
        publish.flat(found.results),
        found.verdicts,
    )


def learn(
    config: Mapping[str, Any],
    workdir: Workdir,
    workshop: Workshop,
    arms: Mapping[str, Arm],
    made: Mapping[Member, Sequence[Sequence[Made]]],
    begin: Models,
    start: fine_tuning.Start,
    number: int,
    mesh: Mesh,
) -> Models:
    """Stage `round-<number>`: each base trained on what its arm has so far."""
    settings = from_config.training(config, "retraining", mesh)

    def examples(member: Member) -> list:
        arm, seed = member
        samples = self_training.learned(arms[arm], seed, made[member], workshop)
        return self_training.examples_of(config, samples, seed, start.tokenizer, settings.pack)

    name, stages = f"round-{number}", dict.fromkeys(stage for stage, _ in begin.values())
    students = member_students.learn_students(
        config,
        workdir,
        name,
        ["seeds", "policy", "arms", "operations", "retraining", "cells", "synthesis"],
        [*stages, *(f"candidates-{of}" for of in range(1, number + 1))],
        list(made),
        examples,
        start.model,
        start.tokenizer,
        settings,
        mesh,
        begin={member: place for member, (_, place) in begin.items()},
    )
    return {member: (name, place) for member, place in students.items()}


def ask(
    config: Mapping[str, Any],
    workdir: Workdir,
    workshop: Workshop,
    name: str,
    models: Models,
    mesh: Mesh,
):
    """Table `answers-<name>`: K answers of every model to test questions of all templates."""
    source, exam = workshop.source, workshop.source.exams()["in"]
    count = config["evaluation"]["questions"]
    return member_students.ask(
        workdir,
        f"answers-{name}",
        ["seeds", "source", "evaluation"],
        {member: place for member, (_, place) in models.items()},
        lambda member: exam.problems(source.names, source.largest, member[1], count),
        from_config.sampling(config, "evaluation"),
        mesh,
    )


def check(config: Mapping[str, Any]) -> tuple[Workshop, dict[str, Arm]]:
    """The workshop and the arms.

    Raises:
      ValueError: one line that names the field.
    """
    workshop = making.workshop(config)
    arms = {}
    for name, fields in config["arms"].items():
        recipe = from_config.make(Recipe, fields["recipe"], f"arms.{name}.recipe")
        arms[name] = Arm(recipe, fields["real"])
    if config["rounds"] < 2:
        raise ValueError(f"rounds={config['rounds']} must be at least 2, to see a change")
    exam, source = workshop.source.exams()["in"], workshop.source
    for seed in config["seeds"]:  # raises where there are fewer
        exam.problems(source.names, source.largest, seed, config["evaluation"]["questions"])
        source.unseen(seed, config["unseen"])
    return workshop, arms
