"""Files of a run that a kill leaves whole or not at all: JSON, and parts of Arrow data sets."""

import contextlib
import fcntl
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets

from qdcjax.training.processes import is_writer


def read_json(path: Path) -> Any:
    """Reads a JSON file; one that is cut short is named in one line."""
    try:
        return json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON ({error}): delete it and run again") from error


def write_json(path: Path, value: Any) -> None:
    """Writes JSON so that a kill leaves either the old file or the new one."""
    half = path.with_name(path.name + ".half")
    half.write_text(json.dumps(value, indent=1) + "\n")
    os.replace(half, path)


def write_part(done: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Writes columns as an Arrow data set so that a kill leaves all of it or nothing."""
    if is_writer():
        half = done.with_suffix(".half")
        shutil.rmtree(half, ignore_errors=True)
        with quiet():
            datasets.Dataset.from_dict(dict(columns)).save_to_disk(half)
        os.replace(half, done)


class FolderInUseError(OSError):
    """Another process holds the folder."""


def hold(folder: Path) -> None:
    """Makes a folder this process's own until it ends, in whatever way it ends.

    Where the file system locks no folders, as some of clusters do, a line on stderr says so.

    Raises:
      FolderInUseError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        told = f"{folder}: another run is at work in it; wait for it, or stop it"
        raise FolderInUseError(told) from error
    except OSError as error:
        print(f"{folder} cannot be locked ({error}): start no other run in it", file=sys.stderr)


@contextlib.contextmanager
def in_turn(file: Path):
    """While entered, no other process is in it with the same file; waits until that is so.

    Where the file system locks nothing (`hold` has told so), there are no turns.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as opened:
        with contextlib.suppress(OSError):
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def link(made: str, new: str) -> None:
    """One file under two names; a copy where the file system has no such thing."""
    try:
        os.link(made, new)
    except OSError:
        shutil.copy2(made, new)


@contextlib.contextmanager
def quiet():
    """Without the data set library's own progress bars."""
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.enable_progress_bars()
