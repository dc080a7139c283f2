"""Expert iteration that is killed within a round and between two ends as a run that was not."""

import signal

import jax
import numpy as np
import pytest
import runs

from qdcjax.training.store import load_model

STUDY = "configs/expert_iteration.py:smoke"


@pytest.mark.slow
def test_killed_within_and_between_rounds_it_ends_as_the_unbroken_one(tmp_path):
    whole, workdir = runs.finished("expert_iteration"), tmp_path / "killed"
    stages = workdir / "stages"
    often = "--config.finetune.checkpoint_every=5"
    moments = {
        "within a round's fine-tuning": workdir / "checkpoints" / "round-1" / "5",
        "between two rounds": stages / "round-1",
        "as the next round samples": stages / "rollouts-2.partial" / "stage.json",
    }
    for moment in moments.values():
        code, said = runs.strike(STUDY, workdir, moment.exists, signal.SIGKILL, often)
        assert code == -signal.SIGKILL, said[-2000:]
        assert not (stages / "rollouts-2").exists()
    runs.run(STUDY, workdir, often)

    assert (workdir / "summary.json").read_bytes() == (whole / "summary.json").read_bytes()
    for name in ("round-1", "round-2"):
        ours, theirs = (load_model(w / "stages" / name).params for w in (workdir, whole))
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    ours, theirs = (runs.hashes(w / "stages") for w in (workdir, whole))
    tables = [name for name in theirs if name.startswith("rollouts") and name.endswith(".arrow")]
    assert len(tables) >= 2
    assert {name: ours.get(name) for name in tables} == {name: theirs[name] for name in tables}
