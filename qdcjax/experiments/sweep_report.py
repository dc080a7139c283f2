"""The report of a sweep: what the members came to, setting by setting."""

import math
from collections.abc import Mapping, Sequence

from qdcjax.experiments import publish
from qdcjax.measures.intervals import Interval
from qdcjax.reporting import figures
from qdcjax.reporting.page import Plate, Report, Section, Table
from qdcjax.workdir import Workdir

# Figures of a split that are worth a column, of the policy that a run ends with.
OF_POLICY = ("greedy_accuracy", "sampled_accuracy", "kl", "distinct")
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
    columns = {}
    for figure in (*OF_POLICY, GAIN):
        ending = f"{figure}_{split}"
        # A run of several policies names the last one last.
        of = [n for n in names if n == ending or (n.endswith(f"_{ending}") and n[:4] != "gain")]
        columns |= {of[-1]: figure.replace("_", " ")} if of else {}
    rows = [[name, *(of.get(figure) for figure in columns)] for name, of in found.items()]
    bars = {
        label: [of.get(figure, math.nan) for of in found.values()]
        for figure, label in columns.items()
        if "accuracy" in figure and "gain" not in figure
    }
    path = workdir.path / "figures" / "settings.png"
    figures.save(figures.grouped_bars(list(found), bars, "setting", f"right, {split}"), path)
    units = ["", *("%" if "accuracy" in label else "" for label in columns.values())]
    table = Table(["setting", *columns.values()], rows, f"On the split {split}.", units)
    return Section("Settings", "", [Plate(path, "Every setting.")], [table])
