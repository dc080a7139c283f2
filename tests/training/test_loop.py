import gc
import json
import os
import signal
import subprocess
import sys
import time

import chex
import jax
import numpy as np
import pytest
import toy_run

from qdcjax.reporting.metrics import read_metrics
from qdcjax.training import loop
from qdcjax.training.loop import NonFiniteUpdateError, Preempted


class KilledError(Exception):
    """Ends a run as a kill would, as far as the loop's own code goes."""


def kill_at(step):
    def before(asked):
        if asked == step:
            raise KilledError

    return before


def restarted(workdir):
    """Runs to the end; the state and the first step that was asked for."""
    asked = []
    return toy_run.run(workdir, asked.append), asked[0]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("unbroken")
    return jax.device_get(toy_run.run(workdir)), read_metrics(workdir / "metrics.jsonl", "toy")


@pytest.fixture(scope="module")
def signalled(tmp_path_factory):
    """Workdir and exit code of a process that got a signal as step 6 began."""
    runs = {}
    for name in ("SIGKILL", "SIGTERM"):
        folder = tmp_path_factory.mktemp(name)
        command = [sys.executable, toy_run.__file__, str(folder), name, "6"]
        runs[name] = folder, subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    return {name: (folder, *p.communicate(timeout=120), p.returncode)
            for name, (folder, p) in runs.items()}  # fmt: skip


def assert_same_end(state, unbroken):
    """Parameters, moments, counts and step, bit for bit."""
    chex.assert_trees_all_equal(jax.device_get(state), unbroken[0])


def test_the_run_learns_and_its_end_is_known(unbroken):
    state, records = unbroken
    assert int(state.step) == toy_run.STEPS
    assert records[-1]["loss"] < 0.8 * records[0]["loss"]


# Checkpoints are at 4, 8 and 12 steps done: before the first, at an edge, beside it, at the end.
@pytest.mark.parametrize(("killed_at", "goes_on_at"), [(2, 0), (4, 4), (5, 4), (8, 8), (11, 8)])
def test_a_killed_run_ends_as_the_unbroken_one(tmp_path, unbroken, killed_at, goes_on_at):
    with pytest.raises(KilledError):
        toy_run.run(tmp_path, kill_at(killed_at))
    state, first = restarted(tmp_path)
    assert first == goes_on_at
    assert_same_end(state, unbroken)


def test_a_run_killed_thrice_ends_as_the_unbroken_one(tmp_path, unbroken):
    for step in (5, 6, 9):
        with pytest.raises(KilledError):
            toy_run.run(tmp_path, kill_at(step))
    assert_same_end(restarted(tmp_path)[0], unbroken)


def test_a_finished_run_does_no_step_again(tmp_path, unbroken):
    toy_run.run(tmp_path)
    state = toy_run.run(tmp_path, kill_at(0))
    assert_same_end(state, unbroken)


def test_a_process_that_was_killed_ends_as_the_unbroken_one(signalled, unbroken):
    folder, _, _, code = signalled["SIGKILL"]
    assert code == -signal.SIGKILL
    state, first = restarted(folder)
    # The save of step 4 is written in the background; a kill may come before it is whole.
    assert first in (0, 4)
    assert_same_end(state, unbroken)


def test_sigterm_saves_where_it_came_and_exits_with_143(signalled, unbroken):
    folder, _, errors, code = signalled["SIGTERM"]
    assert code == 128 + signal.SIGTERM == 143
    assert "Traceback" not in errors
    assert [path.name for path in (folder / "checkpoints/toy").iterdir()].count("7") == 1
    state, first = restarted(folder)
    assert first == 7
    assert_same_end(state, unbroken)


@pytest.mark.parametrize("step", [3, 4])  # step 3 ends at a checkpoint of its own
def test_sigterm_leaves_the_handler_as_it_was(tmp_path, unbroken, step):
    def before(asked):
        if asked == step:
            os.kill(os.getpid(), signal.SIGTERM)

    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Preempted) as caught:
        toy_run.run(tmp_path, before)
    assert caught.value.code == 143 and signal.getsignal(signal.SIGTERM) is handler
    state, first = restarted(tmp_path)
    assert first == step + 1
    assert_same_end(state, unbroken)


def test_records_are_means_over_the_steps_since_the_last(unbroken):
    records = unbroken[1]
    assert [record["step"] for record in records] == [5, 10, 12]
    assert [record["number"] for record in records] == [2.0, 7.0, 10.5]
    assert all(record["elements"] == 4 and record["elements_per_second"] > 0 for record in records)


