"""What the study of stepwise reward models measures, and its verdicts G1, G2, G6, G7."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import datasets
import numpy as np

from qdcjax.experiments.running import from_config
from qdcjax.experiments.stages import policy_evaluation
from qdcjax.measures.intervals import (
    Interval,
    bootstrap_statistics,
    draws,
    over_seeds,
    resample,
)
from qdcjax.measures.predictions import Verdict, judge
from qdcjax.reasoning.label_quality import (
    Verified,
    from_columns,
    from_labels,
    positives_at,
    quality,
)
from qdcjax.reasoning.reward_evaluation import Units, answer_figures, step_figures, units
from qdcjax.reasoning.reward_models import Solution, answer_values
from qdcjax.tasks.problem import Problem

KINDS = ("orm", "sorm", "unbalanced_sorm")
RESAMPLES = 1_000
STAND_IN = "sampled_"  # before the name of a figure on steps that were not checked exactly
NO_EXACT_STEPS = "the task cannot check steps exactly"
# kind → for each seed, name of a figure → its value and its resamples [1 + RESAMPLES].
Figures = dict[str, list[dict[str, np.ndarray]]]


@dataclasses.dataclass(frozen=True)
class Findings:
    """What the study found; `reports.sorm` draws it.

    Attributes:
      results: name → number or estimate; the summary.
      verdicts: one a prediction.
      questions: Q test questions.
      samples: N solutions of them by the student, question by question.
      scores: model (`orm-0`, …) → N arrays of values, one at every token.
      steps: the solutions' steps.
      verified, many: verified prefixes with K and with more completions.
      drawn: [1 + RESAMPLES, Q] resamples of the questions, for more intervals on the same ones.
      exact: whether the truth of the steps was checked; else sampled labels stand in.
    """

    results: Mapping[str, float | Interval]
    verdicts: Sequence[Verdict]
    questions: Sequence[Problem]
    samples: datasets.Dataset
    scores: Mapping[str, Sequence[np.ndarray]]
    steps: Units
    verified: Verified
    many: Verified
    drawn: np.ndarray
    exact: bool


def find(
    config: Mapping[str, Any],
    questions: Sequence[Problem],
    samples: datasets.Dataset,
    truth: Sequence[Sequence[bool]],
    scores: Mapping[str, Sequence[np.ndarray]],
    verified: datasets.Dataset,
    many: datasets.Dataset,
    drafts: datasets.Dataset,
    solutions: Sequence[Solution],
    exact: bool,
) -> Findings:
    """Measures everything after the last model is trained and every solution is scored.

    Args:
      truth: of each sample's steps, one list a sample.
      drafts, solutions: what the reward models learned from, without and with its labels.
      exact: whether `truth` was checked; sampled labels that stand in decide no prediction.
    """
    count = len(samples) // len(questions)
    depths = [question.meta.get("depth", 0) for question in questions for _ in range(count)]
    steps = units(truth, samples["correct"][:], depths, count)
    drawn = draws(len(questions), RESAMPLES)
    figures = model_figures(config, steps, samples, scores, drawn)
    few, more = from_columns(verified), from_columns(many)
    trained = from_labels(
        drafts["problem_id"][:], [s.labels for s in solutions], drafts["truth"][:]
    )
    results = (
        summary_figures(figures, len(questions), exact)
        | rerank(questions, samples, scores)
        | label_figures(few, more, trained)
    )
    statistics = prediction_statistics(figures, more, len(questions), exact)
    verdicts = [
        judge(prediction, statistics[name])
        for name, prediction in from_config.predictions(config["predictions"]).items()
    ]
    results |= {f"{v.prediction.name}_statistic": v.estimate for v in verdicts}
    return Findings(results, verdicts, questions, samples, scores, steps, few, more, drawn, exact)


def values_at_steps(samples: datasets.Dataset, values: Sequence[np.ndarray]) -> np.ndarray:
    """[U] values at the steps' ends, from values at every token of N solutions."""
    ends = samples["ends"][:]
    found = [value[end] for value, end in zip(values, ends, strict=True) if end]
    return np.concatenate([np.zeros(0), *found])


def model_figures(
    config: Mapping[str, Any],
    steps: Units,
    samples: datasets.Dataset,
    scores: Mapping[str, Sequence[np.ndarray]],
    drawn: np.ndarray,
) -> Figures:
    """Figures of every model at the one threshold of `config.reward`, on the same resamples.

    `drawn` [1 + RESAMPLES, Q] are those of the questions.
    """
    threshold = config["reward"]["threshold"]
    figures: Figures = {kind: [] for kind in KINDS}
    for name, values in scores.items():
        at_steps = values_at_steps(samples, values)
        answers = answer_values(samples["ends"][:], values)

        def measured(weights: np.ndarray, at_steps=at_steps, answers=answers) -> dict:
            return step_figures(
                steps, at_steps, threshold, weights[:, steps.asked]
            ) | answer_figures(steps.correct, answers, threshold, weights[:, steps.question])

        figures[name.partition("-")[0]].append(resample(measured, drawn))
    return figures


