"""Student's t, the clustered bootstrap, and both joined."""

import math

import numpy as np
import pytest

from qdcjax.measures import intervals
from qdcjax.measures.intervals import (
    NOT_MEASURED,
    Interval,
    bootstrap,
    bootstrap_statistics,
    draws,
    of_measured,
    of_seeds,
    over_replicates,
    over_runs,
    over_seeds,
    percentiles,
    resample,
    students_t,
)


def test_students_t_by_hand():
    # Mean 2, s = 1, t(.975, 2) = 4.302653: half width 4.302653 / √3.
    interval = students_t([1.0, 2.0, 3.0])
    assert interval.value == 2
    assert interval.high - 2 == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert 2 - interval.low == pytest.approx(interval.high - 2)
    assert interval.method == "95 % t over 3 seeds"
    # t(.95, 1) = 6.313752.
    assert students_t([0, 2], confidence=0.9).high == pytest.approx(1 + 6.313752, rel=1e-6)


def test_bootstrap_width_is_the_standard_error():
    values = np.random.default_rng(1).normal(size=400)
    interval = bootstrap(values, np.arange(400))
    half = 1.96 * values.std() / math.sqrt(400)
    assert interval.value == pytest.approx(values.mean())
    assert interval.high - interval.low == pytest.approx(2 * half, rel=0.06)
    assert interval.method == "95 % bootstrap over 400 clusters, 2,000 resamples"
    wider = bootstrap(values, np.arange(400), confidence=0.99)
    assert wider.low < interval.low and wider.high > interval.high


def test_clusters_stay_together():
    """Copying each value 16 times leaves the clustered interval as it was."""
    values = np.random.default_rng(2).normal(size=100)
    alone = bootstrap(values, np.arange(100))
    copied = bootstrap(np.repeat(values, 16), np.repeat(np.arange(100), 16))
    ignored = bootstrap(np.repeat(values, 16), np.arange(1600))
    assert (copied.low, copied.high) == pytest.approx((alone.low, alone.high))
    ratio = (alone.high - alone.low) / (ignored.high - ignored.low)
    assert ratio == pytest.approx(4, rel=0.15)


def test_cluster_labels_and_row_order_do_not_matter():
    values = np.random.default_rng(3).normal(size=60)
    clusters = np.repeat(np.arange(10, 30), 3)
    order = np.random.default_rng(4).permutation(60)
    base = bootstrap(values, clusters)
    other = bootstrap(values[order], [f"question-{c}" for c in clusters[order]])
    assert (other.low, other.high) == pytest.approx((base.low, base.high))


def test_coverage_with_clusters():
    """95 % intervals over 40 clusters of 5 cover the mean in about 95 of 100 tries."""
    rng = np.random.default_rng(5)
    covered = 0
    for trial in range(200):
        centre = rng.normal(size=40)
        values = (centre[:, None] + 0.3 * rng.normal(size=(40, 5))).ravel()
        interval = bootstrap(values, np.repeat(np.arange(40), 5), resamples=300, seed=trial)
        covered += interval.low <= 0 <= interval.high
    assert 0.88 <= covered / 200 <= 0.99


def test_the_same_draws_pair_two_methods():
    """What two methods share, here how easy a cluster is, leaves their difference's interval."""
    rng = np.random.default_rng(6)
    easy = rng.normal(size=300)
    both = np.stack([easy + 0.1 + 0.01 * rng.normal(size=300), easy])
    found = resample(
        lambda w: {"a": w @ both[0] / 300, "b": w @ both[1] / 300}, draws(300, resamples=500)
    )
    paired = percentiles(found["a"] - found["b"], 300)
    assert paired.value == pytest.approx(np.mean(both[0] - both[1]))
    assert paired.high - paired.low < 0.01 and paired.low > 0.09
    single = percentiles(found["a"], 300)
    assert single.high - single.low > 0.15


def test_seed_fixes_the_resamples():
    values, clusters = np.random.default_rng(7).normal(size=50), np.arange(50)
    assert bootstrap(values, clusters) == bootstrap(values, clusters)
    assert bootstrap(values, clusters) != bootstrap(values, clusters, seed=1)


@pytest.mark.parametrize("at_once", [7, 10, 1000])
def test_statistics_get_cluster_multiplicities(monkeypatch, at_once):
    monkeypatch.setattr(intervals, "AT_ONCE", at_once)
    clusters = ["a", "a", "b", "c", "c", "c"]
    seen = []

    def statistics(weights):
        seen.extend(weights)
        return {"first": weights[:, 0], "none": np.full(len(weights), math.nan)}

    found = bootstrap_statistics(statistics, clusters, resamples=50)
    assert found.keys() == {"first", "none"} and found["first"].value == 1
    assert np.array_equal(seen[0], np.ones(6)) and len(seen) == 51
    for w in seen[1:]:
        assert w[0] == w[1] and w[3] == w[4] == w[5]
        assert w[0] + w[2] + w[3] == 3
    assert len({tuple(w) for w in seen}) > 5


