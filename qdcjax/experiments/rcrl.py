"""Return-conditioned RL (Havrilla et al. 2024, arXiv 2403.04642), off-line, at the level of steps.

An outcome reward model says of each line of a policy's solutions how likely its answer is right.
Every line is labelled [GOOD] or [BAD] by that; the policy learns all solutions, right and wrong,
with their labels; at test time every line is conditioned on [GOOD].
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from qdcjax.data.batches import Example
from qdcjax.experiments.findings import policy_figures
from qdcjax.experiments.reports.accuracy import before_and_after
from qdcjax.experiments.reports.training import training_section
from qdcjax.experiments.running import from_config, publish
from qdcjax.experiments.stages import fine_tuning, policy_evaluation
from qdcjax.experiments.stages.outcome_model import train_orm
from qdcjax.experiments.stages.policies import (
    find_reranker,
    load_policy,
    load_reranker,
    mark_source,
)
from qdcjax.experiments.stages.solutions import as_solutions, solution_table, value_table
from qdcjax.measures.intervals import Interval, bootstrap
from qdcjax.measures.predictions import judge
from qdcjax.reporting.page import HeadlineRow, Report, Section, Table
from qdcjax.rl.conditioning import BAD, GOOD, line_labels, marked_example
from qdcjax.tasks.problem import Problem, Task
from qdcjax.training.store import StoredModel, load_model
from qdcjax.workdir import Workdir

START, LEARNED, BAD_ONE = "start", "learned", "learned_bad"


def run(config: Mapping[str, Any], workdir: Workdir) -> dict[str, float]:
    """The starting point, and the policy that learned with labels, asked to be good and bad."""
    task, mesh = from_config.task(config["task"], config["seed"]), from_config.mesh(config["mesh"])
    policy_evaluation.check(config, task)
    predictions = from_config.predictions(config["predictions"])
    problems = from_config.problems(config, "rollouts", task)
    publish.fix_predictions(workdir)

    start, source, stage = fine_tuning.starting_point(config, workdir, mesh)
    found = {START: policy_figures.measure(config, workdir, start, stage, START)}
    rollouts = solution_table(
        workdir,
        "rollouts",
        ["seed", "task", "rollouts"],
        [stage],
        start,
        task,
        problems,
        from_config.sampling(config, "rollouts"),
        from_config.key(config, "rcrl"),
        ["sampled"],
    )
    values = line_values(config, workdir, start, task, problems, rollouts, stage)
    policy = learn(config, workdir, source, problems, rollouts, values)
    # Asked to be bad, it answers the first split alone.
    split = config["evaluation"]["splits"][0]
    first = {**config, "evaluation": {**config["evaluation"], "splits": [split]}}
    for of, name, marker in ((config, LEARNED, GOOD), (first, BAD_ONE, BAD)):
        found[name] = policy_figures.measure(of, workdir, policy, LEARNED, name, marker=marker)
    sampled = len(rollouts)
    if not config["reward_model"]:  # one that was made here, from drafts
        sampled += len(workdir.read_table("drafts"))
    found[LEARNED] |= {"rollouts": sampled, "gradient_steps": config["finetune"]["steps"]}

    results = policy_figures.named(found)
    results |= policy_figures.gains(config, workdir, START, LEARNED)
    asked = policy_figures.gains(first, workdir, BAD_ONE, LEARNED)
    statistics = {
        "gain": results[f"gain_greedy_accuracy_{split}"],
        "asked": asked[f"gain_greedy_accuracy_{split}"],
    }
    results["good_over_bad"] = statistics["asked"]
    right = np.asarray(rollouts["correct"][:], bool)
    results["rollout_accuracy"] = bootstrap(right.astype(float), rollouts["problem_id"][:])
    labels = labels_of(rollouts, values, config["rcrl"]["threshold"])
    results |= {
        f"good_lines_{kind}": good_lines(labels, rows, rollouts["problem_id"][:])
        for kind, rows in {"right": right, "wrong": ~right}.items()
    }
    verdicts = [judge(prediction, statistics[name]) for name, prediction in predictions.items()]

    def report() -> Report:
        curves = {"orm": {"loss": "loss"}, LEARNED: {"loss": "loss"}}
        return Report(
            title="Return-conditioned RL",
            description="A policy learns its own solutions, right and wrong, with a label before "
            "each line that a reward model gave; it is then asked for good lines.",
            run=publish.run_facts(workdir),
            headline=[
                *before_and_after(workdir, {START: found[START], LEARNED: found[LEARNED]}, results),
                HeadlineRow(
                    "Asked for good lines rather than bad ones, greedy accuracy",
                    results["good_over_bad"],
                    "points",
                    "paired by question",
                ),
            ],
            verdicts=verdicts,
            sections=[labels_section(results), training_section(workdir, curves)],
        )

    return publish.publish(workdir, report, publish.flat(results), verdicts)


def line_values(
    config: Mapping[str, Any],
    workdir: Workdir,
    start: StoredModel,
    task: Task,
    problems: Sequence[Problem],
    rollouts: datasets.Dataset,
    after: str,
) -> list[np.ndarray]:
    """Table `values`: the outcome reward model's value at every token of the rollouts."""
    mesh = from_config.mesh(config["mesh"])
    made_here = not config["reward_model"]
    if made_here:
        orm = train_orm(config, workdir, start, task, after)
    else:
        mark_source(workdir, find_reranker(config), name="reward_model")
        orm = load_reranker(config, start, mesh)

    sources = ["rollouts", "orm" if made_here else "reward_model"]
    scored = {"rollouts": (orm, as_solutions(start, problems, rollouts))}
    return value_table(workdir, "values", ["reward_model"], sources, scored)["rollouts"]


