"""What quality, diversity and complexity of data each do to a student (arXiv 2412.02980).

Sets of word problems have the same number of tokens and differ in one dial. A student learns each;
all are asked problems like those that all sets have, and others that none has.
"""

import functools
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from qdcjax.data.sentencepiece_tokenizer import train_sentencepiece
from qdcjax.data.tokenizers import Tokenizer, load_tokenizer
from qdcjax.experiments.findings.qdc_dials import find
from qdcjax.experiments.reports import qdc_dials as dials_report
from qdcjax.experiments.running import from_config, publish
from qdcjax.experiments.stages import dials, fine_tuning, member_students
from qdcjax.experiments.stages.dials import DialSet
from qdcjax.training.processes import is_writer
from qdcjax.workdir import Workdir

TEXTS = 4_000  # of all templates, that the tokeniser is trained on


def run(config: Mapping[str, Any], workdir: Workdir) -> dict[str, float]:
    """All sets and seeds; returns the summary."""
    mesh = from_config.mesh(config["mesh"])
    sets = check(config, mesh)
    predictions = from_config.predictions(config["predictions"])
    publish.fix_predictions(workdir)

    # 1. What the sets are, and what selections keep of the worst one.
    described = dials.described(config, workdir, sets)
    selections = dials.selections(config, workdir, sets, described)

    # 2. A student of each set and seed, all in one program, and its answers.
    own = functools.partial(own_tokenizer, config, workdir, sets)
    start = fine_tuning.start_of(config, workdir, mesh, own)
    members = list(itertools.product(sets, config["seeds"]))
    students = member_students.learn_students(
        config,
        workdir,
        "students",
        ["seeds", "sets", "tokens", "largest", "policy", "students"],
        [start.stage],
        members,
        lambda member: dials.training_set(
            sets[member[0]],
            config["tokens"],
            config["largest"],
            member[1],
            start.tokenizer,
            start.model.config.max_length,
        ),
        start.model,
        start.tokenizer,
        from_config.training(config, "students", mesh),
        mesh,
        begin=dict.fromkeys(members, start.place) if start.place else None,
    )

    answers = {
        name: member_students.ask(
            workdir,
            f"answers-{name}",
            ["seeds", "sets", "largest", "evaluation"],
            students,
            lambda member, exam=exam: dials.exam_problems(config, sets, exam, member[1]),
            from_config.sampling(config, "evaluation", samples=1, temperature=0.0),
            mesh,
        )
        for name, exam in dials.exams_of(sets).items()
    }
    found = find(config["seeds"], sets, answers, described[:], selections[:], predictions)
    return publish.publish(
        workdir,
        lambda: dials_report.report(workdir, found, sets),
        publish.flat(found.results),
        found.verdicts,
    )


def check(config: Mapping[str, Any], mesh: Mesh) -> dict[str, DialSet]:
    """The sets.

    Raises:
      ValueError: one line that names the field.
    """
    sets = {
        name: from_config.make(DialSet, fields, f"sets.{name}")
        for name, fields in config["sets"].items()
    }
    if dials.BASE not in sets:
        raise ValueError("sets.base is what others are held against")
    if config["policy"]["lora"]["rank"]:
        raise ValueError("policy.lora.rank must be 0: students of one program learn all parameters")
    if not from_config.training(config, "students", mesh).pack:
        raise ValueError("students.pack=0 must be a length, which students of one program share")
    if config["tokens"] < 1:
        raise ValueError(f"tokens={config['tokens']} must be at least 1")
    for exam in dials.exams_of(sets).values():
        for seed in config["seeds"]:
            dials.exam_problems(config, sets, exam, seed)  # raises where there are fewer
    return sets


def own_tokenizer(
    config: Mapping[str, Any], workdir: Workdir, sets: Mapping[str, DialSet]
) -> Tokenizer:
    """Stage `tokenizer`: of right solutions of the most templates and steps that a set has."""

    def make(folder: Path) -> None:
        most = DialSet(
            1.0,
            max(of.diversity for of in sets.values()),
            max(of.complexity for of in sets.values()),
        )
        problems = dials.pairs_of(most, TEXTS, config["largest"], config["seeds"][0])
        texts = [f"{problem.question}\n{problem.solution}" for problem in problems]
        if is_writer():
            train_sentencepiece(texts, config["tokenizer"]["vocab_size"]).save(folder)

    return load_tokenizer(
        workdir.stage("tokenizer", ["tokenizer", "sets", "largest", "seeds"], [], make)
    )
