"""A run's folder: config, stages with done marks, summary and times.

A stage is made once. Its record holds the config fields that it read and the keys of the stages
before it; the same command reuses it, and a changed field stops the run with one line, before
anything is written. A stage is built in `stages/<name>.partial` and renamed when whole, so that a
kill leaves nothing half true.

Several processes share the folder: the first of them writes, and all see the same stages, since
they wait for one another wherever that could change.
"""

import contextlib
import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets

from qdcjax.files import in_turn, link, quiet, read_json, write_json, write_part
from qdcjax.reporting.metrics import copy_records, drop_records
from qdcjax.reporting.progress import progress
from qdcjax.training.processes import is_writer, wait_for_all

RECORD = "stage.json"
TURNS = ".turns"  # folder of files that siblings lock, beside theirs
Make = Callable[[Path], None]  # writes a stage into the folder that it is given
ABSENT = "nothing"  # in messages, for a field that is not there


class StageChangedError(ValueError):
    """The workdir's stage was made from other settings than the config's."""


class Workdir:
    """The folder of one run.

    Attributes:
      path: the folder.
      config: the resolved config as a plain nested dict.
      seconds: stage → seconds that it took to make, over all attempts.
      redo_in_members: what is to be made anew in the runs within this one.
      workers: how many of those run at a time, where they can.
    """

    def __init__(
        self,
        path: str | Path,
        config: Mapping[str, Any],
        redo: str = "",
        siblings: Sequence[Path] = (),
        workers: int = 1,
    ):
        """Opens or makes the folder.

        Args:
          path: where.
          config: resolved config; lists and tuples are the same to it.
          redo: stages to make anew, with all after them; several are separated by commas. In a
            run of runs, `members` may have them.
          siblings: folders of other runs; a stage that one of them made from the same settings
            and stages is taken over instead of made again, unless `redo` asks for it. They lie
            side by side; one that makes such a stage at this moment is waited for.
          workers: how many runs within this one run at a time.

        Raises:
          StageChangedError: another study's workdir, or a stage made with another config.
          ValueError: `redo` names a stage that is not there.
        """
        self.path = Path(path)
        self.config = json.loads(json.dumps(config))
        self.seconds: dict[str, float] = {}
        self.workers = workers
        self._keys: dict[str, str] = {}
        self._siblings = [Path(sibling) for sibling in siblings]
        (self.path / "stages").mkdir(parents=True, exist_ok=True)
        self._check_study()
        records = self._records()
        gone = self._gone = self._asked_anew(redo, records)
        self._check_fields({name: records[name] for name in records if name not in gone})
        wait_for_all("the run's folder is checked")
        if is_writer():
            self._remove(gone, records)
        wait_for_all("stages to make anew are gone")

    def record_config(self, versions: Mapping[str, Any]) -> None:
        """Writes `config.json`: the config and what the run ran on."""
        if is_writer():
            write_json(self.path / "config.json", {"config": self.config, **versions})

    def stage(
        self, name: str, reads: Sequence[str], after: Sequence[str], make: Make, spent: float = 0.0
    ) -> Path:
        """The folder of a finished stage, made by `make(folder)` where it is not there yet.

        Args:
          name: of the stage.
          reads: config fields (dotted) that its result depends on.
          after: stages that it is made from.
          make: writes into the folder that it is given; called again with the same folder after
            a kill, where it may go on from what it finds.
          spent: seconds that it took before, of what runs made together.

        Raises:
          StageChangedError: one line that names the field that differs.
        """
        fields = {field: self._field(field) for field in reads}
        record = {"fields": fields, "after": {other: self._keys[other] for other in after}}
        key = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
        folder = self.path / "stages" / name
        for found in (folder, folder.with_name(f"{name}.partial")):
            if (found / RECORD).exists():
                self._compare(name, _read_record(found), record)
        self._keys[name] = key
        if not (folder / RECORD).exists():
            turn = self.path.parent / TURNS / f"{name}-{key[:16]}"
            with in_turn(turn) if self._siblings and is_writer() else contextlib.nullcontext():
                if self._siblings and name not in self._gone:
                    wait_for_all(f"stage {name} is looked for in other runs")
                    if is_writer():
                        self._take_over(name, record)
                    wait_for_all(f"stage {name} was looked for in other runs")
                if not (folder / RECORD).exists():
                    self._make(name, record, make, spent)
        self.seconds[name] = _read_record(folder)["seconds"]
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

        Raises:
          StageChangedError: as `stage` does.
          ValueError: a part of a finished table is missing or cannot be read.
        """
        return self.rounds(name, reads, after, parts, lambda part, _: make(part))

    def rounds(
        self,
        name: str,
        reads: Sequence[str],
        after: Sequence[str],
        parts: Callable[[], Sequence[Any]],
        make: Callable[[Any, Callable[[int], datasets.Dataset]], Mapping[str, Sequence[Any]]],
    ) -> datasets.Dataset:
        """A `table` whose parts follow from those before them.

        `make(piece, earlier)` gives the columns of a piece's rows; `earlier(n)` is the n-th part,
        as it was stored.
        """

        def write(folder: Path) -> None:
            pieces = {folder / f"part-{n:05d}": part for n, part in enumerate(parts())}
            missing = {done: part for done, part in pieces.items() if not done.exists()}
            wait_for_all(f"table {name} goes on")
            earlier = lambda n: datasets.load_from_disk(str(folder / f"part-{n:05d}"))  # noqa: E731
            shown = progress(len(pieces), name, "parts", done=len(pieces) - len(missing))
            with shown if len(pieces) > 1 else contextlib.nullcontext() as bar:
                for done, part in missing.items():
                    write_part(done, make(part, earlier))
                    wait_for_all(f"a part of table {name} is stored")
                    if bar:
                        bar.advance()
            if is_writer():
                write_json(folder / RECORD, read_json(folder / RECORD) | {"parts": len(pieces)})

        self.stage(name, reads, after, write)
        return self.read_table(name)

    def read_table(self, name: str) -> datasets.Dataset:
        """A finished table. Read its columns whole, `table[name][:]`: row by row takes 40 µs each.

        Raises:
          ValueError: a part of it is missing or cannot be read.
        """
        folder = self.path / "stages" / name
        pieces = sorted(folder.glob("part-*"))
        parts_made = _read_record(folder).get("parts", len(pieces))
        if len(pieces) < parts_made:
            raise ValueError(
                f"stage {name}: its table in {folder} has {len(pieces)} of {parts_made} parts: "
                f"use --redo={name}"
            )
        try:
            with quiet():
                return datasets.concatenate_datasets(
                    [datasets.load_from_disk(str(piece)) for piece in pieces]
                )
        except (OSError, ValueError) as error:
            raise ValueError(
                f"stage {name}: a table in {folder} cannot be read ({error}): use --redo={name}"
            ) from error

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

    def _check_study(self) -> None:
        """Raises when the folder belongs to another study."""
        file = self.path / "config.json"
        if not file.exists():
            return
        recorded = read_json(file)
        if not isinstance(recorded, dict) or "study" not in recorded.get("config", {}):
            raise ValueError(f"{file} is no run's config: delete it and run again")
        study = recorded["config"]["study"]
        if study != self.config["study"]:
            raise StageChangedError(
                f"workdir {self.path} belongs to study={study}, and the config says "
                f"study={self.config['study']}; choose another --workdir"
            )

    def _records(self) -> dict[str, dict]:
        """Stage → its record, finished or not."""
        return {
            folder.name.removesuffix(".partial"): _read_record(folder)
            for folder in sorted((self.path / "stages").iterdir())
            if (folder / RECORD).exists()
        }

    def _asked_anew(self, redo: str, records: Mapping[str, dict]) -> set[str]:
        """The stages that `redo` names and every stage made from them."""
        asked = set(filter(None, redo.split(",")))
        self.redo_in_members = ",".join(sorted(asked - records.keys()))
        if self.redo_in_members and not (self.path / "members").is_dir():
            known = ", ".join(records) or "none"
            raise ValueError(
                f"redo={self.redo_in_members!r} is no stage of {self.path}; stages there: {known}"
            )
        return _and_after(asked & records.keys(), records)

    def _remove(self, names: Collection[str], records: Mapping[str, dict]) -> None:
        """Removes stages; what a kill leaves of them does not pass for whole.

        All records go before any data. A stage's goes before those of the stages that it was made
        from, so that the same `redo` still finds what it names.
        """
        folders = [
            self.path / "stages" / f"{name}{suffix}"
            for name in sorted(names, key=lambda name: len(_and_after({name}, records)))
            for suffix in ("", ".partial")
        ]
        for folder in folders:
            (folder / RECORD).unlink(missing_ok=True)
        for folder in [*folders, *(self.path / "checkpoints" / name for name in names)]:
            shutil.rmtree(folder, ignore_errors=True)

    def _check_fields(self, records: Mapping[str, dict]) -> None:
        """Raises when stages were made with other settings; names all that must be made anew."""
        now = _flat(self.config)
        changed = {}
        for name, record in records.items():
            old = _flat(record["fields"])
            # A section is recorded whole, so a field that is new in it is a change too.
            new = {f: v for f, v in now.items() if any(_within(f, r) for r in record["fields"])}
            if field := _first_difference(old, new):
                changed[name] = (field, old, new)
        if not changed:
            return
        first = {
            n for n in changed if not any(n in _and_after({o}, records) - {o} for o in changed)
        }
        name = min(first)
        field, old, new = changed[name]
        raise StageChangedError(
            f"stage {name} in {self.path} was made with {_change(field, old, new)}: "
            f"use --redo={','.join(sorted(first))} or another --workdir"
        )

    def _compare(self, name: str, found: dict, record: dict) -> None:
        """Raises on the first field or stage that differs."""
        old, new = _flat(found["fields"]), _flat(record["fields"])
        if field := _first_difference(old, new):
            raise StageChangedError(
                f"stage {name} in {self.path} was made with {_change(field, old, new)}: "
                f"use --redo={name} or another --workdir"
            )
        for other in {**record["after"], **found["after"]}:
            if record["after"].get(other) != found["after"].get(other):
                raise StageChangedError(
                    f"stage {name} in {self.path} was made from another {other}: use --redo={name}"
                )

    def _make(self, name: str, record: dict, make: Make, spent: float) -> None:
        """A stage, from where it was cut short."""
        folder = self.path / "stages" / name
        partial = folder.with_name(f"{name}.partial")
        checkpoints = self.path / "checkpoints" / name
        wait_for_all(f"stage {name} is to be made")
        if is_writer() and not (partial / RECORD).exists():
            for unmarked in (folder, partial, checkpoints):  # of a record that was deleted
                shutil.rmtree(unmarked, ignore_errors=True)
            drop_records(self.path, name)
            partial.mkdir()
            write_json(partial / RECORD, {**record, "seconds": spent})
        wait_for_all(f"stage {name} begins")
        with self._timed(partial):
            make(partial)
        wait_for_all(f"stage {name} is made")
        if is_writer():
            os.replace(partial, folder)
            shutil.rmtree(checkpoints, ignore_errors=True)
        wait_for_all(f"stage {name} is marked as done")

    def _take_over(self, name: str, record: dict) -> None:
        """A sibling's finished stage as this run's own, where settings and stages are the same.

        What was begun here is given up for it. The run spent no time on it.
        """
        folder = self.path / "stages" / name
        partial = folder.with_name(f"{name}.partial")
        for sibling in self._siblings:
            made = sibling / "stages" / name
            if not (made / RECORD).exists():
                continue
            found = _read_record(made)
            if all(found[part] == record[part] for part in record):
                for unmarked in (folder, partial, self.path / "checkpoints" / name):
                    shutil.rmtree(unmarked, ignore_errors=True)
                shutil.copytree(made, partial, copy_function=link)
                write_json(partial / RECORD, found | {"seconds": 0.0})
                copy_records(sibling, self.path, name)
                os.replace(partial, folder)
                return

    @contextlib.contextmanager
    def _timed(self, partial: Path):
        """Adds the time spent to the stage's record, also when it is cut short."""
        began = time.perf_counter()
        try:
            yield
        finally:
            if is_writer():
                record = read_json(partial / RECORD)
                record["seconds"] += time.perf_counter() - began
                write_json(partial / RECORD, record)


def _read_record(folder: Path) -> dict[str, Any]:
    """The record of a stage; without it, the stage would be made anew."""
    record = read_json(folder / RECORD)
    if not isinstance(record, dict) or not {"fields", "after", "seconds"} <= record.keys():
        raise ValueError(f"{folder / RECORD} is no stage's record: delete it and run again")
    return record


def _and_after(names: Collection[str], records: Mapping[str, dict]) -> set[str]:
    """Some stages and every stage made from them."""
    found = set(names)
    while more := {name for name, r in records.items() if found & r["after"].keys()} - found:
        found |= more
    return found


def _within(field: str, section: str) -> bool:
    return field == section or field.startswith(f"{section}.")


def _first_difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    return next((f for f in {**new, **old} if old.get(f, ABSENT) != new.get(f, ABSENT)), None)


def _change(field: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    return f"{field}={old.get(field, ABSENT)}, and the config says {new.get(field, ABSENT)}"


def _flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields → dotted name → value."""
    flat = {}
    for name, value in fields.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
