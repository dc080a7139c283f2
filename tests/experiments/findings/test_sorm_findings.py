"""What the study of stepwise reward models measures, on tables small enough to count by hand."""

import math
import types
from pathlib import Path

import datasets
import numpy as np
import pytest

from qdcjax.experiments.findings import sorm as sorm_findings
from qdcjax.experiments.findings.sorm import (
    Findings,
    find,
    label_figures,
    prediction_statistics,
    rerank,
    values_at_steps,
)
from qdcjax.experiments.reports import sorm as sorm_report
from qdcjax.experiments.stages import policy_evaluation
from qdcjax.measures.intervals import Interval, bootstrap
from qdcjax.reasoning import reward_evaluation
from qdcjax.reasoning.label_quality import Verified
from qdcjax.reasoning.reward_models import Solution
from qdcjax.reporting.page import Report, RunFacts, write_report
from qdcjax.tasks.problem import Problem

EVERYWHERE = ("G1_steps", "G1_answers", "G2", "G2_hard", "G6", "G7_rise", "G7_lucky")
FACTS = RunFacts("command", "sorm", "test", [0], "a device", "abc", {}, {})

# Sixteen completions each of a right prefix, of which two succeed, and of a wrong one, of which
# one does. From 1: recall 2/16, specificity 15/16, precision 2/3. From 8: both labels of the
# right one are 1, and one of the wrong one's. From 16: both prefixes are called right.
MANY = Verified(
    problem=np.asarray(["a", "b"]),
    correct=np.asarray([[1, *[0] * 7, 1, *[0] * 7], [*[0] * 15, 1]], bool),
    consistent=np.ones((2, 16), bool),
    truth=np.asarray([1, 0]),
)


def constant(*seeds: dict[str, float]) -> list[dict[str, np.ndarray]]:
    """Figures of each seed that are the same on every resample."""
    return [{name: np.full(101, value) for name, value in seed.items()} for seed in seeds]


def figures() -> sorm_findings.Figures:
    """Two seeds a kind that agree, but for the ORM's step accuracy."""
    orm = {"answer_accuracy": 0.8, "false_negatives": 0.55, "drift": 0.9}
    orm |= {"false_negatives_hard": 0.8, "false_negatives_easy": 0.4}
    sorm = {"step_accuracy": 0.7, "answer_accuracy": 0.74, "false_negatives": 0.35, "drift": 0.1}
    sorm |= {"false_negatives_hard": 0.4, "false_negatives_easy": 0.3}
    return {
        "orm": constant(orm | {"step_accuracy": 0.6}, orm | {"step_accuracy": 0.62}),
        "sorm": constant(sorm, sorm),
        "unbalanced_sorm": constant({"drift": 0.25}, {"drift": 0.25}),
    }


def test_each_statistic_is_positive_when_its_claim_is_true():
    found = prediction_statistics(figures(), MANY, questions=30, exact=True)
    values = {name: interval.value for name, interval in found.items()}
    assert values == pytest.approx(
        {
            "G1_steps": 0.7 - 0.61,
            "G1_answers": 0.8 - 0.74,
            "G2": 0.55 - 0.35,
            "G2_hard": (0.8 - 0.4) - (0.4 - 0.3),
            "G6": 0.25 - 0.1,
            "G7_rise": (1 + 1 / 2) / 2 - (2 / 16 + 15 / 16) / 2,
            "G7_lucky": 1 / 2 - 2 / 3,  # claimed to lie below
        }
    )


def test_the_intervals_of_predictions_hold_both_sources_of_error():
    """t over the seeds' .10 and .08, and what resampling the questions does to both models."""
    made = figures()
    together, apart = np.linspace(-0.3, 0.3, 101), np.linspace(-0.2, 0.2, 101)
    together[0] = apart[0] = 0
    for kind in ("orm", "sorm"):
        for one in made[kind]:
            one["step_accuracy"] = one["step_accuracy"] + together + (kind == "sorm") * apart
    found = prediction_statistics(made, MANY, questions=30, exact=True)["G1_steps"]
    t = 12.7062 * 0.01  # t of 97.5 % at 1 degree of freedom; s/√n = .02/√2/√2
    assert found.value == pytest.approx(0.09)
    assert found.high - 0.09 == pytest.approx(math.hypot(t, 0.19), rel=0.01)
    assert "t over 2 seeds" in found.method and "bootstrap over 30 clusters" in found.method


