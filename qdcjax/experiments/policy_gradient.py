"""PPO, RLOO and GRPO at model scale: sample → reward → learn, iteration after iteration.

Every iteration's rollouts are an Arrow data set with all that learning needs, written before it
learns. So a killed run goes on exactly: policy and critic each go on from their newest checkpoint
and learn from the stored rollouts what they had not yet learned.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from qdcjax.experiments.findings import policy_figures
from qdcjax.experiments.reports import policy_gradient as policy_gradient_report
from qdcjax.experiments.running import from_config, publish
from qdcjax.experiments.stages import fine_tuning, policy_evaluation
from qdcjax.experiments.stages.online_learning import LEARNED, OnlineLearning
from qdcjax.experiments.stages.policies import find_reranker, mark_source
from qdcjax.measures.predictions import judge
from qdcjax.tasks.arithmetic import equations
from qdcjax.tasks.problem import Problem, Task
from qdcjax.training.store import StoredModel, load_model, save_model
from qdcjax.workdir import Workdir

START = "start"
FIELDS = ("seed", "task", "policy", "reward_model", "policy_gradient", "rollouts", "learn")
FIELDS += ("evaluate_at",)


def run(config: Mapping[str, Any], workdir: Workdir) -> dict[str, float]:
    """The starting point, the policy that learned from it, and both in figures."""
    return study(config, workdir, check, learn)


def study(
    config: Mapping[str, Any],
    workdir: Workdir,
    check: Callable[[Mapping[str, Any], Task], Sequence[Problem]],
    learn: Callable[..., dict[str, StoredModel]],
) -> dict[str, float]:
    """What a way to learn by reward gives: start, learn, compare.

    Args:
      config, workdir: of the run.
      check: gives the training questions, and raises for what cannot be done.
      learn: makes the stage `learned`; name → policy on its way, the last one `learned`.
    """
    task, mesh = from_config.task(config["task"], config["seed"]), from_config.mesh(config["mesh"])
    problems = check(config, task)
    predictions = from_config.predictions(config["predictions"])
    publish.fix_predictions(workdir)

    start, _, stage = fine_tuning.starting_point(config, workdir, mesh)
    found = {START: policy_figures.measure(config, workdir, start, stage, START, start)}
    policies = learn(config, workdir, task, problems, start, stage)
    iterations = from_config.algorithm(config, "policy_gradient").iterations
    turns = on_the_way(config) | {LEARNED: iterations}
    for name, policy in policies.items():
        found[name] = policy_figures.measure(config, workdir, policy, LEARNED, name, start)
        found[name] |= spent(config, turns[name])

    results = policy_figures.named(found)
    results |= policy_figures.gains(config, workdir, START, LEARNED)
    gain = results[f"gain_greedy_accuracy_{config['evaluation']['splits'][0]}"]
    verdicts = [judge(prediction, gain) for prediction in predictions.values()]
    return publish.publish(
        workdir,
        lambda: policy_gradient_report.report(workdir, found, results, verdicts),
        publish.flat(results),
        verdicts,
    )


def on_the_way(config: Mapping[str, Any]) -> dict[str, int]:
    """Policies that are evaluated while they learn: name → after how many iterations."""
    iterations = from_config.algorithm(config, "policy_gradient").iterations
    shares = [max(1, round(share * iterations)) for share in config.get("evaluate_at", ())]
    return {f"at_{number}": number for number in shares if number < iterations}


def spent(config: Mapping[str, Any], iterations: int) -> dict[str, int]:
    """What iterations cost: `rollouts`, and `gradient_steps` of the policy."""
    learning = from_config.algorithm(config, "policy_gradient")
    training = from_config.online_training(config, "learn", from_config.mesh(config["mesh"]))
    waits = learning.iterations - training.steps // training.log_every  # while the critic warms up
    rollouts = iterations * learning.questions * config["rollouts"]["samples"]
    steps = max(0, iterations - waits) * training.log_every
    return {"rollouts": rollouts, "gradient_steps": steps}


def check(config: Mapping[str, Any], task: Task) -> Sequence[Problem]:
    """The training questions; raises ValueError for what would only be told after hours."""
    policy_evaluation.check(config, task)
    settings = from_config.algorithm(config, "policy_gradient")
    problems = from_config.problems(config, "rollouts", task)
    if len(problems) < settings.questions:
        raise ValueError(
            f"policy_gradient.questions={settings.questions} are sampled at a time, and there are "
            f"{len(problems)}: see rollouts.questions"
        )
    for field in settings.from_reward_model:
        if not (config["checkpoint"] and config["reward_model"]):
            raise ValueError(
                f"policy_gradient.{field}={getattr(settings, field)} needs the run of a reward "
                "model and of the policy whose rollouts it learned from: "
                "checkpoint=runs/sorm-default and reward_model=orm-0"
            )
    if settings.algorithm == "ppo" and "critic" not in config:
        raise ValueError("policy_gradient.algorithm=ppo needs a critic: begin with configs/ppo.py")
    sampling = from_config.sampling(config, "rollouts")
    if settings.algorithm != "ppo" and sampling.samples < 2:
        raise ValueError(
            f"rollouts.samples={sampling.samples}: {settings.algorithm} compares the samples of a "
            "question, at least 2"
        )
    if not sampling.temperature:
        raise ValueError("rollouts.temperature=0 samples one solution only; set it above 0")
    rollouts = settings.questions * sampling.samples
    if settings.kl_target and settings.kl_horizon < rollouts:
        raise ValueError(
            f"policy_gradient.kl_horizon={settings.kl_horizon} must be at least the {rollouts:,} "
            "rollouts of an iteration"
        )
    if sampling.top_k or sampling.top_p < 1:
        raise ValueError(
            f"rollouts.top_k={sampling.top_k}, top_p={sampling.top_p}: a policy gradient needs the "
            "whole distribution that it samples from; set them to 0 and 1"
        )
    if rank := config["policy"]["lora"]["rank"]:
        raise ValueError(
            f"policy.lora.rank={rank}: a policy gradient trains all parameters; set it to 0"
        )
    for share in config.get("evaluate_at", ()):
        if not 0 < share < 1:
            raise ValueError(f"evaluate_at={share} must be a share of the iterations, within 0…1")
    if settings.reward == "dense" and not any(equations(p.solution) for p in problems):
        raise ValueError(
            f"policy_gradient.reward=dense: {config['task']['name']} has no equations to match"
        )
    if settings.reward == "task" and not hasattr(task, "reward"):
        raise ValueError(f"policy_gradient.reward=task: {config['task']['name']} has no reward")
    return problems


def learn(
    config: Mapping[str, Any],
    workdir: Workdir,
    task: Task,
    problems: Sequence[Problem],
    start: StoredModel,
    after: str,
) -> dict[str, StoredModel]:
    """Stage `learned`: the policy after all iterations, and as it was at `evaluate_at` of them.

    The rollouts lie beside it.
    """
    settings, kept = from_config.algorithm(config, "policy_gradient"), on_the_way(config)
    made_from = [after]
    if settings.from_reward_model:
        mark_source(workdir, find_reranker(config), name="reward_model")
        made_from.append("reward_model")

    def make(folder: Path) -> None:
        with OnlineLearning(config, workdir, task, problems, start, folder).opened() as learning:
            for number in range(1, settings.iterations + 1):
                learning.iterate(number - 1)
                for name in (name for name, at in kept.items() if at == number):
                    learning.keep(name)
            policy = learning.policy_now()
        save_model(folder, policy)

    fields = [*FIELDS, "critic"] if "critic" in config else FIELDS
    mesh = from_config.mesh(config["mesh"])
    folder = workdir.stage(LEARNED, fields, made_from, make)
    found = {name: load_model(folder / name, mesh) for name in kept}
    return found | {LEARNED: load_model(folder, mesh)}
