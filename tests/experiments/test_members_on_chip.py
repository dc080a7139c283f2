"""Runs on the chip as stages of their folders."""

import jax
import numpy as np
import pytest

from configs import on_chip as config_of
from qdcjax.experiments import on_chip
from qdcjax.reporting.metrics import METRICS_FILE, read_metrics
from qdcjax.training.loop import NonFiniteUpdateError
from qdcjax.workdir import Workdir


def test_members_that_diverge_are_named_and_the_others_kept(tmp_path, policy, monkeypatch):
    """The second of three, in its third iteration."""
    history = {name: np.ones((3, 3)) for name in ("finite", "loss", "accuracy")}
    history["finite"][1, 2] = 0.5
    params = jax.tree.map(lambda x: np.stack([x] * 3), jax.device_get(policy.params))
    monkeypatch.setattr(on_chip, "trained", lambda *_: (params, history))
    config = config_of.get_config("smoke").to_dict()
    workdirs = [Workdir(tmp_path / name, config) for name in "abc"]
    for workdir in workdirs:
        workdir.stage("student", [], [], lambda folder: None)
    with pytest.raises(NonFiniteUpdateError, match=r"1 of 3 runs .*/b in iteration 3; the others"):
        on_chip.learn_members(workdirs, [], policy, "student")
    made = [(workdir.path / "stages" / "learned").exists() for workdir in workdirs]
    assert made == [True, False, True]
    assert len(read_metrics(tmp_path / "c" / METRICS_FILE, "learned/learn")) == 3
