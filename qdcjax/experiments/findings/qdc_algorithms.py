"""What algorithms made: quality, diversity, complexity, archives; what students know; Q3 and Q5."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from qdcjax.experiments.findings.qdc_dials import accuracy, front, of_weight
from qdcjax.experiments.stages.making import Workshop
from qdcjax.measures.diversity import cell_entropy, distinct_n, self_bleu, vendi_score
from qdcjax.measures.intervals import NOT_MEASURED, Interval, of_measured, of_seeds
from qdcjax.measures.predictions import Prediction, Verdict, judge
from qdcjax.measures.subsamples import at_size
from qdcjax.synthesis import archive
from qdcjax.synthesis.pipeline import dropped_counts
from qdcjax.synthesis.samples import Made

DRAWS = 50  # of as many candidates at random as are right
SHARES = ("valid", "accepted", "right", "process")
LOOKS = 8  # at the archive while candidates come
Runs = Mapping[str, Mapping[int, Sequence[Made]]]  # algorithm → seed → samples


@dataclasses.dataclass(frozen=True)
class Growth:
    """An archive of all candidates of an algorithm, as they came.

    Attributes:
      evaluations: candidates so far, at each look.
      coverage: [looks] share of filled cells, over seeds.
      score: [looks] QD-score / cells, over seeds.
    """

    evaluations: Sequence[int]
    coverage: Sequence[Interval]
    score: Sequence[Interval]


@dataclasses.dataclass(frozen=True)
class Findings:
    """What the study found; `reports.qdc_algorithms` draws it.

    Attributes:
      results: name → number or estimate; the summary.
      verdicts: one a prediction.
      tests: of students.
      growth: algorithm → archive of its candidates.
      front: alpha → (quality, Vendi score) of what QDIT keeps, means over seeds.
      dropped: algorithm → reason → candidates, all seeds together.
      described: samples that measures of diversity look at.
    """

    results: Mapping[str, float | Interval]
    verdicts: Sequence[Verdict]
    tests: Sequence[str]
    growth: Mapping[str, Growth]
    front: Mapping[float, tuple[Interval, Interval]]
    dropped: Mapping[str, Mapping[str, int]]
    described: int


def find(
    config: Mapping[str, Any],
    workshop: Workshop,
    made: Runs,
    emitted: Runs,
    fronts: Mapping[str, Sequence],
    answers: Mapping[str, Any],
    predictions: Mapping[str, Prediction],
) -> Findings:
    """Everything after the last answer."""
    seeds = list(config["seeds"])
    cells = workshop.cells.number(workshop.source)
    results: dict[str, float | Interval] = {}
    growth, ends = {}, {}
    for name, runs in made.items():
        looks = np.array([archives(runs[seed], cells) for seed in seeds])
        ends[name], growth[name] = looks[:, -1], _growth(len(runs[seeds[0]]), looks)
        figures = [
            figures_of(runs[seed], emitted[name][seed], workshop.embed(seed), config["described"])
            for seed in seeds
        ]
        for figure in figures[0]:
            found = of_measured([of[figure] for of in figures])
            results[f"{name}_{figure}"] = found.within(0, 1) if figure in SHARES else found
        for place, figure in enumerate(("coverage", "score")):
            results[f"{name}_{figure}"] = of_seeds(ends[name][:, place]).within(0, 1)
    for test, table in answers.items():
        columns = table[:]
        for name in dict.fromkeys(columns["cell"]):
            found = of_seeds(accuracy(columns, name, seeds))
            results[f"{name}_{test}_accuracy"] = found.within(0, 1)
    first = config["front"]["algorithm"]
    statistics: dict[str, Callable[[], np.ndarray | None]] = {
        "Q3_filter": lambda: np.array([kept_kinds(made[first][seed], seed) for seed in seeds]),
        "Q3_vendi": lambda: of_weight(fronts, seeds, "vendi"),
        "Q3_quality": lambda: of_weight(fronts, seeds, "quality"),
        "Q5_coverage_independent": lambda: beyond(ends, "temperature", 0),
        "Q5_coverage_quality": lambda: beyond(ends, "quality_search", 0),
        "Q5_score_independent": lambda: beyond(ends, "temperature", 1),
        "Q5_score_quality": lambda: beyond(ends, "quality_search", 1),
    }
    verdicts = []
    for name, prediction in predictions.items():
        values = statistics[name]()
        verdicts.append(judge(prediction, NOT_MEASURED if values is None else of_measured(values)))
    results |= {f"{v.prediction.name}_statistic": v.estimate for v in verdicts}
    dropped = {
        name: dropped_counts([one for seed in seeds for one in runs[seed]])
        for name, runs in made.items()
    }
    return Findings(
        results,
        verdicts,
        list(answers),
        growth,
        front(fronts, seeds),
        dropped,
        config["described"],
    )


def archives(made: Sequence[Made], cells: int) -> list[tuple[float, float]]:
    """[looks] coverage and QD-score / cells of an archive into which all candidates were put."""
    found, now = [], archive.empty(cells, jnp.int32(0))
    for part in np.array_split(np.arange(len(made)), min(LOOKS, len(made))):
        of = np.array([made[row].cell for row in part])
        fitness = np.array([made[row].fitness for row in part], np.float32)
        now, _ = archive.add(now, of, fitness, part.astype(np.int32))
        found.append((float(archive.coverage(now)), float(archive.qd_score(now)) / cells))
    return found


def _growth(candidates: int, found: np.ndarray) -> Growth:
    """Of [seeds, looks, 2]: coverage and score."""
    sizes = [len(part) for part in np.array_split(np.arange(candidates), found.shape[1])]
    coverage, score = ([of_seeds(x).within(0, 1) for x in found[:, :, of].T] for of in (0, 1))
    return Growth(np.cumsum(sizes).tolist(), coverage, score)


def figures_of(
    made: Sequence[Made],
    kept: Sequence[Made],
    embed: Callable[[Sequence[str]], np.ndarray],
    size: int,
) -> dict[str, float]:
    """Of one seed's candidates and of what was emitted of them; NaN where there is too little.

    `valid` and `accepted` are shares of the candidates, `emitted` counts. Quality: `right`,
    `process`. Diversity, at `size` samples: `kinds` (exp of the entropy of templates and numbers
    of steps), `vendi`, `distinct_2`, `self_bleu` of the questions. Complexity: `steps`, `words`.
    """
    found = {
        "valid": np.mean([not one.invalid for one in made]),
        "accepted": np.mean([not one.dropped for one in made]),
        "emitted": float(len(kept)),
    }
    for name, value in {
        "right": lambda one: one.right,
        "process": lambda one: one.process,
        "steps": lambda one: one.steps,
        "words": lambda one: len(one.text.split()),
    }.items():
        found[name] = float(np.mean([value(one) for one in kept])) if kept else math.nan
    questions, kinds = [one.question for one in kept], [(one.template, one.steps) for one in kept]
    sized = {
        "kinds": lambda: at_size(lambda of: math.exp(cell_entropy(of)), kinds, size),
        "vendi": lambda: at_size(vendi_score, embed([one.text for one in kept]), size),
        "distinct_2": lambda: at_size(lambda of: distinct_n(of, 2), questions, size),
        "self_bleu": lambda: at_size(self_bleu, questions, size),
    }
    for name, measure in sized.items():
        found[name] = measure().value if len(kept) >= size else math.nan
    return found


def kept_kinds(made: Sequence[Made], seed: int) -> float:
    """Q3: kinds of the valid candidates with a right answer / of as many valid ones at random."""
    valid = [one for one in made if not one.invalid]
    kinds = [(one.template, one.steps) for one in valid]
    right = [kind for kind, one in zip(kinds, valid, strict=True) if one.right]
    if not right:
        return math.nan
    rng = np.random.default_rng(seed)
    random = [
        math.exp(cell_entropy([kinds[row] for row in rng.permutation(len(kinds))[: len(right)]]))
        for _ in range(DRAWS)
    ]
    return math.exp(cell_entropy(right)) / float(np.mean(random))


def beyond(ends: Mapping[str, np.ndarray], other: str, figure: int) -> np.ndarray | None:
    """Q5: MAP-Elites' coverage (0) or score (1) − another algorithm's, by seed."""
    if not {"map_elites", other} <= ends.keys():
        return None
    return ends["map_elites"][:, figure] - ends[other][:, figure]
