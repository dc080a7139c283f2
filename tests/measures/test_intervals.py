"""Student's t, Wilson and the clustered bootstrap."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdcjax.measures.intervals import (
    bootstrap,
    bootstrap_statistic,
    paired_bootstrap,
    students_t,
    wilson,
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


def test_wilson_by_hand():
    # 8 of 10: a textbook value, .4902 to .9433.
    interval = wilson(8, 10)
    assert (interval.value, interval.low, interval.high) == (
        0.8,
        pytest.approx(0.4902, abs=1e-4),
        pytest.approx(0.9433, abs=1e-4),
    )
    assert wilson(0, 10).low == 0 and wilson(0, 10).high == pytest.approx(0.2775, abs=1e-4)
    assert wilson(10, 10).high == 1


@given(st.integers(1, 500), st.data())
def test_wilson_holds_the_estimate(n, data):
    interval = wilson(data.draw(st.integers(0, n)), n)
    assert 0 <= interval.low <= interval.value <= interval.high <= 1


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


def test_pairing_removes_what_both_share():
    rng = np.random.default_rng(6)
    easy = rng.normal(size=300)
    a, b = easy + 0.1 + 0.01 * rng.normal(size=300), easy
    paired = paired_bootstrap(a, b, np.arange(300))
    assert paired.value == pytest.approx(a.mean() - b.mean())
    assert paired.high - paired.low < 0.01 and paired.low > 0.09
    single = bootstrap(a, np.arange(300))
    assert single.high - single.low > 0.15
    assert paired.method.startswith("paired 95 % bootstrap")
    swapped = paired_bootstrap(b, a, np.arange(300))
    assert (swapped.low, swapped.high) == pytest.approx((-paired.high, -paired.low))


def test_seed_fixes_the_resamples():
    values, clusters = np.random.default_rng(7).normal(size=50), np.arange(50)
    assert bootstrap(values, clusters) == bootstrap(values, clusters)
    assert bootstrap(values, clusters) != bootstrap(values, clusters, seed=1)


def test_statistic_gets_cluster_multiplicities():
    clusters = ["a", "a", "b", "c", "c", "c"]
    seen = []
    bootstrap_statistic(lambda w: seen.append(w) or 0.0, clusters, resamples=50)
    assert np.array_equal(seen[0], np.ones(6)) and len(seen) == 51
    for w in seen[1:]:
        assert w[0] == w[1] and w[3] == w[4] == w[5]
        assert w[0] + w[2] + w[3] == 3
    assert len({tuple(w) for w in seen}) > 5


def test_estimate_lies_inside_even_for_an_extreme_statistic():
    values = np.arange(30.0)
    interval = bootstrap_statistic(lambda w: -len(values[w > 0]), np.arange(30))
    assert interval.low <= interval.value <= interval.high
    assert interval.value == -30


def test_undefined_resamples_are_counted():
    first = np.array([1.0, 0, 0, 0])
    interval = bootstrap_statistic(
        lambda w: 1.0 if w @ first else math.nan, np.arange(4), resamples=500
    )
    # The first of four clusters is missed by (3/4)⁴ = 32 % of resamples.
    undefined = int(interval.method.split("(")[1].split()[0])
    assert undefined / 500 == pytest.approx(0.316, abs=0.07)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: students_t([1.0]), "at least 2"),
        (lambda: students_t([]), "at least 2"),
        (lambda: students_t([1.0, math.nan]), r"values\[1\]"),
        (lambda: students_t([1.0, 2.0], confidence=95), "confidence"),
        (lambda: students_t([[1.0, 2.0]]), "one list"),
        (lambda: wilson(3, 2), "successes"),
        (lambda: wilson(0, 0), "successes"),
        (lambda: wilson(-1, 2), "successes"),
        (lambda: bootstrap([1.0, 2.0], [0, 0]), "clusters"),
        (lambda: bootstrap([1.0, 2.0], [0, 1, 2]), "one length"),
        (lambda: bootstrap([1.0, math.inf], [0, 1]), "finite"),
        (lambda: bootstrap([1.0, 2.0], [0, 1], resamples=0), "resamples"),
        (lambda: paired_bootstrap([1.0, 2.0], [1.0], [0, 1]), "a and b"),
        (lambda: bootstrap_statistic(lambda w: math.nan, [0, 1]), "undefined"),
        (
            lambda: bootstrap_statistic(lambda w: 0.0 if w.std() == 0 else math.nan, range(99)),
            "all 2000",
        ),
    ],
)
def test_errors_are_one_line(call, words):
    with pytest.raises(ValueError, match=words) as error:
        call()
    assert "\n" not in str(error.value)
