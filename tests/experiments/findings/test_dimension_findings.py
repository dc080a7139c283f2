"""S5's spreads from dimensions that were planted."""

import itertools

import pytest

from configs import intrinsic_dimension as config_of
from qdcjax.experiments.findings.intrinsic_dimension import find, spread
from qdcjax.experiments.running import from_config

HALVED = {"euclidean": 1, "cosine": 2}


def layers(of_layer=lambda layer: 0.0, of_model=(0.0, 0.0)) -> list[dict]:
    return [
        {"model": model, "seed": seed, "layer": layer, "estimator": estimator, "metric": metric,
         "k": k, "dimension": (10 + 0.1 * seed + of_layer(layer) + shift) / HALVED[metric],
         "low": 1.0, "high": 20.0, "dropped": 2}
        for (model, shift), seed, layer, (estimator, k), metric in itertools.product(
            zip(("narrow", "wide"), of_model, strict=True), range(3), range(5),
            (("MLE", 20), ("TwoNN", 2), ("Gride", 2), ("Gride", 4)), ("euclidean", "cosine"),
        )
    ]  # fmt: skip


def positions(late: float = 0.0) -> list[dict]:
    return [
        {"model": model, "seed": seed, "first": first, "end": first + 8, "metric": metric,
         "dimension": 3.0 if first < 32 else 10 + 0.1 * seed + (late if first == 64 else 0)}
        for model, seed, first, metric in itertools.product(
            ("narrow", "wide"), range(3), (0, 32, 64), ("euclidean", "cosine")
        )
    ]  # fmt: skip


def outcomes(of_layers: list[dict], of_positions: list[dict]) -> dict[str, str]:
    predictions = from_config.predictions(config_of.get_config().predictions.to_dict())
    found = find(of_layers, of_positions, [], predictions)
    return {verdict.prediction.name: verdict.outcome for verdict in found.verdicts}


def test_what_stays_holds_and_what_moves_fails():
    names = ("S5_width", "S5_layer", "S5_position")
    assert outcomes(layers(), positions(0.5)) == dict.fromkeys(names, "holds")
    assert outcomes(layers(of_model=(0, 4)), positions(0.5))["S5_width"] == "fails"
    # Only the upper half counts: layers 3 and 4 of the widest.
    low = outcomes(layers(lambda layer: 9 * (layer < 2)), positions(0.5))
    assert low["S5_layer"] == "holds"
    assert outcomes(layers(lambda layer: 9 * (layer > 3)), positions(0.5))["S5_layer"] == "fails"
    assert outcomes(layers(), positions(5))["S5_position"] == "fails"


def test_the_summary_names_model_estimator_metric_and_scale():
    found = find(layers(), positions(), [], {})
    assert found.results["wide_mle_euclidean"].value == pytest.approx(10.1)
    assert found.results["wide_mle_euclidean"].method == "95 % t over 3 seeds"
    assert found.results["narrow_gride_cosine_4"].value == pytest.approx(5.05)
    # Two in each of 4 layers above the embedding, 3 seeds and 2 models; once, not once a row.
    assert found.results["points_dropped"] == 2 * 4 * 3 * 2
    assert found.models == ["narrow", "wide"]


def test_a_spread_is_of_each_seed():
    rows = [
        {"seed": seed, "layer": layer, "dimension": d}
        for seed, of in enumerate(((8, 12), (9, 11)))
        for layer, d in enumerate(of)
    ]
    assert spread(rows, "layer").value == pytest.approx((0.4 + 0.2) / 2)
    alone = spread(rows[:2], "layer")
    assert alone.value == pytest.approx(0.4) and alone.low != alone.low
    assert spread(rows[:1], "layer").value != spread(rows[:1], "layer").value
