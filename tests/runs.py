"""Whole runs from their command lines, each in a process of its own.

The finished smoke runs are made once and shared by all test files and all of pytest's workers:
treat them as read-only, and copy one before changing it.
"""

import contextlib
import hashlib
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import datasets
import filelock

ROOT = Path(__file__).resolve().parents[1]
SLOWEST = 600  # seconds, for a cold compilation cache on a slow machine

# The folder of what is made once. pytest's first process makes it, tells its workers by the
# environment, and removes it when the tests end.
if "QDCJAX_TEST_RUNS" not in os.environ:
    _home = tempfile.TemporaryDirectory(prefix="qdcjax-runs-")
    os.environ["QDCJAX_TEST_RUNS"] = _home.name
HOME = Path(os.environ["QDCJAX_TEST_RUNS"])

# A member of a program has the bits of the same run alone where both are compiled with the emitters
# and the first passes.
TO_THE_BIT = "--xla_backend_optimization_level=1"

# What a fork need not import: the program, studies whose modules are nearly all, and what a run
# with votes comes to import.
STUDIES = ("sorm", "rl_comparison", "rcrl", "on_chip", "pretrain")
IMPORTED = ["qdcjax.main", *(f"qdcjax.experiments.{study}" for study in STUDIES), "scipy.signal"]

PYTHON = (sys.executable, "-m", "qdcjax.main")
TWO_PROCESSES = (str(ROOT / "launch" / "processes.sh"), "2")


def command(config: str | None, workdir: Path, *options: str, launch: Sequence[str]) -> list[str]:
    """The command line of a run; the compilation cache is that of all tests."""
    return [
        *launch,
        *([] if config is None else [f"--config={config}"]),
        f"--workdir={workdir}",
        f"--compilation_cache={os.environ['JAX_COMPILATION_CACHE_DIR']}",
        *options,
    ]


def run(
    config: str | None,
    workdir: Path,
    *options: str,
    launch: Sequence[str] = (),
    devices: int = 1,
    check: bool = True,
    **settings,
) -> subprocess.CompletedProcess:
    """Runs a study to its end.

    Args:
      config, workdir, options: of the command line.
      launch: how its processes are started; by none it is a fork of a process that has imported
        all, which a process of its own does for three seconds.
      devices: that each of them sees.
      check: whether it must succeed.
      settings: Popen's own, of a run that is launched.

    Raises:
      AssertionError: it failed, and `check` is set.
    """
    with tempfile.TemporaryDirectory() as folder:
        process = _start(config, workdir, options, launch, devices, Path(folder), **settings)
        try:
            code = process.wait(timeout=SLOWEST)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        said = [(Path(folder) / name).read_text() for name in ("stdout", "stderr")]
    assert not check or code == 0, f"{config} {options}:\n{said[1][-3000:]}"
    return subprocess.CompletedProcess([config, *options], code, *said)


def _start(
    config: str | None,
    workdir: Path,
    options: Sequence[str],
    launch: Sequence[str],
    devices: int,
    said: Path,
    **settings,
) -> "subprocess.Popen | _Fork":
    """Starts a run whose output goes to the files `stdout` and `stderr` of a folder."""
    if not launch:
        assert not settings
        argv = command(config, workdir, *options, launch=["main"])
        return _Fork(argv, devices, _xla_flags(config), said)
    with (said / "stdout").open("w") as stdout, (said / "stderr").open("w") as stderr:
        return subprocess.Popen(
            command(config, workdir, *options, launch=launch),
            cwd=ROOT,
            env={**environment(devices), "XLA_FLAGS": _xla_flags(config)},
            stdout=stdout,
            stderr=stderr,
            **settings,
        )


def _xla_flags(config: str | None) -> str:
    """How a study's programs are compiled."""
    return TO_THE_BIT if config and "on_chip" in config else os.environ["XLA_FLAGS"]


