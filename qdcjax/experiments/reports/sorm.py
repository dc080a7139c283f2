"""The report of the study of stepwise reward models: figures, tables, and a browser."""

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from qdcjax.experiments.findings.sorm import (
    KINDS,
    STAND_IN,
    Findings,
    stand_in,
    values_at_steps,
)
from qdcjax.experiments.reports import accuracy
from qdcjax.experiments.reports.solution_views import given_answer, step_views
from qdcjax.experiments.reports.training import training_section
from qdcjax.experiments.running import publish
from qdcjax.measures.intervals import Interval, over_seeds, resample
from qdcjax.reasoning.reward_evaluation import LEAST_IN_A_CLASS, mean_in
from qdcjax.reporting import figures
from qdcjax.reporting.browser import SolutionBrowser, SolutionView
from qdcjax.reporting.page import HeadlineRow, Plate, Report, Section, Table
from qdcjax.workdir import Workdir

LABELS = {"orm": "ORM", "sorm": "SORM", "unbalanced_sorm": "SORM, unbalanced"}
SHOWN = 200  # solutions in the browser

CURVES = {
    "student": {"loss": "loss", "token accuracy": "token_accuracy"},
    **{kind: {"loss": "loss", "accuracy": "accuracy"} for kind in KINDS},
}

DESCRIPTION = (
    "A student policy learns to solve word problems. Its own samples train two reward models: an "
    "outcome reward model (ORM), which learns at every token whether the sample's final answer "
    "was right, and a stepwise one (SORM), which learns at each step whether any completion from "
    "there can be right. "
)
EXACT = "Both are judged on steps that are checked exactly."
NOT_EXACT = (
    "The task cannot check steps exactly: sampled labels, such as the SORM learns from, stand in "
    "for their truth, so that figures on steps favour the SORM and decide no prediction."
)


def report(workdir: Workdir, found: Findings) -> Report:
    """Everything that the page shows, with its figures saved under `figures/`."""
    results, folder = found.results, workdir.path / "figures"
    return Report(
        title="Stepwise outcome reward models",
        description=DESCRIPTION + (EXACT if found.exact else NOT_EXACT),
        run=publish.run_facts(workdir),
        headline=[
            *accuracy.headline(workdir.config["evaluation"]["splits"], results),
            *headline(found),
        ],
        verdicts=found.verdicts,
        sections=[
            *([steps_section(workdir, found, folder)] if len(found.steps.truth) else []),
            *([labels_section(found, folder)] if len(found.verified.truth) else []),
            *([calibration_section(found, folder)] if _both(found.steps.truth) else []),
            accuracy.at_k_section(workdir, results),
            student_section(results, folder),
            training_section(workdir, CURVES),
        ],
        browser=browser(workdir, found),
    )


def headline(found: Findings) -> list[HeadlineRow]:
    """The numbers to take away."""
    rows = []
    for name, words, note in [
        ("step_accuracy", "step accuracy", "right against wrong steps, balanced at each length"),
        ("step_auroc", "AUROC of steps", "per prefix length"),
        ("false_negatives", "right steps called wrong", ""),
        ("answer_accuracy", "accuracy on final answers", ""),
    ]:
        unit, name = "" if "AUROC" in words else "%", stand_in(name, found.exact)
        if name.startswith(STAND_IN):
            note = f"{note}, against sampled labels".removeprefix(", ")
        rows += [
            HeadlineRow(f"{LABELS[kind]}, {words}", found.results[f"{kind}_{name}"], unit, note)
            for kind in ("orm", "sorm")
        ]
    return rows


def steps_section(workdir: Workdir, found: Findings, folder: Path) -> Section:
    """Accuracy by prefix length and depth, false negatives by success rate, drift with position."""
    by_kind, threshold = step_values(found), workdir.config["reward"]["threshold"]
    plates = [
        *accuracy_plate(found, "length", found.steps.length, "steps in the prefix", folder),
        *accuracy_plate(found, "depth", found.steps.depth, "steps that the question needs", folder),
    ]
    if found.steps.truth.any():
        plates.append(false_negatives_plate(found, by_kind, threshold, folder))
    plates.append(drift_plate(found, by_kind, folder))
    text = (
        "A step is right when it and all steps before it are valid in the problem's own graph."
        if found.exact
        else "The task cannot check steps. A step counts as right here when its sampled label is "
        "1: some completion from there, or from a later step, was right."
    )
    text += (
        " Intervals join Student's t over seeds and a bootstrap over the questions, which all "
        "seeds share."
    )
    return Section("Steps", text, plates)


