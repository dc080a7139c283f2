"""PPO, RLOO and GRPO at model scale: sample → reward → learn, iteration after iteration.

Every iteration's rollouts are an Arrow data set with all that learning needs, written before it
learns. So a killed run goes on exactly: policy and critic each go on from their newest checkpoint
and learn from the stored rollouts what they had not yet learned.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import jax
import jax.numpy as jnp
import numpy as np

from qdcjax.data.batches import Example, bucket_lengths, epochs_of_batches
from qdcjax.data.examples import question_prompts
from qdcjax.decoding import shared_shapes
from qdcjax.experiments import (
    evaluate,
    from_config,
    policy_figures,
    policy_gradient_report,
    publish,
    sft,
)
from qdcjax.experiments.policies import load_reranker
from qdcjax.experiments.policy_gradient_report import LEARN, LEARNED, ROLLOUTS
from qdcjax.measures.predictions import judge
from qdcjax.models.transformer import Transformer
from qdcjax.reasoning.reward_models import reward_model
from qdcjax.reasoning.rollouts import sample_solutions
from qdcjax.reporting.metrics import METRICS_FILE, MetricLog, read_metrics
from qdcjax.reporting.stopwatch import Stopwatch
from qdcjax.rl import rewards
from qdcjax.rl.experience import experience, figures
from qdcjax.rl.log_probs import completion_log_probs, completion_values
from qdcjax.rl.losses import adapted_kl_coefficient
from qdcjax.rl.policy_gradient import PolicyLoss, ValueLoss
from qdcjax.tasks.problem import Problem, Task
from qdcjax.training.fit import open_training
from qdcjax.training.loop import StopFlag, Training
from qdcjax.training.processes import is_writer, wait_for_all
from qdcjax.training.sharding import parts_of
from qdcjax.training.store import StoredModel, load_model, save_model
from qdcjax.workdir import Workdir, write_part

START = "start"
CRITIC = 2**31  # folded into the key for the critic's head; iterations have smaller numbers
SCORED = 128  # completions that reference and critic read at a time
FIELDS = ("seed", "task", "policy", "reward_model", "policy_gradient", "rollouts", "learn")


def run(config: Mapping[str, Any], workdir: Workdir) -> dict[str, float]:
    """The starting point, the policy that learned from it, and both in figures."""
    task, mesh = from_config.task(config["task"], config["seed"]), from_config.mesh(config["mesh"])
    problems = check(config, task)
    predictions = from_config.predictions(config["predictions"])
    publish.fix_predictions(workdir)

    start, _, stage = sft.starting_point(config, workdir, mesh)
    found = {START: evaluate.evaluate_policy(config, workdir, start, [stage], name=START)}
    found[START] |= policy_figures.from_start(config, workdir, start, START)
    policy = learn(config, workdir, task, problems, start, stage)
    found[LEARNED] = evaluate.evaluate_policy(config, workdir, policy, [LEARNED], name=LEARNED)
    found[LEARNED] |= policy_figures.from_start(config, workdir, start, LEARNED)

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


def check(config: Mapping[str, Any], task: Task) -> Sequence[Problem]:
    """The training questions; raises ValueError for what would only be told after hours."""
    evaluate.check(config, task)
    settings, section = from_config.algorithm(config, "policy_gradient"), config["rollouts"]
    problems = task.problems(section["split"], section["questions"] or None)
    if len(problems) < settings.questions:
        raise ValueError(
            f"policy_gradient.questions={settings.questions} are sampled at a time, and there are "
            f"{len(problems)}: see rollouts.questions"
        )
    if settings.reward.startswith("orm") and not (config["checkpoint"] and config["reward_model"]):
        raise ValueError(
            f"policy_gradient.reward={settings.reward} needs the run of a reward model and of the "
            "policy whose rollouts it learned from: checkpoint=runs/sorm-default and "
            "reward_model=orm-0"
        )
    if settings.algorithm == "ppo" and "critic" not in config:
        raise ValueError("policy_gradient.algorithm=ppo needs a critic: begin with configs/ppo.py")
    if rank := config["policy"]["lora"]["rank"]:
        raise ValueError(
            f"policy.lora.rank={rank}: a policy gradient trains all parameters; set it to 0"
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
) -> StoredModel:
    """Stage `learned`: the policy after all iterations; its rollouts lie beside it."""

    def make(folder: Path) -> None:
        with Learning(config, workdir, task, problems, start, folder).opened() as learning:
            for number in range(learning.settings.iterations):
                learning.iterate(number)
            params = learning.policy.state.params
        save_model(folder, StoredModel(start.model, params, start.tokenizer))

    fields = [*FIELDS, "critic"] if "critic" in config else FIELDS
    mesh = from_config.mesh(config["mesh"])
    return load_model(workdir.stage(LEARNED, fields, [after], make), mesh)


class Learning:
    """One policy that learns, with its critic if it has one.

    Attributes:
      settings: the algorithm.
      policy, critic: their trainings, while opened; without a critic, None.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        workdir: Workdir,
        task: Task,
        problems: Sequence[Problem],
        start: StoredModel,
        folder: Path,
    ):
        """Reads the settings; nothing is trained yet."""
        self._config, self._workdir, self._task = config, workdir, task
        self._start, self._folder = start, folder
        self._mesh = from_config.mesh(config["mesh"])
        self.settings = from_config.algorithm(config, "policy_gradient")
        self._problems = {problem.id: problem for problem in problems}
        self._prompts = question_prompts(start.tokenizer, problems)
        sampling = from_config.sampling(config["rollouts"], "rollouts")
        lengths = [len(tokens) for tokens in self._prompts.values()]
        self._sampling = shared_shapes(sampling, lengths)
        longest = max(lengths) + sampling.max_new_tokens
        self._widths = bucket_lengths([longest // 2, longest * 3 // 4, longest], 3)
        self._settings = {
            f"{LEARNED}/{section}": from_config.online_training(config, section, self._mesh)
            for section in filter(config.__contains__, from_config.ONLINE)
        }
        self._key = jax.random.fold_in(jax.random.key(config["seed"]), 6)
        self._kl = self.settings.kl
        self._watch = Stopwatch()
        scored = self.settings.reward.startswith("orm")
        self._reward_model = load_reranker(config, start, self._mesh) if scored else None

    @contextlib.contextmanager
    def opened(self) -> Iterator["Learning"]:
        """Opens checkpoints and logs; SIGTERM now stops the run after a step of learning."""
        s, temperature = self.settings, self._sampling.temperature
        kl_of_loss = s.kl if s.kl_in == "loss" else 0.0
        with contextlib.ExitStack() as stack:
            stop = stack.enter_context(StopFlag())
            loss = PolicyLoss(s.clip_low, s.clip_high, kl_of_loss, temperature)
            policy = self._training(LEARN, self._start, loss, stop)
            self.policy, self.critic = stack.enter_context(policy), None
            if s.algorithm == "ppo":
                fresh = reward_model(self._start, jax.random.fold_in(self._key, CRITIC))
                critic = self._training(f"{LEARNED}/critic", fresh, ValueLoss(s.value_clip), stop)
                self.critic = stack.enter_context(critic)
            self._log, self._logged = None, set()
            if is_writer():
                stored = len(list(self._folder.glob("rollouts/part-*[0-9]")))
                self._log = stack.enter_context(MetricLog(self._workdir.path, ROLLOUTS, stored))
                records = read_metrics(self._workdir.path / METRICS_FILE, ROLLOUTS)
                self._logged = {record["step"] for record in records}
            yield self

    def _training(self, name: str, model: StoredModel, loss, stop: StopFlag) -> Training:
        return open_training(
            model.model,
            jax.tree.map(jnp.copy, model.params),
            loss,
            self._settings[name],
            seed=self._config["seed"],
            mesh=self._mesh,
            workdir=self._workdir.path,
            name=name,
            stop=stop,
        )

    def iterate(self, number: int) -> None:
        """Iteration `number`: rollouts, unless they are stored, and what is not yet learned."""
        part = self._folder / "rollouts" / f"part-{number:05d}"
        if not part.exists():
            part.parent.mkdir(exist_ok=True)
            write_part(part, self.rollouts(number))
        wait_for_all(f"rollouts {number} are stored")
        table = datasets.load_from_disk(str(part))[:]
        K, T = self._sampling.samples, self._sampling.max_new_tokens
        found = figures(table, K, T) | {"kl_coefficient": self._kl}
        of_policy, of_critic, more = experience(table, self._prompts, self.settings, K, T, self._kl)
        with self._watch.timed("learning"):
            self._learn(self.policy, of_policy, number)
            if self.critic is not None:
                self._learn(self.critic, of_critic, number)
                found |= more
        if self._log is not None and number + 1 not in self._logged:
            self._log.write(number + 1, found | self._watch.read())
        if self.settings.kl_target:
            self._kl = adapted_kl_coefficient(
                self._kl,
                found["kl"],
                self.settings.kl_target,
                len(table["tokens"]),
                self.settings.kl_horizon,
            )

    def _learn(self, training: Training, examples: list[Example], number: int) -> None:
        """The steps of an iteration that a training has not behind it yet."""
        settings = self._settings[training.name]
        each = settings.steps // self.settings.iterations
        batches = epochs_of_batches(
            examples,
            settings.batch_size,
            self.settings.epochs,
            [self._config["seed"], number],
            self._widths,
            parts_of(self._mesh),
        )
        training.run(batches, (number + 1) * each, first=number * each)

    def rollouts(self, number: int) -> dict[str, list]:
        """Columns of an iteration's rollouts, by the policy as it is now: see `rl.experience`."""
        policy = StoredModel(self._start.model, self.policy.state.params, self._start.tokenizer)
        table = sample_solutions(
            policy,
            self._task,
            self.questions(number),
            self._sampling,
            jax.random.fold_in(self._key, number),
            f"iteration {number + 1}: sample",
            ["sampled", "log_probs"],
            self._watch,
        )
        prompts = [self._prompts[problem] for problem in table["problem_id"]]
        with self._watch.timed("scoring"):
            table["rewards"] = self.rewards(table)
            shared = {"batch_size": SCORED, "widths": self._widths}
            table["reference"] = completion_log_probs(
                self._start, prompts, table["tokens"], self._sampling.temperature, **shared
            )
            if self.critic is not None:
                critic = dataclasses.replace(self._start.model.config, output="scalar")
                values = Transformer(critic), self.critic.state.params
                table["values"] = completion_values(*values, prompts, table["tokens"], **shared)
        return table

    def questions(self, number: int) -> list[Problem]:
        """Those of an iteration: each once before any comes again, in a new order every time."""
        size = self.settings.questions
        epoch, place = divmod(number, len(self._problems) // size)
        order = np.random.default_rng([self._config["seed"], epoch]).permutation(
            len(self._problems)
        )
        problems = list(self._problems.values())
        return [problems[row] for row in order[place * size :][:size]]

    def rewards(self, table: Mapping[str, list]) -> list[np.ndarray]:
        """Of each completion, token by token, by `policy_gradient.reward`."""
        kind = self.settings.reward
        if kind == "sparse":
            return rewards.sparse(table)
        if kind == "dense":
            return rewards.dense(table, self._problems)
        if kind == "task":
            return rewards.by_task(table, self._problems, self._task)
        return rewards.by_model(table, self._prompts, self._reward_model, kind == "orm_dense")
