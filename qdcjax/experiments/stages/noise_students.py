"""Students of the noise study: what they begin from, and how each learns its training set."""

import functools
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from qdcjax.data.batches import Example
from qdcjax.data.examples import prompt_text
from qdcjax.data.tokenizers import Tokenizer, load_tokenizer
from qdcjax.experiments.running import from_config
from qdcjax.experiments.stages import fine_tuning
from qdcjax.experiments.stages.member_students import (
    Member,
    Students,
    learn_students,
    student_name,
)
from qdcjax.experiments.stages.noise_data import (
    CLEAN,
    Cells,
    Copies,
    documents,
    examples_of,
    fields_of,
    train_tokenizer,
)
from qdcjax.experiments.stages.policies import load_policy, mark_source
from qdcjax.models import pretrained
from qdcjax.models.transformer import Transformer
from qdcjax.training.fit import TrainSettings
from qdcjax.training.processes import is_writer
from qdcjax.workdir import Workdir

TEXTS = 2_000  # of each operation, that the tokeniser is trained on


def train_students(
    config: Mapping[str, Any],
    workdir: Workdir,
    cells: Mapping[str, Cells],
    copies: Mapping[str, Mapping[int, Copies]],
    mesh: Mesh,
) -> dict[str, Students]:
    """A student of each operation, cell and seed.

    Args:
      config: of the study; with `policy.pretrained` students go on from that model.
      workdir, mesh: of the run.
      cells: operation → name → cell.
      copies: operation → seed → training problems.
    """
    if config["policy"]["pretrained"]:
        return fine_tuned(config, workdir, cells, copies, mesh)
    tokenizer = train_own_tokenizer(config, workdir, copies)
    if missing(workdir, [scratch_stage(operation) for operation in copies]):
        check_lengths(config, copies, tokenizer, mesh)
    return {
        operation: from_scratch(
            config, workdir, operation, cells[operation], of_seed, tokenizer, mesh
        )
        for operation, of_seed in copies.items()
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


def from_scratch(
    config: Mapping[str, Any],
    workdir: Workdir,
    operation: str,
    cells: Cells,
    copies: Mapping[int, Copies],
    tokenizer: Tokenizer,
    mesh: Mesh,
) -> Students:
    """Stage `students-<operation>`: its students, which learn in one program."""
    name, members = scratch_stage(operation), list(itertools.product(cells, config["seeds"]))
    model = Transformer(fine_tuning.own_shape(config, tokenizer.vocab_size))
    settings = settings_of(config, operation, mesh)

    return learn_students(
        config,
        workdir,
        name,
        training_fields(config, operation),
        [f"traces-{operation}", "tokenizer"],
        members,
        lambda member: training_set(member, cells, copies, tokenizer, model),
        model,
        tokenizer,
        settings,
        mesh,
    )


def fine_tuned(
    config: Mapping[str, Any],
    workdir: Workdir,
    cells: Mapping[str, Cells],
    copies: Mapping[str, Mapping[int, Copies]],
    mesh: Mesh,
) -> dict[str, Students]:
    """Stages `<operation>-<cell>-<seed>`: from a pretrained model, one after another."""
    source = pretrained.find(config["policy"]["pretrained"])
    mark_source(workdir, source, name="pretrained")
    members = {name: list(itertools.product(cells[name], config["seeds"])) for name in copies}
    if missing(workdir, [tuned_stage(name, of) for name in copies for of in members[name]]):
        check_lengths(config, copies, load_policy(config, source, mesh).tokenizer, mesh)

    def make(operation: str, member: Member, name: str, folder: Path) -> None:
        start = load_policy(config, source, mesh)
        fine_tuning.fine_tune(
            config,
            start,
            training_set(member, cells[operation], copies[operation], start.tokenizer, start.model),
            settings_of(config, operation, mesh),
            seed=member[1],
            workdir=workdir,
            name=name,
            folder=folder,
            base=config["policy"]["pretrained"],
        )

    def stage(operation: str, member: Member) -> Path:
        name = tuned_stage(operation, member)
        after = [f"traces-{operation}", "pretrained"]
        learn = functools.partial(make, operation, member, name)
        return workdir.stage(name, training_fields(config, operation), after, learn)

    return {name: {member: stage(name, member) for member in members[name]} for name in copies}


def check_lengths(
    config: Mapping[str, Any],
    copies: Mapping[str, Mapping[int, Copies]],
    tokenizer: Tokenizer,
    mesh: Mesh,
) -> None:
    """Raises ValueError for traces that do not fit into a row, before students learn for hours."""
    for operation, of_seed in copies.items():
        own = config["operations"][operation].get("students", {})
        field = f"operations.{operation}.students.pack" if "pack" in own else "students.pack"
        room = settings_of(config, operation, mesh).pack or config["policy"]["max_length"]
        for of in of_seed.values():
            asked = tokenizer.encode_many([prompt_text(question) for question in of.questions])
            for noise, responses in of.responses.items():
                rows = zip(asked, tokenizer.encode_many(responses), strict=True)
                longest = max(len(prompt) + len(trace) for prompt, trace in rows) + 2  # both ends
                if longest > room:
                    raise ValueError(
                        f"{field}={room}: with noise {noise.kind} {noise.level:g} a trace of "
                        f"{operation} has {longest} tokens"
                    )


def training_set(
    member: Member,
    cells: Cells,
    copies: Mapping[int, Copies],
    tokenizer: Tokenizer,
    model: Transformer,
) -> list[Example]:
    """What a student learns."""
    cell, seed = member
    learned = documents(cells[cell], cells, copies[seed], seed)
    return examples_of(tokenizer, learned, model.config.max_length)


def training_fields(config: Mapping[str, Any], operation: str) -> list[str]:
    """Config fields that an operation's students depend on."""
    own = fields_of(config["operations"], operation, "cells", "students")
    return ["seeds", "questions", "cells", "policy", "students", *own]


def settings_of(config: Mapping[str, Any], operation: str, mesh: Mesh) -> TrainSettings:
    """`config.students`, with the changes of `config.operations.<operation>.students`."""
    changes = config["operations"][operation].get("students", {})
    fields = {"students": config["students"] | changes}
    settings = from_config.training(fields, "students", mesh)
    if not (settings.pack or config["policy"]["pretrained"]):
        raise ValueError("students.pack=0 must be a length, which students of one program share")
    return settings


def scratch_stage(operation: str) -> str:
    """The stage of an operation's students that begin from nothing."""
    return f"students-{operation}"


def tuned_stage(operation: str, member: Member) -> str:
    """The stage of a student that goes on from a pretrained model."""
    return f"{operation}-{student_name(*member)}"


def missing(workdir: Workdir, stages: Sequence[str]) -> bool:
    """Whether some of the stages are not made yet."""
    return not all((workdir.path / "stages" / name).exists() for name in stages)
