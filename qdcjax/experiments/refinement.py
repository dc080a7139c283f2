"""Refinement of drafts (GLoRe, arXiv 2402.10963, steps 5–7): when, where and how to refine.

The rollouts and verifying completions of a run of stepwise reward models train a global and a local
refiner. At test time the stepwise model (SORM) says where a draft is wrong, both refiners write
another solution, and the outcome model (ORM) picks one of the three.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
from jax.sharding import Mesh

from qdcjax.data.batches import Example
from qdcjax.data.examples import question_prompts
from qdcjax.experiments.findings.refinement import TRIES, find
from qdcjax.experiments.reports import refinement as refinement_report
from qdcjax.experiments.reports.refinement import sweep_columns as sweep_columns
from qdcjax.experiments.running import from_config, publish
from qdcjax.experiments.running.members import Member, folder_of, open_members, run_members
from qdcjax.experiments.sorm import labelled_solutions
from qdcjax.experiments.stages import fine_tuning
from qdcjax.experiments.stages.adoption import adopt
from qdcjax.experiments.stages.refinement_inference import GLOBAL, LOCAL, STAGES, refine
from qdcjax.files import read_json
from qdcjax.reasoning.refinement import (
    BAD,
    Continuations,
    Pair,
    make_pairs,
    refiner_example,
    right_continuations,
)
from qdcjax.reasoning.reward_models import Solution, sorm_examples, train_reward_model
from qdcjax.tasks.problem import Problem
from qdcjax.training.store import StoredModel, load_model, save_model
from qdcjax.workdir import Workdir

EXPERTS, REWARDS = "experts", "sorm"  # sections of the config, and members
TRAIN, VALIDATION = "train", "validation"


def run(config: Mapping[str, Any], workdir: Workdir) -> dict[str, float]:
    """The refiners, and what every strategy makes of the student's drafts; returns the summary."""
    mesh = from_config.mesh(config["mesh"])
    predictions = from_config.predictions(config["predictions"])
    publish.fix_predictions(workdir)

    # 1. The run of reward models that this one goes on from.
    source = Path(config["checkpoint"] or run_sorm(config, workdir))
    sorm = config_of(source)
    task, splits = from_config.task(sorm["task"], sorm["seed"]), sorm["evaluation"]["splits"]
    tables = [f"{kind}-{split}" for split in splits for kind in ("greedy", "samples")]
    models = ("student", STAGES["orm"], STAGES["sorm"])
    adopt(workdir, source, ["drafts", "verify", *models, *tables], source_fields(config))
    # All have the token [BAD], since a refiner could write it.
    student, orm, stepwise = (
        load_model(workdir.path / "stages" / name, mesh).with_token(BAD) for name in models
    )
    locators = {"orm": orm, "sorm": stepwise}

    # 2. Pairs of a wrong draft and something right, and both refiners.
    problems = from_config.problems(sorm, "drafts", task)
    drafts, verified = workdir.read_table("drafts"), workdir.read_table("verify")
    solutions = labelled_solutions(student, problems, drafts, verified)
    right = right_continuations(student.tokenizer, drafts["problem_id"][:], solutions, verified)
    pairs = {
        kind: pair_table(config, workdir, kind, student, drafts, solutions, right)
        for kind in (GLOBAL, LOCAL)
    }
    refiners = {
        kind: train_refiner(config, workdir, kind, problems, pairs[kind], mesh) for kind in pairs
    }
    if hasattr(task, "step_truth"):
        locators["exact"] = train_exact(sorm, workdir, student, drafts, solutions, mesh)

    # 3. Test questions: where each draft is wrong, both refinements, the outcome model's choice.
    refined = {
        split: refine(sorm, workdir, task, split, student, locators, refiners) for split in splits
    }
    findings = find(refined, predictions, publish.read_verdicts(source), pairs)
    return publish.publish(
        workdir,
        lambda: refinement_report.report(workdir, findings),
        publish.flat(findings.results),
        [*findings.earlier, *findings.verdicts],
    )


def source_fields(config: Mapping[str, Any]) -> list[str]:
    """The fields that say what run of reward models this one goes on from."""
    own = [name for name in ("seed", EXPERTS, REWARDS) if name in config]
    return ["checkpoint", *([] if config["checkpoint"] else own)]


def run_sorm(config: Mapping[str, Any], workdir: Workdir) -> Path:
    """Members `sorm` and, where its student is to come from expert iteration, `experts`."""
    configs = {
        name: {**config[name], "seed": config["seed"]}
        for name in (EXPERTS, REWARDS)
        if name in config
    }
    if EXPERTS in configs:
        rounds = config[EXPERTS]["expert_iteration"]["rounds"]
        made = folder_of(workdir.path, EXPERTS) / "stages" / f"round-{rounds}"
        configs[REWARDS]["checkpoint"] = str(made)
    members = [Member(name, of) for name, of in configs.items()]
    for member in members:
        from_config.check(member.config)
    run_members(workdir, open_members(workdir, members))
    return folder_of(workdir.path, REWARDS)


