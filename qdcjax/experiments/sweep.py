"""Many runs of one study: every combination of some fields' values, in one report.

A study that can run members in one program names the fields that may differ in it, `TRACEABLE`, and
has `learn_together(workdirs)`, which makes their slow stages at once. Other fields are gone through
one after another.
"""

import copy
import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qdcjax.experiments.reports import sweep as sweep_report
from qdcjax.experiments.running import from_config, publish
from qdcjax.experiments.running.members import Member, open_members, run_members, study_of
from qdcjax.measures.intervals import Interval, over_replicates, over_runs
from qdcjax.measures.predictions import Verdict, judge
from qdcjax.workdir import Workdir

Settings = dict[str, Any]  # dotted field → value
Mean = Callable[[Sequence[Interval]], Interval]
SEED = "seed"  # last word of the fields over which figures are averaged; alone, of all draws


def run(workdir: Workdir, asked: str) -> dict[str, float]:
    """Runs every member; returns the summary, whose figures are means over seeds.

    Args:
      workdir: of the whole sweep, with the config that members are changes of.
      asked: see `axes_of`.

    Raises:
      ValueError: one line: what is asked cannot be, or the study is many runs already.
    """
    config = workdir.config
    if "seeds" in config:
        raise ValueError(f"sweep: {config['study']} is many runs already; it has config.seeds")
    axes = axes_of(asked, config)
    settings = combinations(axes)
    members = [Member(name_of(of), changed(config, of)) for of in settings]
    for member in members:
        from_config.check(member.config)
    opened = open_members(workdir, members)
    study = study_of(config)
    for together in _in_one_program(settings, getattr(study, "TRACEABLE", ())):
        if len(together) > 1:
            study.learn_together([opened[name_of(of)] for of in together])
    summaries = run_members(workdir, opened, after={})
    mean = over_replicates if SEED in axes and has_own_questions(config) else over_runs
    found = by_setting(settings, summaries, mean)
    told = {
        name: publish.read_verdicts(member.path)
        for name, member in opened.items()
        if (member.path / publish.VERDICTS).exists()
    }
    verdicts = verdicts_by_setting(settings, told, mean)
    columns = getattr(study, "sweep_columns", sweep_report.columns_of_policies)
    return publish.publish(
        workdir,
        lambda: sweep_report.report(workdir, axes, found, columns, verdicts),
        publish.flat({f"{name}/{k}": v for name, of in found.items() for k, v in of.items()}),
        verdicts,
    )


def has_own_questions(config: Mapping[str, Any]) -> bool:
    """Whether runs with different seeds have different questions, so that they are replicates.

    A run that goes on from another one, and has no task itself, has that one's questions.
    """
    if "task" in config:
        return config["task"]["name"] in from_config.GENERATED
    sections = [value for value in config.values() if isinstance(value, Mapping)]
    return not config.get("checkpoint") and any(map(has_own_questions, sections))


def axes_of(asked: str, config: Mapping[str, Any]) -> dict[str, list]:
    """Field → its values.

    Args:
      asked: such as `seed=0:16;policy_gradient.kl=0,.05`: fields by their dotted names, values
        separated by commas, or a range of integers without its end.
      config: gives the fields and the types of their values.

    Raises:
      ValueError: one line that names the field.
    """
    axes: dict[str, list] = {}
    for part in filter(None, (part.strip() for part in asked.split(";"))):
        field, equals, values = (word.strip() for word in part.partition("="))
        if not equals or not values:
            raise ValueError(f"sweep={part!r}: give field=value,value or field=first:end")
        if field in axes:
            raise ValueError(f"sweep: {field} is there twice")
        kind = type(_field(config, field))
        if kind not in (int, float, str, bool):
            raise ValueError(f"sweep: {field} is a {kind.__name__}, and no number, word or switch")
        axes[field] = _values(field, values, kind)
    if not axes:
        raise ValueError("sweep is empty: give field=value,value;…")
    return axes


