"""Hidden states at random places, and the rows of their dimensions."""

import dataclasses

import jax
import numpy as np
import pytest

from qdcjax.experiments.stages.dimensions import (
    DimensionSettings,
    all_estimators,
    likelihoods,
    likelihoods_over,
    points_at,
)
from qdcjax.experiments.stages.hidden_states import places_of, states_at
from qdcjax.experiments.stages.layer_dimensions import layers_of
from qdcjax.measures.intrinsic_dimension import gride, mle, two_nn
from qdcjax.models.transformer import hidden_states
from qdcjax.tasks.manifolds import Sphere
from qdcjax.training.sharding import MeshConfig, make_mesh, param_shardings
from qdcjax.training.store import StoredModel

SETTINGS = DimensionSettings(
    passages=50, prefix=12, places=4, batch=30, k=5, aggregate="arithmetic",
    metrics=("euclidean", "cosine"), farthest=8,
)  # fmt: skip


@pytest.fixture(scope="module")
def stored(policy, devices):
    mesh = make_mesh(MeshConfig(2), devices[:2])
    params = jax.tree.map(jax.device_put, policy.params, param_shardings(policy.model, mesh))
    return StoredModel(policy.model, params, policy.tokenizer)


@pytest.fixture(scope="module")
def documents(policy):
    rng = np.random.default_rng(0)
    return [
        rng.integers(10, policy.tokenizer.vocab_size, size=size).tolist()
        for size in rng.integers(3, 40, size=30)
    ]


def test_places_are_different_ones_within_the_prefix(documents):
    rows, places = places_of(documents, prefix=12, count=4, first=3, seed=0)
    assert rows == [n for n, ids in enumerate(documents) if min(len(ids), 12) - 3 >= 4]
    assert places.shape == (len(rows), 4)
    for row, of in zip(rows, places, strict=True):
        assert len(set(of.tolist())) == 4
        assert of.min() > 3 and of.max() <= min(len(documents[row]), 12)
    assert not np.array_equal(places, places_of(documents, 12, 4, 3, seed=1)[1])


def test_states_are_those_of_the_model_at_the_places(stored, documents):
    """Seventeen documents: more than a batch, and none that the mesh divides."""
    rows, places = places_of(documents, 12, 4, 0, seed=0)
    taken, places = [documents[row] for row in rows[:17]], places[:17]
    found = states_at(stored, taken, places, [0, 1], "states").reshape(2, 17, 4, -1)
    for number in (0, 15, 16):
        tokens = np.array([[stored.tokenizer.bos_id, *taken[number]]])
        alone = np.asarray(hidden_states(stored.model, stored.params, tokens))[:, 0]
        np.testing.assert_allclose(found[:, number], alone[:, places[number]], atol=1e-4)


def test_long_documents_are_several_passages(stored, documents):
    points = points_at(stored, documents, SETTINGS, [1], "states")
    lengths = [min(12, len(ids) - at) for ids in documents for at in range(0, len(ids), 12)]
    enough = sum(length >= 4 for length in lengths[:50])
    assert points.shape == (1, 4 * enough, stored.model.config.width)
    few = dataclasses.replace(SETTINGS, passages=9)
    assert points_at(stored, documents, few, [1], "states").shape[1] <= 36
    between = points_at(stored, documents, SETTINGS, [1], "states", (6, 9))
    assert between.shape[1] % 3 == 0, "no more places than there are"
    with pytest.raises(ValueError, match=r"dimension.batch=500: \d+ of \d+ passages have 4 tokens"):
        points_at(stored, documents, dataclasses.replace(SETTINGS, batch=500), [1], "states")


def test_rows_name_estimator_metric_and_scale():
    points = Sphere(3).draw(90, np.random.default_rng(0)).points
    rows = all_estimators(points, SETTINGS)
    assert [(row["estimator"], row["metric"], row["k"]) for row in rows] == [
        (estimator, metric, k)
        for metric in ("euclidean", "cosine")
        for estimator, k in (("MLE", 5), ("TwoNN", 2), *(("Gride", k) for k in (2, 4, 8)))
    ]
    assert [row for row in rows if row["estimator"] == "MLE"] == likelihoods(points, SETTINGS)
    for row in rows:
        assert row["low"] < row["dimension"] < row["high"] and row["dropped"] == 0
    whole = dataclasses.replace(SETTINGS, batch=90)
    found = {(row["estimator"], row["k"]): row["dimension"] for row in all_estimators(points, whole)
             if row["metric"] == "euclidean"}  # fmt: skip
    alone = mle(points, 5, aggregate="arithmetic").dimension
    assert found["MLE", 5] == pytest.approx(alone, rel=1e-5)
    assert found["TwoNN", 2] == pytest.approx(two_nn(points).dimension, rel=1e-5)
    assert found["Gride", 8] == pytest.approx(gride(points, 8)[8].dimension, rel=1e-5)


def test_several_k_and_batches_are_each_what_they_are_alone():
    points = Sphere(3).draw(90, np.random.default_rng(0)).points
    rows = likelihoods_over(points, SETTINGS, (3, 5), (30, 90), seed=4)
    assert [(row["batch"], row["metric"], row["k"]) for row in rows] == [
        (batch, metric, k) for batch in (30, 90) for metric in ("euclidean", "cosine")
        for k in (3, 5)
    ]  # fmt: skip
    for batch, k in ((30, 3), (90, 5)):
        alone = likelihoods(points, dataclasses.replace(SETTINGS, batch=batch, k=k), seed=4)
        found = [row for row in rows if (row["batch"], row["k"]) == (batch, k)]
        assert found == [{"batch": batch, **row} for row in alone]


def test_layers_are_all_or_those_that_are_asked_for(stored):
    assert layers_of(stored, ()) == [0, 1]
    assert layers_of(stored, (1,)) == [1]
    with pytest.raises(ValueError, match="layers: 2 is none of 0 to 1"):
        layers_of(stored, (2,))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"places": 0}, "places=0 must be at least 1"),
        ({"metrics": ("l1",)}, "metrics: 'l1' must be one of euclidean, cosine, angular"),
        ({"k": 30}, "k=30 must be under batch=30"),
        ({"farthest": 30}, "farthest=30 must be from 2 to under batch=30"),
        ({"aggregate": "mean"}, "aggregate='mean' must be one of"),
    ],
)
def test_bad_settings_are_told(changes, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(SETTINGS, **changes)
