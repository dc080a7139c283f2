"""Jobs of several processes: turns, cores, errors, and what is left when one is killed."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from qdcjax.experiments.running.workers import run_at_once
from qdcjax.training.loop import Preempted

PATIENCE = 60  # seconds


def wait_until(true) -> None:
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < PATIENCE
        time.sleep(0.01)


def alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]
    return False


# The jobs: each is given a folder and what it needs there.


def meet(given) -> tuple[set[int], int]:
    """Ends when the other one has begun too; its cores and its process."""
    folder, name, other = given
    (folder / name).touch()
    wait_until((folder / other).exists)
    return os.sched_getaffinity(0), os.getpid()


def follow(given) -> list[str]:
    """The names of those that have ended."""
    folder, name = given
    before = sorted(path.name for path in folder.iterdir())
    (folder / name).touch()
    return before


def speak(given) -> None:
    print("half a ", end="")
    print("line\nand one more")
    print("a warning", file=sys.stderr)


class CannotBePickledError(ValueError):
    def __init__(self, one, other):
        super().__init__(f"{one} and {other}")


def fail_or_wait(given) -> None:
    folder, failure = given
    if failure is None:
        (folder / "pid.half").write_text(str(os.getpid()))
        (folder / "pid.half").rename(folder / "pid")
        time.sleep(PATIENCE)
    wait_until((folder / "pid").exists)
    if failure == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    raise ValueError("no such thing") if failure == "told" else CannotBePickledError(1, 2)


def save_or_wait(given) -> None:
    """As a training does: SIGTERM asks for a stop, which comes after a save. One does not train."""
    folder, name = given
    if name == "trains":
        told = []
        signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    (folder / name).touch()
    wait_until(lambda: name == "trains" and told)
    (folder / "saved").touch()
    raise Preempted(143)


def wait_together(folder: Path) -> None:
    run_at_once(fail_or_wait, {"one": (folder, None), "two": (folder, None)}, {}, 2)


def test_two_run_at_a_time_each_on_its_own_core(tmp_path):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    given = {"one": (tmp_path, "one", "two"), "two": (tmp_path, "two", "one")}
    found = run_at_once(meet, given, {}, 2)
    assert list(sorted(found)) == ["one", "two"]
    (cores, process), (other_cores, other) = found.values()
    assert not cores & other_cores and process != other
    assert cores | other_cores == os.sched_getaffinity(0)


def test_each_comes_after_those_that_it_goes_on_from(tmp_path):
    given = {name: (tmp_path, name) for name in ("last", "second", "first")}
    after = {"last": ("second", "first"), "second": ("first",)}
    found = run_at_once(follow, given, after, 2)
    assert found == {"first": [], "second": ["first"], "last": ["first", "second"]}


def test_what_can_never_begin_is_told(tmp_path):
    with pytest.raises(ValueError, match="go on from"):
        run_at_once(follow, {"one": (tmp_path, "one")}, {"one": ("three",)}, 2)


def test_lines_bear_the_name_of_who_writes_them(capfd):
    run_at_once(speak, {"one": None, "two": None}, {"two": ("one",)}, 2)
    said, warned = capfd.readouterr()
    lines = ["half a line", "and one more"]
    assert said.splitlines() == [f"{name}: {line}" for name in ("one", "two") for line in lines]
    assert warned.splitlines() == [
        "member 1 of 2: one", "one: a warning", "member 2 of 2: two", "two: a warning"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("failure", "kind", "words"),
    [
        ("told", ValueError, "^no such thing"),
        ("killed", ChildProcessError, "member two: its process ended with -9; if memory ran out"),
        ("cannot be pickled", RuntimeError, "^CannotBePickledError: 1 and 2"),
    ],
)
def test_an_error_ends_the_others(tmp_path, failure, kind, words):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    given = {"one": (tmp_path, None), "two": (tmp_path, failure)}
    with pytest.raises(kind, match=words) as raised:
        run_at_once(fail_or_wait, given, {}, 2)
    assert not alive(int((tmp_path / "pid").read_text()))
    if failure != "killed":
        assert "in fail_or_wait" in raised.value.__notes__[0], "the traceback is told"


def test_sigterm_lets_those_that_train_save(tmp_path):
    before = signal.getsignal(signal.SIGTERM)

    def stop() -> None:
        wait_until(lambda: all((tmp_path / name).exists() for name in names))
        os.kill(os.getpid(), signal.SIGTERM)

    names = ("trains", "samples")[: len(os.sched_getaffinity(0))]
    given = {name: (tmp_path, name) for name in (*names, "later")}
    threading.Thread(target=stop, daemon=True).start()
    with pytest.raises(Preempted):
        run_at_once(save_or_wait, given, {}, 2)
    assert (tmp_path / "saved").exists()
    assert not (tmp_path / "later").exists(), "nothing new begins"
    assert signal.getsignal(signal.SIGTERM) is before


def test_they_end_with_the_process_that_started_them(tmp_path):
    parent = multiprocessing.get_context("spawn").Process(target=wait_together, args=(tmp_path,))
    parent.start()
    wait_until((tmp_path / "pid").exists)
    pid = int((tmp_path / "pid").read_text())
    assert alive(pid)
    parent.kill()
    wait_until(lambda: not alive(pid))
