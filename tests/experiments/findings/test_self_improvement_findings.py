"""Rounds, pass@K and verdicts of self-training whose samples are made up."""

import itertools
import math

import numpy as np
import pytest

from configs import self_improvement as config_of
from qdcjax.experiments.findings import self_improvement as findings
from qdcjax.experiments.running import from_config
from qdcjax.experiments.stages import making
from qdcjax.synthesis.samples import Made

CONFIG = config_of.get_config("smoke").to_dict() | {"seeds": [0, 1, 2], "described": 8}
PAPER = config_of.get_config().predictions.to_dict()
WORKSHOP = making.workshop(CONFIG)
ARMS = dict.fromkeys(("filter", "given", "archive", "selection", "replace", "accumulate"))


def samples(kinds, count=16, invalid=0):
    """As many of each kind."""
    valid = [
        Made(f"1-{n}", 1, "write", (), 0, f"Question {n}?", "#### 5", "", "5",
             WORKSHOP.source.names[n % kinds % 2], 1 + n % kinds // 2, True, 1.0)
        for n in range(count)
    ]  # fmt: skip
    gone = "no template"
    return valid + [
        Made(f"2-{n}", 1, "write", (), 0, "?", "", gone, "", "", 0, False, 0.0, -1, gone)
        for n in range(invalid)
    ]


def found(kinds, losses, right):
    """From arm → kinds and loss by round (0 is the base's), and right answers of 4 at the end."""
    seeds = CONFIG["seeds"]
    rounds = len(next(iter(losses.values())))
    probes, tables = [], []
    for number in range(rounds):
        members = list(itertools.product(ARMS if number else ["start"], seeds))
        of = lambda arm, table, number=number: table["filter" if arm == "start" else arm][number]  # noqa: E731
        probes.append({(arm, seed): samples(of(arm, kinds)) for arm, seed in members})
        table = {"arm": [], "seed": [], "loss": []}
        for arm, seed in members:
            for column, value in zip(
                table.values(), (arm, seed, of(arm, losses) + 0.001 * seed), strict=True
            ):
                column.append(value)
        tables.append(table)
    answers = {}
    for when, arms in (("start", ["start"]), ("last", ARMS)):
        table = {"cell": [], "seed": [], "problem_id": [], "correct": []}
        for arm, seed in itertools.product(arms, seeds):
            for question, count in enumerate(right.get(arm, right[when])):
                table["cell"] += [arm] * 4
                table["seed"] += [seed] * 4
                table["problem_id"] += [f"q{question}"] * 4
                table["correct"] += [n < count for n in range(4)]
        answers[when] = table
    made = {(arm, seed): [samples(2, 4, invalid=1)] for arm in ARMS for seed in seeds}
    predictions = from_config.predictions(PAPER)
    return findings.find(CONFIG, WORKSHOP, ARMS, made, probes, tables, answers, predictions)


AS_CLAIMED = {
    "kinds": {"filter": [4, 3, 1], "archive": [4, 4, 4], "selection": [4, 3, 2],
              "replace": [4, 4, 4], "accumulate": [4, 4, 4], "given": [4, 4, 4]},
    "losses": {"filter": [1, 1, 1], "archive": [1, 1, 1], "selection": [1, 1, 1],
               "given": [1, 1, 1], "replace": [1, 1.1, 1.5], "accumulate": [1, 1.1, 1.1]},
    "right": {"start": [1, 1, 1], "last": [4, 2, 0], "given": [4, 4, 0]},
}  # fmt: skip
OTHERWISE = {
    "kinds": {"filter": [2, 4, 4], "archive": [2, 2, 2], "selection": [2, 2, 2],
              "replace": [2, 2, 2], "accumulate": [2, 2, 2], "given": [2, 2, 2]},
    "losses": {"filter": [1, 1, 1], "archive": [1, 1, 1], "selection": [1, 1, 1],
               "given": [1, 1, 1], "replace": [1, 1.2, 1.1], "accumulate": [1, 1.1, 1.3]},
    "right": {"start": [4, 1, 0], "last": [1, 1, 1], "given": [2, 1, 1]},
}  # fmt: skip


@pytest.mark.parametrize(("run", "outcome"), [(AS_CLAIMED, "holds"), (OTHERWISE, "fails")])
def test_verdicts_follow_the_rounds(run, outcome):
    outcomes = {v.prediction.name: v.estimate.value for v in found(**run).verdicts}
    predictions = from_config.predictions(PAPER)
    for name, value in outcomes.items():
        above = value > predictions[name].threshold
        assert (above == (predictions[name].direction == "above")) == (outcome == "holds"), name


def test_figures_of_each_round_and_pass_at_k():
    of = found(**AS_CLAIMED)
    assert [i.value for i in of.rounds["filter"]["kinds"]] == pytest.approx([4, 3, 1], abs=0.3)
    assert of.rounds["replace"]["loss"][2].value == pytest.approx(1.501)
    assert of.results["archive_kinds_0"].value == of.results["filter_kinds_0"].value, "the base's"
    assert of.results["filter_accepted"].value == pytest.approx(0.8)
    assert list(of.passes["start"]) == [1, 2, 4]
    assert of.passes["start"][1].value == 0.25 and of.passes["start"][4].value == 1
    assert of.results["Q4_given_pass_1_statistic"].value == pytest.approx(2 / 3 - 0.25)
    assert of.results["Q4_given_pass_k_statistic"].value == pytest.approx(
        2 / 3 - 1 - (2 / 3 - 0.25)
    )
    assert of.passes["filter"][1].value == 0.5 and of.passes["filter"][4].value == pytest.approx(
        2 / 3
    )


def test_what_a_model_writes_is_measured_at_one_size():
    embed = lambda texts: np.eye(16)[: len(texts)]  # noqa: E731
    of = findings.probe_figures(samples(2, 12, invalid=4), embed, 8)
    assert of["valid"] == 0.75 and of["right"] == 1 and of["vendi"] == pytest.approx(8)
    less = findings.probe_figures(samples(2, 4, invalid=4), embed, 8)
    assert math.isnan(less["kinds"]) and less["valid"] == 0.5
    assert math.isnan(findings.probe_figures(samples(1, 0, invalid=2), embed, 8)["right"])