def test_without_exact_steps_only_answers_are_predicted():
    found = prediction_statistics(figures(), MANY, questions=30, exact=False)
    assert tuple(found) == EVERYWHERE
    assert found.pop("G1_answers").value == pytest.approx(0.06)
    for estimate in found.values():
        assert math.isnan(estimate.value) and math.isnan(estimate.low)
        assert estimate.method == "the task cannot check steps exactly"


def test_label_figures_by_hand():
    verified = Verified(
        problem=np.asarray(["a", "a", "b", "b"]),
        correct=np.asarray([[1, 1], [0, 0], [1, 0], [0, 0]], bool),
        consistent=np.asarray([[1, 1], [1, 1], [0, 1], [1, 1]], bool),
        truth=np.asarray([1, 1, 0, 0]),
    )
    trained = Verified(
        problem=np.asarray(["a", "a", "b", "b"]),
        correct=np.asarray([[1], [1], [1], [0]], bool),
        consistent=np.ones((4, 1), bool),
        truth=np.asarray([1, 1, 0, 0]),
    )
    found = label_figures(verified, MANY, trained)
    assert found["prefixes"] == 4 and found["right_prefixes_without_success"] == 1 / 2
    values = {n: x.value for n, x in found.items() if isinstance(x, Interval)}
    # Two right prefixes: 2 and 0 of 2 labels are 1. Unfiltered, a wrong one has 1 of 2.
    assert values["labels_precision_at_1"] == 1 and values["labels_recall_at_1"] == 1 / 2
    assert values["labels_unfiltered_precision_at_1"] == pytest.approx(2 / 3)
    assert values["labels_unfiltered_precision_at_2"] == pytest.approx(1 / 2)
    assert values["labels_accuracy_at_2"] == pytest.approx((1 / 2 + 1) / 2)
    assert values["labels_many_recall_at_1"] == pytest.approx(2 / 16)
    assert values["trained_labels_precision"] == pytest.approx(2 / 3)
    assert values["trained_labels_recall"] == 1
    assert values["trained_labels_accuracy"] == pytest.approx((1 + 1 / 2) / 2)
    assert "over 2 clusters" in found["trained_labels_precision"].method


# Two questions of depths 2 and 3 with two samples each, of which the first is right.

QUESTIONS = [
    Problem("a", "How many?", "3", meta={"depth": 2}),
    Problem("b", "How far?", "4", meta={"depth": 3}),
]
TRUTH = [[True, True], [True, False], [True], []]
ENDS = [[1, 3], [0, 2], [2], []]
NO_STEPS = [[], [], [], []]


def samples(ends: list = ENDS) -> datasets.Dataset:
    answers = ["3", "1", "4", "1"]
    return datasets.Dataset.from_dict(
        {
            "problem_id": ["a", "a", "b", "b"],
            "text": [f"#### {answer}" for answer in answers],
            "tokens": [[1] * 5] * 4,
            "truncated": [False] * 4,
            "correct": [True, False, True, False],
            "ends": ends,
        }
    )


def scores() -> dict[str, list[np.ndarray]]:
    """Values at every token: seed 0's SORM is right about each step, its ORM about each answer."""
    at_steps = {"right": [[0.9, 0.9], [0.9, 0.1], [0.9]], "low": [[0.4, 0.2], [0.4, 0.2], [0.4]]}
    answers = {"right": [0.8, 0.2, 0.8, 0.2], "wrong": [0.2, 0.8, 0.8, 0.2]}

    def model(steps: str, last: str) -> list[np.ndarray]:
        values = [np.full(5, 0.5) for _ in range(4)]
        for value, ends, here in zip(values, ENDS, at_steps[steps], strict=False):
            value[ends] = here
        for value, ending in zip(values, answers[last], strict=True):
            value[-1] = ending
        return values

    return {
        "orm-0": model("low", "right"),
        "sorm-0": model("right", "wrong"),
        "unbalanced_sorm-0": model("right", "right"),
        "orm-1": model("low", "wrong"),
        "sorm-1": model("right", "right"),
        "unbalanced_sorm-1": model("low", "right"),
    }