def config_of(source: Path) -> dict[str, Any]:
    """The config of the run of reward models at `source`.

    Raises:
      FileNotFoundError: there is no run.
      ValueError: it is another study's, or too few samples of test questions were taken.
    """
    if not (source / "config.json").is_file():
        raise FileNotFoundError(f"checkpoint={source}: there is no run of configs/sorm.py")
    found = read_json(source / "config.json")["config"]
    if found["study"] != "sorm":
        raise ValueError(f"checkpoint={source}: a run of study={found['study']}, and not of sorm")
    samples = found["evaluation"]["samples"]
    if samples < TRIES:
        raise ValueError(
            f"checkpoint={source}: it has evaluation.samples={samples} of each test question, and "
            f"the baselines take {TRIES}: make a run with as many"
        )
    return found


def pair_table(
    config: Mapping[str, Any],
    workdir: Workdir,
    kind: str,
    student: StoredModel,
    drafts: datasets.Dataset,
    solutions: Sequence[Solution],
    right: Continuations,
) -> datasets.Dataset:
    """Table `<kind>_pairs`: see `refinement.Pair`; `split` is `validation` for some questions."""
    settings = from_config.algorithm(config, "pairs")

    def make(_) -> dict[str, list]:
        asked = drafts["problem_id"][:]
        found = make_pairs(
            student.tokenizer,
            asked,
            solutions,
            right,
            kind == LOCAL,
            settings.per_draft,
            config["seed"],
        )
        if not found:
            raise ValueError(
                f"there is no wrong draft of which something right is known among "
                f"{len(solutions):,}, so no {kind} refiner can be trained: sample more (drafts)"
            )
        held = set(list(dict.fromkeys(asked))[: settings.validation_questions])
        names = [field.name for field in dataclasses.fields(Pair)]
        rows = {name: [getattr(pair, name) for pair in found] for name in names}
        return rows | {"split": [VALIDATION if p.problem in held else TRAIN for p in found]}

    after = ["student", "drafts", "verify"]
    return workdir.table(f"{kind}_pairs", ["seed", "pairs"], after, lambda: [0], make)


def train_refiner(
    config: Mapping[str, Any],
    workdir: Workdir,
    kind: str,
    problems: Sequence[Problem],
    pairs: datasets.Dataset,
    mesh: Mesh,
) -> StoredModel:
    """Stage `<kind>_refiner`: the student with the token `[BAD]`, fine-tuned on the pairs."""
    name, source = f"{kind}_refiner", workdir.path / "stages" / "student"

    def make(folder: Path) -> None:
        start = load_model(source, mesh).with_token(BAD)
        prompts = question_prompts(start.tokenizer, problems)
        examples: dict[str, list[Example]] = {TRAIN: [], VALIDATION: []}
        for row in pairs:
            split = row.pop("split")
            example = refiner_example(start.tokenizer, prompts[row["problem"]], Pair(**row))
            check_length(example, start.model.config.max_length)
            examples[split].append(example)
        fine_tuning.fine_tune(
            config,
            start,
            examples[TRAIN],
            from_config.training(config, "refiner", mesh),
            seed=config["seed"],
            workdir=workdir,
            name=name,
            folder=folder,
            base=str(source),
            validation=lambda policy: fine_tuning.validation_of(policy, examples[VALIDATION], mesh),
        )

    fields = ["seed", "policy", "refiner"]
    return load_model(workdir.stage(name, fields, ["student", f"{kind}_pairs"], make), mesh)


def check_length(example: Example, most: int) -> None:
    """Raises ValueError for an example that is longer than the policy is meant for."""
    if len(example["tokens"]) > most:
        raise ValueError(
            f"question, draft and refinement have {len(example['tokens'])} tokens, and the "
            f"student's max_length is {most}: train a student with a larger policy.max_length"
        )


def train_exact(
    sorm: Mapping[str, Any],
    workdir: Workdir,
    student: StoredModel,
    drafts: datasets.Dataset,
    solutions: Sequence[Solution],
    mesh: Mesh,
) -> StoredModel:
    """Stage `exact_sorm`: a stepwise model of the exact truth of steps, a ceiling for the SORM.

    Args:
      sorm: config of the run of reward models, whose settings it shares.
    """
    name = STAGES["exact"]

    def make(folder: Path) -> None:
        exact = [
            dataclasses.replace(solution, labels=[int(valid) for valid in truth])
            for solution, truth in zip(solutions, drafts["truth"][:], strict=True)
        ]
        trained = train_reward_model(
            student,
            sorm_examples(exact),
            from_config.training(sorm, "reward", mesh),
            seed=sorm["reward"]["seeds"][0],
            mesh=mesh,
            workdir=workdir.path,
            name=name,
        )
        save_model(folder, trained)

    return load_model(workdir.stage(name, [], ["student", "drafts", STAGES["sorm"]], make), mesh)