def summary_figures(figures: Figures, questions: int, exact: bool) -> dict[str, Interval]:
    """`<kind>_<figure>` → mean over seeds; those on steps that nobody checked say so."""
    return {
        f"{kind}_{stand_in(name, exact)}": over_seeds([one[name] for one in seeds], questions)
        for kind, seeds in figures.items()
        for name in seeds[0]
    }


def stand_in(name: str, exact: bool) -> str:
    """A figure's name in the summary: `sampled_…` where sampled labels stand in for the truth."""
    return name if exact or name.startswith("answer") else f"{STAND_IN}{name}"


def rerank(
    questions: Sequence[Problem],
    samples: datasets.Dataset,
    scores: Mapping[str, Sequence[np.ndarray]],
) -> dict[str, Interval]:
    """rerank@k of the first seed's ORM and SORM, by their values at the last token."""
    results = {}
    for kind in ("orm", "sorm"):
        name = next(model for model in scores if model.startswith(f"{kind}-"))
        last = answer_values(samples["ends"][:], scores[name])
        results |= {
            f"{kind}_{figure}_test": value
            for figure, value in policy_evaluation.at_k(questions, samples, last).items()
            if figure.startswith("rerank")
        }
    return results


def label_figures(
    verified: Verified, many: Verified, trained: Verified
) -> dict[str, float | Interval]:
    """Precision, recall and balanced accuracy of the labels against the exact truth.

    Args:
      verified: prefixes with K completions: their labels with and without the consistency filter.
      many: some prefixes with more completions.
      trained: the labels that the SORM learns from, with the draft's own suffix as a try, and
        propagated.
    """
    right = verified.correct[verified.truth == 1]
    results: dict[str, float | Interval] = {
        "prefixes": len(verified.truth),
        "right_prefixes_without_success": 1 - right.any(axis=1).mean() if len(right) else np.nan,
    }
    sources = [("labels", verified, True), ("labels_unfiltered", verified, False)]
    sources.append(("labels_many", many, True))
    for stem, source, filtered in sources:
        for k in policy_evaluation.powers_of_two(source.correct.shape[1]):
            found = over_questions(label_quality(source, k, filtered), source)
            results |= {f"{stem}_{name}_at_{k}": value for name, value in found.items()}
    found = over_questions(label_quality(trained, 1), trained)
    return results | {f"trained_labels_{name}": value for name, value in found.items()}


def label_quality(
    verified: Verified, k: int, filtered: bool = True
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Prefix weights → quality of the labels from k completions."""
    positives, groups = positives_at(verified, k, filtered)
    return lambda weights: quality(verified.truth, positives, groups, weights)


def over_questions(
    statistics: Callable[[np.ndarray], Mapping[str, np.ndarray]], verified: Verified
) -> dict[str, Interval]:
    """Bootstrap over questions of statistics of prefix weights."""
    return bootstrap_statistics(statistics, verified.problem, resamples=RESAMPLES)


def prediction_statistics(
    figures: Figures, many: Verified, questions: int, exact: bool
) -> dict[str, Interval]:
    """Prediction → its statistic (papers' page GLoRe; thresholds are the config's).

    Differences are paired by seed and by resample of the questions. Without exact steps only the
    one on answers has a value.
    """
    orm, sorm, unbalanced = (figures[kind] for kind in KINDS)
    K = many.correct.shape[1]
    once, middle, most = (label_quality(many, k) for k in (1, min(8, K), K))

    def more(name: str, a: Sequence[Mapping], b: Sequence[Mapping]) -> Interval:
        return over_seeds([x[name] - y[name] for x, y in zip(a, b, strict=True)], questions)

    def excess(seeds: Sequence[Mapping]) -> list[dict[str, np.ndarray]]:
        return [{"gap": s["false_negatives_hard"] - s["false_negatives_easy"]} for s in seeds]

    def changes(weights: np.ndarray) -> dict[str, np.ndarray]:
        first = once(weights)
        return {
            "G7_rise": middle(weights)["accuracy"] - first["accuracy"],
            "G7_lucky": most(weights)["precision"] - first["precision"],
        }

    statistics = {
        "G1_steps": more("step_accuracy", sorm, orm),
        "G1_answers": more("answer_accuracy", orm, sorm),
        "G2": more("false_negatives", orm, sorm),
        "G2_hard": more("gap", excess(orm), excess(sorm)),
        "G6": more("drift", unbalanced, sorm),
        **over_questions(changes, many),
    }
    if exact:
        return statistics
    unknown = Interval(np.nan, np.nan, np.nan, NO_EXACT_STEPS)
    return {name: unknown for name in statistics} | {"G1_answers": statistics["G1_answers"]}
