"""The report of the algorithms: archives, the front of quality and diversity, students, samples."""

from collections.abc import Mapping, Sequence

from qdcjax.experiments.findings.qdc_algorithms import Findings
from qdcjax.experiments.reports.qdc_dials import TESTS, front_plate
from qdcjax.experiments.reports.training import training_section
from qdcjax.experiments.running import publish
from qdcjax.reporting import figures, point_figures
from qdcjax.reporting.page import HeadlineRow, Plate, Report, Section, Table
from qdcjax.synthesis.recipes import Recipe
from qdcjax.synthesis.samples import Made
from qdcjax.workdir import Workdir

SHOWN = 3  # samples of an algorithm


def report(
    workdir: Workdir,
    found: Findings,
    recipes: Mapping[str, Recipe],
    made: Mapping[str, Mapping[int, Sequence[Made]]],
    emitted: Mapping[str, Mapping[int, Sequence[Made]]],
) -> Report:
    """Everything that the page shows, with its figures saved under `figures/`."""
    of = found.results
    best = [name for name in ("map_elites", "quality_search", "temperature") if name in recipes]
    headline = [HeadlineRow(f"cells filled by {words(name)}", of[f"{name}_coverage"], unit="%")
                for name in best]  # fmt: skip
    return Report(
        title="Algorithms that make data",
        description="A writer makes word problems by each algorithm's recipe, with the same number "
        "of candidates. Each is read back into the problem that it asks, and graded; a student "
        "learns the seeds and what the algorithm emits.",
        run=publish.run_facts(workdir),
        headline=headline,
        verdicts=found.verdicts,
        sections=[
            archives_section(workdir, found),
            front_section(workdir, found, recipes),
            students_section(found, recipes),
            candidates_section(found, recipes),
            samples_section(made, emitted),
            training_section(
                workdir,
                {
                    "writer": {"loss": "loss"},
                    "students": {"loss, mean over students": "loss"},
                },
            ),
        ],
    )


def words(name: str) -> str:
    """An algorithm's name, and the part that it is without, as they are read."""
    algorithm, _, part = name.partition("-")
    known = {"map_elites": "MAP-Elites", "deita": "DEITA", "qdit": "QDIT", "metamath": "MetaMath"}
    read = known.get(algorithm, algorithm.replace("_", " "))
    return f"{read} without {part.replace('_', ' ')}" if part else read


def archives_section(workdir: Workdir, found: Findings) -> Section:
    """Coverage and QD-score against evaluations."""
    panels = {}
    for label, of in (("filled cells", "coverage"), ("QD-score / cells", "score")):
        panels[label] = {
            words(name): figures.series_of_intervals(growth.evaluations, getattr(growth, of))
            for name, growth in found.growth.items()
            if "-" not in name and name not in ("deita", "qdit")
        }
    path = figures.save(
        figures.lines(panels, "candidates"), workdir.path / "figures" / "archives.png"
    )
    caption = (
        "All candidates of an algorithm, put into one archive as they came, without the seeds. "
    )
    caption += "What is selected of the same candidates is not drawn again."
    return Section("Archives", "", [Plate(path, caption)])


def front_section(workdir: Workdir, found: Findings, recipes: Mapping[str, Recipe]) -> Section:
    """Quality against diversity of what is emitted, and of what QDIT keeps."""
    points = {
        words(name): (found.results[f"{name}_process"], found.results[f"{name}_vendi"])
        for name in recipes
    }
    figure = point_figures.named(
        points,
        "share of right steps",
        f"Vendi score of {found.described}",
    )
    path = figures.save(figure, workdir.path / "figures" / "front.png")
    text = (
        "What each algorithm emits, and what QDIT keeps of independent samples at other weights, "
    )
    text += "of another number of samples."
    plates = [Plate(path, "Means over seeds, with intervals."), front_plate(workdir, found.front)]
    columns = {
        "emitted": ("samples", ""),
        "right": ("right answers", "%"),
        "process": ("right steps", "%"),
        "steps": ("steps", ""),
    }
    tables = [_table(found, recipes, columns, "Quality and complexity of what is emitted.")]
    columns = {
        "kinds": ("kinds", ""),
        "vendi": ("Vendi", ""),
        "distinct_2": ("distinct-2", ""),
        "self_bleu": ("self-BLEU", ""),
    }
    caption = f"Diversity of {found.described} samples of it."
    tables.append(_table(found, recipes, columns, caption))
    return Section("Quality, diversity, complexity", text, plates, tables)


def students_section(found: Findings, recipes: Mapping[str, Recipe]) -> Section:
    """Accuracy of the students."""
    columns = {f"{test}_accuracy": (TESTS[test], "%") for test in found.tests}
    names = [name for name in ("writer", "seeds") if f"{name}_in_accuracy" in found.results]
    caption = "Greedy answers of students of the seeds and of what was emitted beside them."
    return Section("Students", "", tables=[_table(found, (*names, *recipes), columns, caption)])


def candidates_section(found: Findings, recipes: Mapping[str, Recipe]) -> Section:
    """What became of the candidates: nothing is dropped without a reason."""
    columns = {"valid": ("valid", "%"), "accepted": ("accepted", "%")}
    columns |= {"coverage": ("filled cells", "%"), "score": ("QD-score / cells", "")}
    shares = _table(found, recipes, columns, "Shares of the candidates.")
    rows = [
        [words(name), sum(reasons.values()), ", ".join(f"{why} {n}" for why, n in reasons.items())]
        for name, reasons in found.dropped.items()
    ]
    reasons = Table(["algorithm", "dropped", "for"], rows, "Candidates of all seeds together.")
    return Section("Candidates", "", tables=[shares, reasons])


def samples_section(
    made: Mapping[str, Mapping[int, Sequence[Made]]],
    emitted: Mapping[str, Mapping[int, Sequence[Made]]],
) -> Section:
    """Some of what was emitted, with its lineage."""
    rows = []
    for name, runs in emitted.items():
        seed = next(iter(runs))
        known = {one.id: one for one in made[name][seed]}
        for one in runs[seed][-SHOWN:]:
            parents = ", ".join(f"{p} ({known[p].operation})" if p in known else p
                                for p in one.parents)  # fmt: skip
            rows.append(
                [
                    words(name),
                    f"{one.id}: {one.operation}",
                    parents or "none",
                    one.text,
                    one.fitness,
                ]
            )
    columns = ["algorithm", "sample", "parents", "text", "quality"]
    return Section("Samples", "The last that each emitted.", tables=[Table(columns, rows)])


def _table(
    found: Findings, names: Sequence[str], columns: Mapping[str, tuple[str, str]], caption: str
) -> Table:
    """A row an algorithm, a column a figure (title, unit)."""
    rows = [[words(name), *(found.results[f"{name}_{of}"] for of in columns)] for name in names]
    titles, units = zip(*columns.values(), strict=True)
    return Table(["algorithm", *titles], rows, caption, ["", *units])