def accuracy_plate(
    found: Findings, group: str, of_step: np.ndarray, words: str, folder: Path
) -> list[Plate]:
    """Balanced step accuracy by prefix length or by depth; none without a group that counts."""
    stem = stand_in(f"step_accuracy_{group}", found.exact)
    pattern = re.compile(rf"{KINDS[0]}_{stem}(\d+)")
    groups = sorted(int(match[1]) for match in map(pattern.fullmatch, found.results) if match)
    if not groups:
        return []
    figure = figures.grouped_bars(
        [str(n) for n in groups],
        {LABELS[kind]: [found.results[f"{kind}_{stem}{n}"] for n in groups] for kind in KINDS},
        words,
        "balanced step accuracy",
        [int((of_step == n).sum()) for n in groups],
        chance=0.5,
    )
    path = figures.save(figure, folder / f"steps_by_{group}.png")
    least = f"at least {LEAST_IN_A_CLASS} right and {LEAST_IN_A_CLASS} wrong steps"
    return [Plate(path, f"Step accuracy by {words}, where there are {least}.")]


def false_negatives_plate(found: Findings, by_kind, threshold: float, folder: Path) -> Plate:
    """Right steps called wrong, by the success rate of the question's other samples."""
    steps, bins = found.steps, {}
    for low, high in itertools.pairwise((0.0, 0.2, 0.4, 0.6, 0.8, 1.01)):
        rows = (steps.truth == 1) & (steps.success >= low) & (steps.success < high)
        if rows.any():
            bins[f"{low:.0%}–{min(high, 1):.0%}"] = rows
    bars = {
        LABELS[kind]: [
            mean_over_seeds(found, rows, [values < threshold for values in by_kind[kind]])
            for rows in bins.values()
        ]
        for kind in ("orm", "sorm")
    }
    figure = figures.grouped_bars(
        list(bins),
        bars,
        "the student's success rate on the question",
        "right steps called wrong",
        [int(rows.sum()) for rows in bins.values()],
    )
    caption = "Right steps called wrong, by how often the question's other samples are right."
    return Plate(figures.save(figure, folder / "false_negatives.png"), caption)


def drift_plate(found: Findings, by_kind, folder: Path) -> Plate:
    """Mean value at each position, beside the share of right steps there."""
    steps = found.steps
    positions = [int(n) for n in np.unique(steps.length)]
    lines = {
        LABELS[kind]: figures.series_of_intervals(
            positions, [mean_over_seeds(found, steps.length == n, values) for n in positions]
        )
        for kind, values in by_kind.items()
    }
    truth = [float(steps.truth[steps.length == n].mean()) for n in positions]
    lines["truth" if found.exact else "sampled labels"] = figures.Series(
        positions, truth, reference=True
    )
    figure = figures.lines({"mean value": lines}, "position of the step", percent=True)
    caption = "Mean value at each position, beside the share of steps that are right there."
    return Plate(figures.save(figure, folder / "drift.png"), caption)


def labels_section(found: Findings, folder: Path) -> Section:
    """Precision and recall of sampled labels against the number of completions."""
    panels: dict[str, dict[str, figures.Series]] = {}
    sources = {
        "labels": "all prefixes, consistent",
        "labels_unfiltered": "all prefixes, unfiltered",
        "labels_many": "subset, consistent",
    }
    for measure in ("precision", "recall", "accuracy"):
        panel = {}
        for stem, words in sources.items():
            prefix = f"{stem}_{measure}_at_"
            points = {
                int(name.removeprefix(prefix)): value
                for name, value in found.results.items()
                if name.startswith(prefix)
            }
            panel[words] = figures.series_of_intervals(list(points), list(points.values()))
        panels["balanced accuracy" if measure == "accuracy" else measure] = panel
    figure = figures.lines(panels, "K, completions a prefix", percent=True, log_x=True)
    path = figures.save(figure, folder / "labels.png")
    text = (
        "A prefix is labelled right when any of K completions is. Consistent ones use the last "
        "step's result again; the others do not count. The SORM learns from labels with one try "
        "more, the draft's own rest, that are propagated: what leads to a right step is right."
    )
    trained = Table(
        ["labels that the SORM learns from", "figure"],
        [
            [words, found.results[f"trained_labels_{name}"]]
            for name, words in (
                ("precision", "precision"),
                ("recall", "recall"),
                ("accuracy", "balanced accuracy"),
            )
        ],
        "Training labels against the exact truth, with bootstrap intervals over questions.",
        ["", "%"],
    )
    return Section("Labels", text, [Plate(path, "Labels against the exact truth.")], [trained])