def table(rows: int, truth: list) -> datasets.Dataset:
    return datasets.Dataset.from_dict(
        {
            "problem_id": ["a", "b"] * (rows // 2),
            "correct": [[True, False]] * rows,
            "consistent": [[True, True]] * rows,
            "truth": truth,
        }
    )


def found(monkeypatch, exact: bool = True, truth: list = TRUTH, ends: list = ENDS) -> Findings:
    monkeypatch.setattr(reward_evaluation, "LEAST_IN_A_CLASS", 1)
    predictions = {name: {"claim": name, "threshold": 0.05} for name in EVERYWHERE}
    drafts = datasets.Dataset.from_dict(
        {"problem_id": ["a", "b"], "truth": [[True, False], [True]] if exact else [[], []]}
    )
    solutions = [Solution([], [], [0, 1], True, [1, 1]), Solution([], [], [0], False, [0])]
    checked = table(4, [True, True, False, True] if exact else [None] * 4)
    return find(
        {"reward": {"threshold": 0.5}, "predictions": predictions},
        QUESTIONS,
        samples(ends),
        truth,
        scores(),
        checked,
        checked,
        drafts,
        solutions,
        exact,
    )


def test_a_depth_of_one_question_has_no_interval(tmp_path):
    """And the student's accuracies by depth are drawn all the same."""
    third = Problem("c", "How long?", "5", meta={"depth": 3})
    greedy = datasets.Dataset.from_dict(
        {
            "problem_id": ["a", "b", "c"],
            **{name: [True, True, False] for name in ("correct", "flexible", "truncated")},
            **{name: [False] * 3 for name in ("flagged", "error")},
            "tokens": [[1]] * 3,
        }
    )
    made = policy_evaluation.accuracies([*QUESTIONS, third], greedy)
    alone, two = made["greedy_accuracy_depth2"], made["greedy_accuracy_depth3"]
    assert alone.value == 1 and math.isnan(alone.low) and math.isnan(alone.high)
    assert (two.low, two.value, two.high) == (0, 0.5, 1)
    named = {f"{name}_test": value for name, value in made.items()}
    assert len(sorm_report.student_section(named, tmp_path).figures) == 1


def test_values_at_steps_by_hand():
    values = scores()["sorm-0"]
    assert values_at_steps(samples(), values).tolist() == [0.9, 0.9, 0.9, 0.1, 0.9]
    assert values_at_steps(samples(NO_STEPS), values).shape == (0,)


def test_rerank_goes_by_the_first_seed_and_the_last_token():
    """Of question a its ORM prefers the right sample and its SORM the wrong one; of b both."""
    found = rerank(QUESTIONS, samples(), scores())
    assert found["orm_rerank_at_2_test"].value == 1 and found["sorm_rerank_at_2_test"].value == 0.5
    assert found["orm_rerank_at_1_test"].value == 0.5
    assert len(found) == 4, "of the ORM and the SORM, at 1 and 2"


def test_find_by_hand(monkeypatch):
    """Right steps: four, wrong: one, at length 2 of question a. The ORM calls all of them wrong."""
    made = found(monkeypatch)
    values = {n: x.value for n, x in made.results.items() if isinstance(x, Interval)}
    assert values["sorm_step_accuracy"] == values["sorm_step_accuracy_length2"] == 1
    assert values["orm_step_accuracy_depth2"] == 0.5, "all called wrong: 0 of 3 and 1 of 1"
    assert "orm_step_accuracy_length1" not in values and "orm_step_accuracy_depth3" not in values
    assert values["orm_false_negatives"] == 1 and values["sorm_false_negatives"] == 0
    assert values["unbalanced_sorm_false_negatives"] == 0.5, "the mean of its two seeds"
    assert values["orm_answer_accuracy"] == (1 + 1 / 2) / 2
    assert values["G1_steps_statistic"] == pytest.approx(1 / 2)
    assert values["G2_statistic"] == 1
    assert values["G1_answers_statistic"] == 0, "each is wrong about two answers in one seed"
    # Labels 1 1 of truths 1 0, and 0 of truth 1.
    assert values["trained_labels_precision"] == values["trained_labels_recall"] == 1 / 2
    assert [v.prediction.name for v in made.verdicts] == list(EVERYWHERE)
    outcomes = {v.prediction.name: v.outcome for v in made.verdicts}
    assert outcomes["G2"] == "holds" and outcomes["G1_answers"] == "undecided"


def test_all_models_are_judged_on_the_same_resamples(monkeypatch):
    """Answers of the ORM's first seed are right, its second is wrong about both of question a."""
    made = found(monkeypatch)
    interval = made.results["orm_answer_accuracy"]
    mean = np.asarray([(1 + 0) / 2, (1 + 0) / 2, 1, 1])  # a's and b's, over seeds
    alone = bootstrap(mean, [0, 0, 1, 1], resamples=sorm_findings.RESAMPLES)
    t = 12.7062 * 0.25
    assert interval.high == pytest.approx(0.75 + math.hypot(t, alone.high - 0.75), rel=1e-4)
    assert interval.low == pytest.approx(0.75 - math.hypot(t, 0.75 - alone.low), rel=1e-4)


def test_figures_on_sampled_labels_say_so(monkeypatch):
    made = found(monkeypatch, exact=False)
    ours = {n for n in made.results if n.startswith(("orm_", "sorm_", "unbalanced_"))}
    plain = {n for n in ours if not n.partition("orm_")[2].startswith("sampled_")}
    assert {n.partition("orm_")[2].split("_")[0] for n in plain} == {"answer", "rerank"}
    assert made.results["sorm_sampled_step_accuracy"].value == 1
    assert made.results["orm_sampled_false_negatives"].value == 1
    assert math.isnan(made.results["trained_labels_precision"].value)
    outcomes = {v.prediction.name: v.outcome for v in made.verdicts}
    assert set(outcomes.values()) == {"undecided"}
    notes = {row.name: row.note for row in sorm_report.headline(made)}
    assert notes["ORM, step accuracy"].endswith("each length, against sampled labels")
    assert notes["SORM, right steps called wrong"] == "against sampled labels"
    assert notes["SORM, accuracy on final answers"] == ""


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_student_without_steps_ends_with_undefined_figures(monkeypatch):
    made = found(monkeypatch, truth=NO_STEPS, ends=NO_STEPS)
    assert math.isnan(made.results["orm_step_accuracy"].value)
    assert math.isnan(made.results["G2_statistic"].value)
    assert made.results["orm_answer_accuracy"].value == 0.75


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("exact", [True, False])
def test_sections_are_drawn(monkeypatch, tmp_path, exact):
    """On two questions: a depth, a length and a bin of one question have no interval."""
    made = found(monkeypatch, exact)

    run = types.SimpleNamespace(
        config={"reward": {"threshold": 0.5}}
    )  # of a workdir, what it reads
    sections = [sorm_report.steps_section(run, made, tmp_path)]
    if exact:
        sections.append(sorm_report.labels_section(made, tmp_path))
    plates = [Path(plate.path).name for section in sections for plate in section.figures]
    expected = ["steps_by_length.png", "steps_by_depth.png", "false_negatives.png", "drift.png"]
    assert plates == [*expected, *(["labels.png"] if exact else [])]
    rows = sorm_report.headline(made)
    write_report(tmp_path / "report.html", Report("", "", FACTS, rows, made.verdicts, sections))
    page = (tmp_path / "report.html").read_text()
    assert ("valid in the problem&#39;s own graph" in page) == exact
    assert ("against sampled labels" in page) != exact
    assert ("the task cannot check steps exactly" in page) != exact
    assert ("Training labels against the exact truth" in page) == exact
