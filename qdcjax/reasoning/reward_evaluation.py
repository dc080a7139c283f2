"""How well reward models judge steps and answers, against the exact truth.

A unit is one step of one solution. Accuracy of steps is balanced per prefix length: at each
length the mean of the true positive and true negative rates, then the mean over lengths, so that
neither position nor base rate earns anything.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from qdcjax.measures.classification import (
    auroc,
    auroc_by_group,
    balanced_accuracy,
    balanced_accuracy_by_group,
    expected_calibration_error,
    false_negative_rate,
)
from qdcjax.measures.intervals import Interval, students_t

LEAST_IN_A_CLASS = 10  # a prefix length with fewer right or wrong steps is left out


@dataclasses.dataclass(frozen=True)
class Units:
    """The steps and the answers of N solutions of test questions.

    Attributes:
      solution: [U] row of the step's solution.
      length: [U] number of steps up to this one.
      truth: [U] whether steps 0…i are all valid.
      depth: [U] steps that the question needs.
      success: [U] share of right answers among the other samples of the same question.
      last: [U] whether it is the solution's last step.
      correct: [N] whether the answer is right.
    """

    solution: np.ndarray
    length: np.ndarray
    truth: np.ndarray
    depth: np.ndarray
    success: np.ndarray
    last: np.ndarray
    correct: np.ndarray


def units(
    truths: Sequence[Sequence[bool]],
    correct: Sequence[bool],
    depths: Sequence[int],
    samples: int,
) -> Units:
    """Flattens N solutions (question by question, `samples` of each) into units."""
    correct = np.asarray(correct, bool)
    of_question = correct.reshape(-1, samples).sum(axis=1).repeat(samples)
    others = (of_question - correct) / max(samples - 1, 1)
    counts = np.asarray([len(truth) for truth in truths])
    solution = np.repeat(np.arange(len(truths)), counts)
    length = np.concatenate([np.arange(1, count + 1) for count in counts]).astype(int)
    return Units(
        solution=solution,
        length=length,
        truth=np.asarray([label for truth in truths for label in truth], int),
        depth=np.asarray(depths)[solution],
        success=others[solution],
        last=length == counts[solution],
        correct=correct,
    )


def step_figures(steps: Units, scores: np.ndarray, threshold: float) -> dict[str, float]:
    """One model's figures on steps, from its values [U] in [0, 1]."""
    predicted = scores >= threshold
    hard = steps.success <= hard_below(steps)
    by_length, _ = balanced_accuracy_by_group(
        steps.truth, scores, steps.length, threshold, LEAST_IN_A_CLASS
    )
    rank_by_length, _ = auroc_by_group(steps.truth, scores, steps.length, LEAST_IN_A_CLASS)
    return {
        "step_accuracy": by_length,
        "step_accuracy_pooled": balanced_accuracy(steps.truth, scores, threshold),
        "step_auroc": rank_by_length,
        "step_auroc_pooled": auroc(steps.truth, scores),
        "false_negatives": false_negative_rate(steps.truth, predicted),
        "false_negatives_hard": false_negative_rate(steps.truth[hard], predicted[hard]),
        "false_negatives_easy": false_negative_rate(steps.truth[~hard], predicted[~hard]),
        "step_calibration_error": expected_calibration_error(steps.truth, scores),
        # How far the mean value falls from first to last steps, beyond what the truth does.
        "drift": (scores[steps.length == 1].mean() - scores[steps.last].mean())
        - (steps.truth[steps.length == 1].mean() - steps.truth[steps.last].mean()),
    }


def hard_below(steps: Units) -> float:
    """The success rate up to which a question is hard: the lower third of right steps lies there.

    0 when no step is right.
    """
    right = steps.success[steps.truth == 1]
    return float(np.quantile(right, 1 / 3)) if len(right) else 0.0


def answer_figures(correct: np.ndarray, scores: np.ndarray, threshold: float) -> dict[str, float]:
    """One model's figures on whole solutions, from its values [N] at the last token."""
    return {
        "answer_accuracy": float(np.mean((scores >= threshold) == correct)),
        "answer_accuracy_balanced": balanced_accuracy(correct, scores, threshold),
        "answer_auroc": auroc(correct, scores),
    }


def across_seeds(figures: Sequence[dict[str, float]]) -> dict[str, Interval]:
    """Figure → Student's t interval over seeds; NaN where a seed has none."""
    return {name: over_seeds([values[name] for values in figures]) for name in figures[0]}


def difference(a: Sequence[dict[str, float]], b: Sequence[dict[str, float]], name: str) -> Interval:
    """Student's t interval of a − b over seeds, paired by seed."""
    return over_seeds([x[name] - y[name] for x, y in zip(a, b, strict=True)])


def over_seeds(values: Sequence[float]) -> Interval:
    """Student's t interval; undefined (NaN) when a value is, or with one seed only its value."""
    if len(values) < 2 or not np.all(np.isfinite(values)):
        value = float(np.mean(values))
        return Interval(value, float("nan"), float("nan"), f"{len(values)} seeds, no interval")
    return students_t(values)
