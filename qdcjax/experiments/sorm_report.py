"""The report of the study of stepwise reward models: figures, tables, and a browser."""

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
        headline=headline(results),
        verdicts=found.verdicts,
        sections=[
            steps_section(workdir, found, folder),
            labels_section(found, folder),
            calibration_section(found, folder),
            evaluate.at_k_section(workdir, results),
            student_section(results, folder),
            training_section(workdir),
        ],
        browser=browser(workdir, found),
    )


def headline(results: Mapping[str, float | Interval]) -> list[HeadlineRow]:
    """The numbers to take away."""
    rows = [HeadlineRow("Student, greedy accuracy", results["greedy_accuracy_test"], "%", "test")]
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
    steps, threshold = found.steps, workdir.config["reward"]["threshold"]
    by_kind = step_values(found)
    lengths = [int(n) for n in np.unique(steps.length) if _both(steps.truth[steps.length == n])]
    accuracy = {
        LABELS[kind]: [
            in_rows(values, steps.length == n, lambda y, s: balanced_accuracy(y, s, threshold),
                       steps.truth)
            for n in lengths
        ]
        for kind, values in by_kind.items()
    }  # fmt: skip
    bins = [(0.0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 1.01)]
    right = steps.truth == 1
    inside = [right & (steps.success >= low) & (steps.success < high) for low, high in bins]
    kept = [rows for rows in inside if rows.any()]
    names = [
        f"{low:.0%}–{min(high, 1):.0%}"
        for (low, high), rows in zip(bins, inside, strict=True)
        if rows.any()
    ]
    missed = {
        LABELS[kind]: [
            in_rows(values, rows, lambda y, s: false_negative_rate(y, s >= threshold),
                       steps.truth)
            for rows in kept
        ]
        for kind, values in by_kind.items()
        if kind != "unbalanced_sorm"
    }  # fmt: skip
    positions = [int(n) for n in np.unique(steps.length)]
    drift = {
        LABELS[kind]: figures.series_of_intervals(
            positions,
            [in_rows(values, steps.length == n, lambda _, s: s.mean(), steps.truth)
             for n in positions],
        )
        for kind, values in by_kind.items()
    }  # fmt: skip
    truth = [float(steps.truth[steps.length == n].mean()) for n in positions]
    drift["share of steps that are right"] = figures.Series(positions, truth, reference=True)
    plates = [
        Plate(
            figures.save(
                figures.grouped_bars(
                    [str(n) for n in lengths], accuracy, "steps in the prefix",
                    "balanced step accuracy",
                    [int((steps.length == n).sum()) for n in lengths], chance=0.5,
                ),
                folder / "steps_by_length.png",
            ),
            "Step accuracy at each prefix length; intervals are Student's t over seeds.",
        ),
        Plate(
            figures.save(
                figures.grouped_bars(
                    names, missed, "the student's success rate on the question",
                    "right steps called wrong", [int(rows.sum()) for rows in kept],
                ),
                folder / "false_negatives.png",
            ),
            "How often a right step is called wrong, by how often the question's other samples "
            "are right.",
        ),
        Plate(
            figures.save(
                figures.lines({"mean value": drift}, "position of the step", percent=True),
                folder / "drift.png",
            ),
            "Mean value at each position, beside the share of steps that are right there.",
        ),
    ]  # fmt: skip
    text = "A step is right when it and all steps before it are valid in the problem's own graph."
    return Section("Steps", text, plates)


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
