"""What refiners fix and break and what strategies are worth, on six questions counted by hand."""

import math

import datasets
import numpy as np
import pytest

from qdcjax.experiments.findings.refinement import (
    accuracies,
    choice,
    locating,
    outcome,
    prediction_statistics,
    repairs,
)
from qdcjax.experiments.stages.refinement_inference import Candidate, Refined
from qdcjax.tasks.problem import Problem

N = 6
DRAFT = [1, 1, 0, 0, 0, 0]
GLOBAL = [1, 0, 1, 1, 0, 0]
LOCAL = {
    "orm": [1, 1, 0, 0, 0, 0],
    "sorm": [1, 1, 0, 1, 1, 0],
    "exact": [1, 1, 1, 1, 1, 0],
    "truth": [1, 1, 1, 1, 1, 1],
}
# The outcome model picks: draft, global (breaks it), global, local, draft (missed), local.
SCORES = {"draft": [9, 1, 1, 1, 9, 1], "global": [1, 9, 9, 1, 1, 1], "local": [1, 1, 1, 9, 1, 9]}
LINES = {"orm": [0] * 6, "sorm": [0, 0, 1, 1, 0, 2], "exact": [0] * 6, "truth": [2, 2, 1, 1, 1, 1]}


def candidate(right, scores) -> Candidate:
    return Candidate({"correct": [bool(r) for r in right]}, np.asarray(scores, float))


@pytest.fixture
def found() -> Refined:
    questions = [Problem(f"q/{n}", "?", "1", meta={"depth": 2}) for n in range(N)]
    # Three samples a question; of the first three all are right, and of the others one, scored
    # highest in the fourth question only.
    correct = [[1, 1, 1]] * 3 + [[1, 0, 0]] * 3
    scores = [[0.5, 0.4, 0.3]] * 3 + [[0.9, 0.1, 0.1], [0.1, 0.9, 0.1], [0.1, 0.1, 0.9]]
    samples = datasets.Dataset.from_dict(
        {
            "problem_id": [q.id for q in questions for _ in range(3)],
            "correct": [bool(c) for of in correct for c in of],
            "text": [f"#### {1 if c else 2}" for of in correct for c in of],
            "truncated": [False] * 18,
            "tokens": [[5, 6, 7]] * 18,
            "ends": [[1]] * 18,
            "truth": [[bool(c)] for of in correct for c in of],
        }
    )
    values = [np.asarray([0, of, of]) for row in scores for of in row]
    return Refined(
        questions=questions,
        draft=candidate(DRAFT, SCORES["draft"]),
        globally=candidate(GLOBAL, SCORES["global"]),
        locally={source: candidate(of, SCORES["local"]) for source, of in LOCAL.items()},
        lines={source: np.asarray(of) for source, of in LINES.items()},
        values={source: [np.zeros(3)] * N for source in ("orm", "sorm", "exact")},
        samples=samples,
        sample_values={source: values for source in ("orm", "sorm", "exact")},
        threshold=0.5,
    )


def test_the_outcome_model_picks_the_largest_value_and_of_equals_the_draft(found):
    assert choice(found, "sorm").tolist() == [0, 1, 1, 2, 0, 2]
    assert outcome(found) == ["kept", "broken", "fixed", "fixed", "missed", "missed"]
    equal = Refined(**{**vars(found), "draft": candidate(DRAFT, [9] * N)})
    assert choice(equal, "sorm").tolist() == [0] * N


def test_every_strategy_by_hand(found):
    measured = accuracies(found)
    accuracy = {name: of.value for name, of in measured.items() if name.endswith("_accuracy")}
    by_hand = {
        "greedy": 2, "global_all": 3, "local_all": 4, "reranked": 3, "reranked_orm": 2,
        "reranked_exact": 3, "reranked_truth": 4, "best_of_3": 4, "maj_of_3": 3,
        "gated_global": 4, "gated_local": 4, "gated_local_truth": 6, "gated_either": 5,
    }  # fmt: skip
    assert accuracy == {f"{name}_accuracy": of / N for name, of in by_hand.items()}
    gained = {name: of.value for name, of in measured.items() if name.endswith("_gain")}
    assert gained.keys() == {f"{name}_gain" for name in by_hand if name != "greedy"}
    assert gained["reranked_gain"] == pytest.approx(1 / N)
    assert measured["reranked_gain"].low < 0 < measured["reranked_gain"].high


def test_what_is_fixed_is_of_wrong_drafts_and_what_is_broken_of_right_ones(found):
    measured = {name: of.value for name, of in repairs(found).items()}
    assert measured == pytest.approx(
        {
            "fixed_global": 2 / 4, "fixed_local": 2 / 4, "fixed_local_orm": 0,
            "fixed_local_exact": 3 / 4, "fixed_local_truth": 1,
            "fixed_both": 1 / 4, "fixed_either": 3 / 4,
            "fixed_global_alone": 1 / 4, "fixed_local_alone": 1 / 4,
            "fixed_either_if_independent": 3 / 4,
            "broken_global": 1 / 2, "broken_local": 0, "broken_local_orm": 0,
            "broken_local_exact": 0, "broken_local_truth": 0,
            "fixed_sample": (1 + 3 / 3) / 4, "broken_sample": 0,
        }
    )  # fmt: skip


def test_where_models_see_the_first_error_of_wrong_drafts(found):
    measured = locating(found)
    assert [measured[f"sorm_{of}_error"].value for of in ("at", "before", "after")] == [
        2 / 4,
        1 / 4,
        1 / 4,
    ]
    assert measured["orm_before_error"].value == 1
    assert "truth_at_error" not in measured
    without = {source: of for source, of in found.lines.items() if source != "truth"}
    assert locating(Refined(**{**vars(found), "lines": without})) == {}


def test_each_statistic_is_positive_when_its_claim_is_true(found):
    statistics = {name: of.value for name, of in prediction_statistics(found).items()}
    assert statistics == pytest.approx(
        {
            "G3": 3 / 4 - 2 / 4,
            "G4_ungated": (4 - 2) / N,
            "G4_three": (3 - 4) / N,
            "G4_best": (4 - 2) / N,
            "G5_truth": 1 - 2 / 4,
            "G5_sorm": 2 / 4 - 0,
        }
    )
    useless = found.locally | {"sorm": found.locally["orm"]}
    alone = prediction_statistics(Refined(**{**vars(found), "locally": useless}))
    assert alone["G3"].value == 0, "over the better one of the two"


def test_without_exact_steps_what_needs_them_has_no_value(found):
    locally = {source: of for source, of in found.locally.items() if source != "truth"}
    statistics = prediction_statistics(Refined(**{**vars(found), "locally": locally}))
    assert math.isnan(statistics["G5_truth"].value) and "exactly" in statistics["G5_truth"].method
    assert statistics["G5_sorm"].value == pytest.approx(0.5)
