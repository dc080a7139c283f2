"""Launch scripts, with stand-ins for what they call; that for one machine has its own tests."""

import json
import os
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import runs

SCRIPTS = sorted((runs.ROOT / "launch").iterdir())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_begins_with_the_command_that_runs_it(script):
    lines = script.read_text().splitlines()
    command = next(line for line in lines if not line.startswith("#!"))
    assert command.startswith("#     ") and f"launch/{script.name}" in command
    assert "--config=configs/" in command


@pytest.mark.parametrize("script", [s for s in SCRIPTS if s.suffix == ".sh"], ids=lambda s: s.name)
def test_a_script_is_one_that_bash_reads(script):
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert script.stat().st_mode & 0o111, "executable"


@pytest.mark.parametrize("script", ["tpu_pod.sh", "gke.sh"])
def test_what_a_script_needs_is_named_in_one_line(script):
    done = subprocess.run(
        [str(runs.ROOT / "launch" / script)], env={"PATH": "/usr/bin:/bin"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode and done.stderr.count("\n") == 1 and "must be" in done.stderr


# Records its arguments, keeps a copy of a file that it is to send, and exits as it is told.
STAND_IN = """#!{python}
import json, os, pathlib, shutil, sys
folder = pathlib.Path(__file__).parent
with (folder / "calls").open("a") as calls:
    calls.write(json.dumps(["{name}", *sys.argv[1:]]) + chr(10))
for argument in filter(os.path.isfile, sys.argv[1:]):
    shutil.copy(argument, folder / "sent")
sys.exit(int(os.environ.get("{name}_code", "0")))
"""
OPTIONS = (
    "--config=configs/sft.py:llama2_7b",
    "--config.task.data=a folder",
    "--workdir=/shared/7b",
)
RUN = ["-m", "qdcjax.main", *OPTIONS, "--distributed=auto"]


@pytest.fixture
def launch(tmp_path):
    """`launch(script, arguments, settings)`: the exit code, and the calls of the stand-ins."""
    for name in ("xpk", "docker", "gcloud", "srun", "scontrol"):
        file = tmp_path / name
        file.write_text(STAND_IN.format(python=sys.executable, name=name))
        file.chmod(0o755)

    def launch(script: str, arguments: list[str], settings: Mapping[str, str]):
        path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
        command = [str(runs.ROOT / "launch" / script), *arguments]
        done = subprocess.run(command, env={**os.environ, **settings, "PATH": path}, check=False)
        calls = tmp_path / "calls"
        lines = calls.read_text().splitlines() if calls.exists() else []
        return done.returncode, [json.loads(line) for line in lines]

    return launch


GKE = {"CLUSTER": "c", "ZONE": "z", "IMAGE": "registry/q", "TYPE": "v5litepod-256", "STORAGE": "s"}


@pytest.mark.parametrize("dry", [True, False])
def test_gke_queues_a_workload(launch, dry):
    code, calls = launch("gke.sh", ["llama", *OPTIONS], GKE | {"DRY_RUN": "1" if dry else ""})
    assert code == 0
    *images, (tool, *arguments) = calls
    assert [call[:2] for call in images] == (
        [] if dry else [["docker", "build"], ["docker", "push"]]
    )
    assert all(any("registry/q" in part for part in call) for call in images)
    assert tool == "xpk" and arguments[:2] == ["workload", "create"]
    flags = dict(flag.removeprefix("--").partition("=")[::2] for flag in arguments[2:])
    assert shlex.split(flags.pop("command")) == ["exec", "python", *RUN]
    assert flags.pop("max-restarts") == "100"
    assert flags.pop("termination-grace-period-seconds") == "300", "a large save takes its time"
    named = {"cluster": "c", "zone": "z", "device-type": "v5litepod-256", "storage": "s"}
    dry_flags = {"dry-run": "", "skip-validation": ""} if dry else {}
    assert flags == {"workload": "llama", "docker-image": "registry/q", **named, **dry_flags}


def test_gke_queues_nothing_when_the_image_cannot_be_built(launch):
    code, calls = launch("gke.sh", ["llama", *OPTIONS], GKE | {"DRY_RUN": "", "docker_code": "3"})
    assert code == 3 and [call[0] for call in calls] == ["docker"]


def test_a_tpu_pod_gets_the_last_commit_and_runs_it_on_all_workers(launch, tmp_path):
    code, (copy, install, run) = launch("tpu_pod.sh", list(OPTIONS), {"TPU": "pod", "ZONE": "z"})
    assert code == 0
    for call, verb in ((copy, "scp"), (install, "ssh"), (run, "ssh")):
        assert call[:5] == ["gcloud", "compute", "tpus", "tpu-vm", verb]
        assert "--worker=all" in call and "--zone=z" in call
    assert copy[6] == "pod:qdcjax.tar.gz" and not Path(copy[5]).exists(), "cleaned up"
    with tarfile.open(tmp_path / "sent") as archive:
        assert {"pyproject.toml", "qdcjax/main.py", "configs/sft.py"} <= set(archive.getnames())
    installed, started = (call[-1].removeprefix("--command=") for call in (install, run))
    subprocess.run(["bash", "-n", "-c", installed], check=True)
    assert "-xzf qdcjax.tar.gz" in installed and "-e '.[tpu]'" in installed
    assert shlex.split(started) == ["cd", "qdcjax", "&&", ".venv/bin/python", *RUN]


def test_a_tpu_pod_that_cannot_be_reached_runs_nothing(launch):
    settings = {"TPU": "pod", "ZONE": "z", "gcloud_code": "2"}
    code, calls = launch("tpu_pod.sh", list(OPTIONS), settings)
    assert code == 2 and len(calls) == 1


@pytest.mark.parametrize(("code", "again"), [(0, False), (1, False), (143, True)])
def test_slurm_queues_again_what_stopped_after_a_save(launch, code, again):
    settings = {"SLURM_JOB_ID": "77", "srun_code": str(code)}
    found, calls = launch("slurm.sh", list(OPTIONS), settings)
    assert found == code
    assert calls[0] == ["srun", "--kill-on-bad-exit=1", "python", *RUN]
    assert calls[1:] == ([["scontrol", "requeue", "77"]] if again else [])
