"""RLOO, GRPO and PPO as one program on the chip (see `rl.on_chip`), one run or many at once.

The student, its evaluation and the report are those of runs at model scale; the learning in between
is one pure function of a key and hyperparameters.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from qdcjax.decoding.generate import Decoding
from qdcjax.experiments import policy_gradient
from qdcjax.experiments.running import from_config
from qdcjax.experiments.stages import fine_tuning
from qdcjax.experiments.stages.online_learning import LEARN, LEARNED, ROLLOUTS
from qdcjax.reporting.metrics import MetricLog
from qdcjax.reporting.progress import progress
from qdcjax.rl.on_chip import (
    WATCHED_UPDATES,
    Hyperparameters,
    make_train,
    questions_of,
    train_members,
)
from qdcjax.tasks.problem import Problem, Task
from qdcjax.training.loop import NonFiniteUpdateError
from qdcjax.training.processes import is_writer
from qdcjax.training.sharding import mesh_of, param_shardings
from qdcjax.training.store import StoredModel, load_model, save_model
from qdcjax.workdir import Workdir

# What the members of one program may differ in.
TRACEABLE = (
    "on_chip.seed",
    "policy_gradient.kl",
    "learn.optimizer.learning_rate",
    "critic.optimizer.learning_rate",
)
FIELDS = ("seed", "on_chip.seed", "task", "policy", "policy_gradient", "rollouts", "learn")


def run(config: Mapping[str, Any], workdir: Workdir) -> dict[str, float]:
    """The student, what it learned on the chip, and both in figures."""
    return policy_gradient.study(config, workdir, check, learn)


def check(config: Mapping[str, Any], task: Task) -> Sequence[Problem]:
    """The training questions; raises ValueError for what the chip cannot do."""
    if config["rollouts"].get("calculator"):
        raise ValueError("rollouts.calculator=True: it works on the host, not on the chip")
    if "critic" in config and _but_rate(config["critic"]) != _but_rate(config["learn"]):
        raise ValueError(
            "critic: on the chip all but its optimizer.learning_rate must be as in learn"
        )
    return policy_gradient.check(config, task)


def _but_rate(section: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a section of learning without the learning rate."""
    return {**section, "optimizer": {**section["optimizer"], "learning_rate": None}}


def learn(
    config: Mapping[str, Any],
    workdir: Workdir,
    task: Task,
    problems: Sequence[Problem],
    start: StoredModel,
    after: str,
) -> dict[str, StoredModel]:
    """Stage `learned` of one run."""
    del task
    learn_members([workdir], problems, start, after)
    folder, mesh = workdir.path / "stages" / LEARNED, from_config.mesh(config["mesh"])
    return {LEARNED: load_model(folder, mesh)}


def learn_together(workdirs: Sequence[Workdir]) -> None:
    """Stage `learned` of runs whose configs differ in `TRACEABLE` fields alone."""
    config = workdirs[0].config
    task, mesh = from_config.task(config["task"], config["seed"]), from_config.mesh(config["mesh"])
    problems = check(config, task)
    for workdir in workdirs:  # the first one trains the student, the others take it over
        start, _, stage = fine_tuning.starting_point(workdir.config, workdir, mesh)
    learn_members(workdirs, problems, start, stage)


def learn_members(
    workdirs: Sequence[Workdir], problems: Sequence[Problem], start: StoredModel, after: str
) -> None:
    """Stage `learned` of each run; those that have none yet get theirs from one program.

    Raises:
      NonFiniteUpdateError: an update of some was not finite; the others' stages are made.
    """
    missing = [w for w in workdirs if not (w.path / "stages" / LEARNED).exists()]
    fields = [*FIELDS, "critic"] if "critic" in workdirs[0].config else FIELDS
    found, spent = {}, 0.0
    if missing:
        began = time.perf_counter()
        params, history = trained([w.config for w in missing], problems, start)
        found = {
            workdir.path: jax.tree.map(lambda x: x[row], (params, history))  # noqa: B023
            for row, workdir in enumerate(missing)
        }
        spent = (time.perf_counter() - began) / len(missing)
    diverged = [path for path, (_, history) in found.items() if history["finite"].min() < 1]
    for workdir in workdirs:
        if workdir.path in diverged:
            continue

        def make(folder: Path, workdir=workdir) -> None:
            params, history = found[workdir.path]
            log(workdir, history)
            params = jax.tree.map(
                jax.device_put, params, param_shardings(start.model, mesh_of(start.params))
            )
            save_model(folder, StoredModel(start.model, params, start.tokenizer))

        workdir.stage(LEARNED, fields, [after], make, spent)
    if diverged:
        first = int(np.argmin(found[diverged[0]][1]["finite"])) + 1
        raise NonFiniteUpdateError(
            f"{len(diverged)} of {len(workdirs)} runs had a loss or gradient that was infinite or "
            f"not a number, {diverged[0]} in iteration {first}; the others are kept"
        )


def trained(
    configs: Sequence[Mapping[str, Any]], problems: Sequence[Problem], start: StoredModel
) -> tuple[Any, dict[str, np.ndarray]]:
    """Parameters and history of runs that differ in `TRACEABLE` fields alone, on the host."""
    config, mesh = configs[0], mesh_of(start.params)
    sampling = from_config.sampling(config, "rollouts")
    learning = from_config.online_training(config, "learn", mesh)
    train = make_train(
        start.model,
        start.params,
        questions_of(start.tokenizer, problems),
        from_config.algorithm(config, "policy_gradient"),
        Decoding(
            sampling.samples,
            sampling.max_new_tokens,
            sampling.temperature,
            stop_tokens=(start.tokenizer.eos_id,),
        ),
        learning.optimizer,
        learning.batch_size,
    )
    column = lambda field: np.asarray([field(c) for c in configs], np.float32)  # noqa: E731
    hyper = Hyperparameters(
        column(lambda c: c["learn"]["optimizer"]["learning_rate"]),
        column(lambda c: c["policy_gradient"]["kl"]),
        column(lambda c: c["critic"]["optimizer"]["learning_rate"]) if "critic" in config else None,
    )
    seeds = np.asarray([c["on_chip"]["seed"] for c in configs], np.uint32)
    members = train_members(train, config["on_chip"]["members_at_once"], mesh)
    with progress(len(configs), "learn on the chip, in one program", "runs") as bar:
        found = members(seeds, hyper)
        bar.advance(len(configs))
    return found


def log(workdir: Workdir, history: Mapping[str, np.ndarray]) -> None:
    """Writes what a run's iterations were like, as runs at model scale do."""
    if not is_writer():
        return
    learning = from_config.algorithm(workdir.config, "policy_gradient")
    mesh = from_config.mesh(workdir.config["mesh"])
    steps = from_config.online_training(workdir.config, "learn", mesh).log_every
    for stage, each in {ROLLOUTS: 1, LEARN: steps}.items():
        names = [name for name in history if (name in WATCHED_UPDATES) == (stage == LEARN)]
        with MetricLog(workdir.path, stage) as opened:
            for number in range(learning.iterations):
                opened.write((number + 1) * each, {name: history[name][number] for name in names})
