"""The report of the dials: accuracy against each dial, the front of selection, the sets."""

import itertools
from collections.abc import Mapping

from qdcjax.experiments.findings.qdc_dials import Findings
from qdcjax.experiments.reports.training import training_section
from qdcjax.experiments.running import publish
from qdcjax.experiments.stages.dials import BASE, DIALS, DialSet
from qdcjax.measures.intervals import Interval
from qdcjax.reporting import figures
from qdcjax.reporting.page import HeadlineRow, Plate, Report, Section, Table
from qdcjax.workdir import Workdir

TESTS = {
    "in": "in distribution",
    "more": "steps that some sets have",
    "templates": "held-out templates",
    "deeper": "more steps than any set",
    "out": "out of distribution",
}
X_LABELS = {
    "quality": "chance that a step is right",
    "diversity": "templates",
    "complexity": "steps of the longest problems",
}


def report(workdir: Workdir, found: Findings, sets: Mapping[str, DialSet]) -> Report:
    """Everything that the page shows, with its figures saved under `figures/`."""
    return Report(
        title="Three dials of data",
        description="Students learn from sets of word problems that have the same number of tokens "
        "and differ in one dial: how often steps are right, how many templates there are, how many "
        "steps problems have. All are asked the same questions.",
        run=publish.run_facts(workdir),
        headline=[
            HeadlineRow(f"base, {TESTS[test]}", found.results[f"{BASE}_{test}_accuracy"], unit="%")
            for test in found.tests
        ],
        verdicts=found.verdicts,
        sections=[
            dials_section(workdir, found, sets),
            front_section(workdir, found),
            sets_section(found, sets),
            training_section(workdir, {"students": {"loss, mean over students": "loss"}}),
        ],
    )


def dials_section(workdir: Workdir, found: Findings, sets: Mapping[str, DialSet]) -> Section:
    """Accuracy against each dial, a panel a dial, and the effects."""
    plates = []
    for dial, names in found.levels.items():
        values = [getattr(sets[name], dial) for name in names]
        panel = {
            TESTS[test]: figures.series_of_intervals(
                values, [found.results[f"{name}_{test}_accuracy"] for name in names]
            )
            for test in found.tests
        }
        figure = figures.lines({"right answers": panel}, X_LABELS[dial], percent=True)
        path = figures.save(figure, workdir.path / "figures" / f"{dial}.png")
        plates.append(Plate(path, f"{dial.capitalize()}: the other dials are those of the base."))
    tests = [*found.tests, "out"]
    rows = [
        [dial, *(found.results.get(f"{dial}_{test}_effect") for test in tests)] for dial in DIALS
    ]
    columns = ["dial", *(TESTS[test] for test in tests)]
    caption = "Accuracy at the highest level − at the lowest."
    units = ["", *["points"] * len(tests)]
    tables = [Table(columns, rows, caption, units)]
    pairs = [f"{one}_{other}" for one, other in itertools.combinations(DIALS, 2)]
    rows = [
        [pair.replace("_", " and "), *(found.results[f"{pair}_{of}_interaction"] for of in tests)]
        for pair in pairs
        if f"{pair}_out_interaction" in found.results
    ]
    if rows:
        caption = "What the first dial does more at the high level of the second than at its low."
        tables.append(Table(["pair", *columns[1:]], rows, caption, units))
    return Section("Dials", "Greedy answers, by seed.", plates, tables)


def front_section(workdir: Workdir, found: Findings) -> Section:
    """Quality against diversity of what QDIT keeps."""
    text = "QDIT chooses from the set with the fewest right steps, by right steps and by how well "
    text += "what it has chosen stands for the whole."
    return Section("Selection", text, [front_plate(workdir, found.fronts)])


def front_plate(workdir: Workdir, fronts: Mapping[float, tuple[Interval, Interval]]) -> Plate:
    """Weight → quality and Vendi score of what QDIT keeps, as a line."""
    quality, vendi = zip(*fronts.values(), strict=True)
    series = figures.series_of_intervals([of.value for of in quality], vendi)
    panel = {"Vendi score of what is kept": {"QDIT": series}}
    figure = figures.lines(panel, "share of right steps of what is kept")
    path = figures.save(figure, workdir.path / "figures" / "selection.png")
    weights = ", ".join(f"{alpha:g}" for alpha in fronts)
    return Plate(
        path, f"QDIT, weights of diversity {weights}, from right to left; means over seeds."
    )


def sets_section(found: Findings, sets: Mapping[str, DialSet]) -> Section:
    """The sets and what their students know."""
    columns = {
        "right": ("right answers", "%"),
        "right_steps": ("right steps", "%"),
        "templates": ("templates", ""),
        "steps": ("steps", ""),
    } | {f"{test}_accuracy": (f"students: {TESTS[test]}", "%") for test in found.tests}
    rows = [[name, *(found.results[f"{name}_{column}"] for column in columns)] for name in sets]
    titles, units = zip(*columns.values(), strict=True)
    return Section("Sets", "", tables=[Table(["set", *titles], rows, "", ["", *units])])
