"""Runs on the chip as stages of their folders."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from configs import on_chip as config_of
from qdcjax.experiments import on_chip
from qdcjax.experiments.running import from_config
from qdcjax.reporting.metrics import METRICS_FILE, read_metrics
from qdcjax.tasks.problem import Problem
from qdcjax.training.loop import NonFiniteUpdateError
from qdcjax.training.store import StoredModel
from qdcjax.workdir import Workdir


def test_members_that_diverge_are_named_and_the_others_kept(tmp_path, policy, monkeypatch):
    """The second of three, in its third iteration; each took a third of the program's time."""
    history = {name: np.ones((3, 3)) for name in ("finite", "loss", "accuracy")}
    history["finite"][1, 2] = 0.5
    params = jax.tree.map(lambda x: np.stack([x] * 3), jax.device_get(policy.params))
    monkeypatch.setattr(on_chip, "trained", lambda *_: (params, history))
    clock = SimpleNamespace(perf_counter=iter([0.0, 300.0]).__next__)
    monkeypatch.setattr(on_chip, "time", clock)
    config = config_of.get_config("smoke").to_dict()
    workdirs = [Workdir(tmp_path / name, config) for name in "abc"]
    for workdir in workdirs:
        workdir.stage("student", [], [], lambda folder: None)
    with pytest.raises(NonFiniteUpdateError, match=r"1 of 3 runs .*/b in iteration 3; the others"):
        on_chip.learn_members(workdirs, [], policy, "student")
    made = [(workdir.path / "stages" / "learned").exists() for workdir in workdirs]
    assert made == [True, False, True]
    seconds = [workdir.seconds["learned"] for workdir in (workdirs[0], workdirs[2])]
    assert all(100 <= spent < 200 for spent in seconds), seconds
    assert len(read_metrics(tmp_path / "c" / METRICS_FILE, "learned/learn")) == 3


def ppo():
    """The preset with two iterations of a step, of four samples each of two questions."""
    config = config_of.get_config("ppo")
    config.policy_gradient.update(iterations=2, questions=2, epochs=1)
    config.rollouts.update(questions=4, samples=4, max_new_tokens=8)
    config.learn.batch_size = config.critic.batch_size = 8
    return config


def test_ppo_s_members_may_differ_in_the_critic_s_rate(policy):
    problems = [
        Problem(f"p/{n}", question, "5", "#### 5") for n, question in enumerate(policy.questions)
    ]
    slow, fast = ppo(), ppo()
    slow.critic.optimizer.learning_rate, fast.critic.optimizer.learning_rate = 1e-9, 1e-1
    configs = [of.to_dict() for of in (slow, fast)]
    for config in configs:
        from_config.check(config)
    start = StoredModel(policy.model, policy.params, policy.tokenizer)
    history = on_chip.trained(configs, problems, start)[1]
    found = np.asarray(history["explained_variance"])
    assert found.shape == (2, 2) and found[0, 0] == found[1, 0]
    assert found[0, 1] != found[1, 1], "after the first iteration the critics differ"


def test_a_critic_that_steps_otherwise_than_the_policy_is_refused():
    config = ppo()
    config.critic.optimizer.warmup = 0.5
    task = from_config.task(config.task.to_dict(), 0)
    with pytest.raises(ValueError, match=r"^critic: on the chip all but its optimizer\.learning_r"):
        on_chip.check(config.to_dict(), task)