def test_draws_are_uniform():
    drawn = draws(5, resamples=4000)[1:]
    assert np.all(drawn.sum(axis=1) == 5)
    np.testing.assert_allclose(drawn.mean(axis=0), 1, atol=0.06)
    assert drawn.var() == pytest.approx(5 * 0.2 * 0.8, rel=0.1)  # binomial


def test_estimate_lies_inside_even_for_an_extreme_statistic():
    interval = percentiles(np.asarray([-30.0, *range(-20, 0)]), 30)
    assert interval.low == interval.value == -30 < interval.high


def test_undefined_resamples_are_counted():
    found = bootstrap_statistics(
        lambda w: {"x": np.where(w[:, 0] > 0, 1.0, math.nan)}, np.arange(4), resamples=500
    )["x"]
    # The first of four clusters is missed by (3/4)⁴ = 32 % of resamples.
    undefined = int(found.method.split("(")[1].split()[0])
    assert undefined / 500 == pytest.approx(0.316, abs=0.07)


@pytest.mark.parametrize(
    ("values", "clusters", "value", "words"),
    [
        ([0.5], 1, 0.5, "1 cluster, no interval"),
        ([0.5, math.nan, math.nan], 9, 0.5, "undefined on 2 resamples"),
        ([math.nan, 0.5, 0.5], 9, math.nan, "undefined"),
    ],
)
def test_without_an_interval_its_ends_are_nan(values, clusters, value, words):
    found = percentiles(np.asarray(values), clusters)
    assert found.value == pytest.approx(value, nan_ok=True) and found.method == words
    assert math.isnan(found.low) and math.isnan(found.high)


def test_one_cluster_gives_the_mean_alone():
    """Such as one test question of some depth: no reason to lose a run at its end."""
    found = bootstrap([1.0, 0.0], ["only", "only"])
    assert found.value == 0.5 and math.isnan(found.low) and math.isnan(found.high)
    assert found.method == "1 cluster, no interval"


def test_seeds_and_clusters_add_in_quadrature():
    """Three seeds, and resamples that spread unevenly about their mean."""
    estimates = np.asarray([0.5, 0.7, 0.6])
    spread = np.linspace(-0.3, 0.1, 401)
    found = over_seeds(np.concatenate([estimates[:, None], estimates[:, None] + spread], 1), 50)
    t = 4.302653 * 0.1 / math.sqrt(3)  # t of 97.5 % at 2 degrees of freedom
    assert found.value == pytest.approx(0.6)
    assert found.value - found.low == pytest.approx(math.hypot(t, 0.29), rel=1e-5)
    assert found.high - found.value == pytest.approx(math.hypot(t, 0.09), rel=1e-5)
    assert found.method == (
        "95 % t over 3 seeds and 95 % bootstrap over 50 clusters, 401 resamples, in quadrature"
    )


def test_the_bootstrap_is_that_of_the_seeds_mean():
    """Errors on a resample that two seeds do not share cancel; it is not the mean of their ends."""
    wave = np.where(np.arange(400) % 2, 0.2, -0.2)
    found = over_seeds(np.stack([np.r_[0.5, 0.5 + wave], np.r_[0.5, 0.5 - wave]]), 50)
    assert (found.low, found.high) == pytest.approx((0.5, 0.5))


def test_one_seed_has_the_bootstrap_alone():
    values = np.asarray([0.5, *np.linspace(0.4, 0.6, 201)])
    found = over_seeds(values[None], 50)
    assert (found.low, found.high) == pytest.approx((0.405, 0.595))
    assert found.method == "95 % bootstrap over 50 clusters, 201 resamples, one seed"


def test_an_undefined_seed_leaves_no_mean():
    found = over_seeds([[0.5, 0.5], [math.nan, 0.5]], 50)
    assert math.isnan(found.value) and found.method == "undefined"


