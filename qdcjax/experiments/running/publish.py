"""What every study does at its end: summary, times, report; and small shared pieces."""

import importlib.metadata
import math
import os
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from qdcjax.files import read_json, write_json
from qdcjax.measures.intervals import Interval
from qdcjax.measures.predictions import Prediction, Verdict
from qdcjax.reporting.page import Report, RunFacts, write_report
from qdcjax.training.processes import is_writer
from qdcjax.workdir import Workdir

VERDICTS = "verdicts.json"
PACKAGES = ("qdcjax", "jax", "flax", "optax", "orbax-checkpoint", "grain", "datasets", "numpy")


def environment(command: str) -> dict[str, Any]:
    """What a run ran on: command, versions, git revision, devices."""
    devices = jax.devices()
    kind = devices[0].device_kind
    if devices[0].platform == "cpu":
        kind = f"{len(os.sched_getaffinity(0))} CPU cores"
    else:
        kind = f"{len(devices)} × {kind}"
    return {
        "command": command,
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "git_revision": _git_revision(),
        "device": kind,
        "processes": jax.process_count(),
    }


def _git_revision() -> str:
    """Commit of the source tree, with a mark when it has changes; `unknown` outside a checkout."""
    here = Path(__file__).parent
    describe = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(describe, capture_output=True, text=True, check=False)
    except FileNotFoundError:  # no git on this machine
        return "unknown"
    return done.stdout.strip() or "unknown"


def run_facts(workdir: Workdir) -> RunFacts:
    """The facts of the run for the report's foot, from `config.json`."""
    recorded = read_json(workdir.path / "config.json")
    return RunFacts(
        command=recorded["command"],
        config=workdir.config.get("name", workdir.config["study"]),
        preset=workdir.config["preset"] or "default",
        seeds=workdir.config.get("seeds") or [workdir.config["seed"]],
        device=recorded["device"],
        git_revision=recorded["git_revision"],
        versions=recorded["versions"],
        stage_seconds=workdir.seconds,
    )


def publish(
    workdir: Workdir,
    report: Callable[[], Report],
    summary: Mapping[str, float],
    verdicts: Sequence[Verdict] = (),
) -> dict[str, float]:
    """Writes summary, times, verdicts and report, made with its figures; returns the summary."""
    if is_writer():
        workdir.write_summary(summary)
        if verdicts:
            write_json(workdir.path / VERDICTS, verdict_records(verdicts))
        write_report(workdir.path / "report.html", report())
    return dict(summary)


def fix_predictions(workdir: Workdir) -> None:
    """Stage `predictions`: the claims and thresholds, recorded before anything is run.

    A threshold that is edited later stops the run, as any field of a finished stage does.
    """

    def write(folder: Path) -> None:
        if is_writer():
            write_json(folder / "predictions.json", workdir.config["predictions"])

    workdir.stage("predictions", ["predictions"], [], write)


def verdict_records(verdicts: Sequence[Verdict]) -> dict[str, dict[str, Any]]:
    """Prediction → its claim, the statistic's estimate with its ends, and the verdict.

    A number that the run could not determine is null.
    """
    records = {}
    for verdict in verdicts:
        prediction, estimate = verdict.prediction, verdict.estimate
        numbers = {"estimate": estimate.value, "low": estimate.low, "high": estimate.high}
        records[prediction.name] = {
            "claim": prediction.claim,
            "threshold": prediction.threshold,
            "direction": prediction.direction,
            **{name: x if math.isfinite(x) else None for name, x in numbers.items()},
            "method": estimate.method,
            "verdict": verdict.outcome,
        }
    return records


def read_verdicts(path: Path) -> list[Verdict]:
    """The verdicts of the run at `path`, as `verdict_records` wrote them."""
    verdicts = []
    for name, record in read_json(path / VERDICTS).items():
        of = Prediction(name, record["claim"], record["threshold"], record["direction"])
        ends = (record[end] for end in ("estimate", "low", "high"))
        numbers = (math.nan if end is None else end for end in ends)
        verdicts.append(Verdict(of, Interval(*numbers, record["method"]), record["verdict"]))
    return verdicts


def flat(results: Mapping[str, float | Interval]) -> dict[str, float]:
    """Name → number; an interval becomes `name`, `name_low` and `name_high`."""
    numbers = {}
    for name, value in results.items():
        if isinstance(value, Interval):
            numbers |= {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}
        else:
            numbers[name] = float(value)
    return numbers


def interval(summary: Mapping[str, float], name: str) -> Interval:
    """The figure of a summary that `flat` made flat."""
    low, high = (summary.get(f"{name}_{end}", math.nan) for end in ("low", "high"))
    method = "as on the run's own page" if math.isfinite(low) else ""
    return Interval(summary[name], low, high, method)


def intervals(summary: Mapping[str, float]) -> dict[str, Interval]:
    """All figures of a summary that could be determined."""
    ends = {f"{name}_{end}" for name in summary for end in ("low", "high")}
    names = [name for name in summary if name not in ends and math.isfinite(summary[name])]
    return {name: interval(summary, name) for name in names}