def calibration_section(found: Findings, folder: Path) -> Section:
    """Reliability of step values, and their distribution on right and wrong steps."""
    steps = found.steps
    first = {kind: values[0] for kind, values in step_values(found).items()}
    reliability = figures.reliability(
        {LABELS[kind]: (values, steps.truth) for kind, values in first.items()},
        "share of steps that are right",
    )
    shown = figures.histograms(
        {
            LABELS[kind]: {
                "right steps": values[steps.truth == 1],
                "wrong steps": values[steps.truth == 0],
            }
            for kind, values in first.items()
        },
        "value",
        "share of steps",
    )
    return Section(
        "Calibration",
        "Values of the first seed's models at the ends of steps.",
        [
            Plate(figures.save(reliability, folder / "calibration.png"), "Reliability."),
            Plate(figures.save(shown, folder / "values.png"), "Values on right and wrong steps."),
        ],
    )


def student_section(results: Mapping[str, float | Interval], folder: Path) -> Section:
    """The student's accuracy by depth."""
    prefix = "greedy_accuracy_depth"
    splits = {"_test": "test", "_held_out": "held-out templates"}
    depths = sorted(
        {int(n.removeprefix(prefix).split("_")[0]) for n in results if n.startswith(prefix)}
    )
    missing = Interval(float("nan"), float("nan"), float("nan"))
    bars = {
        words: [results.get(f"{prefix}{depth}{suffix}", missing) for depth in depths]
        for suffix, words in splits.items()
        if any(name.startswith(prefix) and name.endswith(suffix) for name in results)
    }
    if not bars:
        return Section("Student", "The task does not say how many steps its questions need.")
    figure = figures.grouped_bars(
        [str(depth) for depth in depths], bars, "steps that the question needs", "greedy accuracy"
    )
    path = figures.save(figure, folder / "accuracy_by_depth.png")
    return Section("Student", "", [Plate(path, "Greedy accuracy by depth.")])


def browser(workdir: Workdir, found: Findings) -> SolutionBrowser:
    """The first sample of each question, with both models' values beside its steps."""
    threshold = workdir.config["reward"]["threshold"]
    models = {LABELS[kind]: next(m for m in found.scores if m.startswith(f"{kind}-"))
              for kind in ("sorm", "orm")}  # fmt: skip
    samples, count = found.samples, len(found.samples) // len(found.questions)
    solutions = []
    for row in range(0, min(len(samples), SHOWN * count), count):
        sample, question = samples[row], found.questions[row // count]
        values = {label: found.scores[name][row] for label, name in models.items()}
        solutions.append(
            SolutionView(
                question=question.question,
                reference=question.solution,
                answer=given_answer(sample["text"]),
                correct=sample["correct"],
                depth=question.meta.get("depth", 0),
                steps=step_views(sample, values),
            )
        )
    text = f"One sample of each of the first {len(solutions)} test questions."
    return SolutionBrowser(solutions, {label: threshold for label in models}, text)


def step_values(found: Findings) -> dict[str, list[np.ndarray]]:
    """kind → values [U] at the steps' ends, one array a seed."""
    values: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}
    for name, scores in found.scores.items():
        values[name.partition("-")[0]].append(values_at_steps(found.samples, scores))
    return values


def mean_over_seeds(found: Findings, rows: np.ndarray, values: Sequence[np.ndarray]) -> Interval:
    """The mean over seeds and some rows (bool [U]) of values, [U] a seed."""
    asked = found.steps.asked
    means = [
        resample(lambda w, seed=seed: {"mean": mean_in(rows, seed, w[:, asked])}, found.drawn)
        for seed in values
    ]
    return over_seeds([mean["mean"] for mean in means], len(found.questions))


def _both(truth: np.ndarray) -> bool:
    return 0 < truth.sum() < len(truth)
