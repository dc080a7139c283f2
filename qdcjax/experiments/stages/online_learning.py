"""A policy that learns from its own rollouts as they come, with its critic if it has one."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from qdcjax.data.batches import Example, epochs_of_batches, padded_lengths
from qdcjax.data.examples import question_prompts
from qdcjax.decoding import shared_shapes
from qdcjax.experiments.running import from_config
from qdcjax.experiments.stages.policies import load_reranker
from qdcjax.files import write_part
from qdcjax.reasoning.reward_models import reward_model
from qdcjax.reasoning.rollouts import sample_solutions
from qdcjax.reporting.metrics import METRICS_FILE, MetricLog, read_metrics
from qdcjax.reporting.stopwatch import Stopwatch
from qdcjax.rl import rewards
from qdcjax.rl.experience import experience, figures
from qdcjax.rl.log_probs import completion_log_probs, completion_values
from qdcjax.rl.losses import adapted_kl_coefficient
from qdcjax.rl.policy_gradient import (
    ValueLoss,
    chances_before,
    policy_loss,
    shared_values_before,
    values_before,
)
from qdcjax.tasks.problem import Problem, Task
from qdcjax.training.fit import TrainSettings, open_training
from qdcjax.training.loop import StopFlag, Training
from qdcjax.training.processes import is_writer, wait_for_all
from qdcjax.training.sharding import mesh_of, param_shardings, parts_of
from qdcjax.training.store import SHAPE_FILE, StoredModel, save_model
from qdcjax.workdir import Workdir

LEARNED = "learned"  # the stage
# In the log: steps of the policy and of the critic, iterations.
LEARN, CRITIC, ROLLOUTS = (f"{LEARNED}/{of}" for of in ("learn", "critic", "rollouts"))

CRITIC_KEY = 2**31  # folded into the key for the critic's head; iterations have smaller numbers
WIDTHS = (0.6, 0.8, 1.0)  # of the longest sequence: what batches of similar lengths are padded to


class OnlineLearning:
    """One policy that learns, with its critic if it has one.

    Attributes:
      settings: the algorithm.
      policy: its training, while opened.
      critic: that of a critic with a trunk of its own; otherwise None.
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
        """Reads the settings and places the models; nothing is trained yet."""
        self._config, self._workdir, self._task, self._folder = config, workdir, task, folder
        self.settings = from_config.algorithm(config, "policy_gradient")
        meshes = {role: from_config.role_mesh(config, role) for role in from_config.ROLES}
        self._key = from_config.key(config, "online_learning")
        self._reward_model = None
        if self.settings.from_reward_model:
            self._reward_model = load_reranker(config, start, meshes["reward_model"])
        self._reference = placed(start, meshes["reference"])
        self._start = placed(self._with_value_head(start), meshes["policy"])
        self._critic = placed(self._first_critic(start), meshes["critic"])
        self._problems = {problem.id: problem for problem in problems}
        self._prompts = question_prompts(start.tokenizer, problems)
        sampling = from_config.sampling(config, "rollouts")
        lengths = [len(tokens) for tokens in self._prompts.values()]
        self._sampling = shared_shapes(sampling, lengths)
        longest = max(lengths) + sampling.max_new_tokens
        self._widths = padded_lengths([longest * share for share in WIDTHS], multiple=16)
        self._settings: dict[str, TrainSettings] = {}
        self._kl = self.settings.kl
        self._watch = Stopwatch()

    def _with_value_head(self, start: StoredModel) -> StoredModel:
        """The policy, with a value head on its trunk where the critic shares it."""
        if not self.settings.shares_trunk:
            return start
        return start.with_shape(jax.random.fold_in(self._key, CRITIC_KEY), value_head=True)

    def _first_critic(self, start: StoredModel) -> StoredModel | None:
        """A critic with a trunk of its own, before it learns."""
        if self.settings.algorithm != "ppo" or self.settings.shares_trunk:
            return None
        if self.settings.critic == "reward_model":
            return self._reward_model
        return reward_model(start, jax.random.fold_in(self._key, CRITIC_KEY))

    @property
    def _values(self) -> Callable:
        """How a model tells values, of `rl.policy_gradient`."""
        by = {"shared": shared_values_before, "reward_model": chances_before}
        return by.get(self.settings.critic, values_before)

    @contextlib.contextmanager
    def opened(self) -> Iterator["OnlineLearning"]:
        """Opens checkpoints and logs; SIGTERM now stops the run after a step of learning."""
        s = self.settings
        of_policy = policy_loss(s, self._sampling.temperature, s.kl)
        with contextlib.ExitStack() as stack:
            stop = stack.enter_context(StopFlag())
            self.policy = stack.enter_context(self._training("learn", self._start, of_policy, stop))
            self.critic = None
            if self._critic is not None:
                loss = ValueLoss(s.value_clip, self._values)
                critic = self._training("critic", self._critic, loss, stop)
                self.critic = stack.enter_context(critic)
            self._log, self._logged = None, set()
            if is_writer():
                stored = len(list(self._folder.glob("rollouts/part-*[0-9]")))
                self._log = stack.enter_context(MetricLog(self._workdir.path, ROLLOUTS, stored))
                records = read_metrics(self._workdir.path / METRICS_FILE, ROLLOUTS)
                self._logged = {record["step"] for record in records}
            yield self

    def _training(self, section: str, model: StoredModel, loss, stop: StopFlag) -> Training:
        mesh, name = mesh_of(model.params), f"{LEARNED}/{section}"
        self._settings[name] = from_config.online_training(self._config, section, mesh)
        return open_training(
            model.model,
            jax.tree.map(jnp.copy, model.params),
            loss,
            self._settings[name],
            seed=self._config["seed"],
            mesh=mesh,
            workdir=self._workdir.path,
            name=name,
            stop=stop,
        )

    def policy_now(self) -> StoredModel:
        """The policy as it is, without a value head."""
        params = {k: v for k, v in self.policy.state.params.items() if k in self._reference.params}
        return StoredModel(self._reference.model, params, self._reference.tokenizer)

    def iterate(self, number: int) -> None:
        """Iteration `number`: rollouts, unless they are stored, and what is not yet learned."""
        part = self._folder / "rollouts" / f"part-{number:05d}"
        if not part.exists():
            part.parent.mkdir(exist_ok=True)
            write_part(part, self.rollouts(number))
        wait_for_all(f"rollouts {number} are stored")
        table = datasets.load_from_disk(str(part))[:]
        K, T = self._sampling.samples, self._sampling.max_new_tokens
        found = figures(table, self.settings, K, T) | {"kl_coefficient": self._kl}
        of_policy, of_critic, more = experience(table, self._prompts, self.settings, K, T, self._kl)
        found |= more if self.settings.algorithm == "ppo" else {}
        warm = number < self.settings.critic_warmup
        with self._watch.timed("learning"):
            if self.settings.shares_trunk:
                both = zip(of_policy, of_critic, strict=True)
                of_policy = [with_values(*pair, warm) for pair in both]
                self._learn(self.policy, of_policy, number, number)
            elif not warm:
                self._learn(self.policy, of_policy, number, number - self.settings.critic_warmup)
            if self.critic is not None:
                self._learn(self.critic, of_critic, number, number)
        if self._log is not None and number + 1 not in self._logged:
            times = self._watch.read()
            if "generation_seconds" in times:  # and not of stored rollouts
                tokens = sum(map(len, table["tokens"]))
                times["generation_tokens_per_second"] = tokens / times["generation_seconds"]
            self._log.write(number + 1, found | times)
        if self.settings.kl_target:
            self._kl = adapted_kl_coefficient(
                self._kl,
                found["kl"],
                self.settings.kl_target,
                len(table["tokens"]),
                self.settings.kl_horizon,
            )

    def keep(self, name: str) -> None:
        """Keeps the policy as it is now, unless a run that was cut short has kept it.

        Such a run may have learned on since; what it kept is what an unbroken one keeps.
        """
        folder = self._folder / name
        if not (folder / SHAPE_FILE).exists():
            save_model(folder, self.policy_now())

    def _learn(self, training: Training, examples: list[Example], number: int, turn: int) -> None:
        """The steps of an iteration, its `turn`-th, that a training has not behind it yet."""
        settings = self._settings[training.name]
        each = settings.log_every
        batches = epochs_of_batches(
            examples,
            settings.batch_size,
            self.settings.epochs,
            [self._config["seed"], number],
            self._widths,
            parts_of(mesh_of(training.state.params)),
        )
        training.run(batches, (turn + 1) * each, first=turn * each)

    def rollouts(self, number: int) -> dict[str, list]:
        """Columns of an iteration's rollouts, by the policy as it is now: see `rl.experience`."""
        policy = self.policy_now()
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
        texts = prompts, table["tokens"]
        widths = self._widths
        with self._watch.timed("scoring"):
            table["rewards"] = self.rewards(table)
            temperature = self._sampling.temperature
            table["reference"] = completion_log_probs(
                self._reference, *texts, temperature, widths=widths
            )
            if policy.model.config.dtype != "float32":
                # The sampler rounds otherwise than the trainer, from whose numbers a ratio is 1.
                table["log_probs"] = completion_log_probs(
                    policy, *texts, temperature, widths=widths
                )
            if self.settings.algorithm == "ppo":
                critic = self._start if self.critic is None else self._critic
                params = (self.critic or self.policy).state.params
                table["values"] = completion_values(
                    critic.model, params, *texts, self._values, widths=widths
                )
        return table

    def questions(self, number: int) -> list[Problem]:
        """Those of an iteration: no one comes again before all have come, in a new order each time.

        What an iteration cannot take whole at the end of an order is left out of it.
        """
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


def placed(model: StoredModel | None, mesh: Mesh) -> StoredModel | None:
    """The model on a mesh, where it may be already."""
    if model is None or mesh_of(model.params) == mesh:
        return model
    params = jax.device_put(model.params, param_shardings(model.model, mesh))
    return dataclasses.replace(model, params=params)


def with_values(policy: Example, critic: Example, warm: bool) -> Example:
    """An example for a policy and a critic that share a trunk; `warm` while the critic learns."""
    values = {name: critic[name] for name in ("old_values", "returns")}
    return policy | values | {"warm": np.full(len(policy["tokens"]), warm, np.float32)}
