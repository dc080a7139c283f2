"""Supervised fine-tuning: a policy learns to write reference solutions.

Other studies start from its stage `student`.
"""

from collections.abc import Mapping
from typing import Any

from qdcjax.experiments.reports.accuracy import at_k_section, headline
from qdcjax.experiments.reports.training import training_section
from qdcjax.experiments.running import from_config, publish
from qdcjax.experiments.stages import fine_tuning, policy_evaluation
from qdcjax.reporting.page import Report
from qdcjax.workdir import Workdir


def run(config: Mapping[str, Any], workdir: Workdir) -> dict[str, float]:
    """Trains the student and evaluates it on the splits, if any are given; returns the summary."""
    policy_evaluation.check(config, from_config.task(config["task"], config["seed"]))
    student = fine_tuning.train_student(config, workdir)
    results = policy_evaluation.evaluate_policy(config, workdir, student, after=["student"])

    def report() -> Report:
        curves = {"loss": "loss", "token accuracy": "token_accuracy"}
        splits, task = config["evaluation"]["splits"], config["task"]["name"]
        return Report(
            title="Supervised fine-tuning",
            description=f"A policy fine-tuned on the reference solutions of {task}.",
            run=publish.run_facts(workdir),
            headline=headline(splits, results),
            sections=[
                *([at_k_section(workdir, results)] if splits else []),
                training_section(workdir, {"student": curves}),
            ],
        )

    return publish.publish(workdir, report, publish.flat(results))
