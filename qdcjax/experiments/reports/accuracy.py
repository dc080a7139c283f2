"""How often policies are right: headline, accuracy against samples, and against rollouts."""

import re
from collections.abc import Mapping, Sequence

from qdcjax.experiments.findings.policy_figures import Figures
from qdcjax.experiments.stages.policy_evaluation import powers_of_two
from qdcjax.measures.intervals import Interval
from qdcjax.reporting import figures
from qdcjax.reporting.page import HeadlineRow, Plate, Section, Table
from qdcjax.workdir import Workdir

# Name of an estimate over k samples → what a reader calls it.
KINDS = {
    "pass": "pass@{}",
    "orm_rerank": "rerank@{} by the ORM",
    "sorm_rerank": "rerank@{} by the SORM",
    "rerank": "rerank@{}",
    "maj": "maj@{}",
}


def headline(splits: Sequence[str], results: Mapping[str, Interval]) -> list[HeadlineRow]:
    """The figures to take away from an evaluation: one sample's accuracy, and the largest k."""
    words = {
        "greedy_accuracy": "Greedy accuracy",
        "greedy_flexible_accuracy": "Greedy accuracy, last number counts",
        "sampled_accuracy": "Accuracy of one sample",
    }
    rows = []
    for split in splits:
        where = split.replace("_", " ")
        largest = max(at_k_values(results, "pass", split), default=1)
        names = words | {
            f"{kind}_at_{largest}": label.format(largest) for kind, label in KINDS.items()
        }
        rows += [
            HeadlineRow(f"{label}, {where}", results[f"{name}_{split}"], "%")
            for name, label in names.items()
            if f"{name}_{split}" in results
        ]
    return rows


def at_k_values(results: Mapping[str, Interval], kind: str, split: str) -> dict[int, Interval]:
    """k → estimate of `<kind>_at_<k>_<split>`."""
    pattern = re.compile(rf"{kind}_at_(\d+)_{split}")
    found = {pattern.fullmatch(name): value for name, value in results.items()}
    return {int(match[1]): value for match, value in found.items() if match}


def at_k_section(workdir: Workdir, results: Mapping[str, Interval]) -> Section:
    """maj@k, pass@k and rerank@k against k, a panel a split."""
    panels: dict[str, dict[str, figures.Series]] = {}
    for split in workdir.config["evaluation"]["splits"]:
        found = {kind: at_k_values(results, kind, split) for kind in KINDS}
        panels[f"right, {split.replace('_', ' ')}"] = {
            KINDS[kind].format("k"): figures.series_of_intervals(
                list(values), list(values.values())
            )
            for kind, values in found.items()
            if values
        }
    figure = figures.lines(panels, "k, samples a question", percent=True, log_x=True)
    path = figures.save(figure, workdir.path / "figures" / "at_k.png")
    text = (
        "Unbiased estimates over all subsets of k samples, with 95 % bootstrap intervals over "
        "questions."
    )
    return Section("Accuracy against samples", text, [Plate(path, "maj@k, pass@k and rerank@k.")])


def before_and_after(
    workdir: Workdir,
    found: Figures,
    results: Mapping[str, float | Interval],
) -> list[HeadlineRow]:
    """Headline of each split: the first policy, the last one and the paired gain."""
    start, *_, last = found
    largest = workdir.config["evaluation"]["samples"]
    words = {"greedy_accuracy": "Greedy accuracy"}
    words |= {f"{kind}_at_{largest}": f"{kind}@{largest}" for kind in ("maj", "pass")}
    rows = []
    for split in workdir.config["evaluation"]["splits"]:
        for name, label in words.items():
            where, of = f"{label}, {split.replace('_', ' ')}", f"{name}_{split}"
            gain = results[f"gain_{of}"]
            rows += [
                HeadlineRow(f"{where}, before", found[start][of], "%"),
                HeadlineRow(f"{where}, after", found[last][of], "%"),
                HeadlineRow(f"{where}, gain", gain, "points", "paired by question"),
            ]
    return rows


def accuracy_section(workdir: Workdir, found: Figures) -> Section:
    """Accuracy of each policy against the rollouts that it cost, and a table with gradient steps.

    Args:
      workdir: of the run.
      found: policies in order; all but the first have `rollouts` and `gradient_steps`.
    """
    settings = workdir.config["evaluation"]
    largest = settings["samples"]
    names = {"greedy_accuracy": "greedy", f"maj_at_{largest}": f"maj@{largest}"}
    names |= {f"pass_at_{k}": f"pass@{k}" for k in powers_of_two(largest)[1:]}
    x = [int(of.get("rollouts", 0)) for of in found.values()]
    panels = {
        f"right, {split.replace('_', ' ')}": {
            label: figures.series_of_intervals(x, [of[f"{name}_{split}"] for of in found.values()])
            for name, label in names.items()
        }
        for split in settings["splits"]
    }
    figure = figures.lines(panels, "rollouts so far", percent=True)
    path = figures.save(figure, workdir.path / "figures" / "accuracy.png")
    columns = ["policy", "rollouts", "gradient steps"]
    columns += [f"greedy, {split.replace('_', ' ')}" for split in settings["splits"]]
    rows = [
        [
            name,
            f"{of.get('rollouts', 0):,}",
            f"{of.get('gradient_steps', 0):,}",
            *(of[f"greedy_accuracy_{split}"] for split in settings["splits"]),
        ]
        for name, of in found.items()
    ]
    units = ["", "", "", *("%" for _ in settings["splits"])]
    text = "Rollouts and gradient steps count apart: learning spends both."
    table = Table(columns, rows, "Sample complexity.", units)
    return Section("Accuracy", text, [Plate(path, "Accuracy against rollouts.")], [table])
