"""The report of a policy gradient: before and after, and what to watch while it learns."""

import math
from collections.abc import Mapping, Sequence

from qdcjax.experiments.findings.policy_figures import Figures
from qdcjax.experiments.reports.accuracy import accuracy_section, before_and_after
from qdcjax.experiments.running import publish
from qdcjax.experiments.stages.online_learning import CRITIC, LEARN, ROLLOUTS
from qdcjax.measures.intervals import Interval
from qdcjax.measures.predictions import Verdict
from qdcjax.reporting import figures
from qdcjax.reporting.metrics import METRICS_FILE, read_metrics
from qdcjax.reporting.page import Plate, Report, Section, Table
from qdcjax.workdir import Workdir

# Metric of an iteration's rollouts → axis label.
WATCHED = {
    "accuracy": "right rollouts",
    "reward": "reward",
    "kl": "KL from the start, nats a solution",
    "entropy": "entropy, nats a token",
    "tokens": "tokens a solution",
    "truncated": "truncated",
    "dead_groups": "questions of one reward",
    "explained_variance": "the critic's explained variance",
}
LOWEST = {"explained_variance": -1.0}  # where returns hardly vary it has no bound
# Stage and metric of its steps → axis label.
UPDATES = {
    (LEARN, "clip_fraction"): "clipped tokens",
    (LEARN, "update_kl"): "KL of the update",
    (LEARN, "loss"): "loss",
    (LEARN, "gradient_norm"): "gradient norm",
    (CRITIC, "loss"): "the critic's loss",
    (CRITIC, "gradient_norm"): "the critic's gradient norm",
    (LEARN, "value_loss"): "the critic's loss, on the policy's trunk",
}
SECONDS = ("generation", "grading", "waiting", "scoring", "learning")


def report(
    workdir: Workdir,
    found: Figures,
    results: Mapping[str, float | Interval],
    verdicts: Sequence[Verdict],
) -> Report:
    """The whole page."""
    config = workdir.config
    sections = [
        accuracy_section(workdir, found),
        watched_section(workdir),
        updates_section(workdir),
    ]
    if config["study"] == "policy_gradient":  # on the chip no one looks in between
        sections.append(times_section(workdir))
    algorithm, task = config["policy_gradient"]["algorithm"].upper(), config["task"]["name"]
    return Report(
        title=algorithm,
        description=f"A policy learns {task} by {algorithm} from its own solutions.",
        run=publish.run_facts(workdir),
        headline=before_and_after(workdir, found, results),
        verdicts=verdicts,
        sections=sections,
    )


def watched_section(workdir: Workdir) -> Section:
    """Figures of each iteration's rollouts."""
    records = read_metrics(workdir.path / METRICS_FILE, ROLLOUTS)
    panels = {
        label: {
            "rollouts": figures.Series(
                [r["step"] for r in records if name in r],
                [max(r[name], LOWEST.get(name, -math.inf)) for r in records if name in r],
            )
        }
        for name, label in WATCHED.items()
        if any(name in record for record in records)
    }
    by_critic = any("explained_variance" in record for record in records)
    caption = "Rollouts." + " Explained variance is drawn from −1 up." * by_critic
    path = figures.save(
        figures.lines(panels, "iteration"), workdir.path / "figures" / "iterations.png"
    )
    return Section(
        "Rollouts", "Of each iteration, before it is learned from.", [Plate(path, caption)]
    )


def updates_section(workdir: Workdir) -> Section:
    """Means over the steps of each iteration."""
    logs = {stage: read_metrics(workdir.path / METRICS_FILE, stage) for stage in (LEARN, CRITIC)}
    panels = {
        label: {
            "updates": figures.Series(
                [r["step"] for r in logs[stage]], [r[name] for r in logs[stage]]
            )
        }
        for (stage, name), label in UPDATES.items()
        if logs[stage] and name in logs[stage][0]
    }
    path = figures.save(
        figures.lines(panels, "optimiser steps"), workdir.path / "figures" / "updates.png"
    )
    return Section("Updates", "Means over an iteration's steps.", [Plate(path, "Updates.")])


def times_section(workdir: Workdir) -> Section:
    """Where the time went."""
    records = read_metrics(workdir.path / METRICS_FILE, ROLLOUTS)
    rows = [
        [name, sum(record.get(f"{name}_seconds", 0.0) for record in records)] for name in SECONDS
    ]
    text = (
        "Grading runs in a thread while solutions are sampled; waiting is what is left of it when "
        "sampling ends. A resumed run's first iterations have no times."
    )
    table = Table(["piece of work", "all iterations"], rows, "Seconds by the clock.", ["", "s"])
    return Section("Times", text, [], [table])
