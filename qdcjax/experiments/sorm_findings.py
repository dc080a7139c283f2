"""What the study of stepwise reward models measures, and its verdicts G1, G2, G6, G7."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import datasets
import numpy as np

from qdcjax.experiments import evaluate, from_config
from qdcjax.measures.intervals import Interval, bootstrap_statistic
from qdcjax.measures.predictions import Verdict, judge
from qdcjax.reasoning.label_quality import Verified, from_columns, positives_at, quality
from qdcjax.reasoning.reward_evaluation import (
    Units,
    across_seeds,
    answer_figures,
    difference,
    step_figures,
    units,
)
from qdcjax.tasks.problem import Problem

KINDS = ("orm", "sorm", "unbalanced_sorm")
RESAMPLES = 500
Figures = dict[str, list[dict[str, float]]]  # kind → one dict of figures a seed


@dataclasses.dataclass(frozen=True)
class Findings:
    """What the study found; `sorm_report` draws it.

    Attributes:
      results: name → number or estimate; the summary.
      verdicts: one a prediction.
      questions: N/K test questions.
      samples: N solutions of them by the student, question by question.
      scores: model (`orm-0`, …) → N arrays of values, one at every token.
      steps: the solutions' steps.
      verified, many: verified prefixes with K and with more completions.
    """

    results: Mapping[str, float | Interval]
    verdicts: Sequence[Verdict]
    questions: Sequence[Problem]
    samples: datasets.Dataset
    scores: Mapping[str, Sequence[np.ndarray]]
    steps: Units
    verified: Verified
    many: Verified


def find(
    config: Mapping[str, Any],
    questions: Sequence[Problem],
    samples: datasets.Dataset,
    truth: Sequence[Sequence[bool]],
    scores: Mapping[str, Sequence[np.ndarray]],
    verified: datasets.Dataset,
    many: datasets.Dataset,
) -> Findings:
    """Measures everything after the last model is trained and every solution is scored.

    Args:
      truth: of each sample's steps, one list a sample.
    """
    count = len(samples) // len(questions)
    depths = [question.meta.get("depth", 0) for question in questions for _ in range(count)]
    steps = units(truth, samples["correct"], depths, count)
    figures = model_figures(config, steps, samples, scores)
    few, more = from_columns(verified), from_columns(many)
    results: dict[str, float | Interval] = {}
    for kind in KINDS:
        measured = across_seeds(figures[kind])
        results |= {f"{kind}_{name}": value for name, value in measured.items()}
    results |= rerank(questions, samples, scores) | label_figures(few, more)
    statistics = prediction_statistics(figures, more)
    verdicts = [
        judge(prediction, statistics[name])
        for name, prediction in from_config.predictions(config["predictions"]).items()
    ]
    results |= {f"{v.prediction.name}_statistic": v.estimate for v in verdicts}
    return Findings(results, verdicts, questions, samples, scores, steps, few, more)


def values_at_steps(samples: datasets.Dataset, values: Sequence[np.ndarray]) -> np.ndarray:
    """[U] values at the steps' ends, from values at every token of N solutions."""
    ends = samples["ends"]
    return np.concatenate([value[end] for value, end in zip(values, ends, strict=True) if end])


def model_figures(
    config: Mapping[str, Any],
    steps: Units,
    samples: datasets.Dataset,
    scores: Mapping[str, Sequence[np.ndarray]],
) -> Figures:
    """kind → figures of each seed, all at the one threshold of `config.reward`."""
    threshold = config["reward"]["threshold"]
    figures: Figures = {kind: [] for kind in KINDS}
    for name, values in scores.items():
        answers = np.asarray([value[-1] for value in values])
        figures[name.partition("-")[0]].append(
            step_figures(steps, values_at_steps(samples, values), threshold)
            | answer_figures(steps.correct, answers, threshold)
        )
    return figures


def rerank(
    questions: Sequence[Problem],
    samples: datasets.Dataset,
    scores: Mapping[str, Sequence[np.ndarray]],
) -> dict[str, Interval]:
    """rerank@k of the first seed's ORM and SORM, by their values at the last token."""
    results = {}
    for kind in ("orm", "sorm"):
        name = next(model for model in scores if model.startswith(f"{kind}-"))
        last = np.asarray([values[-1] for values in scores[name]])
        results |= {
            f"{kind}_{figure}_test": value
            for figure, value in evaluate.at_k(questions, samples, last).items()
            if figure.startswith("rerank")
        }
    return results


def label_figures(verified: Verified, many: Verified) -> dict[str, float | Interval]:
    """Precision and recall of the labels, with and without the consistency filter."""
    right = verified.correct[verified.truth == 1]
    results: dict[str, float | Interval] = {
        "prefixes": len(verified.truth),
        "right_prefixes_without_success": 1 - right.any(axis=1).mean() if len(right) else np.nan,
    }
    sources = [("labels", verified, True), ("labels_unfiltered", verified, False)]
    sources.append(("labels_many", many, True))
    for stem, source, filtered in sources:
        for k in evaluate.powers_of_two(source.correct.shape[1]):
            at_k = label_quality(source, k, filtered)
            for name in ("precision", "recall", "accuracy"):
                results[f"{stem}_{name}_at_{k}"] = over_questions(
                    lambda weights, at_k=at_k, name=name: at_k(weights)[name], source
                )
    return results


def label_quality(
    verified: Verified, k: int, filtered: bool = True
) -> Callable[[np.ndarray], dict[str, float]]:
    """Prefix weights → quality of the labels from k completions."""
    positives, groups = positives_at(verified, k, filtered)
    return lambda weights: quality(verified.truth, positives, groups, weights)


def over_questions(statistic: Callable[[np.ndarray], float], verified: Verified) -> Interval:
    """Bootstrap over questions of a statistic of prefix weights; undefined where it is."""
    value = statistic(np.ones(len(verified.truth)))
    if np.isnan(value):
        return Interval(value, value, value, "undefined")
    return bootstrap_statistic(statistic, verified.problem, resamples=RESAMPLES)


def prediction_statistics(figures: Figures, many: Verified) -> dict[str, Interval]:
    """Prediction → its statistic (papers' page GLoRe; thresholds are the config's)."""
    orm, sorm, unbalanced = (figures[kind] for kind in KINDS)
    gap = [
        {"gap": (o["false_negatives_hard"] - s["false_negatives_hard"])
         - (o["false_negatives_easy"] - s["false_negatives_easy"])}
        for o, s in zip(orm, sorm, strict=True)
    ]  # fmt: skip
    zero = [{"gap": 0.0}] * len(gap)
    K = many.correct.shape[1]
    middle = min(8, K)

    def change(name: str, low: int, high: int) -> Interval:
        few, more = label_quality(many, low), label_quality(many, high)
        return over_questions(lambda weights: more(weights)[name] - few(weights)[name], many)

    return {
        "G1_steps": difference(sorm, orm, "step_accuracy"),
        "G1_answers": difference(orm, sorm, "answer_accuracy"),
        "G2": difference(orm, sorm, "false_negatives"),
        "G2_hard": difference(gap, zero, "gap"),
        "G6": difference(unbalanced, sorm, "drift"),
        "G7_rise": change("accuracy", 1, middle),
        "G7_lucky": change("precision", 1, K),
    }
