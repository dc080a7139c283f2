"""Exponents, their statistics and verdicts from losses with planted laws."""

import functools
import itertools

import numpy as np
import pytest

from configs import scaling_laws as config_of
from qdcjax.experiments.findings import scaling_laws
from qdcjax.experiments.findings.scaling_laws import Curve, curves, find, order, saved, surfaces
from qdcjax.experiments.running import from_config
from qdcjax.measures.scaling import data_exponent, resampled_exponents

SIZES = (100, 400, 1_600, 6_400)
KNOWN = {"low": 2, "high": 6}
PARAMETERS = {"narrow": 100, "slim": 400, "base": 1_600}


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    """Fits take most of the time of these tests."""
    few = functools.partial(resampled_exponents, resamples=40)
    monkeypatch.setattr(scaling_laws, "resampled_exponents", few)


def losses(seeds: int = 3, noise: float = 0.01, widths=(8, 16)) -> list[dict]:
    """Losses of the regression that follow the theory, with noise of their own for each seed."""
    rng, rows = np.random.default_rng(0), []
    for (name, d), width, seed in itertools.product(KNOWN.items(), widths, range(seeds)):

        def row(model, parameters, size, loss, layers=2, name=name, width=width, seed=seed):
            rows.append(
                {"data": name, "ambient": width, "seed": seed, "model": model, "layers": layers,
                 "parameters": parameters, "size": size,
                 "loss": loss * np.exp(noise * rng.normal())}
            )  # fmt: skip

        for size in SIZES:
            row("base", 1_600, size, size ** -data_exponent(d))
        if width == widths[0]:
            base = SIZES[-1] ** -data_exponent(d)
            for model in ("narrow", "slim"):
                row(
                    model,
                    PARAMETERS[model],
                    SIZES[-1],
                    base * (PARAMETERS[model] / 1_600) ** (-2 / d),
                )
            row("deep", 1_600, SIZES[-1], 0.95 * base, layers=8)
    return rows


def text(seeds: int = 3) -> list[dict]:
    """Losses of language models with a floor; `plain` has the lower dimension."""
    return [
        {"data": name, "seed": seed, "model": "base", "layers": 2, "parameters": 10,
         "size": size, "loss": 1.5 + (0.1 * seed + 5) * size ** -data_exponent(d)}
        for (name, d), seed, size in itertools.product(
            {"plain": 3, "rich": 9}.items(), range(seeds), SIZES
        )
    ]  # fmt: skip


def measured(seeds: int = 3) -> list[dict]:
    return [
        {
            "data": name,
            "seed": seed,
            "metric": metric,
            "dimension": d * (0.5 if metric == "cosine" else 1),
        }
        for (name, d), seed, metric in itertools.product(
            {"plain": 3.0, "rich": 9.0}.items(), range(seeds), ("euclidean", "cosine")
        )
    ]


def found_of(seeds: int = 3, **changes):
    predictions = from_config.predictions(config_of.get_config().predictions.to_dict())
    return find(losses(seeds, **changes), text(seeds), KNOWN, measured(seeds), predictions)


def test_the_theory_s_own_losses_hold():
    found = found_of()
    outcomes = {verdict.prediction.name: verdict.outcome for verdict in found.verdicts}
    assert outcomes == {
        "S1_order": "holds",
        "S1_ambient": "holds",
        "S2_slope": "holds",
        "S2_order": "holds",
        "S3": "holds",
        "S4_depth": "holds",
        "S4_width": "holds",
    }
    for name, d in KNOWN.items():
        for width in (8, 16):
            alpha = found.results[f"{name}_in_{width}_alpha_data"]
            assert alpha.value == pytest.approx(data_exponent(d), abs=0.01)
            assert alpha.method == "95 % t over 3 seeds"
        assert found.results[f"{name}_in_8_alpha_model"].value == pytest.approx(2 / d, abs=0.03)
    assert found.results["rich_alpha_data"].value == pytest.approx(2 / 11, abs=1e-3)
    assert found.results["rich_floor"] == pytest.approx(1.5, abs=0.01)
    assert found.results["plain_dimension_cosine"].value == 1.5
    assert found.dimensions == {**KNOWN, "plain": 3, "rich": 9}


