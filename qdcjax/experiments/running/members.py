"""Runs within a run: each has a folder of its own, and what they share is made once."""

import dataclasses
import importlib
import os
import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import jax

from qdcjax.experiments.running.workers import ready, run_at_once
from qdcjax.files import read_json
from qdcjax.training.processes import is_writer, wait_for_all
from qdcjax.workdir import RECORD, TURNS, Workdir


@dataclasses.dataclass(frozen=True)
class Member:
    """One of the runs.

    Attributes:
      name: of its folder.
      config: resolved.
      after: names of those that it goes on from.
    """

    name: str
    config: Mapping[str, Any]
    after: tuple[str, ...] = ()


def study_of(config: Mapping[str, Any]) -> ModuleType:
    """The module of `experiments` that a config runs."""
    return importlib.import_module(f"qdcjax.experiments.{config['study']}")


def folder_of(path: Path, name: str) -> Path:
    """Where a member of the run at `path` lies."""
    return path / "members" / name


def open_members(workdir: Workdir, members: Sequence[Member]) -> dict[str, Workdir]:
    """The members' folders; each takes over the stages that another one has made already.

    What is to be made anew is so in the members that have it.

    Args:
      workdir: of the run that they belong to, with its `config.json`.
      members: with different names.

    Raises:
      ValueError: no member has such a stage.
    """
    recorded = read_json(workdir.path / "config.json")
    facts = {name: value for name, value in recorded.items() if name != "config"}
    folders = {member.name: folder_of(workdir.path, member.name) for member in members}
    redo = set(filter(None, workdir.redo_in_members.split(",")))
    asked = {name: stages_of(folder) & redo for name, folder in folders.items()}
    for stage in sorted(redo - set().union(*asked.values())):
        raise ValueError(f"redo={stage!r} is no stage of any member of {workdir.path}")
    opened = {}
    for member in members:
        folder = folders[member.name]
        siblings = [other for other in folders.values() if other != folder]
        again = ",".join(asked[member.name])
        opened[member.name] = Workdir(folder, member.config, again, siblings)
        opened[member.name].record_config(facts)
    wait_for_all("the members' folders are there")
    return opened


def run_members(
    workdir: Workdir,
    opened: Mapping[str, Workdir],
    after: Mapping[str, Collection[str]] | None = None,
) -> dict[str, dict[str, float]]:
    """Runs them; member → its summary. Their times become the run's.

    On CPU as many run at a time as `workdir` has workers, where the system shares out its cores;
    a first one that all others wait for has them all.

    Args:
      workdir: of the run that they belong to.
      opened: members in order.
      after: member → those that it goes on from. By default each goes on from the one before.
    """
    one = len(opened) == 1 or workdir.workers == 1 or jax.process_count() > 1
    if one or jax.default_backend() != "cpu" or cores() == 1:
        after = None
    ran = {}
    for number, (name, member) in enumerate(opened.items(), start=1):
        if after is not None and ready(opened.keys() - ran.keys(), after, ran) != [name]:
            break  # it is not what all others wait for
        if is_writer():
            print(f"member {number} of {len(opened)}: {name}", file=sys.stderr, flush=True)
        ran[name] = run_member(member)
    left = {name: member for name, member in opened.items() if name not in ran}
    if left:
        ran |= run_at_once(run_member, left, after, workdir.workers, list(ran))
    for name, (_, seconds) in ran.items():
        opened[name].seconds = seconds
        workdir.seconds[name] = sum(seconds.values())
    if is_writer():
        shutil.rmtree(folder_of(workdir.path, TURNS), ignore_errors=True)
    return {name: ran[name][0] for name in opened}


def cores() -> int:
    """How many cores can be shared out; one where the system pins no process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def run_member(member: Workdir) -> tuple[dict[str, float], dict[str, float]]:
    """A member's summary, and the seconds of its stages."""
    return study_of(member.config).run(member.config, member), member.seconds


def stages_of(folder: Path) -> set[str]:
    """The stages of a run, whole or begun."""
    records = (folder / "stages").glob(f"*/{RECORD}")
    return {record.parent.name.removesuffix(".partial") for record in records}
