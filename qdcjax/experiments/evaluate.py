"""Evaluates any policy on a task, alone or reranked by a reward model."""

from collections.abc import Mapping
from typing import Any

from qdcjax.experiments.reports.accuracy import at_k_section, headline
from qdcjax.experiments.running import from_config, publish
from qdcjax.experiments.stages import policy_evaluation
from qdcjax.experiments.stages.outcome_model import train_orm
from qdcjax.experiments.stages.policies import find_policy, load_policy, load_reranker, mark_source
from qdcjax.reporting.page import Report
from qdcjax.workdir import Workdir

OWN = "own"


def run(config: Mapping[str, Any], workdir: Workdir) -> dict[str, float]:
    """Evaluates a policy; `reward_model` is a stored one, or `own` for one that is made here."""
    task, mesh = from_config.task(config["task"], config["seed"]), from_config.mesh(config["mesh"])
    policy_evaluation.check(config, task)
    source = find_policy(config["checkpoint"], config["model"])
    policy = load_policy(config, source, mesh)
    reranker = None
    if config["reward_model"] not in (None, OWN):
        reranker = load_reranker(config, policy, mesh)
    mark_source(workdir, source)
    if config["reward_model"] == OWN:
        reranker = train_orm(config, workdir, policy, task, "policy")
    results = policy_evaluation.evaluate_policy(config, workdir, policy, ["policy"], reranker)

    def report() -> Report:
        return Report(
            title="Evaluation of a policy",
            description=f"The policy in {source} on {config['task']['name']}.",
            run=publish.run_facts(workdir),
            headline=headline(config["evaluation"]["splits"], results),
            sections=[at_k_section(workdir, results)],
        )

    return publish.publish(workdir, report, publish.flat(results))