class _Fork:
    """A run in a fork of a process that has imported all; the methods are Popen's."""

    def __init__(self, argv: list[str], devices: int, xla_flags: str, said: Path):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(IMPORTED)
        files = [said / name for name in ("stdout", "stderr")]
        self._process = context.Process(target=_as_program, args=(argv, devices, xla_flags, *files))
        self._process.start()

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        self._process.join(timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout)
        return self.poll()

    def kill(self) -> None:
        self._process.kill()

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self._process.pid, number)


def _as_program(argv: list[str], devices: int, xla_flags: str, stdout: Path, stderr: Path) -> None:
    import jax
    from absl import app

    from qdcjax import main

    os.environ["XLA_FLAGS"] = xla_flags
    jax.config.update("jax_num_cpu_devices", devices)
    for number, file in ((1, stdout), (2, stderr)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    sys.argv = argv
    app.run(main.main, argv=argv, flags_parser=main.parse_flags)


def the_error(done: subprocess.CompletedProcess) -> str:
    """The one line of error, the last of all; nothing else is said of it."""
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in done.stderr.splitlines()]
    assert done.returncode == 1, done.stderr[-2000:]
    assert "Traceback" not in done.stderr, done.stderr[-4000:]
    assert [line.startswith("error: ") for line in lines].count(True) == 1, lines[-5:]
    assert lines[-1].startswith("error: "), lines[-5:]
    assert len(lines[-1]) < 600
    return lines[-1]


def strike(
    config: str,
    workdir: Path,
    when: Callable[[], bool],
    number: signal.Signals,
    *options: str,
    launch: Sequence[str] = (),
    devices: int = 1,
) -> tuple[int, str]:
    """Starts a run, sends it a signal as soon as `when()` holds; (exit code, standard error)."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        process = _start(config, workdir, options, launch, devices, Path(folder))
        stack.callback(process.kill)
        assert not when(), f"the moment came before the run: {workdir}"
        began = time.monotonic()
        while not when():
            assert process.poll() is None, f"the run ended before the moment came: {workdir}"
            assert time.monotonic() - began < SLOWEST, f"the moment never came: {workdir}"
            time.sleep(0.002)
        process.send_signal(number)
        return process.wait(timeout=SLOWEST), (Path(folder) / "stderr").read_text()


def environment(devices: int) -> dict[str, str]:
    """This process's environment, with so many CPU devices and this Python first on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ours = {"JAX_NUM_CPU_DEVICES": str(devices), "PATH": path}
    return {**os.environ, **ours}


def made_once(name: str, make: Callable[[Path], object]) -> Path:
    """The folder of that name, filled by `make(folder)` of the first worker that asks for it."""
    folder = HOME / name
    with filelock.FileLock(f"{folder}.lock"):
        if not folder.with_suffix(".made").exists():
            make(folder)
            folder.with_suffix(".made").touch()
    return folder


def finished(study: str) -> Path:
    """The workdir of `configs/<study>.py:smoke`, run to its end once; `sorm` as a user runs it."""

    def make(workdir: Path) -> None:
        options = []
        if study == "evaluate":
            options = [f"--config.checkpoint={finished('sorm')}", "--config.reward_model=orm-0"]
        elif study == "refinement":
            options = [f"--config.checkpoint={finished('sorm')}"]
        launch = PYTHON if study == "sorm" else ()
        run(f"configs/{study}.py:smoke", workdir, *options, launch=launch)

    return made_once(study, make)


def table(workdir: Path, stage: str) -> datasets.Dataset:
    """A stage of a run that is a table."""
    parts = sorted((workdir / "stages" / stage).glob("part-*"))
    return datasets.concatenate_datasets([datasets.load_from_disk(str(part)) for part in parts])


def hashes(workdir: Path, without: tuple[str, ...] = ("error.log",)) -> dict[str, str]:
    """File → hash of its content, for all files of a workdir but some."""
    return {
        path.relative_to(workdir).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in _files(workdir)
        if path.name not in without
    }


def stage_times(workdir: Path) -> dict[str, int]:
    """File of a stage, from `stages` on → when it was last written, in ns."""
    stages = workdir / "stages"
    return {str(path.relative_to(stages)): path.stat().st_mtime_ns for path in _files(stages)}


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())
