"""The report of noise in traces: accuracy against intensity and contamination, and what is left."""

import dataclasses
import itertools
from collections.abc import Mapping

from qdcjax.experiments.findings.noise import Findings
from qdcjax.experiments.reports.training import training_section
from qdcjax.experiments.running import publish
from qdcjax.experiments.stages.noise_data import Cells
from qdcjax.measures.intervals import Interval
from qdcjax.reporting import figures
from qdcjax.reporting.page import HeadlineRow, Plate, Report, Section, Table
from qdcjax.tasks.traced_integers import Noise
from qdcjax.workdir import Workdir

KINDS = {"character": "characters", "line": "lines", "dynamic": "dynamic"}


def report(workdir: Workdir, found: Findings) -> Report:
    """Everything that the page shows, with its figures saved under `figures/`."""
    noised = with_noise(found)
    operations = found.answers.operations
    curves = {f"students-{of}": {"loss, mean over students": "loss"} for of in operations}
    curves |= {operation: {"loss": "loss"} for operation in operations}
    return Report(
        title="Noise in chains of thought",
        description="Each student learned traces of one operation on integers from a training set "
        "that was noised in its own way: characters or lines after the computation (static), or "
        "integers within it (dynamic). All were asked the same clean questions.",
        run=publish.run_facts(workdir),
        headline=headline(found),
        verdicts=found.verdicts,
        sections=[
            *([intensity_section(workdir, found)] if noised else []),
            *contamination_sections(workdir, found),
            *([steps_section(workdir, found)] if noised else []),
            *prompting_sections(workdir, found),
            cells_section(found),
            training_section(workdir, curves),
        ],
    )


def headline(found: Findings) -> list[HeadlineRow]:
    """Greedy accuracy of traces and of answers alone, on clean data."""
    words = {"clean": "clean traces", "answer": "answers alone"}
    return [
        HeadlineRow(f"{operation}: {label}", accuracy(found, operation, cell), "%")
        for operation in found.answers.operations
        for cell, label in words.items()
        if cell in found.answers.cells[operation]
    ]


def accuracy(found: Findings, operation: str, cell: str, way: str = "greedy") -> Interval:
    """Of the summary."""
    return found.results[f"{operation}_{cell}_{way}_accuracy"]


def with_noise(found: Findings) -> dict[str, Cells]:
    """Operations that some cell with noise of one kind takes part in → their cells."""
    return {name: cells for name, cells in found.answers.cells.items() if by_level(cells)}


def by_level(cells: Cells) -> dict[str, dict[float, str]]:
    """Kind → level → an operation's cell in which all documents are there and have that noise.

    Each kind begins with the clean cell, at 0.
    """
    clean = {0.0: "clean"} if "clean" in cells else {}
    kinds: dict[str, dict[float, str]] = {}
    for name, cell in cells.items():
        if cell.kind != "none" and (cell.contamination, cell.share) == (1, 1):
            kinds.setdefault(cell.kind, dict(clean))[cell.level] = name
    return {kind: dict(sorted(levels.items())) for kind, levels in kinds.items()}


def intensity_section(workdir: Workdir, found: Findings) -> Section:
    """Accuracy against intensity, a panel an operation, a line a kind."""
    panels = {}
    for operation, cells in with_noise(found).items():
        panel = {
            KINDS[kind]: figures.series_of_intervals(
                list(levels), [accuracy(found, operation, cell) for cell in levels.values()]
            )
            for kind, levels in by_level(cells).items()
        }
        if "answer" in cells:
            alone = accuracy(found, operation, "answer")
            panel["answers alone"] = figures.series_of_intervals([0, 1], [alone] * 2, True)
        panels[f"right, {operation}"] = panel
    figure = figures.lines(panels, "intensity of the noise, p", percent=True)
    path = figures.save(figure, workdir.path / "figures" / "intensity.png")
    text = (
        "Greedy accuracy on clean test problems of students whose every training document was "
        "noised with this intensity."
    )
    return Section("Accuracy against intensity", text, [Plate(path, "All documents noised.")])


