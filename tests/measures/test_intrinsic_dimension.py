"""Dimensions of known manifolds, by hand and against scikit-dimension; what bad points say."""

import math

import numpy as np
import pytest

from qdcjax.measures import neighbours
from qdcjax.measures.intrinsic_dimension import (
    gride,
    mle,
    mle_over,
    over_batches,
    two_nn,
)
from qdcjax.measures.neighbours import nearest
from qdcjax.tasks.manifolds import Sphere, embedding


def sphere(dimension: int, width: int, count: int, seed: int = 0) -> np.ndarray:
    points = Sphere(dimension).draw(count, np.random.default_rng(seed)).points
    return points @ embedding(dimension + 1, width, seed).T


def all_distances(points: np.ndarray) -> np.ndarray:
    """[n, n − 1] in float64, ascending."""
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    return np.sort(distances, axis=1)[:, 1:]


LINE = np.array([[0.0], [1.0], [3.0], [7.0]])


def test_neighbours_by_hand():
    found = nearest(LINE, 2)
    assert found.distances.tolist() == [[1, 3], [1, 2], [2, 3], [4, 6]]
    assert found.dropped == 0


@pytest.mark.parametrize("held", [1, 1_000, 1 << 24])
def test_neighbours_are_exact_whatever_the_block(held, monkeypatch):
    monkeypatch.setattr(neighbours, "HELD", held)
    x = np.random.default_rng(0).normal(size=(150, 30))
    np.testing.assert_allclose(nearest(x, 9).distances, all_distances(x)[:, :9], rtol=1e-5)


@pytest.mark.parametrize(("n", "count"), [(1, 1), (7, 7), (40, 9), (997, 13), (1_000, 1)])
def test_the_least_values_of_a_row_are_all_found(n, count):
    rng = np.random.default_rng(n)
    values = rng.integers(0, 30, size=(50, n)).astype(np.float32)  # with many that are equal
    values[:, rng.integers(n)] = np.inf if n > count else 3
    found = np.asarray(neighbours.smallest(values, count))
    assert all(len(set(row.tolist())) == count for row in found) and found.max() < n
    kept = np.sort(np.take_along_axis(values, found, axis=1), axis=1)
    np.testing.assert_array_equal(kept, np.sort(values, axis=1)[:, :count])


def test_far_from_the_origin_and_with_far_points_neighbours_stay_exact():
    x = np.random.default_rng(1).normal(size=(300, 10))
    x[:3] *= 3_000
    shifted = x + 1e4
    np.testing.assert_allclose(nearest(shifted, 5).distances, all_distances(x)[:, :5], rtol=1e-3)


def test_angles_are_those_of_the_vectors():
    x = np.random.default_rng(2).normal(size=(80, 6))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    cosines = np.sort(1 - unit @ unit.T, axis=1)[:, 1:4]
    np.testing.assert_allclose(nearest(x, 3, "cosine").distances, cosines, rtol=1e-4)
    angles = np.arccos(1 - cosines)
    np.testing.assert_allclose(nearest(3 * x, 3, "angular").distances, angles, rtol=1e-4)


def test_points_that_equal_another_one_are_dropped_and_counted():
    x = sphere(3, 8, 200)
    again = np.concatenate([x, x[:30], x[:30]])
    found = mle(again)
    assert found.dropped == 60
    assert found.dimension == pytest.approx(mle(x).dimension)
    assert two_nn(again).dimension == pytest.approx(two_nn(x).dimension, rel=1e-6)
    assert mle(np.concatenate([x, 2 * x[:9]]), metric="cosine").dropped == 9


def test_samples_of_like_numbers_of_points_share_a_program():
    x = sphere(3, 8, 23)
    neighbours._nearest.clear_cache()
    for kept, programs in ((23, 1), (20, 1), (17, 1), (16, 2), (14, 2), (10, 2)):
        again = np.resize(x[:kept], x.shape)
        found = nearest(again, 9)
        assert found.dropped == 23 - kept
        np.testing.assert_allclose(found.distances, all_distances(x[:kept])[:, :9], rtol=1e-5)
        assert neighbours._nearest._cache_size() == programs


