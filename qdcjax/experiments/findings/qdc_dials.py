"""Effects of the dials on students, what selections keep, and the verdicts Q1–Q3."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from qdcjax.experiments.stages.dials import BASE, DIALS, DialSet, levels_of
from qdcjax.measures.intervals import NOT_MEASURED, Interval, of_measured, of_seeds
from qdcjax.measures.predictions import Prediction, Verdict, judge

IN, OUT = "in", ("templates", "deeper")  # of distribution, and out of it for every set
Columns = Mapping[str, Sequence]


@dataclasses.dataclass(frozen=True)
class Findings:
    """What the study found; `reports.qdc_dials` draws it.

    Attributes:
      results: name → number or estimate; the summary.
      verdicts: one a prediction.
      tests: names of the tests.
      levels: dial → the sets that differ from the base in it alone, and the base, rising.
      fronts: alpha → (quality, Vendi score) of what QDIT keeps, means over seeds.
    """

    results: Mapping[str, float | Interval]
    verdicts: Sequence[Verdict]
    tests: Sequence[str]
    levels: Mapping[str, Sequence[str]]
    fronts: Mapping[float, tuple[Interval, Interval]]


@dataclasses.dataclass(frozen=True)
class Accuracies:
    """How often students are right.

    Attributes:
      of: (test, set) → [seeds].
      tests: all names.
      levels: see `Findings`.
    """

    of: Mapping[tuple[str, str], np.ndarray]
    tests: Sequence[str]
    levels: Mapping[str, Sequence[str]]

    def out(self, name: str) -> np.ndarray:
        """[seeds] the mean over the tests out of distribution."""
        return np.mean([self.of[test, name] for test in self.tests if test in OUT], axis=0)

    def effect(self, dial: str, test: str) -> np.ndarray | None:
        """[seeds] accuracy at the highest level − at the lowest; `out` is the mean of those."""
        if len(self.levels[dial]) < 2:
            return None
        low, high = (self._at(self.levels[dial][end], test) for end in (0, -1))
        return high - low

    def between(self, dial: str, test: str, first: int) -> np.ndarray | None:
        """[seeds] accuracy at level `first` + 1 − at level `first`, of three or more levels."""
        names = self.levels[dial]
        if len(names) < 3:
            return None
        return self._at(names[first + 1], test) - self._at(names[first], test)

    def interplay(self, corners: Sequence[str], test: str) -> np.ndarray:
        """[seeds] what a dial's effect at the high level of another is more than at the low one.

        Of the sets low–low, low–high, high–low and high–high.
        """
        neither, second, first, both = (self._at(name, test) for name in corners)
        return both - first - second + neither

    def _at(self, name: str, test: str) -> np.ndarray:
        return self.out(name) if test == "out" else self.of[test, name]


def find(
    seeds: Sequence[int],
    sets: Mapping[str, DialSet],
    answers: Mapping[str, Any],
    described: Columns,
    selections: Columns,
    predictions: Mapping[str, Prediction],
) -> Findings:
    """Everything after the last selection."""
    found = Accuracies(
        {
            (test, name): accuracy(table[:], name, seeds)
            for test, table in answers.items()
            for name in sets
        },
        list(answers),
        {dial: levels_of(sets, dial) for dial in DIALS},
    )
    results: dict[str, float | Interval] = {}
    for name in sets:
        for test in answers:
            results[f"{name}_{test}_accuracy"] = of_seeds(found.of[test, name]).within(0, 1)
        results |= {
            f"{name}_{of}": value for of, value in figures_of(described, name, seeds).items()
        }
    for dial in DIALS:
        for test in (*answers, "out"):
            effect = found.effect(dial, test)
            if effect is not None:
                results[f"{dial}_{test}_effect"] = of_seeds(effect)
    for pair in itertools.combinations(DIALS, 2):
        if corners := corners_of(sets, *pair):
            for test in (*answers, "out"):
                name = f"{'_'.join(pair)}_{test}_interaction"
                results[name] = of_seeds(found.interplay(corners, test))
    statistics: dict[str, Callable[[], np.ndarray | None]] = {
        "Q1": lambda: interaction(found),
        "Q1_quality": lambda: gap(found, "quality"),
        "Q1_diversity": lambda: found.effect("diversity", "out"),
        "Q2_in": lambda: found.between("complexity", IN, 0),
        "Q2_out": lambda: found.between("complexity", "out", 0),
        "Q2_more": lambda: found.between("complexity", "more", 0),
        "Q2_limit": lambda: curvature(found),
        "Q3_filter": lambda: kept_diversity(selections, seeds),
        "Q3_vendi": lambda: of_weight(selections, seeds, "vendi"),
        "Q3_quality": lambda: of_weight(selections, seeds, "quality"),
    }
    verdicts = []
    for name, prediction in predictions.items():
        values = statistics[name]()
        verdicts.append(judge(prediction, NOT_MEASURED if values is None else of_seeds(values)))
    results |= {f"{v.prediction.name}_statistic": v.estimate for v in verdicts}
    return Findings(results, verdicts, list(answers), found.levels, front(selections, seeds))


def corners_of(sets: Mapping[str, DialSet], first: str, second: str) -> list[str]:
    """The sets with both dials at an end: low–low, low–high, high–low, high–high.

    Empty where one of them is missing. The third dial is the base's.
    """
    ends = [
        [getattr(sets[levels_of(sets, dial)[end]], dial) for end in (0, -1)]
        for dial in (first, second)
    ]
    found = []
    for one, other in itertools.product(*ends):
        wanted = dataclasses.replace(sets[BASE], **{first: one, second: other})
        found += [name for name, of in sets.items() if of == wanted][:1]
    return found if len(found) == 4 else []


def accuracy(answers: Columns, name: str, seeds: Sequence[int]) -> np.ndarray:
    """[seeds] the share of right answers of a set's students."""
    right = np.asarray(answers["correct"], float)
    cells, seed = np.asarray(answers["cell"]), np.asarray(answers["seed"])
    return np.array([right[(cells == name) & (seed == of)].mean() for of in seeds])