def combinations(axes: Mapping[str, Sequence]) -> list[Settings]:
    """Every combination of the axes' values; the last axis changes first."""
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def changed(config: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """The config with some fields set."""
    found = copy.deepcopy(dict(config))
    for field, value in settings.items():
        *sections, last = field.split(".")
        section = found
        for name in sections:
            section = section[name]
        section[last] = value
    return found


def name_of(settings: Settings) -> str:
    """The name of a member, or of all seeds of a setting.

    A field goes by its last word, where no other one has the same.
    """
    last = {field: field.rpartition(".")[2] for field in settings}
    words = list(last.values())
    short = {field: word if words.count(word) == 1 else field for field, word in last.items()}
    name = ",".join(f"{short[field]}={value}" for field, value in settings.items()) or "all"
    return name.replace("/", "_")  # of a folder


def by_setting(
    settings: Sequence[Settings], summaries: Mapping[str, Mapping[str, float]], mean: Mean
) -> dict[str, dict[str, Interval]]:
    """Setting without its seed → figure → its mean over seeds, with an interval.

    A figure that a seed could not determine is left out.
    """
    found = {}
    for name, members in _without_seeds(settings).items():
        runs = [publish.intervals(summaries[member]) for member in members]
        figures = [figure for figure in runs[0] if all(figure in of for of in runs)]
        found[name] = {figure: mean([of[figure] for of in runs]) for figure in figures}
    return found


def verdicts_by_setting(
    settings: Sequence[Settings], told: Mapping[str, Sequence[Verdict]], mean: Mean
) -> list[Verdict]:
    """The members' predictions, judged by the means of their statistics over seeds.

    A statistic that a seed could not determine is undetermined. Where there are several settings,
    each prediction's name begins with its own.

    Args:
      settings: of the members.
      told: member → its verdicts, of those that have some.
      mean: of the estimates of several seeds.
    """
    found, groups = [], _without_seeds(settings)
    for name, members in groups.items():
        for verdicts in zip(*(told.get(member, ()) for member in members), strict=True):
            claim, estimates = verdicts[0].prediction, [of.estimate for of in verdicts]
            if len(groups) > 1:
                claim = dataclasses.replace(claim, name=f"{name}: {claim.name}")
            known = all(math.isfinite(of.value) for of in estimates)
            nothing = Interval(math.nan, math.nan, math.nan, "not determined by every seed")
            found.append(judge(claim, mean(estimates) if known else nothing))
    return found


def _without_seeds(settings: Sequence[Settings]) -> dict[str, list[str]]:
    """Name of a setting without its seed → names of its members."""
    groups: dict[str, list[str]] = {}
    for of in settings:
        rest = {field: value for field, value in of.items() if field.rpartition(".")[2] != SEED}
        groups.setdefault(name_of(rest), []).append(name_of(of))
    return groups


def _in_one_program(settings: Sequence[Settings], traceable: Sequence[str]) -> list[list[Settings]]:
    """Members that differ in traceable fields alone."""
    groups: dict[tuple, list[Settings]] = {}
    for of in settings:
        rest = tuple((field, value) for field, value in of.items() if field not in traceable)
        groups.setdefault(rest, []).append(of)
    return list(groups.values())


def _field(config: Mapping[str, Any], dotted: str) -> Any:
    value: Any = config
    for part in dotted.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise ValueError(f"sweep: {dotted} is no field of the config")
        value = value[part]
    return value


def _values(field: str, text: str, kind: type) -> list:
    first, colon, end = text.partition(":")
    try:
        if kind is int and colon:
            found = list(range(int(first), int(end)))
        elif kind is bool:
            found = [
                {"true": True, "false": False}[word.strip().lower()] for word in text.split(",")
            ]
        else:
            found = [kind(word.strip()) for word in text.split(",")]
    except (ValueError, KeyError):
        raise ValueError(f"sweep: {field}={text} has a value that is no {kind.__name__}") from None
    if not found or len(set(map(str, found))) < len(found) or "" in found:
        raise ValueError(f"sweep: {field}={text} must be different values, at least one")
    return found