def test_mle_by_hand():
    # Of two neighbours at r < R the point's own estimate is 1 / log(R / r).
    logs = np.log([3 / 1, 2 / 1, 3 / 2, 6 / 4])
    assert mle(LINE, k=2).dimension == pytest.approx(4 / logs.sum())
    assert mle(LINE, k=2, aggregate="arithmetic").dimension == pytest.approx(np.mean(1 / logs))
    error = np.std(1 / logs, ddof=1) / math.sqrt(4)
    assert mle(LINE, k=2, aggregate="arithmetic").standard_error == pytest.approx(error)
    three = mle(sphere(3, 5, 100), k=10, aggregate="arithmetic").dimension
    unbiased = mle(sphere(3, 5, 100), k=10, aggregate="unbiased").dimension
    assert unbiased == pytest.approx(three * 8 / 9)


def test_two_nn_by_hand():
    logs = np.sort(np.log([3 / 1, 2 / 1, 3 / 2, 6 / 4]))
    assert two_nn(LINE, 0, "likelihood").dimension == pytest.approx(3 / logs.sum())
    censored = 2 / (logs[:3].sum() + logs[2])
    assert two_nn(LINE, 0.25, "likelihood").dimension == pytest.approx(censored)
    heights = -np.log([3 / 4, 2 / 4, 1 / 4])
    slope = logs[:3] @ heights / (logs[:3] @ logs[:3])
    assert two_nn(LINE, 0.25).dimension == pytest.approx(slope)
    assert two_nn(LINE, 0.0).dimension == pytest.approx(slope), "the last height is infinite"


def test_gride_is_the_likeliest_dimension_of_its_density():
    x = sphere(4, 9, 400)
    found = gride(x, 16)
    assert list(found) == [2, 4, 8, 16]
    assert found[2].dimension == pytest.approx(
        400 / np.log(nearest(x, 2).distances @ [[0], [1]] / nearest(x, 2).distances[:, :1]).sum()
    )
    distances = nearest(x, 8).distances
    logs = np.log(distances[:, 7] / distances[:, 3])

    def log_likelihood(d: float) -> float:
        return np.sum(math.log(d) + 3 * np.log(np.expm1(d * logs)) - (7 * d + 1) * logs)

    best = found[8].dimension
    assert log_likelihood(best) > max(log_likelihood(0.999 * best), log_likelihood(1.001 * best))
    step = 1e-3
    bend = log_likelihood(best + step) - 2 * log_likelihood(best) + log_likelihood(best - step)
    assert found[8].standard_error == pytest.approx(1 / math.sqrt(-bend / step**2), rel=1e-3)


@pytest.mark.parametrize("dimension", [2, 5])
def test_all_estimators_find_the_dimension_of_a_sphere_in_any_width(dimension):
    x, wide = sphere(dimension, 7, 2_000), sphere(dimension, 60, 2_000)
    for estimate in (mle, two_nn, lambda points: gride(points, 8)[8]):
        assert estimate(x).dimension == pytest.approx(dimension, rel=0.09)
        assert estimate(wide).dimension == pytest.approx(dimension, rel=0.09)
    assert mle(x, metric="cosine").dimension == pytest.approx(mle(x).dimension / 2, rel=0.03)
    assert mle(x, metric="angular").dimension == pytest.approx(mle(x).dimension, rel=0.03)


def test_standard_errors_are_those_of_fresh_samples():
    samples = [sphere(3, 4, 400, seed) for seed in range(40)]
    for estimate, slack in ((mle, 2.2), (two_nn, 1.35)):
        found = [estimate(x) for x in samples]
        spread = np.std([of.dimension for of in found], ddof=1)
        told = np.mean([of.standard_error for of in found])
        assert spread / slack < told < 1.35 * spread, (estimate, told, spread)


def test_noise_moves_two_nn_more_than_mle():
    """As measured on d = 4 in R^100 with noise of .1 (2411.06646's page): 4.7 and 6.4."""
    rng = np.random.default_rng(0)
    x = np.zeros((2_000, 100))
    x[:, :4] = rng.uniform(size=(2_000, 4)) * 4
    noisy = x + 0.02 * rng.normal(size=x.shape)
    assert two_nn(noisy).dimension - two_nn(x).dimension > 1.5 * (
        mle(noisy).dimension - mle(x).dimension
    )


