"""Several processes train and sample as one: the same figures, one writer, shared checkpoints."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
import runs

from qdcjax.training import processes

SORM, SFT = "configs/sorm.py:smoke", "configs/sft.py:smoke"
SHORT = ("--config.reward.seeds=(0,)", "--config.evaluation.splits=('test',)")
TWO = {"launch": runs.TWO_PROCESSES, "devices": 1}
ONE = {"devices": 2}


def summary(workdir: Path) -> dict[str, float]:
    return json.loads((workdir / "summary.json").read_text())


def logged(workdir: Path) -> list[dict]:
    """Records of the log without their speeds."""
    records = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in r.items() if k != "elements_per_second"} for r in records]


def without_means(records: list[dict], stage: str) -> list[dict]:
    """Of that stage only validations: its means are those since the last start, if it was cut."""
    return [r for r in records if r["stage"] != stage or "validation_loss" in r]


@pytest.fixture(scope="module")
def on_two_devices(tmp_path_factory):
    """The whole run, in one process with two devices."""
    workdir = tmp_path_factory.mktemp("one") / "run"
    runs.run(SORM, workdir, *SHORT, **ONE)
    return workdir


def struck(config: str, workdir: Path, *options: str, **launched) -> None:
    """Begins a run that SIGTERM ends while its student learns."""
    saved = workdir / "checkpoints" / "student" / "75"  # whole once it has this name
    code, said = runs.strike(config, workdir, saved.exists, signal.SIGTERM, *options, **launched)
    assert code == 143 and said.count("stopped by SIGTERM") == 1, said[-2000:]
    assert not (workdir / "stages" / "student").exists()


@pytest.mark.slow
def test_a_run_of_two_processes_goes_on_in_one(on_two_devices, tmp_path):
    workdir = tmp_path / "run"
    struck(SORM, workdir, *SHORT, **TWO)
    runs.run(SORM, workdir, *SHORT, **ONE)
    assert (workdir / "summary.json").read_bytes() == (on_two_devices / "summary.json").read_bytes()
    ours, theirs = logged(workdir), logged(on_two_devices)
    assert [(r["stage"], r["step"]) for r in ours] == [(r["stage"], r["step"]) for r in theirs]
    assert without_means(ours, "student") == without_means(theirs, "student")
    assert len(without_means(ours, "student")) >= 5
    assert {len(list(f.glob("events*"))) for f in (workdir / "tensorboard").iterdir()} == {1, 2}


@pytest.mark.slow
def test_a_run_of_one_process_goes_on_in_two(on_two_devices, tmp_path):
    """The student's study, whose figures are among those of the one that goes on from it."""
    workdir, short = tmp_path / "run", SHORT[1]
    struck(SFT, workdir, short, **ONE)
    done = runs.run(SFT, workdir, short, **TWO)
    assert done.stdout.count("summary.json") == 1, "one process speaks"
    ours, theirs = summary(workdir), summary(on_two_devices)
    assert len(ours) > 40 and ours == {name: theirs[name] for name in ours}
    ours, theirs = (
        [r for r in without_means(logged(w), "student") if r["stage"] == "student"]
        for w in (workdir, on_two_devices)
    )
    assert ours == theirs and len(ours) == 2


@pytest.mark.slow
def test_a_model_that_is_cut_over_processes_learns_what_it_does_in_one(tmp_path):
    """Along tensor both processes need all rows of a batch."""
    short = ("--config.sft.steps=10", "--config.sft.log_every=2", "--config.evaluation.questions=4")
    short += ("--config.evaluation.splits=('test',)",)
    mesh = ("--config.mesh.data=1", "--config.mesh.tensor=2")
    for name, launched in {"one": ONE, "two": TWO}.items():
        runs.run(SFT, tmp_path / name, *short, *mesh, **launched)
    one, two = logged(tmp_path / "one"), logged(tmp_path / "two")
    assert len(one) == 5 and one[-1]["loss"] < one[0]["loss"]
    assert one == two
    files = [tmp_path / name / "summary.json" for name in ("one", "two")]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.slow
def test_two_devices_learn_what_one_does(on_two_devices):
    """Up to rounding, which grows over the steps; the figures are those of the same study."""
    found, alone = (
        [
            record["loss"]
            for record in logged(workdir)
            if record["stage"] == "student" and "loss" in record
        ]
        for workdir in (on_two_devices, runs.finished("sorm"))
    )
    assert len(found) == 3 and found[0] > 1.5 and found[-1] < 0.6
    np.testing.assert_allclose(found, alone, atol=1e-3)
    assert summary(on_two_devices).keys() < summary(runs.finished("sorm")).keys()


@pytest.mark.slow
def test_an_error_ends_all_processes_with_a_line_each(tmp_path):
    done = runs.run(SORM, tmp_path / "run", "--config.mesh.data=3", check=False, **TWO)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 2 and all("mesh data=3" in line for line in lines), done.stderr


@pytest.mark.parametrize("where", ["here", "127.0.0.1,0,2", "127.0.0.1:1,0", "127.0.0.1:1,a,2"])
def test_an_address_of_another_form_is_named_in_one_line(where):
    with pytest.raises(ValueError, match=r"distributed=.* must be auto, or host:port") as caught:
        processes.initialize(where)
    assert where in str(caught.value)


def test_one_process_writes_and_waits_for_nobody():
    assert processes.is_writer()
    processes.wait_for_all("nobody")
    np.testing.assert_array_equal(processes.of_all_processes(np.arange(3)), np.arange(3))
