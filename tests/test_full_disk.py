"""A disk without room ends a run in one clear line, too."""

import functools
import os
import resource
import subprocess

import pytest
import runs

SFT = "configs/sft.py:smoke"
SAVES_SOON = ("--config.sft.checkpoint_every=5",)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kilobytes", [8, 16, 300])
def test_a_full_disk(tmp_path, kilobytes):
    """A file system of its own fills up: at the first files, the logs, the first checkpoint."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(tmp_path)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system can only be mounted by root")
    try:
        done = runs.run(SFT, tmp_path / "run", *SAVES_SOON, check=False)
        line = runs.the_error(done)
        assert str(tmp_path) in line
        assert "No space left" in line or "ENOSPC" in line or "RESOURCE_EXHAUSTED" in line
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # the child only sets the limit
def test_a_limit_on_the_size_of_files(tmp_path):
    """As full as a disk, for one who is not root: no file may grow beyond 30 kB."""
    limit = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (30_000, 30_000))
    done = runs.run(
        SFT, tmp_path / "run", *SAVES_SOON, check=False, launch=runs.PYTHON, preexec_fn=limit
    )
    assert str(tmp_path) in runs.the_error(done)
