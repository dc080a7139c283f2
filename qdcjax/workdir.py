"""A run's folder: config, stages with done marks, summary and times.

A stage is made once. Its record holds the config fields that it read and the keys of the stages
before it; the same command reuses it, and a changed field stops the run with one line. A stage is
built in `stages/<name>.partial` and renamed when whole, so that a kill leaves nothing half true.
"""

import contextlib
import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets

RECORD = "stage.json"


class StageChangedError(ValueError):
    """The workdir's stage was made from other settings than the config's."""


class Workdir:
    """The folder of one run.

    Attributes:
      path: the folder.
      config: the resolved config as a plain nested dict.
      seconds: stage → seconds that it took to make, over all attempts.
    """

    def __init__(self, path: str | Path, config: Mapping[str, Any], redo: str = ""):
        """Opens or makes the folder.

        Args:
          path: where.
          config: resolved config; lists and tuples are the same to it.
          redo: a stage to make anew, with all after it.

        Raises:
          StageChangedError: another study's workdir.
          ValueError: `redo` names no stage that is there.
        """
        self.path = Path(path)
        self.config = json.loads(json.dumps(config))
        self.seconds: dict[str, float] = {}
        self._keys: dict[str, str] = {}
        (self.path / "stages").mkdir(parents=True, exist_ok=True)
        if (self.path / "config.json").exists():
            before = read_json(self.path / "config.json")["config"]
            if before["study"] != self.config["study"]:
                raise StageChangedError(
                    f"workdir {self.path} belongs to study={before['study']}, and the config says "
                    f"study={self.config['study']}; choose another --workdir"
                )
        if redo:
            self._remove_from(redo)

    def record_config(self, versions: Mapping[str, Any]) -> None:
        """Writes `config.json`: the config and what the run ran on."""
        write_json(self.path / "config.json", {"config": self.config, **versions})

    def stage(
        self, name: str, reads: Sequence[str], after: Sequence[str], make: Callable[[Path], None]
    ) -> Path:
        """The folder of a finished stage, made by `make(folder)` where it is not there yet.

        Args:
          name: of the stage.
          reads: config fields (dotted) that its result depends on.
          after: stages that it is made from.
          make: writes into the folder that it is given; called again with the same folder after
            a kill, where it may go on from what it finds.

        Raises:
          StageChangedError: one line that names the field that differs.
        """
        fields = {field: self._field(field) for field in reads}
        record = {"fields": fields, "after": {other: self._keys[other] for other in after}}
        key = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
        folder = self.path / "stages" / name
        partial = folder.with_name(f"{name}.partial")
        for found in (folder, partial):
            if (found / RECORD).exists():
                self._compare(name, read_json(found / RECORD), record)
        self._keys[name] = key
        if not (folder / RECORD).exists():
            partial.mkdir(exist_ok=True)
            if not (partial / RECORD).exists():
                write_json(partial / RECORD, {**record, "seconds": 0.0})
            with self._timed(partial):
                make(partial)
            os.replace(partial, folder)
            shutil.rmtree(self.path / "checkpoints" / name, ignore_errors=True)
        self.seconds[name] = read_json(folder / RECORD)["seconds"]
        return folder

    def table(
        self,
        name: str,
        reads: Sequence[str],
        after: Sequence[str],
        parts: Callable[[], Sequence[Any]],
        make: Callable[[Any], Mapping[str, Sequence[Any]]],
    ) -> datasets.Dataset:
        """A stage that is an Arrow data set, made part by part; a killed one goes on with the next.

        Args:
          name, reads, after: as for `stage`.
          parts: gives the pieces of work, the same ones at every call.
          make: piece → columns of its rows.
        """

        def write(folder: Path) -> None:
            for number, part in enumerate(parts()):
                done = folder / f"part-{number:05d}"
                if not done.exists():
                    half = done.with_suffix(".half")
                    shutil.rmtree(half, ignore_errors=True)
                    datasets.Dataset.from_dict(dict(make(part))).save_to_disk(half)
                    os.replace(half, done)

        with _quiet():
            folder = self.stage(name, reads, after, write)
            pieces = [datasets.load_from_disk(str(part)) for part in sorted(folder.glob("part-*"))]
            return datasets.concatenate_datasets(pieces)

    def write_summary(self, summary: Mapping[str, float]) -> None:
        """Writes `summary.json` (a function of config and seed alone) and `timings.json`.

        A figure that the run could not determine is null.
        """
        flat = {
            name: float(value) if math.isfinite(value) else None
            for name, value in sorted(summary.items())
        }
        write_json(self.path / "summary.json", flat)
        write_json(self.path / "timings.json", self.seconds)

    def _field(self, dotted: str) -> Any:
        value = self.config
        for part in dotted.split("."):
            if part not in value:
                raise KeyError(f"stage field {dotted!r} is not in the config")
            value = value[part]
        return value

    def _compare(self, name: str, found: dict, record: dict) -> None:
        """Raises on the first field or stage that differs."""
        old, new = _flat(found["fields"]), _flat(record["fields"])
        for field in [*new, *old]:
            if old.get(field, "nothing") != new.get(field, "nothing"):
                raise StageChangedError(
                    f"stage {name} in {self.path} was made with {field}="
                    f"{old.get(field, 'nothing')}, and the config says "
                    f"{new.get(field, 'nothing')}: use --redo={name} or another --workdir"
                )
        for other in {**record["after"], **found["after"]}:
            if record["after"].get(other) != found["after"].get(other):
                raise StageChangedError(
                    f"stage {name} in {self.path} was made from another {other}: use --redo={name}"
                )

    def _remove_from(self, redo: str) -> None:
        """Deletes a stage, its resume points and every stage made from it."""
        found = {}
        for folder in (self.path / "stages").iterdir():
            if (folder / RECORD).exists():
                found[folder.name.removesuffix(".partial")] = set(
                    read_json(folder / RECORD)["after"]
                )
        if redo not in found:
            known = ", ".join(sorted(found)) or "none"
            raise ValueError(f"redo={redo!r} is no stage of {self.path}; stages there: {known}")
        gone = {redo}
        while more := {name for name, after in found.items() if after & gone} - gone:
            gone |= more
        for name in gone:
            for folder in ("stages", "checkpoints"):
                for suffix in ("", ".partial"):
                    shutil.rmtree(self.path / folder / f"{name}{suffix}", ignore_errors=True)

    @contextlib.contextmanager
    def _timed(self, partial: Path):
        """Adds the time spent to the stage's record, also when it is cut short."""
        began = time.perf_counter()
        try:
            yield
        finally:
            record = read_json(partial / RECORD)
            record["seconds"] += time.perf_counter() - began
            write_json(partial / RECORD, record)


def read_json(path: Path) -> Any:
    """Reads a JSON file; one that is cut short is named in one line."""
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON ({error.msg} in line {error.lineno})") from error


def write_json(path: Path, value: Any) -> None:
    """Writes JSON so that a kill leaves either the old file or the new one."""
    half = path.with_name(path.name + ".half")
    half.write_text(json.dumps(value, indent=1) + "\n")
    os.replace(half, path)


def _flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields → dotted name → value."""
    flat = {}
    for name, value in fields.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


@contextlib.contextmanager
def _quiet():
    """Without the data set library's own progress bars."""
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.enable_progress_bars()
