"""Launch scripts; the one for one machine is run by test_processes.py."""

import subprocess

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
