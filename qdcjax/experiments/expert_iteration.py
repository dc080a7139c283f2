"""Expert iteration (Havrilla et al. 2024, arXiv 2403.04642): learning from one's right answers.

Round i: sample K solutions of every training question from the last policy; keep the right ones
with the rounds before, D_i = R_i ∪ D_{i−1}, each sequence of operations once a question; fine-tune
on D_i from the starting point, not from the last policy. D_0 may be the reference solutions.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import jax
import numpy as np

from qdcjax.experiments.findings import policy_figures
from qdcjax.experiments.reports import expert_iteration as expert_iteration_report
from qdcjax.experiments.running import from_config, publish
from qdcjax.experiments.stages import fine_tuning, policy_evaluation
from qdcjax.experiments.stages.policies import load_policy
from qdcjax.experiments.stages.solutions import solution_examples, solution_table
from qdcjax.measures.intervals import Interval, bootstrap
from qdcjax.measures.predictions import judge
from qdcjax.rl.selection import ExpertIteration, distinct_right, select
from qdcjax.tasks.problem import Problem, Task
from qdcjax.training.store import StoredModel, load_model
from qdcjax.workdir import Workdir

START = "start"


def run(config: Mapping[str, Any], workdir: Workdir) -> dict[str, float]:
    """The rounds, from the starting point to the last policy; returns the summary."""
    task, mesh = from_config.task(config["task"], config["seed"]), from_config.mesh(config["mesh"])
    settings = from_config.algorithm(config, "expert_iteration")
    policy_evaluation.check(config, task)
    predictions = from_config.predictions(config["predictions"])
    problems = from_config.problems(config, "rollouts", task)
    publish.fix_predictions(workdir)

    start, source, stage = fine_tuning.starting_point(config, workdir, mesh)
    figures = {START: policy_figures.measure(config, workdir, start, stage, START, start)}

    policy, rollouts = start, []
    for number in range(1, settings.rounds + 1):
        name = f"round-{number}"
        rollouts.append(sample_rollouts(config, workdir, policy, task, problems, number, stage))
        first = settings.init_from == START or number == 1
        begin = source if first else workdir.path / "stages" / stage
        policy = learn(config, workdir, begin, problems, rollouts, name, stage)
        stage = name
        figures[name] = policy_figures.measure(config, workdir, policy, stage, name, start)
        figures[name] |= learned_from(problems, rollouts, settings)
        figures[name]["gradient_steps"] = number * config["finetune"]["steps"]
    results = policy_figures.named(figures)
    results |= policy_figures.gains(config, workdir, START, name)
    results["distinct_right_growth"] = growth(problems, rollouts)
    gain = results[f"gain_greedy_accuracy_{config['evaluation']['splits'][0]}"]
    statistics = {"gain": gain, "R7": results["distinct_right_growth"]}
    verdicts = [judge(prediction, statistics[name]) for name, prediction in predictions.items()]
    return publish.publish(
        workdir,
        lambda: expert_iteration_report.report(workdir, figures, results, verdicts),
        publish.flat(results),
        verdicts,
    )


def sample_rollouts(
    config: Mapping[str, Any],
    workdir: Workdir,
    policy: StoredModel,
    task: Task,
    problems: Sequence[Problem],
    number: int,
    after: str,
) -> datasets.Dataset:
    """Table `rollouts-<round>`: K solutions of every training question by the last policy."""
    settings = from_config.sampling(config, "rollouts")
    key = jax.random.fold_in(from_config.key(config, "expert_iteration"), number)
    name, fields = f"rollouts-{number}", ["seed", "task", "rollouts"]
    return solution_table(
        workdir, name, fields, [after], policy, task, problems, settings, key, ["sampled"]
    )


def learn(
    config: Mapping[str, Any],
    workdir: Workdir,
    source: Path,
    problems: Sequence[Problem],
    rollouts: Sequence[datasets.Dataset],
    name: str,
    last: str,
) -> StoredModel:
    """Stage `round-<i>`: the policy in `source`, fine-tuned on D_i."""
    mesh = from_config.mesh(config["mesh"])
    settings = from_config.algorithm(config, "expert_iteration")
    training = from_config.training(config, "finetune", mesh)

    def make(folder: Path) -> None:
        found = datasets.concatenate_datasets(list(rollouts))
        references = first_solutions(problems, settings)
        kept = found.select(select(found, settings, references))
        if not len(kept):
            raise ValueError(
                f"none of the {len(found):,} rollouts has a right answer, so there is nothing to "
                "learn from: begin with a policy that is right now and then"
            )
        start = load_policy(config, source, mesh)
        fine_tuning.fine_tune(
            config,
            start,
            fine_tuning.reference_examples(start, references)
            + solution_examples(start, problems, kept),
            training,
            seed=config["seed"],
            workdir=workdir,
            name=name,
            folder=folder,
            base=str(source),
        )

    tables = [f"rollouts-{number + 1}" for number in range(len(rollouts))]
    fields = ["policy", "expert_iteration", "finetune"]
    return load_model(workdir.stage(name, fields, [last, *tables], make), mesh)


def first_solutions(problems: Sequence[Problem], settings: ExpertIteration) -> list[Problem]:
    """D_0: the problems whose reference solutions every round learns from."""
    if not settings.references:
        return []
    for problem in problems:
        if not problem.solution:
            raise ValueError(
                f"expert_iteration.references: {problem.id} has no reference solution to learn"
            )
    return list(problems)


def learned_from(
    problems: Sequence[Problem], rollouts: Sequence[datasets.Dataset], settings: ExpertIteration
) -> dict[str, Interval | int]:
    """What the rounds so far have to learn from, over the training questions.

    `rollouts` counts, and `kept` is the size of D_i; `rollout_accuracy` is that of the last round;
    `covered` is the share of questions with a right rollout so far, and `distinct_right` how many
    different ones a question has.
    """
    questions, last = [problem.id for problem in problems], rollouts[-1]
    joined = datasets.concatenate_datasets(list(rollouts))
    distinct = distinct_right(questions, joined)
    references = first_solutions(problems, settings)
    return {
        "rollouts": len(joined),
        "kept": len(references) + len(select(joined, settings, references)),
        "rollout_accuracy": bootstrap(np.asarray(last["correct"][:], float), last["problem_id"][:]),
        "covered": bootstrap(distinct > 0, questions),
        "distinct_right": bootstrap(distinct, questions),
    }


def growth(problems: Sequence[Problem], rollouts: Sequence[datasets.Dataset]) -> Interval:
    """Different right solutions of a question that came after the first round."""
    questions = [problem.id for problem in problems]
    joined = datasets.concatenate_datasets(list(rollouts))
    first, last = (distinct_right(questions, table) for table in (rollouts[0], joined))
    return bootstrap(last - first, questions)
