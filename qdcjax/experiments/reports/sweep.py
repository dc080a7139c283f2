"""The report of a sweep: what the members came to, setting by setting."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qdcjax.experiments.running import publish
from qdcjax.measures.intervals import Interval
from qdcjax.measures.predictions import Verdict
from qdcjax.reporting import figures
from qdcjax.reporting.page import Plate, Report, Section, Table
from qdcjax.workdir import Workdir

Columns = dict[str, tuple[str, str]]  # figure → heading and unit of its column

# Figures of a split, of the policy that a run ends with.
OF_POLICIES = {
    "greedy_accuracy": ("greedy", "%"),
    "sampled_accuracy": ("one sample", "%"),
    "kl": ("KL from the start, nats a solution", ""),
    "distinct": ("different solutions a question", ""),
}
GAIN = "gain_greedy_accuracy"


def columns_of_policies(config: Mapping[str, Any], names: Sequence[str]) -> Columns:
    """Those of a study of policies, on its first split.

    Args:
      config: of the sweep.
      names: of the figures that there are; a run of several policies names the last one last.
    """
    split = config["evaluation"]["splits"][0]
    shown = {}
    for figure, column in OF_POLICIES.items():
        ending = f"{figure}_{split}"
        of = [n for n in names if n == ending or (n.endswith(f"_{ending}") and n[:4] != "gain")]
        shown |= {of[-1]: column} if of else {}
    if f"{GAIN}_{split}" in names:
        shown[f"{GAIN}_{split}"] = "greedy, gained", "points"
    return shown


def report(
    workdir: Workdir,
    axes: Mapping[str, Sequence],
    found: Mapping[str, Mapping[str, Interval]],
    columns: Callable[[Mapping[str, Any], Sequence[str]], Columns],
    verdicts: Sequence[Verdict],
) -> Report:
    """The whole page.

    Args:
      workdir: of the sweep.
      axes: field → values.
      found: setting → figure → its mean over seeds.
      columns: the study's own; from the config and the names of all figures.
      verdicts: by the means over seeds.
    """
    config = workdir.config
    members = math.prod(len(values) for values in axes.values())
    words = "; ".join(f"{field}: {', '.join(map(str, of))}" for field, of in axes.items())
    return Report(
        title=f"Sweep of {config.get('name', config['study'])}",
        description=f"{members} runs, every combination of {words}. Each has its own page in the "
        "folder members. Where seeds were gone through, figures are means over them.",
        run=publish.run_facts(workdir),
        verdicts=verdicts,
        sections=[settings_section(workdir, found, columns)],
    )


def settings_section(
    workdir: Workdir,
    found: Mapping[str, Mapping[str, Interval]],
    columns: Callable[[Mapping[str, Any], Sequence[str]], Columns],
) -> Section:
    """A row a setting, and the shares as bars."""
    shown = columns(workdir.config, list(next(iter(found.values()))))
    shares = {figure for figure, (_, unit) in shown.items() if unit == "%"}
    found = {
        name: {f: v.within(0, 1) if f in shares else v for f, v in of.items() if f in shown}
        for name, of in found.items()
    }
    bars = {
        shown[figure][0]: [of.get(figure, math.nan) for of in found.values()]
        for figure in shown
        if figure in shares
    }
    path = workdir.path / "figures" / "settings.png"
    figures.save(figures.grouped_bars(list(found), bars, "setting", "share"), path)
    rows = [[name, *(of.get(figure) for figure in shown)] for name, of in found.items()]
    headings, units = zip(*shown.values(), strict=True)
    table = Table(["setting", *headings], rows, "On the first split.", ["", *units])
    return Section("Settings", "", [Plate(path, "Every setting.")], [table])
