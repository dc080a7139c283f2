"""An outcome reward model (ORM) from a policy's own solutions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets

from qdcjax.experiments.running import from_config
from qdcjax.experiments.stages.solutions import as_solutions, solution_table
from qdcjax.reasoning.reward_models import orm_examples, train_reward_model
from qdcjax.tasks.problem import Problem, Task
from qdcjax.training.store import StoredModel, load_model, save_model
from qdcjax.workdir import Workdir


def sample_drafts(
    config: Mapping[str, Any],
    workdir: Workdir,
    policy: StoredModel,
    task: Task,
    problems: Sequence[Problem],
    after: str,
) -> datasets.Dataset:
    """Table `drafts`: the policy's solutions of the questions that reward models learn from."""
    settings = from_config.sampling(config, "drafts")
    key = from_config.key(config, "drafts")
    return solution_table(
        workdir,
        "drafts",
        ["seed", "task", "drafts"],
        [after],
        policy,
        task,
        problems,
        settings,
        key,
    )


def train_orm(
    config: Mapping[str, Any], workdir: Workdir, policy: StoredModel, task: Task, after: str
) -> StoredModel:
    """Stage `orm`: learned from the policy's solutions of the questions of `config.drafts`."""
    mesh = from_config.mesh(config["mesh"])
    problems = from_config.problems(config, "drafts", task)
    drafts = sample_drafts(config, workdir, policy, task, problems, after)

    def make(folder: Path) -> None:
        trained = train_reward_model(
            policy,
            orm_examples(as_solutions(policy, problems, drafts)),
            from_config.training(config, "reward", mesh),
            seed=config["seed"],
            mesh=mesh,
            workdir=workdir.path,
            name="orm",
        )
        save_model(folder, trained)

    return load_model(workdir.stage("orm", ["seed", "reward"], ["drafts"], make), mesh)