def test_other_slopes_fail():
    predictions = from_config.predictions(config_of.get_config().predictions.to_dict())
    swapped = [{**row, "data": {"low": "high", "high": "low"}[row["data"]]} for row in losses()]
    mixed = [{**row, "data": {"plain": "rich", "rich": "plain"}[row["data"]]} for row in text()]
    found = find(swapped, mixed, KNOWN, measured(), predictions)
    outcomes = {verdict.prediction.name: verdict.outcome for verdict in found.verdicts}
    assert outcomes["S1_order"] == outcomes["S2_order"] == outcomes["S2_slope"] == "fails"
    steeper = [
        {**row, "loss": row["loss"] ** (2 if row["ambient"] == 16 else 1)} for row in losses()
    ]
    found = find(steeper, [], KNOWN, [], predictions)
    outcomes = {verdict.prediction.name: verdict.outcome for verdict in found.verdicts}
    assert outcomes["S1_ambient"] == "fails"


def test_one_pair_out_of_order_is_enough():
    slopes = {"a": 0.9, "b": 0.2, "c": 0.5}
    data = {(name, 0): Curve(np.array(SIZES), np.ones((3, 4))) for name in slopes}
    alphas = {(name, 0): np.full(3, slope) for name, slope in slopes.items()}
    found = order(data, alphas, {"a": 2, "b": 4, "c": 6})
    assert found.value == pytest.approx(0.2 - 0.5)
    assert order(data, alphas, {"a": 2, "c": 4, "b": 6}).value == pytest.approx(0.5 - 0.2)


def test_one_seed_has_the_intervals_of_resampled_sizes():
    found = found_of(seeds=1, noise=0.02)
    alpha = found.results["low_in_8_alpha_data"]
    assert "bootstrap over 4 clusters" in alpha.method
    assert alpha.low < alpha.value < alpha.high
    verdicts = {verdict.prediction.name: verdict for verdict in found.verdicts}
    assert verdicts["S1_order"].estimate.low > 0
    assert verdicts["S4_depth"].estimate.method == "95 % t over 2 seeds"


def test_what_is_not_in_the_grid_is_undecided():
    predictions = from_config.predictions(config_of.get_config().predictions.to_dict())
    rows = [row for row in losses(widths=(8,)) if row["model"] == "base" and row["data"] == "low"]
    found = find(rows, [], {"low": 2}, [], predictions)
    assert {verdict.outcome for verdict in found.verdicts} == {"undecided"}
    assert {verdict.estimate.method for verdict in found.verdicts} == {"not in this grid"}
    assert not found.model


def test_curves_take_the_base_model_over_sizes_and_equal_depths_over_parameters():
    rows = losses()
    data, model = curves(rows, "size"), curves(rows, "parameters")
    assert set(data) == {(name, width) for name in KNOWN for width in (8, 16)}
    assert set(model) == {(name, 8) for name in KNOWN}
    assert data["low", 8].sizes.tolist() == list(SIZES)
    assert model["low", 8].sizes.tolist() == [100, 400, 1_600], "without the deep one"
    assert data["low", 8].losses.shape == (3, 4)


def test_the_joint_surface_is_that_of_planted_losses():
    rows = [
        {"data": "text", "seed": seed, "model": model, "layers": 2, "parameters": parameters,
         "size": size, "loss": 1.2 + 3 * size**-0.4 + 2 * parameters**-0.5}
        for model, parameters in PARAMETERS.items()
        for size in (SIZES if model == "base" else SIZES[-1:])
        for seed in range(2)
    ]  # fmt: skip
    deep = [{**row, "model": "deep", "layers": 8, "parameters": 900} for row in rows[:2]]
    found = surfaces(rows + deep)
    assert list(found) == [("text", 0)] and found["text", 0][0].shape == (12, 2)
    found = find([], rows, {}, measured=[{**m, "data": "text"} for m in measured()], predictions={})
    assert found.results["text_joint_alpha_data"].value == pytest.approx(0.4, abs=0.01)
    assert found.results["text_joint_alpha_model"].value == pytest.approx(0.5, abs=0.01)
    few = [row for row in rows if row["model"] != "narrow"]
    assert not surfaces(few), "two models tell no surface"


def test_what_another_model_saves_is_a_share_of_the_loss():
    rows = losses(noise=0)
    assert saved(rows, "base", "deep").value == pytest.approx(0.05)
    by_hand = np.mean([1 - (400 / 1_600) ** (2 / d) for d in KNOWN.values()])
    assert saved(rows, "slim", "base").value == pytest.approx(by_hand)
