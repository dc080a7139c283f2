"""The report of noise in traces: accuracy against intensity and contamination, and what is left."""

from qdcjax.experiments import publish
from qdcjax.experiments.noise_findings import Findings
from qdcjax.measures.intervals import Interval
from qdcjax.reporting import figures
from qdcjax.reporting.page import HeadlineRow, Plate, Report, Section, Table
from qdcjax.workdir import Workdir

KINDS = {"character": "characters", "line": "lines", "dynamic": "dynamic"}


def report(workdir: Workdir, found: Findings) -> Report:
    """Everything that the page shows, with its figures saved under `figures/`."""
    return Report(
        title="Noise in chains of thought",
        description="Each student learned traces of one operation on integers from a training set "
        "that was noised in its own way: characters or lines after the computation (static), or "
        "integers within it (dynamic). All were asked the same clean questions.",
        run=publish.run_facts(workdir),
        headline=headline(found),
        verdicts=found.verdicts,
        sections=[
            intensity_section(workdir, found),
            *contamination_sections(workdir, found),
            steps_section(workdir, found),
            cells_section(found),
            publish.training_section(workdir, {"students": {"loss, mean over students": "loss"}}),
        ],
    )


def headline(found: Findings) -> list[HeadlineRow]:
    """Greedy accuracy of traces and of answers alone, on clean data."""
    words = {"clean": "clean traces", "answer": "answers alone"}
    return [
        HeadlineRow(f"{operation}: {label}", accuracy(found, operation, cell), "%")
        for operation in found.answers.operations
        for cell, label in words.items()
        if cell in found.answers.cells
    ]


def accuracy(found: Findings, operation: str, cell: str, way: str = "greedy") -> Interval:
    """Of the summary."""
    return found.results[f"{operation}_{cell}_{way}_accuracy"]


def by_level(found: Findings) -> dict[str, dict[float, str]]:
    """Kind → level → the cell in which every document has that noise, and all documents are there.

    Each kind begins with the clean cell, at 0.
    """
    clean = {0.0: "clean"} if "clean" in found.answers.cells else {}
    kinds: dict[str, dict[float, str]] = {}
    for name, cell in found.answers.cells.items():
        if cell.kind != "none" and (cell.contamination, cell.share) == (1, 1):
            kinds.setdefault(cell.kind, dict(clean))[cell.level] = name
    return {kind: dict(sorted(levels.items())) for kind, levels in kinds.items()}


def intensity_section(workdir: Workdir, found: Findings) -> Section:
    """Accuracy against intensity, a panel an operation, a line a kind."""
    panels = {}
    for operation in found.answers.operations:
        panel = {
            KINDS[kind]: figures.series_of_intervals(
                list(levels), [accuracy(found, operation, cell) for cell in levels.values()]
            )
            for kind, levels in by_level(found).items()
        }
        if "answer" in found.answers.cells:
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
    cells = found.answers.cells
    plain = {name: cell for name, cell in cells.items() if not cell.mixes and cell.share == 1}
    noises = dict.fromkeys(cell.noise for cell in plain.values() if cell.contamination < 1)
    if not noises:
        return []
    panels = {}
    for operation in found.answers.operations:
        panel = {}
        for noise in noises:
            shares = {c.contamination: name for name, c in plain.items() if c.noise == noise}
            shares = dict(sorted(({0.0: "clean"} | shares).items()))
            panel[f"{KINDS[noise.kind]}, p = {noise.level:g}"] = figures.series_of_intervals(
                list(shares), [accuracy(found, operation, cell) for cell in shares.values()]
            )
        panels[f"right, {operation}"] = panel
    figure = figures.lines(panels, "share of documents that are noised", percent=True)
    path = figures.save(figure, workdir.path / "figures" / "contamination.png")
    plate = Plate(path, "Greedy accuracy on clean questions.")
    return [Section("Accuracy against contamination", "", [plate])]


def steps_section(workdir: Workdir, found: Findings) -> Section:
    """Accuracy against the share of right steps, a panel an operation."""
    panels = {}
    for operation in found.answers.operations:
        panel = {}
        for kind, levels in by_level(found).items():
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
    for operation in found.answers.operations:
        for name in found.answers.cells:
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
