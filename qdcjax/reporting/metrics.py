"""Metrics of a run: JSON lines that outlive a kill, and TensorBoard events."""

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from tensorboardX import SummaryWriter

METRICS_FILE = "metrics.jsonl"


class MetricLog:
    """Appends one stage's metrics to `<workdir>/metrics.jsonl` and to TensorBoard.

    Each record is one line `{"stage": …, "step": …, <metric>: <number or null>, …}`, on disk
    before `write` returns. One writer at a time: opening rewrites the file, so stages log one
    after another, and on many hosts only process 0 opens a log.

    Attributes:
      path: the JSON lines file, shared by all stages of the run.
      stage: the name that every record of this log carries.
    """

    def __init__(self, workdir: str | os.PathLike, stage: str, resume_step: int = 0):
        """Opens the log at the step from which the stage resumes.

        Records of this stage that a killed run left beyond `resume_step` are dropped, for they
        will be written again; at `resume_step` 0 that is all of them. Other stages' records stay.

        Args:
          workdir: the run's folder; made if absent.
          stage: name of the stage, also of its TensorBoard run.
          resume_step: updates that the restored state has behind it; 0 for a fresh stage.

        Raises:
          ValueError: if a line of the file other than a cut last one is no record.
        """
        workdir = Path(workdir)
        workdir.mkdir(parents=True, exist_ok=True)
        self.path = workdir / METRICS_FILE
        self.stage = stage
        _keep(self.path, lambda of: of["stage"] != stage or 0 < resume_step >= of["step"])
        self._file = self.path.open("a", encoding="utf-8")
        folder = workdir / "tensorboard" / stage
        # tensorboardX names files by the second; the count keeps a quick restart from overwriting.
        self._events = SummaryWriter(
            str(folder),
            purge_step=resume_step + 1 if resume_step else 0,
            filename_suffix=f".{len(list(folder.glob('events.*')))}",
        )

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Logs the metrics of one step; a non-finite value becomes null.

        Args:
          step: updates done, counted from 1 within the stage (0: before training).
          metrics: name → scalar (Python, NumPy, or an array of one element already on the host).

        Raises:
          ValueError: if a metric is named `stage` or `step`.
        """
        if reserved := {"stage", "step"} & metrics.keys():
            raise ValueError(f"metric name {sorted(reserved)[0]!r} is taken: rename the metric")
        values = {name: float(value) for name, value in metrics.items()}
        record = {"stage": self.stage, "step": int(step)}
        record |= {name: v if math.isfinite(v) else None for name, v in values.items()}
        self._file.write(json.dumps(record, allow_nan=False) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._events.add_scalar(name, value, int(step))

    def close(self) -> None:
        """Closes both files."""
        self._file.close()
        self._events.close()

    def __enter__(self) -> "MetricLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_metrics(path: str | os.PathLike, stage: str) -> list[dict]:
    """The records of one stage, in the order written; null reads as NaN.

    A last line without its end (a run that is writing, or was killed while it wrote) is left out.

    Args:
      path: a `metrics.jsonl`.
      stage: the stage whose records are wanted.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if another line is no record.
    """
    records = (record for _, record in _whole_lines(Path(path)) if record["stage"] == stage)
    return [{k: math.nan if v is None else v for k, v in record.items()} for record in records]


def logged_parts(path: str | os.PathLike, stage: str) -> list[str]:
    """The names that a stage's records carry: its own, or those of its parts, `<stage>/…`.

    Args:
      path: a `metrics.jsonl`.
      stage: of the run.
    """
    names = dict.fromkeys(record["stage"] for _, record in _whole_lines(Path(path)))
    return [name for name in names if _is_part(name, stage)]


def drop_records(workdir: str | os.PathLike, stage: str) -> None:
    """Takes back what was logged of a stage and of its parts, before it is made anew."""
    _keep(Path(workdir) / METRICS_FILE, lambda record: not _is_part(record["stage"], stage))


def copy_records(source: str | os.PathLike, workdir: str | os.PathLike, stage: str) -> None:
    """Logs in one run what another run has logged of a stage and of the parts `<stage>/…` of it.

    Args:
      source, workdir: folders of the two runs.
      stage: of both.
    """
    if not (Path(source) / METRICS_FILE).exists():
        return
    records = [record for _, record in _whole_lines(Path(source) / METRICS_FILE)]
    for part in dict.fromkeys(record["stage"] for record in records):
        if not _is_part(part, stage):
            continue
        with MetricLog(workdir, part) as log:
            for record in records:
                if record["stage"] == part:
                    values = {k: math.nan if v is None else v for k, v in record.items()}
                    log.write(values.pop("step"), {k: values[k] for k in values if k != "stage"})


def _whole_lines(path: Path) -> list[tuple[str, dict]]:
    """Each complete line with its record."""
    lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last newline was cut
    return [(line.decode(), _parse(line, path, n)) for n, line in enumerate(lines, start=1)]


def _parse(line: bytes, path: Path, number: int) -> dict:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict) or not {"stage", "step"} <= record.keys():
        raise ValueError(
            f"{path}, line {number}: {line[:60]!r} is no metric record; delete the line"
        )
    return record


def _is_part(name: str, stage: str) -> bool:
    """Whether a log is the stage's own, or that of a part of it."""
    return name.split("/")[0] == stage


def _keep(path: Path, wanted: Callable[[dict], bool]) -> None:
    """Rewrites the file without records that are not wanted and without a cut line."""
    if not path.exists():
        return
    kept = [line for line, record in _whole_lines(path) if wanted(record)]
    text = "".join(line + "\n" for line in kept).encode()
    if text == path.read_bytes():
        return
    draft = path.with_name(path.name + ".tmp")
    with draft.open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
