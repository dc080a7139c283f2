"""How well reward models judge steps and answers, against the exact truth.

A unit is one step of one solution. Accuracy of steps is balanced per prefix length: at each
length the mean of the true positive and true negative rates, then the mean over lengths, so that
neither position nor base rate earns anything.

Every figure takes the weights of R resamples of the questions and gives R numbers, NaN where it is
undefined.
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
    ratio,
)

LEAST_IN_A_CLASS = 10  # a prefix length or depth with fewer right or wrong steps is left out


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
      question: [N] row of the solution's question.
    """

    solution: np.ndarray
    length: np.ndarray
    truth: np.ndarray
    depth: np.ndarray
    success: np.ndarray
    last: np.ndarray
    correct: np.ndarray
    question: np.ndarray

    @property
    def asked(self) -> np.ndarray:
        """[U] row of the step's question."""
        return self.question[self.solution]


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
    question = np.arange(len(truths)) // samples
    return Units(
        solution=solution,
        length=length,
        truth=np.asarray([label for truth in truths for label in truth], int),
        depth=np.asarray(depths)[solution],
        success=others[solution],
        last=length == counts[solution],
        correct=correct,
        question=question,
    )


def step_figures(
    steps: Units, scores: np.ndarray, threshold: float, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """One model's figures on steps: name → [R].

    Args:
      steps: U of them.
      scores: [U] the model's values in [0, 1].
      threshold: from which a step is called right.
      weights: [R, U] how often each step counts.
    """
    truth, predicted = steps.truth, scores >= threshold
    right = truth == 1
    hard = steps.success <= hard_below(steps)
    by_length, lengths = balanced_accuracy_by_group(
        truth, scores, steps.length, threshold, LEAST_IN_A_CLASS, weights
    )
    _, depths = balanced_accuracy_by_group(
        truth, scores, steps.depth, threshold, LEAST_IN_A_CLASS, weights
    )
    rank_by_length, _ = auroc_by_group(truth, scores, steps.length, LEAST_IN_A_CLASS, weights)
    return {
        "step_accuracy": by_length,
        **{f"step_accuracy_length{length}": value for length, value in lengths.items()},
        # A task that doesn't know how many steps its questions need says 0.
        **{f"step_accuracy_depth{depth}": value for depth, value in depths.items() if depth},
        "step_accuracy_pooled": balanced_accuracy(truth, scores, threshold, weights),
        "step_auroc": rank_by_length,
        "step_auroc_pooled": auroc(truth, scores, weights),
        "false_negatives": false_negative_rate(truth, predicted, weights),
        "false_negatives_hard": mean_in(right & hard, ~predicted, weights),
        "false_negatives_easy": mean_in(right & ~hard, ~predicted, weights),
        "step_calibration_error": expected_calibration_error(truth, scores, weights=weights),
        # How far the mean value falls from first to last steps, beyond what the truth does.
        "drift": mean_in(steps.length == 1, scores - truth, weights)
        - mean_in(steps.last, scores - truth, weights),
    }


def mean_in(rows: np.ndarray, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean of values [U] in some rows (bool [U]): weights [R, U] → [R]."""
    return ratio(weights @ (values * rows), weights @ rows.astype(float))


def hard_below(steps: Units) -> float:
    """The success rate up to which a question is hard: the lower third of right steps lies there.

    0 when no step is right.
    """
    right = steps.success[steps.truth == 1]
    return float(np.quantile(right, 1 / 3)) if len(right) else 0.0


def answer_figures(
    correct: np.ndarray, scores: np.ndarray, threshold: float, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """One model's figures on N whole solutions, from its values [N] at the last token: name → [R].

    Weights [R, N] are those of the solutions.
    """
    called_rightly = (scores >= threshold) == correct
    return {
        "answer_accuracy": mean_in(np.ones(len(correct), bool), called_rightly, weights),
        "answer_accuracy_balanced": balanced_accuracy(correct, scores, threshold, weights),
        "answer_auroc": auroc(correct, scores, weights),
    }