def contamination_sections(workdir: Workdir, found: Findings) -> list[Section]:
    """Accuracy against the share of documents that are noised; none where all cells noise all."""
    noises = {
        name: dataclasses.replace(cell.noise, contamination=cell.contamination)
        for cells in found.answers.cells.values()
        for name, cell in cells.items()
        if cell.kind != "none" and cell.share == 1
    }
    varied = {(noise.kind, noise.level) for noise in noises.values() if noise.contamination < 1}
    if not varied:
        return []
    noises = {name: noise for name, noise in noises.items() if (noise.kind, noise.level) in varied}
    of = "documents", "contamination"
    plate = against_contamination(workdir, found, noises, "greedy", *of)
    return [Section("Accuracy against contamination", "", [plate])]


def prompting_sections(workdir: Workdir, found: Findings) -> list[Section]:
    """Prompted accuracy against the share of examples that are noised; none without prompting."""
    noises = {name: noise for name, noise in found.contexts.items() if noise.kind != "none"}
    if not noises:
        return []
    text = (
        "The pretrained model, not fine-tuned, on clean questions after worked examples in its "
        "prompt, of which each is noised or not by chance."
    )
    plate = against_contamination(workdir, found, noises, "prompted", "examples", "prompting")
    return [Section("Prompted", text, [plate])]


def against_contamination(
    workdir: Workdir,
    found: Findings,
    noises: Mapping[str, Noise],
    way: str,
    of: str,
    file: str,
) -> Plate:
    """Accuracy against contamination, a panel an operation and kind, a line a level.

    Args:
      workdir, found: of the study.
      noises: cell, or context of a prompt → its noise.
      way: of answering.
      of, file: what is noised, and the figure's name.
    """
    panels = {}
    for operation, kind in itertools.product(found.answers.operations, KINDS):
        shares: dict[float, dict[float, str]] = {}
        for name, noise in noises.items():
            if noise.kind == kind and (operation, way, name) in found.answers.right:
                shares.setdefault(noise.level, {0.0: "clean"})[noise.contamination] = name
        if shares:
            panels[f"right, {operation}, {KINDS[kind]}"] = {
                f"p = {level:g}": figures.series_of_intervals(
                    sorted(names),
                    [accuracy(found, operation, names[share], way) for share in sorted(names)],
                )
                for level, names in sorted(shares.items())
            }
    figure = figures.lines(panels, f"share of {of} that are noised", percent=True)
    path = figures.save(figure, workdir.path / "figures" / f"{file}.png")
    return Plate(path, "Greedy accuracy on clean questions.")


def steps_section(workdir: Workdir, found: Findings) -> Section:
    """Accuracy against the share of right steps, a panel an operation."""
    panels = {}
    for operation, cells in with_noise(found).items():
        panel = {}
        for kind, levels in by_level(cells).items():
            points = sorted(
                (found.results.get(f"{operation}_{cell}_right_steps", 1.0), cell)  # clean ones: all
                for cell in levels.values()
            )
            panel[KINDS[kind]] = figures.series_of_intervals(
                [share for share, _ in points],
                [accuracy(found, operation, cell) for _, cell in points],
            )
        panels[f"right, {operation}"] = panel
    figure = figures.lines(panels, "share of the clean trace's steps that are left", percent=True)
    path = figures.save(figure, workdir.path / "figures" / "steps.png")
    text = (
        "What noise leaves of the clean traces (lines in their order, of the longest common "
        "subsequence) against what the student came to."
    )
    return Section("Steps that are still right", text, [Plate(path, "All documents noised.")])


def cells_section(found: Findings) -> Section:
    """Every cell of every operation."""
    columns = ["operation", "cell", "steps left", "answers left", "greedy", "one sample"]
    rows = []
    for operation, cells in found.answers.cells.items():
        for name in cells:
            rows.append(
                [
                    operation,
                    name,
                    found.results.get(f"{operation}_{name}_right_steps"),
                    found.results.get(f"{operation}_{name}_right_answers"),
                    accuracy(found, operation, name),
                    accuracy(found, operation, name, "sampled"),
                ]
            )
    table = Table(
        columns, rows, "Of noised documents; accuracy on clean questions.", ["", "", *["%"] * 4]
    )
    return Section("All cells", "", [], [table])
