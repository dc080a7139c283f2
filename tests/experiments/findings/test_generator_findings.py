"""Statistics and verdicts of generators from distances that are made up."""

import itertools
import math

import numpy as np
import pytest

from configs import generator as config_of
from qdcjax.experiments.findings.generator import find
from qdcjax.experiments.running import from_config
from qdcjax.experiments.stages.point_cases import dimension_of

CONFIG = config_of.get_config().to_dict()
CASES, BASE = CONFIG["cases"], CONFIG["base"]
DIMENSIONS = {case: dimension_of(CONFIG, case) for case in CASES}
FACTORS = {"sinkhorn_below": 1.4, "sinkhorn_d": 1.1, "critic_penalty": 1.5, "critic_spectral": 1.6}


def made_up(
    change=lambda row: row["w1"], seeds=CONFIG["seeds"], cases=CASES
) -> tuple[list[dict], list[dict]]:
    """Rows and floors as the theory has them; `change` gives other distances."""
    rng, rows, floors = np.random.default_rng(0), [], {}
    for case, of in cases.items():
        for model, size, seed in itertools.product(of["models"], of["sizes"], seeds):
            floor = (8 * size) ** (-1 / DIMENSIONS.get(case, 3))
            w1 = 1.3 * FACTORS.get(model, 1.0) * floor * math.exp(0.01 * rng.normal())
            w1 *= (size / 32) ** (0.15 * (model == "sinkhorn_below"))
            row = {"case": case, "model": model, "size": size, "seed": seed, "tested": 8 * size}
            row |= {"w1": w1, "nearest": 0.1, "nearest_held_out": 0.2}
            rows.append(row | {"w1": change(row)})
            ends = {"floor": floor, "low": 0.99 * floor, "high": 1.01 * floor, "method": "pairs"}
            floors[case, 8 * size] = {"of": case, "tested": 8 * size, **ends}
    floors["S2", 125] = {**floors["wide", 256], "of": "S2", "tested": 125, "floor": 0.265}
    return rows, list(floors.values())


def verdicts(rows, floors, cases=CASES) -> dict:
    predictions = from_config.predictions(CONFIG["predictions"])
    found = find(rows, floors, cases, DIMENSIONS | {"flat": 2, "between": 3}, BASE, predictions)
    return {verdict.prediction.name: verdict for verdict in found.verdicts}


def test_the_theory_s_own_distances_hold():
    found = verdicts(*made_up())
    assert {name: of.outcome for name, of in found.items()} == dict.fromkeys(found, "holds")
    assert found["W1_slope"].estimate.value == pytest.approx(0, abs=0.02)
    assert found["W2"].estimate.value == pytest.approx(1.3, rel=0.05)
    assert found["W3_same"].estimate.value == pytest.approx(1.1, rel=0.03)
    assert found["W3_below"].estimate.value == pytest.approx(0.15, abs=0.02)
    assert found["W4"].estimate.method == "95 % t over 3 seeds, the worst of 2"


def test_a_floor_that_is_not_known_well_leaves_open_what_is_beside_it():
    rows, floors = made_up()
    vague = [{**of, "low": 0.6 * of["floor"], "high": 1.4 * of["floor"]} for of in floors]
    found = verdicts(rows, vague)["W2"]
    assert found.outcome == "undecided"
    assert found.estimate.value - found.estimate.low == pytest.approx(0.4 * 1.3, rel=0.1)


def test_cases_that_a_claim_is_not_about_do_not_count():
    """W1 is about three dimensions and more, and about the two ends of the widths."""
    more = {
        "flat": {**CASES[BASE], "manifold": {"kind": "sphere", "dimension": 2}},
        "between": {**CASES[BASE], "width": 32},
    }
    steeper = {"flat": -0.3, "between": -0.1}
    found = verdicts(
        *made_up(
            lambda row: row["w1"] * (row["size"] / 256) ** steeper.get(row["case"], 0.0),
            cases=CASES | more,
        ),
        CASES | more,
    )
    assert found["W1_slope"].estimate.value == pytest.approx(0.1, abs=0.03), "between, alone"
    assert found["W1_ambient"].outcome == "holds"


OTHER = {
    "W1_slope": lambda r: r["w1"] * (r["size"] / 256) ** (-0.15 * (r["case"] == "sphere5")),
    "W1_ambient": lambda r: r["w1"] * (r["size"] / 256) ** (-0.15 * (r["case"] == "wide")),
    "W2": lambda r: r["w1"] * (0.4 if r["model"].startswith("critic") else 1),
    "W3_same": lambda r: r["w1"] * (0.7 if r["model"] == "sinkhorn_d" else 1),
    "W3_below": lambda r: r["w1"] * (r["size"] / 32) ** (-0.3 * (r["model"] == "sinkhorn_below")),
    "W4": lambda r: r["w1"] * (r["size"] / 256) ** (-0.15 * (r["case"] == "gap")),
}


@pytest.mark.parametrize("name", sorted(OTHER))
def test_one_case_that_is_otherwise_is_enough_to_fail(name):
    outcomes = {other: of.outcome for other, of in verdicts(*made_up(OTHER[name])).items()}
    failed = {name} | ({"W1_slope"} if name == "W1_ambient" else set())
    expected = dict.fromkeys(outcomes, "holds") | dict.fromkeys(failed, "fails")
    assert outcomes == expected


def test_what_is_not_in_the_grid_is_undecided():
    cases = {BASE: {**CASES[BASE], "sizes": (256,), "models": ("sinkhorn",)}}
    rows, floors = made_up()
    some = [
        row for row in rows
        if (row["case"], row["model"], row["size"]) == (BASE, "sinkhorn", 256)
    ]  # fmt: skip
    found = verdicts(some, [of for of in floors if of["of"] in (BASE, "S2")], cases)
    methods = {name: of.estimate.method for name, of in found.items() if name != "W2"}
    assert set(methods.values()) == {"not in this grid"}
    assert found["W2"].outcome == "holds"


def test_figures_have_floors_where_fresh_points_can_be_drawn():
    rows, floors = made_up()
    found = find(rows, [of for of in floors if of["of"] != "union"], CASES, DIMENSIONS, BASE, {})
    assert found.results["floor_S2_125"].value == 0.265
    assert found.results["sphere3_sinkhorn_256_excess"].value == pytest.approx(
        0.3 * 2_048 ** (-1 / 3), rel=0.05
    )
    assert found.results["sphere3_floor_slope"] == pytest.approx(-1 / 3)
    slope = found.results["sphere3_sinkhorn_excess_slope"]
    assert slope.value == pytest.approx(-1 / 3, abs=0.1) and slope.low < slope.value < slope.high
    assert "union_sinkhorn_256_w1" in found.results
    assert "union_sinkhorn_256_floor" not in found.results
