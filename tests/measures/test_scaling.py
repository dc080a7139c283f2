"""Planted exponents are found again; the joint surface; intervals; what bad runs say."""

import numpy as np
import pytest

from qdcjax.measures.intervals import percentiles
from qdcjax.measures.scaling import data_exponent, fit_law, model_exponent, resampled_exponents

SIZES = np.geomspace(100, 1e6, 9)


def grid(count: int = 4) -> np.ndarray:
    """[P, 2] parameters and tokens."""
    parameters, tokens = np.meshgrid(np.geomspace(1e6, 1e9, count), np.geomspace(1e8, 1e11, count))
    return np.stack([parameters.ravel(), tokens.ravel()], axis=1)


@pytest.mark.parametrize("floor", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("exponent", [0.05, 0.2, 0.9])
def test_a_planted_exponent_is_found(floor, exponent):
    losses = floor + 5 * SIZES**-exponent
    law = fit_law(SIZES, losses, floor=floor > 0)
    assert law.exponents == pytest.approx((exponent,), rel=1e-4)
    assert law.factors == pytest.approx((5,), rel=1e-3)
    assert law.floor == pytest.approx(floor, rel=1e-3)
    np.testing.assert_allclose(law(SIZES), losses, rtol=1e-6)


def test_a_pure_law_reads_a_smaller_exponent_where_there_is_a_floor():
    """2411.06646's page: a floor of 1.0 under a start of 4.5 turns .2 into .116."""
    losses = 1 + 3.5 * (SIZES / 100) ** -0.2
    assert fit_law(SIZES, losses, floor=False).exponents[0] == pytest.approx(0.116, abs=5e-4)
    assert fit_law(SIZES, losses).exponents[0] == pytest.approx(0.2, abs=1e-4)


def test_the_joint_surface_is_found():
    sizes = grid()
    losses = 1.82 + 480 * sizes[:, 0] ** -0.348 + 2_000 * sizes[:, 1] ** -0.366
    law = fit_law(sizes, losses)
    assert law.exponents == pytest.approx((0.348, 0.366), rel=1e-4)
    assert law.floor == pytest.approx(1.82, rel=1e-4)
    np.testing.assert_allclose(law(*sizes.T), losses, rtol=1e-6)


def test_a_term_that_the_runs_hardly_tell_stays_within_limits():
    sizes = np.array([[n, 1e6] for n in SIZES] + [[SIZES[-1], 2e6], [SIZES[-1], 4e6]])
    law = fit_law(sizes, 5 * sizes[:, 0] ** -0.3, floor=False)
    assert -1 <= law.exponents[1] <= 4
    np.testing.assert_allclose(law(*sizes.T), 5 * sizes[:, 0] ** -0.3, rtol=1e-3)


def test_a_run_that_failed_moves_the_law_little():
    losses = 5 * SIZES**-0.3 * np.exp(0.001 * np.random.default_rng(0).normal(size=9))
    losses[0] *= 3
    assert fit_law(SIZES, losses, floor=False).exponents[0] == pytest.approx(0.3, abs=2e-3)


def test_intervals_cover_planted_exponents():
    rng, sizes, covered = np.random.default_rng(0), np.repeat(SIZES, 3), 0
    for _ in range(20):
        losses = 5 * sizes**-0.3 * np.exp(0.05 * rng.normal(size=len(sizes)))
        found = resampled_exponents(sizes, losses, floor=False, resamples=60)
        assert found.shape == (61, 1)
        assert found[0, 0] == fit_law(sizes, losses, floor=False).exponents[0]
        interval = percentiles(found[:, 0], len(sizes))
        covered += interval.low <= 0.3 <= interval.high
        assert 0 < interval.high - interval.low < 0.05
    assert covered >= 16


def test_resamples_with_too_few_sizes_have_no_exponent():
    sizes = np.array([10.0, 100.0, 1_000.0])
    found = resampled_exponents(sizes, 1 + 5 * sizes**-0.5, resamples=100)[:, 0]
    assert 5 < np.isnan(found).sum() < 100
    np.testing.assert_allclose(found[~np.isnan(found)], 0.5, rtol=1e-3)


def test_predicted_exponents_are_those_of_the_page():
    data = {6: 0.250, 9: 0.182, 12: 0.143, 15: 0.118, 20: 0.091, 25: 0.074}
    model = {6: 0.333, 9: 0.222, 12: 0.167, 15: 0.133, 20: 0.100, 25: 0.080}
    for d in data:
        assert data_exponent(d) == pytest.approx(data[d], abs=5e-4)
        assert model_exponent(d) == pytest.approx(model[d], abs=5e-4)
        alpha = model_exponent(d, 1.7)
        assert data_exponent(d, 1.7) == pytest.approx(alpha / (1 + alpha))


@pytest.mark.parametrize(
    ("sizes", "losses", "words"),
    [
        ([1, 2, 3], [1, 0, 1], "losses: run 1 must be positive: 0.0"),
        ([1, -2, 3], [1, 1, 1], "sizes: run 1 must be positive: -2.0"),
        ([1, 2, 3], [1, np.nan, 1], "losses: run 1 must be positive: nan"),
        ([1, 2, 3], [1, 1], r"sizes \(3, 1\) and losses \(2,\) must have a row for each run"),
        ([1, 2, 2], [2, 1, 1], "sizes: 2 different ones, and the law has 3 numbers"),
        ([[1, 5], [2, 5], [3, 5], [4, 5], [5, 5]], [5, 4, 3, 2, 1], "all runs have 5, which tells"),
    ],
)
def test_bad_runs_are_told_in_one_line(sizes, losses, words):
    with pytest.raises(ValueError, match=words):
        fit_law(sizes, losses)
