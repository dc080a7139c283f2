"""What rounds of self-training did to diversity, accuracy and loss, and the verdicts Q4 and Q6."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from qdcjax.experiments.stages.making import Workshop
from qdcjax.experiments.stages.self_training import Arm, Member
from qdcjax.measures.diversity import cell_entropy, vendi_score
from qdcjax.measures.intervals import NOT_MEASURED, Interval, of_measured, of_seeds
from qdcjax.measures.predictions import Prediction, Verdict, judge
from qdcjax.measures.subsamples import at_size
from qdcjax.reasoning.voting import pass_at_k
from qdcjax.synthesis.samples import Made

START = "start"  # the arm of the base
PROBED = ("kinds", "vendi", "valid", "right")
SHARES = ("valid", "right")


@dataclasses.dataclass(frozen=True)
class Findings:
    """What the study found; `reports.self_improvement` draws it.

    Attributes:
      results: name → number or estimate; the summary.
      verdicts: one a prediction.
      rounds: arm → figure (of `PROBED`, and `loss`) → [rounds + 1], the base's first.
      passes: arm → K → pass@K after the last round, `start` for the base's.
    """

    results: Mapping[str, float | Interval]
    verdicts: Sequence[Verdict]
    rounds: Mapping[str, Mapping[str, Sequence[Interval]]]
    passes: Mapping[str, Mapping[int, Interval]]


def find(
    config: Mapping[str, Any],
    workshop: Workshop,
    arms: Mapping[str, Arm],
    made: Mapping[Member, Sequence[Sequence[Made]]],
    probes: Sequence[Mapping[Member, Sequence[Made]]],
    losses: Sequence[Mapping[str, Sequence]],
    answers: Mapping[str, Mapping[str, Sequence]],
    predictions: Mapping[str, Prediction],
) -> Findings:
    """Everything after the last round."""
    seeds, size = list(config["seeds"]), config["described"]
    figures: dict[str, dict[str, np.ndarray]] = {}  # arm → figure → [rounds + 1, seeds]
    for arm in arms:
        rows = []
        for number, (probe, loss) in enumerate(zip(probes, losses, strict=True)):
            of = arm if number else START
            row = [probe_figures(probe[of, seed], workshop.embed(seed), size) for seed in seeds]
            for one, seed in zip(row, seeds, strict=True):
                one["loss"] = _mean(loss, of, seed)
            rows.append(row)
        figures[arm] = {
            name: np.array([[of[name] for of in row] for row in rows]) for name in rows[0][0]
        }
    passes = passes_of(answers, arms, seeds)
    results: dict[str, float | Interval] = {}
    rounds = {
        arm: {name: [_over_seeds(name, values) for values in of] for name, of in found.items()}
        for arm, found in figures.items()
    }
    for arm, of in rounds.items():
        for name, values in of.items():
            results |= {f"{arm}_{name}_{number}": value for number, value in enumerate(values)}
        accepted = [[not one.dropped for of in made[arm, s] for one in of] for s in seeds]
        results[f"{arm}_accepted"] = of_seeds([np.mean(of) for of in accepted]).within(0, 1)
    drawn = {
        arm: {k: of_seeds(values).within(0, 1) for k, values in of.items()}
        for arm, of in passes.items()
    }
    results |= {f"{arm}_pass_{k}": found for arm, of in drawn.items() for k, found in of.items()}
    statistics = statistics_of(figures, passes)
    verdicts = []
    for name, prediction in predictions.items():
        values = statistics[name]()
        verdicts.append(judge(prediction, NOT_MEASURED if values is None else of_measured(values)))
    results |= {f"{v.prediction.name}_statistic": v.estimate for v in verdicts}
    return Findings(results, verdicts, rounds, drawn)


def statistics_of(
    figures: Mapping[str, Mapping[str, np.ndarray]],
    passes: Mapping[str, Mapping[int, np.ndarray]],
) -> dict[str, Callable[[], np.ndarray | None]]:
    """Prediction → its statistic by seed; None where an arm that it needs is not in the config."""

    def of(arm: str, name: str, number: int) -> np.ndarray:
        return figures[arm][name][number]

    def gain(arm: str, k: int) -> np.ndarray:
        return passes[arm][k] - passes[START][k]

    def where(*arms: str):
        def make(statistic: Callable[[], np.ndarray]) -> Callable[[], np.ndarray | None]:
            return lambda: statistic() if set(arms) <= figures.keys() else None

        return make

    last, most = -1, max(passes[START])
    return {
        "Q4_loses": where("filter")(lambda: of("filter", "kinds", last) / of("filter", "kinds", 0)),
        "Q4_pass_1": where("filter")(lambda: gain("filter", 1)),
        "Q4_pass_k": where("filter")(lambda: gain("filter", most) - gain("filter", 1)),
        "Q4_given_pass_1": where("given")(lambda: gain("given", 1)),
        "Q4_given_pass_k": where("given")(lambda: gain("given", most) - gain("given", 1)),
        "Q4_archive": where("filter", "archive")(
            lambda: of("archive", "kinds", last) - of("filter", "kinds", last)
        ),
        "Q4_selection": where("filter", "selection")(
            lambda: of("selection", "kinds", last) - of("filter", "kinds", last)
        ),
        "Q6_replace": where("replace")(
            lambda: of("replace", "loss", last) - of("replace", "loss", 1)
        ),
        "Q6_accumulate": where("accumulate")(
            lambda: of("accumulate", "loss", last) - of("accumulate", "loss", 1)
        ),
        "Q6_difference": where("replace", "accumulate")(
            lambda: of("replace", "loss", last) - of("accumulate", "loss", last)
        ),
    }


def probe_figures(
    made: Sequence[Made], embed: Callable[[Sequence[str]], np.ndarray], size: int
) -> dict[str, float]:
    """Of what a model writes without parents or filters: `PROBED`.

    `valid` is of all, `right` of the valid ones; `kinds` (exp of the entropy of templates with
    numbers of steps) and `vendi` are of `size` valid ones, NaN where there are fewer.
    """
    valid = [one for one in made if not one.invalid]
    found = {"kinds": math.nan, "vendi": math.nan, "valid": len(valid) / len(made)}
    found["right"] = float(np.mean([one.right for one in valid])) if valid else math.nan
    if len(valid) >= size:
        kinds = [(one.template, one.steps) for one in valid]
        found["kinds"] = at_size(lambda of: math.exp(cell_entropy(of)), kinds, size).value
        found["vendi"] = at_size(vendi_score, embed([one.text for one in valid]), size).value
    return found


def passes_of(
    answers: Mapping[str, Mapping[str, Sequence]], arms: Mapping[str, Arm], seeds: Sequence[int]
) -> dict[str, dict[int, np.ndarray]]:
    """Arm → K → [seeds] pass@K, K in powers of two; the base's first."""
    found: dict[str, dict[int, np.ndarray]] = {}
    for arm in (START, *arms):
        table = answers[START if arm == START else "last"]
        by_seed = [_rates(table, arm, seed) for seed in seeds]
        n = by_seed[0][0]
        found[arm] = {
            k: np.array([np.mean(pass_at_k(n, right, k)) for _, right in by_seed])
            for k in (2**power for power in range(n.bit_length()))
        }
    return found


def _over_seeds(figure: str, values: np.ndarray) -> Interval:
    found = of_measured(values)
    return found.within(0, 1) if figure in SHARES else found


def _rates(table: Mapping[str, Sequence], arm: str, seed: int) -> tuple[int, np.ndarray]:
    """Samples of a question, and how many of each question's are right."""
    rows = zip(table["cell"], table["seed"], table["problem_id"], table["correct"], strict=True)
    right: dict[str, list[bool]] = {}
    for cell, of, problem, correct in rows:
        if (cell, of) == (arm, seed):
            right.setdefault(problem, []).append(correct)
    return len(next(iter(right.values()))), np.array([sum(of) for of in right.values()])


def _mean(losses: Mapping[str, Sequence], arm: str, seed: int) -> float:
    rows = zip(losses["arm"], losses["seed"], losses["loss"], strict=True)
    return float(np.mean([loss for of, number, loss in rows if (of, number) == (arm, seed)]))
