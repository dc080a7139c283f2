"""Contrasts of cells by hand, and which statistic is of which cells."""

import math

import datasets
import numpy as np
import pytest

from configs import noise as config_of
from qdcjax.experiments.findings.noise import Answers, answers_of, prediction_statistics
from qdcjax.experiments.stages.noise_data import Cell

CELLS = {"clean": Cell(), "answer": Cell(form="answer")}


def answers(right: dict, seeds: int = 1) -> Answers:
    """Answers from (operation, way, cell) → [S, N]."""
    right = {name: np.asarray(of, float).reshape(seeds, -1) for name, of in right.items()}
    questions = {
        operation: [
            [f"{operation}/{seed}/{n}" for n in range(of.shape[1])] for seed in range(seeds)
        ]
        for (operation, _, _), of in right.items()
    }
    return Answers(dict.fromkeys(questions, CELLS), right, questions)


def test_a_contrast_is_paired_by_question_and_the_mean_over_operations():
    found = answers(
        {
            ("add", "greedy", "clean"): [1, 1, 1, 0],
            ("add", "greedy", "answer"): [1, 0, 0, 0],
            ("mul", "greedy", "clean"): [1, 1, 0, 0],
            ("mul", "greedy", "answer"): [1, 1, 0, 0],
        }
    )
    weights = {("greedy", "clean"): 1.0, ("greedy", "answer"): -1.0}
    assert found.contrast(weights, ["add"]).value == 0.5
    assert found.contrast(weights, ["add", "mul"]).value == 0.25
    paired = found.contrast(weights, ["mul"])
    assert (paired.low, paired.value, paired.high) == (0, 0, 0)
    assert math.isnan(found.contrast(weights, ["div"]).value)
    assert math.isnan(found.contrast({("greedy", "character50"): 1.0}, ["add"]).value)


def test_what_fewer_questions_were_asked_for_is_paired_on_the_first():
    """An operation without one of the cells is left out."""
    found = answers(
        {
            ("add", "greedy", "clean"): [1, 1, 0, 0],
            ("add", "prompted", "clean"): [1, 0],
            ("mul", "greedy", "clean"): [1, 1, 0, 0],
        }
    )
    found.questions["add"] = [[f"add/{n}" for n in range(4)]]
    weights = {("greedy", "clean"): 1.0, ("prompted", "clean"): -1.0}
    assert found.contrast(weights, ["add", "mul"]).value == 0.5


def test_seeds_have_their_own_questions():
    """.5 and 1 have a standard deviation of √.125; t(.975, 1) = 12.7062."""
    found = answers({("add", "greedy", "clean"): [[1, 0], [1, 1]]}, seeds=2)
    estimate = found.contrast({("greedy", "clean"): 1.0}, ["add"])
    half = 12.7062 * math.sqrt(0.125 / 2)
    assert (estimate.value, estimate.high) == pytest.approx((0.75, 0.75 + half), rel=1e-4)
    assert "2 seeds" in estimate.method
    accuracy = found.accuracy("add", "greedy", "clean")
    assert (accuracy.low, accuracy.value, accuracy.high) == (0, 0.75, 1), "a share is in 0…1"


def test_tables_become_shares_of_right_answers():
    """Two samples of each of two questions, for two seeds."""
    rows = [
        {"cell": cell, "seed": seed, "problem_id": f"{seed}/{n}", "correct": correct}
        for seed in (3, 5)
        for cell in CELLS
        for n, pair in enumerate(((True, False), (True, cell == "clean")))
        for correct in pair
    ]
    table = datasets.Dataset.from_list(rows)
    found = answers_of((3, 5), {"add": CELLS}, {("add", "sampled"): table})
    np.testing.assert_array_equal(found.right["add", "sampled", "clean"], [[0.5, 1]] * 2)
    np.testing.assert_array_equal(found.right["add", "sampled", "answer"], [[0.5, 0.5]] * 2)
    assert found.questions["add"] == [["3/0", "3/1"], ["5/0", "5/1"]]


ACCURACIES = {
    "clean": 0.9, "answer": 0.3, "character50": 0.8, "character100": 0.1, "line90": 0.5,
    "dynamic10": 0.4, "clean_small": 0.7, "character50_small": 0.5, "without_dynamic": 0.6,
    "without_static": 0.5, "without_random": 0.45,
}  # fmt: skip


def test_every_statistic_by_hand():
    """Greedy answers as above, sampled ones half as often right, on add and on the median."""
    right = {
        (operation, way, cell): [value * (1 if way == "greedy" else 0.5)]
        for operation in ("add", "median")
        for way in ("greedy", "sampled")
        for cell, value in ACCURACIES.items()
    }
    right["median", "greedy", "dynamic10"] = [0.9]
    for operation in ("add", "median"):
        right[operation, "prompted", "clean"] = [0.5]
        right[operation, "prompted", "character30_80"] = [0.2]
    found = {name: of.value for name, of in prediction_statistics(answers(right)).items()}
    assert found == pytest.approx(
        {
            "N1": 0.6,
            "N2_little": 0.1,
            "N2_cliff": 0.7,
            "N3": -0.1,
            "N4_static": 0.4,
            "N4_median": 0.0,
            "N5_greedy": (0.4 + 0.25 + (0.2 + 0.7) / 2) / 3,
            "N5_noise": -0.05,
            "N5_size": -0.1 + 0.2,
            "N6_static": 0.1,
            "N6_random": 0.15,
            "N7": 0.3 - 0.1,
        }
    )
    assert set(config_of.get_config("smollm2").predictions) == found.keys()