def figures_of(described: Columns, name: str, seeds: Sequence[int]) -> dict[str, Interval]:
    """What the sets are, over seeds: right answers and steps, templates, steps a problem."""
    sets, seed = np.asarray(described["set"]), np.asarray(described["seed"])
    found = {}
    for column, words in (("answer", "right"), ("process", "right_steps"), ("steps", "steps")):
        values = np.asarray(described[column], float)
        found[words] = [np.nanmean(values[(sets == name) & (seed == of)]) for of in seeds]
    templates = np.asarray(described["template"])
    found["templates"] = [len(set(templates[(sets == name) & (seed == of)])) for of in seeds]
    return {words: of_seeds(values) for words, values in found.items()}


def gap(found: Accuracies, dial: str) -> np.ndarray | None:
    """A dial's effect in distribution − out of it."""
    within, out = found.effect(dial, IN), found.effect(dial, "out")
    return None if within is None or out is None else within - out


def interaction(found: Accuracies) -> np.ndarray | None:
    """Q1: (in − out) of quality's effect − that of diversity's."""
    gaps = [gap(found, dial) for dial in ("quality", "diversity")]
    return None if any(of is None for of in gaps) else gaps[0] - gaps[1]


def curvature(found: Accuracies) -> np.ndarray | None:
    """Q2: what the last level of complexity adds in distribution − what the first added."""
    last = found.between("complexity", IN, len(found.levels["complexity"]) - 2)
    first = found.between("complexity", IN, 0)
    return None if last is None or first is None else last - first


def _of(selections: Columns, way: str, seed: int, column: str) -> np.ndarray:
    rows = zip(selections["way"], selections["seed"], selections[column], strict=True)
    return np.array([value for of, number, value in rows if (of, number) == (way, seed)])


def kept_diversity(selections: Columns, seeds: Sequence[int]) -> np.ndarray:
    """Q3: kinds of problems among those with a right answer / among as many at random."""
    kept, other = (
        np.array([_of(selections, way, seed, "cells")[0] for seed in seeds])
        for way in ("right", "random")
    )
    return kept / other


def of_weight(selections: Columns, seeds: Sequence[int], column: str) -> np.ndarray:
    """Q3: a figure of what QDIT keeps at its largest weight of diversity − at its least."""
    found = []
    for seed in seeds:
        values = _of(selections, "qdit", seed, column)
        found.append(values[-1] - values[0])
    return np.array(found)


def front(selections: Columns, seeds: Sequence[int]) -> dict[float, tuple[Interval, Interval]]:
    """Weight → quality and Vendi score of what QDIT keeps."""
    alphas = _of(selections, "qdit", seeds[0], "alpha").tolist()
    columns = [
        np.array([_of(selections, "qdit", seed, column) for seed in seeds])
        for column in ("quality", "vendi")
    ]
    return {
        alpha: tuple(of_measured(column[:, at]) for column in columns)
        for at, alpha in enumerate(alphas)
    }
