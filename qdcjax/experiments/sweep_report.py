"""The report of a sweep: what the members came to, setting by setting."""

import math
from collections.abc import Mapping, Sequence

from qdcjax.experiments import publish
from qdcjax.measures.intervals import Interval
from qdcjax.reporting import figures
from qdcjax.reporting.page import Plate, Report, Section, Table
from qdcjax.workdir import Workdir

# Figures of a split, of the policy that a run ends with → heading and unit of its column.
COLUMNS = {
    "greedy_accuracy": ("greedy", "%"),
    "sampled_accuracy": ("one sample", "%"),
    "kl": ("KL from the start, nats a solution", ""),
    "distinct": ("different solutions a question", ""),
}
GAIN = "gain_greedy_accuracy"


def report(
    workdir: Workdir, axes: Mapping[str, Sequence], found: Mapping[str, Mapping[str, Interval]]
) -> Report:
    """The whole page.

    Args:
      workdir: of the sweep.
      axes: field → values.
      found: setting → figure → its mean over seeds.
    """
    config = workdir.config
    members = math.prod(len(values) for values in axes.values())
    words = "; ".join(f"{field}: {', '.join(map(str, of))}" for field, of in axes.items())
    return Report(
        title=f"Sweep of {config.get('name', config['study'])}",
        description=f"{members} runs, every combination of {words}. Each has its own page in the "
        "folder members. Where seeds were gone through, figures are means over them.",
        run=publish.run_facts(workdir),
        sections=[settings_section(workdir, found)],
    )


def settings_section(workdir: Workdir, found: Mapping[str, Mapping[str, Interval]]) -> Section:
    """A row a setting, and the accuracies as bars."""
    split = workdir.config["evaluation"]["splits"][0]
    names = list(next(iter(found.values())))
    shown = {}  # figure → heading, unit
    for figure, column in COLUMNS.items():
        ending = f"{figure}_{split}"
        # A run of several policies names the last one last.
        of = [n for n in names if n == ending or (n.endswith(f"_{ending}") and n[:4] != "gain")]
        shown |= {of[-1]: column} if of else {}
    bars = {
        heading: [of.get(figure, math.nan) for of in found.values()]
        for figure, (heading, unit) in shown.items()
        if unit == "%"
    }
    if f"{GAIN}_{split}" in names:
        shown[f"{GAIN}_{split}"] = "greedy, gained", "points"
    path = workdir.path / "figures" / "settings.png"
    figures.save(figures.grouped_bars(list(found), bars, "setting", f"right, {split}"), path)
    rows = [[name, *(of.get(figure) for figure in shown)] for name, of in found.items()]
    headings, units = zip(*shown.values(), strict=True)
    table = Table(["setting", *headings], rows, f"On the split {split}.", ["", *units])
    return Section("Settings", "", [Plate(path, "Every setting.")], [table])