def test_one_search_serves_several_k():
    x = sphere(3, 6, 300)
    found = mle_over(x, (5, 20))
    assert found == {5: mle(x, 5), 20: mle(x, 20)}


def test_batches_are_disjoint_and_their_mean_has_an_interval():
    x, seen = sphere(3, 6, 1_000), []

    def estimate(batch: np.ndarray):
        seen.append(batch)
        return {"mle": mle(batch), "nearer": mle(batch, 5)}

    both = over_batches(np.concatenate([x[:1], x]), estimate, 300)
    found, dropped = both["mle"]
    assert [len(batch) for batch in seen] == [300] * 3 and dropped <= 1
    assert len(np.unique(np.concatenate(seen), axis=0)) == 900 - dropped
    assert found.value == pytest.approx(np.mean([mle(batch).dimension for batch in seen]))
    assert found.low < found.value < found.high
    nearer = both["nearer"][0].value
    assert nearer == pytest.approx(np.mean([mle(batch, 5).dimension for batch in seen]))
    one, _ = over_batches(x, lambda batch: {"": mle(batch)}, 1_000)[""]
    assert one.value == pytest.approx(mle(x).dimension, rel=1e-6)
    assert one.high - one.value == pytest.approx(2 * mle(x).standard_error, rel=1e-5)


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (np.zeros((30, 3)), r"k=20 needs at least 21 different points, and there are 1 \(29 of 30"),
        (sphere(2, 3, 20), "k=20 needs at least 21 different points, and there are 20$"),
        (np.full((30, 3), np.nan), r"points\[0\] is not finite \(30 of 30 rows\)"),
        (np.zeros(30), r"points must be a matrix, one point a row: its shape is \(30,\)"),
        (np.zeros((0, 3)), r"points must be a matrix, one point a row: its shape is \(0, 3\)"),
    ],
)
def test_bad_points_are_told_in_one_line(points, words):
    with pytest.raises(ValueError, match=words):
        mle(points)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: mle(x, 1), "k=1 must be at least 2 with aggregate='harmonic'"),
        (lambda x: mle(x, 2, aggregate="unbiased"), "k=2 must be at least 3"),
        (lambda x: mle(x, aggregate="mean"), "aggregate='mean' must be one of harmonic, arith"),
        (lambda x: mle(x, metric="l1"), "metric='l1' must be one of euclidean, cosine, angular"),
        (lambda x: mle(x * [[0]] * 30, metric="cosine"), "points.0. is zero: it has no direction"),
        (lambda x: two_nn(x, 1.0), "discard_fraction=1.0 must be in"),
        (lambda x: two_nn(x, fit="robust"), "fit='robust' must be one of linear, likelihood"),
        (lambda x: gride(x, 1), "largest=1 must be at least 2"),
        (lambda x: two_nn(np.eye(30)), "30 points have their two neighbours at one distance"),
        (lambda x: gride(np.eye(30), 4), "30 points have neighbours 1 and 2 at one dist"),
        (lambda x: mle(np.eye(30)), "30 of 30 points have all 20 neighbours at one distance"),
        (lambda x: over_batches(x, dict, 100), "batch=100 must be from 1 to the number of points"),
    ],
)
def test_bad_settings_are_told_in_one_line(call, words):
    with pytest.raises(ValueError, match=words):
        call(sphere(2, 3, 40))


@pytest.mark.parity
def test_values_are_those_of_scikit_dimension():
    skdim = pytest.importorskip("skdim")
    for dimension, width in ((3, 10), (5, 50), (9, 200)):
        x = sphere(dimension, width, 1_000)
        for aggregate, comb, unbiased in (
            ("harmonic", "mle", False),
            ("arithmetic", "mean", False),
            ("unbiased", "mean", True),
        ):
            theirs = skdim.id.MLE(unbiased=unbiased).fit(x, n_neighbors=20, comb=comb)
            assert mle(x, 20, aggregate=aggregate).dimension == pytest.approx(
                theirs.dimension_, abs=1e-3
            )
        for fit, method in (("linear", "linear"), ("likelihood", "mle")):
            for discard in (0.1, 0.3):
                theirs = skdim.id.TwoNN(discard_fraction=discard, method=method).fit(x)
                assert two_nn(x, discard, fit).dimension == pytest.approx(
                    theirs.dimension_, abs=1e-3
                )
