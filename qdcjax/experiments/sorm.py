"""Stepwise outcome reward models (GLoRe, arXiv 2402.10963, steps 1–4).

A student learns to solve problems; its own samples, and completions sampled from every prefix of
them, train an outcome (ORM) and a stepwise outcome reward model (SORM), without human labels.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from jax.sharding import Mesh

from qdcjax.data.batches import Example
from qdcjax.experiments.findings.sorm import Findings, find
from qdcjax.experiments.reports import sorm as sorm_report
from qdcjax.experiments.running import from_config, publish
from qdcjax.experiments.stages import fine_tuning, policy_evaluation
from qdcjax.experiments.stages.outcome_model import sample_drafts
from qdcjax.experiments.stages.solutions import as_solutions, value_table
from qdcjax.reasoning.labels import propagate, step_successes
from qdcjax.reasoning.reward_models import (
    Solution,
    orm_examples,
    sorm_examples,
    train_reward_model,
)
from qdcjax.reasoning.rollouts import parts_of_prefixes, prefixes_of, verify
from qdcjax.tasks.problem import Problem, Task
from qdcjax.training.fit import TrainSettings
from qdcjax.training.store import StoredModel, load_model, save_model
from qdcjax.workdir import Workdir


def run(config: Mapping[str, Any], workdir: Workdir) -> dict[str, float]:
    """The study from student to report; returns the summary."""
    task = from_config.task(config["task"], config["seed"])
    mesh = from_config.mesh(config["mesh"])
    rewards = from_config.training(config, "reward", mesh)
    policy_evaluation.check(config, task)
    from_config.predictions(config["predictions"])
    problems = from_config.problems(config, "drafts", task)
    publish.fix_predictions(workdir)  # so that no run can choose its thresholds afterwards

    # 1. The student, and how well it solves test questions.
    student = fine_tuning.own_student(config, workdir, mesh)
    results = policy_evaluation.evaluate_policy(config, workdir, student, ["student"])

    # 2. Drafts, and completions from each of their prefixes. The questions are new to the student
    #    where the task has a split for them (`rewards`); GSM8K has none and gives `train`'s again.
    drafts = sample_drafts(config, workdir, student, task, problems, "student")
    verified = verify_prefixes(config, workdir, student, task, problems, drafts, "verify")
    many = verify_prefixes(config, workdir, student, task, problems, drafts, "verify_many")

    # 3. Reward models: an ORM, a SORM and a SORM without balancing for each seed.
    solutions = labelled_solutions(student, problems, drafts, verified)
    models = train_reward_models(config, workdir, student, solutions, rewards, mesh)

    # 4. Judged on the student's solutions of test questions, whose steps are checked exactly.
    questions = policy_evaluation.test_problems(config, task, "test")
    samples = policy_evaluation.solve(
        config, workdir, student, task, questions, "test", ["student"]
    )
    scores = score_samples(workdir, models, student, questions, samples)
    truth, exact = samples["truth"][:], hasattr(task, "step_truth")
    if not exact and any(samples["steps"]):  # sampled labels stand in
        checked = verify_prefixes(
            config, workdir, student, task, questions, samples, "verify", "verify_test"
        )
        truth = [s.labels for s in labelled_solutions(student, questions, samples, checked)]
    findings = find(
        config, questions, samples, truth, scores, verified, many, drafts, solutions, exact
    )
    findings = Findings(**{**vars(findings), "results": {**results, **findings.results}})
    return publish.publish(
        workdir,
        lambda: sorm_report.report(workdir, findings),
        publish.flat(findings.results),
        findings.verdicts,
    )


def verify_prefixes(
    config: Mapping[str, Any],
    workdir: Workdir,
    student: StoredModel,
    task: Task,
    problems: Sequence[Problem],
    drafts: datasets.Dataset,
    section: str,
    name: str = "",
) -> datasets.Dataset:
    """Table `name` (by default the section's name): K completions from each prefix of a draft.

    `verify_many` takes fewer prefixes and more completions, for label quality against K (G7).
    """
    settings = from_config.sampling(config, section)
    key = from_config.key(config, "verify")

    def parts():
        prefixes = prefixes_of(drafts, {problem.id: problem for problem in problems})
        if not prefixes:
            raise ValueError(
                f"none of the {len(drafts)} drafts has a step, so nothing can be verified: the "
                "student has not learned to write steps; train it longer (sft.steps)"
            )
        count = config[section].get("prefixes") or len(prefixes)
        if count < len(prefixes):
            rng = np.random.default_rng(config["seed"])
            prefixes = [prefixes[row] for row in rng.permutation(len(prefixes))[:count]]
        return parts_of_prefixes(student, prefixes, settings)

    source = "samples-test" if name == "verify_test" else "drafts"
    return workdir.table(
        name or section,
        [section],
        [source],
        parts,
        lambda part: verify(student, task, *part, key),
    )


def labelled_solutions(
    student: StoredModel,
    problems: Sequence[Problem],
    drafts: datasets.Dataset,
    verified: datasets.Dataset,
) -> list[Solution]:
    """Drafts with step labels: successes over tries, then propagated."""
    columns = (verified[name][:] for name in ("problem_id", "prefix", "correct", "consistent"))
    good = {
        (problem, tuple(prefix)): np.logical_and(correct, consistent).tolist()
        for problem, prefix, correct, consistent in zip(*columns, strict=True)
    }
    plain = as_solutions(student, problems, drafts)
    solutions = []
    for solution, problem, steps in zip(
        plain, drafts["problem_id"][:], drafts["steps"][:], strict=True
    ):
        rest = [student.tokenizer.decode(solution.tokens[end + 1 :]) for end in solution.ends]
        found = [good[problem, tuple(solution.tokens[: end + 1])] for end in solution.ends]
        counts = step_successes(steps, rest, solution.correct, found)
        labels = propagate([int(successes > 0) for successes, _ in counts]) if counts else []
        solutions.append(
            Solution(solution.prompt, solution.tokens, solution.ends, solution.correct, labels)
        )
    return solutions


def train_reward_models(
    config: Mapping[str, Any],
    workdir: Workdir,
    student: StoredModel,
    solutions: Sequence[Solution],
    settings: TrainSettings,
    mesh: Mesh,
) -> dict[str, StoredModel]:
    """Stages `orm-<seed>`, `sorm-<seed>`, `unbalanced_sorm-<seed>`: name → model."""
    examples: dict[str, Sequence[Example]] = {
        "orm": orm_examples(solutions),
        "sorm": sorm_examples(solutions),
        "unbalanced_sorm": sorm_examples(solutions, balanced=False),
    }
    models = {}
    for kind, seed in [(kind, seed) for seed in config["reward"]["seeds"] for kind in examples]:
        name = f"{kind}-{seed}"

        def make(folder: Path, name: str = name, kind: str = kind, seed: int = seed) -> None:
            trained = train_reward_model(
                student,
                examples[kind],
                settings,
                seed=seed,
                mesh=mesh,
                workdir=workdir.path,
                name=name,
            )
            save_model(folder, trained)

        models[name] = load_model(workdir.stage(name, ["reward"], ["drafts", "verify"], make), mesh)
    return models


def score_samples(
    workdir: Workdir,
    models: Mapping[str, StoredModel],
    student: StoredModel,
    questions: Sequence[Problem],
    samples: datasets.Dataset,
) -> dict[str, list[np.ndarray]]:
    """Table `scores`: model → its values at every token of each sampled solution."""
    solutions = as_solutions(student, questions, samples)
    scored = {name: (model, solutions) for name, model in models.items()}
    return value_table(workdir, "scores", [], ["samples-test", *models], scored)
