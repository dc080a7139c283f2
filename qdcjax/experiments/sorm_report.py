"""The report of the study of stepwise reward models: figures, tables, and a browser."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from qdcjax.experiments import evaluate, publish
from qdcjax.experiments.sorm_findings import KINDS, Findings, values_at_steps
from qdcjax.measures.classification import balanced_accuracy, false_negative_rate
from qdcjax.measures.intervals import Interval
from qdcjax.reasoning.reward_evaluation import over_seeds
from qdcjax.reporting import figures
from qdcjax.reporting.browser import SolutionBrowser, SolutionView, StepView
from qdcjax.reporting.page import HeadlineRow, Plate, Report, Section
from qdcjax.workdir import Workdir

LABELS = {"orm": "ORM", "sorm": "SORM", "unbalanced_sorm": "SORM, unbalanced"}
SHOWN = 200  # solutions in the browser

DESCRIPTION = (
    "A student policy learns to solve word problems. Its own samples train two reward models: an "
    "outcome reward model (ORM), which learns at every token whether the sample's final answer "
    "was right, and a stepwise one (SORM), which learns at each step whether any completion from "
    "there can be right. Both are judged on steps that are checked exactly."
)


def report(workdir: Workdir, found: Findings) -> Report:
    """Everything that the page shows, with its figures saved under `figures/`."""
    results, folder = found.results, workdir.path / "figures"
    return Report(
        title="Stepwise outcome reward models",
        description=DESCRIPTION,
        run=publish.run_facts(workdir),
        headline=[
            *evaluate.headline(workdir.config["evaluation"]["splits"], results),
            *headline(results),
        ],
        verdicts=found.verdicts,
        sections=[
            *([steps_section(workdir, found, folder)] if len(found.steps.truth) else []),
            *([labels_section(found, folder)] if len(found.verified.truth) else []),
            *([calibration_section(found, folder)] if _both(found.steps.truth) else []),
            evaluate.at_k_section(workdir, results),
            student_section(results, folder),
            training_section(workdir),
        ],
        browser=browser(workdir, found),
    )


def headline(results: Mapping[str, float | Interval]) -> list[HeadlineRow]:
    """The numbers to take away."""
    rows = []
    for name, words, note in [
        ("step_accuracy", "step accuracy", "right against wrong steps, balanced at each length"),
        ("step_auroc", "AUROC of steps", "per prefix length"),
        ("false_negatives", "right steps called wrong", ""),
        ("answer_accuracy", "accuracy on final answers", ""),
    ]:
        unit = "" if "AUROC" in words else "%"
        rows += [
            HeadlineRow(f"{LABELS[kind]}, {words}", results[f"{kind}_{name}"], unit, note)
            for kind in ("orm", "sorm")
        ]
    return rows


def steps_section(workdir: Workdir, found: Findings, folder: Path) -> Section:
    """Accuracy by prefix length, false negatives by success rate, drift with position."""
    steps, by_kind = found.steps, step_values(found)
    threshold = workdir.config["reward"]["threshold"]
    plates = []
    lengths = [int(n) for n in np.unique(steps.length) if _both(steps.truth[steps.length == n])]
    if lengths:
        plates.append(accuracy_plate(steps, by_kind, lengths, threshold, folder))
    if steps.truth.any():
        plates.append(false_negatives_plate(steps, by_kind, threshold, folder))
    plates.append(drift_plate(steps, by_kind, folder))
    text = "A step is right when it and all steps before it are valid in the problem's own graph."
    return Section("Steps", text, plates)


def accuracy_plate(steps, by_kind, lengths: Sequence[int], threshold: float, folder) -> Plate:
    """Balanced step accuracy at each prefix length that has right and wrong steps."""
    bars = {
        LABELS[kind]: [
            in_rows(
                values,
                steps.length == n,
                lambda truth, value: balanced_accuracy(truth, value, threshold),
                steps.truth,
            )
            for n in lengths
        ]
        for kind, values in by_kind.items()
    }
    figure = figures.grouped_bars(
        [str(n) for n in lengths],
        bars,
        "steps in the prefix",
        "balanced step accuracy",
        [int((steps.length == n).sum()) for n in lengths],
        chance=0.5,
    )
    caption = "Step accuracy at each prefix length; intervals are Student's t over seeds."
    return Plate(figures.save(figure, folder / "steps_by_length.png"), caption)


def false_negatives_plate(steps, by_kind, threshold: float, folder) -> Plate:
    """Right steps called wrong, by the success rate of the question's other samples."""
    bins = {}
    for low, high in itertools.pairwise((0.0, 0.2, 0.4, 0.6, 0.8, 1.01)):
        rows = (steps.truth == 1) & (steps.success >= low) & (steps.success < high)
        if rows.any():
            bins[f"{low:.0%}–{min(high, 1):.0%}"] = rows
    bars = {
        LABELS[kind]: [
            in_rows(
                by_kind[kind],
                rows,
                lambda truth, value: false_negative_rate(truth, value >= threshold),
                steps.truth,
            )
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


def drift_plate(steps, by_kind, folder) -> Plate:
    """Mean value at each position, beside the share of right steps there."""
    positions = [int(n) for n in np.unique(steps.length)]
    lines = {
        LABELS[kind]: figures.series_of_intervals(
            positions,
            [
                in_rows(values, steps.length == n, lambda _, value: value.mean(), steps.truth)
                for n in positions
            ],
        )
        for kind, values in by_kind.items()
    }
    truth = [float(steps.truth[steps.length == n].mean()) for n in positions]
    lines["truth"] = figures.Series(positions, truth, reference=True)
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
        "step's result again; the others do not count."
    )
    return Section("Labels", text, [Plate(path, "Labels against the exact truth.")])


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


def training_section(workdir: Workdir) -> Section:
    """Curves of the student and of the reward models."""
    loss = {"loss": "loss"}
    return publish.training_section(
        workdir,
        {
            "student": {**loss, "token accuracy": "token_accuracy"},
            **{kind: {**loss, "accuracy": "accuracy"} for kind in KINDS},
        },
    )


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
        truth = sample["truth"] or [None] * len(sample["steps"])
        steps = [
            StepView(text, valid, {label: float(value[end]) for label, value in values.items()})
            for text, end, valid in zip(sample["steps"], sample["ends"], truth, strict=True)
        ]
        last = sample["text"].rstrip("\n").rpartition("\n")[2]
        ending = {label: float(value[-1]) for label, value in values.items()}
        solutions.append(
            SolutionView(
                question=question.question,
                reference=question.solution,
                answer=last.removeprefix("####").strip() if last.startswith("####") else "",
                correct=sample["correct"],
                depth=question.meta.get("depth", 0),
                steps=[*steps, StepView(last, None, ending)],
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


def in_rows(values: Sequence[np.ndarray], rows: np.ndarray, statistic, truth) -> Interval:
    """Student's t interval over seeds of a statistic of (truth, values) in some rows."""
    return over_seeds([statistic(truth[rows], seed[rows]) for seed in values])


def _both(truth: np.ndarray) -> bool:
    return 0 < truth.sum() < len(truth)