def test_runs_and_their_own_ends_add_in_quadrature():
    """Distances of .1, .3 and .5 below, of 0, 1 and .2 above; s = .1."""
    runs = [Interval(0.5, 0.4, 0.5), Interval(0.7, 0.4, 1.7), Interval(0.6, 0.1, 0.8)]
    found = over_runs(runs)
    t = 4.302653 * 0.1 / math.sqrt(3)  # t of 97.5 % at 2 degrees of freedom
    assert found.value == pytest.approx(0.6)
    assert found.value - found.low == pytest.approx(math.hypot(t, 0.3), rel=1e-5)
    assert found.high - found.value == pytest.approx(math.hypot(t, 0.4), rel=1e-5)
    assert found.method == "95 % t over 3 seeds and the runs' own intervals, in quadrature"
    narrower = over_runs(runs, confidence=0.9)
    assert 2.919986 * 0.1 / math.sqrt(3) < narrower.value - narrower.low < found.value - found.low
    assert narrower.method.startswith("90 % t over 3 seeds")


def test_runs_have_a_wider_interval_than_their_values_alone():
    runs = [Interval(value, value - 0.05, value + 0.02) for value in (0.5, 0.7, 0.6)]
    found, alone = over_runs(runs), students_t([run.value for run in runs])
    assert found.low < alone.low < alone.high < found.high


def test_runs_of_one_value_have_their_own_ends():
    found = over_runs([Interval(0.5, 0.4, 0.8), Interval(0.5, 0.2, 0.6)])
    assert (found.low, found.value, found.high) == pytest.approx((0.3, 0.5, 0.7))


def test_one_run_keeps_its_own_interval():
    run = Interval(0.5, 0.4, 0.8, "95 % bootstrap over 9 clusters, 2,000 resamples")
    assert over_runs([run]) is run


def test_runs_without_ends_count_as_exact():
    exact = [Interval(value, math.nan, math.nan) for value in (1.0, 2.0, 3.0)]
    found, alone = over_runs(exact), students_t([1.0, 2.0, 3.0])
    assert (found.low, found.value, found.high) == (alone.low, alone.value, alone.high)
    with_one = over_runs([exact[0], exact[1], Interval(3.0, 2.1, 4.5)])
    half = alone.high - alone.value
    assert with_one.value - with_one.low == pytest.approx(math.hypot(half, 0.9 / 3))
    assert with_one.high - with_one.value == pytest.approx(math.hypot(half, 1.5 / 3))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: students_t([1.0]), "at least 2"),
        (lambda: students_t([]), "at least 2"),
        (lambda: students_t([1.0, math.nan]), r"values\[1\]"),
        (lambda: students_t([1.0, 2.0], confidence=95), "confidence"),
        (lambda: students_t([[1.0, 2.0]]), "one list"),
        (lambda: bootstrap([1.0, 2.0], [0, 1, 2]), "one length"),
        (lambda: bootstrap([1.0, math.inf], [0, 1]), "finite"),
        (lambda: bootstrap([], []), "empty"),
        (lambda: bootstrap([1.0, 2.0], [0, 1], resamples=0), "resamples"),
        (lambda: bootstrap([1.0, 2.0], [0, 1], confidence=95), "confidence"),
    ],
)
def test_errors_are_one_line(call, words):
    with pytest.raises(ValueError, match=words) as error:
        call()
    assert "\n" not in str(error.value)


def test_an_interval_is_cut_to_what_the_figure_can_be():
    wide = Interval(0.9, -0.2, 1.3, "t").within(0, 1)
    assert (wide.value, wide.low, wide.high, wide.method) == (0.9, 0, 1, "t")
    assert Interval(0.5, 0.4, 0.6).within(0, 1) == Interval(0.5, 0.4, 0.6)
    assert math.isnan(Interval(0.5, math.nan, math.nan).within(0, 1).low)


def test_replicates_have_students_interval_alone():
    runs = [Interval(0.4, 0.1, 0.9), Interval(0.6, 0.5, 0.7), Interval(0.5, 0.2, 0.8)]
    assert over_replicates(runs) == students_t([0.4, 0.6, 0.5])
    assert over_replicates(runs[:1]) is runs[0]


@pytest.mark.parametrize(
    ("ends", "expected"),
    [((-1, -3, 0.5), (1, 0, 3)), ((2, 1, 4), (2, 1, 4)), ((-2, -4, -1), (2, 1, 4))],
)
def test_a_magnitude_begins_at_zero_where_the_interval_holds_it(ends, expected):
    found = Interval(*ends, "m").magnitude()
    assert (found.value, found.low, found.high, found.method) == (*expected, "m")


def test_a_figure_that_a_seed_lacks_is_not_measured():
    assert of_measured([1.0, 2.0]) == of_seeds([1.0, 2.0])
    for missing in (math.nan, math.inf):
        assert of_measured([1.0, missing]) == NOT_MEASURED
