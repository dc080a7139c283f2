"""The report of self-improvement: diversity, quality and loss by round, pass@K before and after."""

from collections.abc import Mapping

from qdcjax.experiments.findings.self_improvement import Findings
from qdcjax.experiments.reports.training import training_section
from qdcjax.experiments.running import publish
from qdcjax.experiments.stages.self_training import Arm
from qdcjax.reporting import figures
from qdcjax.reporting.page import HeadlineRow, Plate, Report, Section, Table
from qdcjax.workdir import Workdir

FIGURES = {
    "kinds": "kinds of problems",
    "vendi": "Vendi score",
    "valid": "valid",
    "right": "right, of the valid ones",
    "loss": "loss, nats a token",
}


def report(workdir: Workdir, found: Findings, arms: Mapping[str, Arm]) -> Report:
    """Everything that the page shows, with its figures saved under `figures/`."""
    rounds = {arm: len(of["kinds"]) - 1 for arm, of in found.rounds.items()}
    headline = [
        HeadlineRow(f"{arm}: kinds of problems {when}", of["kinds"][number])
        for arm, of in found.rounds.items()
        for when, number in (("before", 0), ("after", rounds[arm]))
    ]
    return Report(
        title="Learning from oneself",
        description="A model writes problems with solutions, and the base is trained anew on what "
        "was accepted, round after round. Arms differ in what they accept and keep.",
        run=publish.run_facts(workdir),
        headline=headline,
        verdicts=found.verdicts,
        sections=[
            rounds_section(workdir, found),
            passes_section(workdir, found),
            arms_section(found, arms),
            training_section(
                workdir,
                {"writer": {"loss": "loss"}, "round": {"loss, mean over models": "loss"}},
            ),
        ],
    )


def rounds_section(workdir: Workdir, found: Findings) -> Section:
    """Each figure by round, a line an arm."""
    plates = []
    for name, names in {"diversity": ("kinds", "vendi"), "quality": ("valid", "right")}.items():
        plates.append(_plate(workdir, found, name, names, percent=name == "quality"))
    plates.append(_plate(workdir, found, "loss", ("loss",)))
    text = "Of what each model writes when it is asked for a new problem and no more, before any "
    text += "filter, and its loss on real problems that none has seen; round 0 is the base."
    return Section("Rounds", text, plates)


def _plate(workdir: Workdir, found: Findings, name: str, of: tuple, percent: bool = False) -> Plate:
    panels = {
        FIGURES[figure]: {
            arm: figures.series_of_intervals(range(len(values[figure])), values[figure])
            for arm, values in found.rounds.items()
        }
        for figure in of
    }
    path = workdir.path / "figures" / f"{name}.png"
    return Plate(figures.save(figures.lines(panels, "round", percent=percent), path), "By seed.")


def passes_section(workdir: Workdir, found: Findings) -> Section:
    """pass@K of the base and of every arm's last model."""
    lines = {
        arm: figures.series_of_intervals(list(of), list(of.values()), reference=arm == "start")
        for arm, of in found.passes.items()
    }
    figure = figures.lines({"pass@K": lines}, "K", percent=True, log_x=True)
    path = figures.save(figure, workdir.path / "figures" / "passes.png")
    text = "Test questions of all templates, as often; dashed: the base."
    return Section("pass@K", text, [Plate(path, "After the last round.")])


def arms_section(found: Findings, arms: Mapping[str, Arm]) -> Section:
    """What the arms are."""
    rows = [
        [
            name,
            arm.recipe.parents,
            ", ".join(arm.recipe.operations),
            ", ".join(arm.recipe.accept) or "everything",
            arm.recipe.select,
            arm.recipe.memory,
            "yes" if arm.real else "no",
            found.results[f"{name}_accepted"],
        ]
        for name, arm in arms.items()
    ]
    columns = ["arm", "parents", "operations", "accepts", "selects", "rounds", "real data"]
    units = [""] * len(columns) + ["%"]
    return Section("Arms", "", tables=[Table([*columns, "accepted"], rows, "", units)])
