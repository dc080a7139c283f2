"""The report of expert iteration: accuracy over rounds, what was learned from, distance."""

from collections.abc import Mapping, Sequence

from qdcjax.experiments.findings.policy_figures import Figures
from qdcjax.experiments.reports.accuracy import accuracy_section, before_and_after
from qdcjax.experiments.reports.training import training_section
from qdcjax.experiments.running import publish
from qdcjax.measures.intervals import Interval
from qdcjax.measures.predictions import Verdict
from qdcjax.reporting import figures
from qdcjax.reporting.page import Plate, Report, Section, Table
from qdcjax.workdir import Workdir


def report(
    workdir: Workdir,
    found: Figures,
    results: Mapping[str, float | Interval],
    verdicts: Sequence[Verdict],
) -> Report:
    """The whole page."""
    task, settings = workdir.config["task"]["name"], workdir.config["expert_iteration"]
    begins = "the starting point anew" if settings["init_from"] == "start" else "the last policy"
    return Report(
        title="Expert iteration",
        description=f"A policy learns {task} from those of its own solutions whose answers are "
        f"right, round after round, each from {begins}.",
        run=publish.run_facts(workdir),
        headline=before_and_after(workdir, found, results),
        verdicts=verdicts,
        sections=[
            accuracy_section(workdir, found),
            learned_section(workdir, found),
            distance_section(workdir, found),
            training_section(workdir, {"round": {"loss": "loss"}}),
        ],
    )


def learned_section(workdir: Workdir, found: Figures) -> Section:
    """Coverage, distinct solutions, and right rollouts, over the rounds."""
    rounds = [of for of in found.values() if "kept" in of]
    x = range(1, len(rounds) + 1)
    shares = {"covered": "questions with a right rollout", "rollout_accuracy": "right rollouts"}
    share = figures.lines(
        {
            "share": {
                words: figures.series_of_intervals(x, [of[name] for of in rounds])
                for name, words in shares.items()
            }
        },
        "round",
        percent=True,
    )
    distinct = figures.lines(
        {
            "right solutions a question": {
                "different right solutions": figures.series_of_intervals(
                    x, [of["distinct_right"] for of in rounds]
                )
            }
        },
        "round",
    )
    folder = workdir.path / "figures"
    rows = [[str(n), f"{of['rollouts']:,}", f"{of['kept']:,}"] for n, of in enumerate(rounds, 1)]
    return Section(
        "What was learned from",
        "Solutions are different when their sequences of operations are.",
        [
            Plate(figures.save(share, folder / "coverage.png"), "Training questions."),
            Plate(
                figures.save(distinct, folder / "distinct.png"),
                "Different right solutions of a training question, in all rounds so far.",
            ),
        ],
        [Table(["round", "rollouts so far", "solutions kept"], rows, "The size of D_i.")],
    )


def distance_section(workdir: Workdir, found: Figures) -> Section:
    """KL from the start, entropy and diversity of samples, over the rounds."""
    splits = workdir.config["evaluation"]["splits"]
    words = {
        "kl": "KL from the start, nats a solution",
        "entropy": "entropy, nats a token",
        "distinct": "different solutions a question",
    }
    panels = {
        label: {
            split.replace("_", " "): figures.series_of_intervals(
                range(len(found)), [of[f"{name}_{split}"] for of in found.values()]
            )
            for split in splits
        }
        for name, label in words.items()
    }
    path = figures.save(figures.lines(panels, "round"), workdir.path / "figures" / "distance.png")
    text = "Estimated on the policies' samples of the test questions; round 0 is the start."
    return Section("Distance and diversity", text, [Plate(path, "KL, entropy and diversity.")])
