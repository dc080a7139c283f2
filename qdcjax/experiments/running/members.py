"""Runs within a run: each has a folder of its own, and what they share is made once."""

import dataclasses
import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from qdcjax.files import read_json
from qdcjax.training.processes import is_writer, wait_for_all
from qdcjax.workdir import RECORD, Workdir


@dataclasses.dataclass(frozen=True)
class Member:
    """One of the runs.

    Attributes:
      name: of its folder.
      config: resolved.
    """

    name: str
    config: Mapping[str, Any]


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


def run_members(workdir: Workdir, opened: Mapping[str, Workdir]) -> dict[str, dict[str, float]]:
    """Runs them one after another; member → its summary. Their times become the run's."""
    summaries = {}
    for number, (name, member) in enumerate(opened.items()):
        if is_writer():
            print(f"member {number + 1} of {len(opened)}: {name}", file=sys.stderr, flush=True)
        summaries[name] = study_of(member.config).run(member.config, member)
        workdir.seconds[name] = sum(member.seconds.values())
    return summaries


def stages_of(folder: Path) -> set[str]:
    """The stages of a run, whole or begun."""
    records = (folder / "stages").glob(f"*/{RECORD}")
    return {record.parent.name.removesuffix(".partial") for record in records}
