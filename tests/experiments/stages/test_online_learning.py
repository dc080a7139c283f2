"""On-line learning that is killed at any moment ends as a run that was not."""

import json
import shutil
import signal

import datasets
import jax
import numpy as np
import pytest
import runs

from qdcjax.experiments.stages.online_learning import ROLLOUTS
from qdcjax.reporting.metrics import read_metrics
from qdcjax.training.store import load_model

PPO = "configs/ppo.py:smoke"


@pytest.mark.slow
def test_killed_within_rollouts_policy_and_critic_it_ends_as_the_unbroken_one(tmp_path):
    whole, workdir = runs.finished("ppo"), tmp_path / "killed"
    shutil.copytree(whole, workdir)  # the student is there
    # Saved at other steps than the unbroken run's, also within an iteration.
    often = ("--config.learn.checkpoint_every=3", "--config.critic.checkpoint_every=5")
    parts = workdir / "stages" / "learned.partial" / "rollouts"
    saved = workdir / "checkpoints" / "learned"

    def strike(when, number: signal.Signals, *options: str) -> None:
        code, said = runs.strike(PPO, workdir, when, number, *often, *options)
        assert code == (143 if number == signal.SIGTERM else -number), said[-2000:]

    strike((saved / "learn" / "3").exists, signal.SIGKILL, "--redo=learned")
    assert not (parts / "part-00001").exists()
    strike((parts / "part-00001").exists, signal.SIGKILL)
    strike((saved / "critic" / "5").exists, signal.SIGTERM)
    runs.run(PPO, workdir, *often)

    assert (workdir / "summary.json").read_bytes() == (whole / "summary.json").read_bytes()
    ours, theirs = (load_model(w / "stages" / "learned").params for w in (workdir, whole))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    for part in sorted((whole / "stages" / "learned" / "rollouts").iterdir()):
        again = workdir / part.relative_to(whole)
        assert datasets.load_from_disk(str(again))[:] == datasets.load_from_disk(str(part))[:]
    assert watched(workdir) == watched(whole)
    assert not (workdir / "checkpoints" / "learned").exists()


def watched(workdir) -> list[dict]:
    """Records of the rollouts without times."""
    records = read_metrics(workdir / "metrics.jsonl", ROLLOUTS)
    return [{k: v for k, v in r.items() if not k.endswith("_second") and "seconds" not in k}
            for r in records]  # fmt: skip


@pytest.mark.slow
def test_each_iteration_s_rollouts_have_what_learning_needs():
    workdir = runs.finished("ppo")
    records = watched(workdir)
    assert [record["step"] for record in records] == [1, 2, 3]
    assert abs(records[0]["kl"]) < 1e-5 < abs(records[-1]["kl"]), "the first policy is the start"
    seen = []
    for part in sorted((workdir / "stages" / "learned" / "rollouts").iterdir()):
        table = datasets.load_from_disk(str(part))
        seen += dict.fromkeys(table["problem_id"])
        for name in ("sampled", "log_probs", "rewards", "reference", "values"):
            assert [len(x) for x in table[name]] == [len(x) for x in table["tokens"]], name
        totals = [sum(reward) for reward in table["rewards"]]
        assert totals == [float(right) for right in table["correct"]]
    assert len(seen) == len(set(seen)) == 24, "each question once before any comes again"
    pieces = {f"{of}_seconds" for of in ("generation", "grading", "scoring", "learning")}
    for record in read_metrics(workdir / "metrics.jsonl", ROLLOUTS):
        assert set(record) >= pieces | {"explained_variance"}
        tokens = record["generation_tokens_per_second"] * record["generation_seconds"]
        assert tokens == pytest.approx(record["tokens"] * 32)


@pytest.mark.slow
def test_updates_and_the_critic_are_logged_once_an_iteration():
    records = [
        json.loads(line)
        for line in (runs.finished("ppo") / "metrics.jsonl").read_text().splitlines()
    ]
    for section in ("learn", "critic"):
        steps = [r["step"] for r in records if r["stage"] == f"learned/{section}"]
        assert steps == [4, 8, 12]
    first = next(r for r in records if r["stage"] == "learned/learn")
    assert 0 <= first["clip_fraction"] < 0.2 and first["update_kl"] > 0
