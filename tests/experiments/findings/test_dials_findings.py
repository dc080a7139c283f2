"""Effects and verdicts of the dials from answers that are made up."""

import itertools
import math

import numpy as np
import pytest

from configs import qdc_dials as config_of
from qdcjax.experiments.findings.qdc_dials import Accuracies, corners_of, find
from qdcjax.experiments.running import from_config
from qdcjax.experiments.stages.dials import DialSet, levels_of

CONFIG = config_of.get_config().to_dict()
SETS = {name: DialSet(**fields) for name, fields in CONFIG["sets"].items()}
SEEDS, ASKED = CONFIG["seeds"], 400
TESTS = ("in", "more", "templates", "deeper")


def skill(name: str, test: str) -> float:
    """As the paper has it."""
    of = SETS[name]
    found = {"in": 0.6, "more": 0.4, "templates": 0.3, "deeper": 0.2}[test]
    found += (0.8 if test == "in" else 0.1) * (of.quality - 0.8)
    found += (0.02 if test == "in" else 0.15) * math.log2(of.diversity / 16)
    return found + 0.1 * (min(of.complexity, 3) - 3)


def answers(skill=skill):
    rng, tables = np.random.default_rng(0), {}
    for test in TESTS:
        columns = {"cell": [], "seed": [], "correct": []}
        for name, seed in itertools.product(SETS, SEEDS):
            right = round(ASKED * (skill(name, test) + 0.002 * rng.normal()))
            columns["cell"] += [name] * ASKED
            columns["seed"] += [seed] * ASKED
            columns["correct"] += [True] * right + [False] * (ASKED - right)
        tables[test] = columns
    return {test: Whole(columns) for test, columns in tables.items()}


class Whole(dict):
    """A table that is asked for all its rows."""

    def __getitem__(self, key):
        return self if isinstance(key, slice) else super().__getitem__(key)


DESCRIBED = {"set": [], "seed": [], "answer": [], "process": [], "steps": [], "template": []}
for name, seed in itertools.product(SETS, SEEDS):
    DESCRIBED["set"] += [name] * 4
    DESCRIBED["seed"] += [seed] * 4
    DESCRIBED["answer"] += [1.0, 0.0, 1.0, math.nan]
    DESCRIBED["process"] += [1.0, 0.5, 1.0, math.nan]
    DESCRIBED["steps"] += [1, 2, 3, 2]
    DESCRIBED["template"] += ["a", "b", "a", "c"]


def selections(cells=0.8, order=1):
    columns = {
        "seed": [],
        "way": [],
        "alpha": [],
        "quality": [],
        "vendi": [],
        "covered": [],
        "cells": [],
    }
    for seed in SEEDS:
        for at, alpha in enumerate((0.0, 0.5, 1.0)[::order]):
            row = (seed, "qdit", (0.0, 0.5, 1.0)[at], 1 - alpha, 5 + alpha, alpha, 9.0)
            for column, value in zip(columns, row, strict=True):
                columns[column].append(value)
        for way, kinds in (("right", cells * 20), ("random", 20.0)):
            for column, value in zip(
                columns, (seed, way, math.nan, 1.0, 5.0, 0.5, kinds), strict=True
            ):
                columns[column].append(value)
    return columns


def found(tables=None, kept=None, sets=SETS):
    predictions = from_config.predictions(CONFIG["predictions"])
    return find(SEEDS, sets, tables or answers(), DESCRIBED, kept or selections(), predictions)


def outcomes(of):
    return {verdict.prediction.name: verdict.outcome for verdict in of.verdicts}


def test_the_paper_s_own_answers_hold():
    of = found()
    assert outcomes(of) == dict.fromkeys(CONFIG["predictions"], "holds")
    results = of.results
    assert results["quality_in_effect"].value == pytest.approx(0.8 * 0.4, abs=0.01)
    assert results["diversity_templates_effect"].value == pytest.approx(0.3, abs=0.01)
    assert results["diversity_out_effect"].value == pytest.approx(0.3, abs=0.01)
    assert results["Q1_statistic"].value == pytest.approx((0.32 - 0.04) - (0.04 - 0.3), abs=0.02)
    assert results["Q2_in_statistic"].value == pytest.approx(0.1, abs=0.01)
    assert results["Q2_more_statistic"].value == pytest.approx(0.1, abs=0.01)
    assert results["Q3_filter_statistic"].value == pytest.approx(0.8)
    assert results["base_right"].value == pytest.approx(2 / 3), "of those that are known"
    assert results["base_templates"].value == 3
    assert of.fronts[1.0][0].value == 0 and of.fronts[0.0][1].value == 5


def test_each_claim_can_fail():
    def other(name: str, test: str) -> float:
        more = (SETS[name].quality - 0.8) * (2 if test != "in" else -0.8)
        less = 0.15 * (3 - SETS[name].complexity)
        templates = math.log2(SETS[name].diversity / 16)
        return 0.35 + more / 2 + less + templates * (0.1 if test == "in" else -0.05)

    assert outcomes(found(answers(other), selections(1.2, order=-1))) == {
        "Q1": "fails", "Q1_quality": "fails", "Q1_diversity": "fails", "Q2_in": "fails",
        "Q2_out": "fails", "Q2_more": "fails", "Q2_limit": "undecided", "Q3_filter": "fails",
        "Q3_vendi": "fails", "Q3_quality": "fails",
    }  # fmt: skip

    def ever(name: str, test: str) -> float:
        return skill(name, test) + 0.15 * max(0, SETS[name].complexity - 3)

    assert outcomes(found(answers(ever)))["Q2_limit"] == "fails"


def test_levels_rise_and_hold_the_base():
    assert levels_of(SETS, "quality") == ["quality_low", "base", "quality_high"]
    pairs = config_of.get_config("study").to_dict()["sets"]
    every = {name: DialSet(**fields) for name, fields in pairs.items()}
    assert levels_of(every, "diversity") == ["diversity_low", "base", "diversity_high"]


def test_what_was_not_run_is_undecided():
    few = {"base": SETS["base"]}
    of = found(sets=few)
    assert {outcomes(of)[name] for name in ("Q1", "Q1_quality", "Q2_in", "Q2_out", "Q2_more")} == {
        "undecided"
    }


def test_pairs_of_dials_have_their_interaction():
    pairs = config_of.get_config("study").to_dict()["sets"]
    every = {name: DialSet(**fields) for name, fields in pairs.items()}
    corners = corners_of(every, "quality", "diversity")
    ends = itertools.product(("low", "high"), repeat=2)
    assert corners == [f"quality_{one}_diversity_{other}" for one, other in ends]
    assert corners_of(SETS, "quality", "diversity") == [], "no set has both at an end"
    right = dict(zip(corners, ([0.1, 0.2], [0.3, 0.3], [0.2, 0.2], [0.9, 0.7]), strict=True))
    of = Accuracies({("in", name): np.array(values) for name, values in right.items()}, ["in"], {})
    assert of.interplay(corners, "in") == pytest.approx([0.5, 0.4])
    assert not [name for name in found().results if name.endswith("interaction")]