def test_metrics_are_fetched_one_step_late(tmp_path, monkeypatch):
    """While the devices work on a step, the host waits for the one before."""
    order = []

    def update(state, batch, key):
        order.append(("dispatched", int(batch["number"][0])))
        return toy_run.UPDATE(state, batch, key)

    settle = loop._settle

    def settled(*args):
        if args[-1] is not None:
            order.append(("fetched", args[-1].step))
        settle(*args)

    monkeypatch.setattr(loop, "_settle", settled)
    toy_run.run(tmp_path, update=update, steps=4, log_every=4, checkpoint_every=4)
    sent, got = ([(what, step) for step in range(4)] for what in ("dispatched", "fetched"))
    assert order == [sent[0], sent[1], got[0], sent[2], got[1], sent[3], got[2], got[3]]


def test_the_collector_leaves_what_was_there_before_alone(tmp_path):
    kept = []
    toy_run.run(tmp_path, lambda step: kept.append(gc.get_freeze_count()))
    assert min(kept) > 10_000 and gc.get_freeze_count() == 0


def test_the_speed_leaves_out_compiling_evaluating_and_saving(tmp_path):
    """Twelve quick steps, of which the first takes a second, beside slow evaluations."""

    def update(state, batch, key):
        if state.step == 0:
            time.sleep(1)
        return state.replace(step=state.step + 1), {"loss": 1.0, "finite": True, "elements": 8.0}

    def evaluate(params):
        time.sleep(0.5)
        return {"evaluated": 1.0}

    toy_run.run(tmp_path, update=update, evaluate=evaluate, evaluate_every=2, log_every=12)
    records = read_metrics(tmp_path / "metrics.jsonl", "toy")
    (speed,) = (r["elements_per_second"] for r in records if "elements_per_second" in r)
    assert speed > 11 * 8 / 0.4, "with evaluations it would be under 11 × 8 / 3"


def test_losses_are_those_of_a_run_by_hand(tmp_path, unbroken):
    seen = {}

    def update(state, batch, key):
        state, metrics = toy_run.UPDATE(state, batch, key)
        seen[int(batch["number"][0])] = {name: float(x) for name, x in metrics.items()}
        return state, metrics

    assert_same_end(toy_run.run(tmp_path, update=update), unbroken)
    for record, steps in zip(unbroken[1], (range(5), range(5, 10), range(10, 12)), strict=True):
        for name in ("loss", "gradient_norm"):
            expected = np.mean([seen[step][name] for step in steps])
            assert record[name] == pytest.approx(expected, rel=1e-6)


def test_evaluation_sees_the_parameters_of_its_step(tmp_path, unbroken):
    seen = []

    def evaluate(params):
        seen.append(jax.device_get(params))
        return {"evaluated": len(seen)}

    toy_run.run(tmp_path, evaluate=evaluate, evaluate_every=6)
    chex.assert_trees_all_equal(seen[1], unbroken[0].params)
    records = read_metrics(tmp_path / "metrics.jsonl", "toy")
    at = {record["step"]: record["evaluated"] for record in records if "evaluated" in record}
    assert at == {6: 1, 12: 2}


@pytest.mark.parametrize("step", [6, 7, 11])  # between checkpoints, at one, at the end
def test_a_non_finite_update_stops_the_run_and_names_the_batch(tmp_path, monkeypatch, step):
    def poisoned(batches, asked, whole=toy_run.Batches.__getitem__):
        batch = whole(batches, asked)
        if asked == step:
            batch["y"][1] = np.nan
        return batch

    monkeypatch.setattr(toy_run.Batches, "__getitem__", poisoned)
    with pytest.raises(NonFiniteUpdateError, match=f"stage toy, step {step}: loss nan") as caught:
        toy_run.run(tmp_path)
    assert "\n" not in str(caught.value) and "nonfinite.json" in str(caught.value)
    found = json.loads((tmp_path / "nonfinite.json").read_text())
    ids = [10 * step + row for row in range(4)]
    assert found == {"stage": "toy", "step": step, "ids": ids}
    monkeypatch.undo()
    state, first = restarted(tmp_path)
    assert first == step // 4 * 4, "a checkpoint was taken at or after the bad step"
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))


def test_memory_is_flat_over_200_steps(tmp_path):
    arrays = []

    def count(step):
        arrays.append(len(jax.live_arrays()))

    gc.collect()
    toy_run.run(tmp_path, count, steps=200, checkpoint_every=50)
    assert len(arrays) == 200
    # Minima, because a save under way holds a copy of the state for a moment.
    assert min(arrays[150:]) <= min(arrays[5:50])