def learn(
    config: Mapping[str, Any],
    workdir: Workdir,
    source: Path,
    problems: Sequence[Problem],
    rollouts: datasets.Dataset,
    values: Sequence[np.ndarray],
) -> StoredModel:
    """Stage `learned`: the start, fine-tuned on all rollouts with their lines labelled."""
    mesh = from_config.mesh(config["mesh"])

    def make(folder: Path) -> None:
        start = load_policy(config, source, mesh)
        fine_tuning.fine_tune(
            config,
            start,
            labelled_examples(start, problems, rollouts, values, config["rcrl"]["threshold"]),
            from_config.training(config, "finetune", mesh),
            seed=config["seed"],
            workdir=workdir,
            name=LEARNED,
            folder=folder,
            base=str(source),
        )

    fields = ["policy", "rcrl", "finetune"]
    return load_model(workdir.stage(LEARNED, fields, ["rollouts", "values"], make), mesh)


def labelled_examples(
    policy: StoredModel,
    problems: Sequence[Problem],
    rollouts: datasets.Dataset,
    values: Sequence[np.ndarray],
    threshold: float,
) -> list[Example]:
    """All rollouts with their lines labelled."""
    solutions = as_solutions(policy, problems, rollouts)
    labels = labels_of(rollouts, values, threshold)
    return [
        marked_example(policy.tokenizer, row.prompt, row.tokens, sampled, row.ends, good)
        for row, sampled, good in zip(solutions, rollouts["sampled"][:], labels, strict=True)
    ]


def labels_of(
    rollouts: datasets.Dataset, values: Sequence[np.ndarray], threshold: float
) -> list[list[bool]]:
    """Whether each line of each rollout is good."""
    columns = rollouts["ends"][:], values, rollouts["tokens"][:]
    return [
        line_labels(ends, of_token, len(tokens), threshold)
        for ends, of_token, tokens in zip(*columns, strict=True)
    ]


def good_lines(
    labels: Sequence[Sequence[bool]], rows: np.ndarray, questions: Sequence[str]
) -> Interval:
    """The share of good lines among those of some rollouts; NaN where there are none.

    Args:
      labels: of each rollout's lines.
      rows: which rollouts.
      questions: of each rollout.
    """
    lines: list[bool] = []
    of: list[str] = []
    for good, row, question in zip(labels, rows, questions, strict=True):
        if row:
            lines += good
            of += [question] * len(good)
    if not lines:
        return Interval(math.nan, math.nan, math.nan, "no such rollouts")
    return bootstrap(np.asarray(lines, float), of)


def labels_section(results: Mapping[str, Interval]) -> Section:
    """What the reward model called good."""
    rows = [[kind, results[f"good_lines_{kind}"]] for kind in ("right", "wrong")]
    columns = ["rollouts whose answer is", "lines that the reward model calls good"]
    table = Table(columns, rows, "What the policy learned from.", ["", "%"])
    return Section("Labels", "", [], [table])
