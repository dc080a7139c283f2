"""Accuracies, AUROC, thresholds and calibration against hand values and brute force."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdcjax.measures.classification import (
    auroc,
    auroc_by_group,
    balanced_accuracy,
    balanced_accuracy_by_group,
    calibration,
    expected_calibration_error,
    false_negative_rate,
    precision_recall,
    ratio,
)

LABELS = np.array([1, 1, 1, 0, 0, 0, 0, 1])
SCORES = np.array([0.9, 0.8, 0.4, 0.7, 0.3, 0.2, 0.4, 0.4])
GROUPS = np.array([1, 1, 1, 1, 2, 2, 2, 2])


@st.composite
def weighted_rows(draw):
    """Labels, coarse scores (so that they tie), groups and integer weights, one length."""
    n = draw(st.integers(2, 20))
    column = [draw(st.lists(st.integers(0, top), min_size=n, max_size=n)) for top in (1, 4, 2, 3)]
    labels, scores, groups, weights = map(np.array, column)
    return labels, scores / 4, groups, weights


def auroc_by_pairs(labels, scores):
    pairs = [(p > q) + (p == q) / 2 for p in scores[labels == 1] for q in scores[labels == 0]]
    return sum(pairs) / len(pairs) if pairs else math.nan


def test_by_hand():
    # At .5: 2 of 4 positives and 3 of 4 negatives are right.
    assert balanced_accuracy(LABELS, SCORES) == pytest.approx((2 / 4 + 3 / 4) / 2)
    # At .4 a score of .4 counts as positive.
    assert balanced_accuracy(LABELS, SCORES, 0.4) == pytest.approx((4 / 4 + 2 / 4) / 2)
    assert precision_recall(LABELS, SCORES >= 0.5) == pytest.approx((2 / 3, 2 / 4))
    assert false_negative_rate(LABELS, SCORES >= 0.5) == pytest.approx(2 / 4)
    # Pairs won against (.7, .3, .2, .4): .9 and .8 all four, each .4 two and a half.
    assert auroc(LABELS, SCORES) == pytest.approx((4 + 4 + 2.5 + 2.5) / 16)


def test_a_constant_score_earns_nothing_however_unbalanced():
    labels = np.array([1] * 95 + [0] * 5)
    assert balanced_accuracy(labels, np.ones(100)) == 0.5
    assert auroc(labels, np.ones(100)) == 0.5


def test_by_group_by_hand():
    mean, figures = balanced_accuracy_by_group(LABELS, SCORES, GROUPS)
    # Group 1: positives .9 .8 .4 (2 of 3), negative .7 (0 of 1). Group 2: .4 missed, 3 of 3.
    assert figures == pytest.approx({1: (2 / 3 + 0) / 2, 2: (0 + 1) / 2})
    assert mean == pytest.approx((1 / 3 + 1 / 2) / 2)
    mean, figures = auroc_by_group(LABELS, SCORES, GROUPS)
    assert figures == pytest.approx({1: 2 / 3, 2: (1 + 1 + 0.5) / 3})
    assert mean == pytest.approx((2 / 3 + 2.5 / 3) / 2)


def test_groups_without_both_classes_do_not_count():
    labels, scores = [1, 0, 1, 1, 0, 0, 1], [0.9, 0.1, 0.9, 0.9, 0.9, 0.8, 0.7]
    groups = ["a", "a", "b", "b", "c", "c", "c"]
    mean, figures = balanced_accuracy_by_group(labels, scores, groups)
    assert figures == {"a": 1.0, "c": 0.5} and mean == 0.75
    # Two of one class and one of the other are too few, whichever class it is.
    for y in (np.array(labels), 1 - np.array(labels)):
        mean, figures = balanced_accuracy_by_group(y, scores, groups, min_count=2)
        assert math.isnan(mean) and figures == {}


def test_position_alone_scores_pooled_but_not_by_group():
    """A score that only knows the prefix length looks skilled when lengths are pooled."""
    labels = np.array([1] * 9 + [0] + [1] + [0] * 9)
    groups = np.repeat([1, 2], 10)
    scores = np.where(groups == 1, 0.9, 0.1)
    assert balanced_accuracy(labels, scores) == pytest.approx(0.9)
    assert balanced_accuracy_by_group(labels, scores, groups)[0] == pytest.approx(0.5)
    assert auroc_by_group(labels, scores, groups)[0] == pytest.approx(0.5)


@given(weighted_rows())
def test_auroc_against_every_pair(rows):
    labels, scores, _, _ = rows
    assert auroc(labels, scores) == pytest.approx(auroc_by_pairs(labels, scores), nan_ok=True)
    flipped = auroc(1 - labels, scores)
    assert auroc(labels, scores) == pytest.approx(1 - flipped, nan_ok=True)
    assert auroc(labels, np.exp(9 * scores)) == pytest.approx(auroc(labels, scores), nan_ok=True)


@given(weighted_rows())
def test_a_weight_is_a_repeated_row(rows):
    labels, scores, groups, weights = rows
    y, s, g = (np.repeat(x, weights) for x in (labels, scores, groups))
    for measure in (
        balanced_accuracy,
        auroc,
        expected_calibration_error,
        lambda y, s, weights=None: precision_recall(y, s >= 0.5, weights),
        lambda y, s, weights=None: false_negative_rate(y, s >= 0.5, weights),
    ):
        with_weights = measure(labels, scores, weights=weights)
        assert with_weights == pytest.approx(measure(y, s), nan_ok=True)
    for measure in (balanced_accuracy_by_group, auroc_by_group):
        mean, figures = measure(labels, scores, groups, weights=weights)
        repeated_mean, repeated = measure(y, s, g)
        defined = {group: figure for group, figure in figures.items() if not math.isnan(figure)}
        assert defined == pytest.approx(repeated)
        if defined.keys() == figures.keys():
            assert mean == pytest.approx(repeated_mean, nan_ok=True)
        else:
            assert math.isnan(mean), "a group that counts is undefined by these weights"


@given(weighted_rows(), st.integers(0, 2**32 - 1))
def test_rows_of_weights_give_as_many_figures(rows, seed):
    labels, scores, groups, _ = rows
    weights = np.random.default_rng(seed).integers(0, 3, (3, len(labels)))
    for measure in (
        balanced_accuracy,
        auroc,
        expected_calibration_error,
        lambda y, s, weights: precision_recall(y, s >= 0.5, weights)[0],
        lambda y, s, weights: false_negative_rate(y, s >= 0.5, weights),
        lambda y, s, weights: auroc_by_group(y, s, groups, weights=weights)[0],
        lambda y, s, weights: balanced_accuracy_by_group(y, s, groups, weights=weights)[0],
    ):
        together = measure(labels, scores, weights=weights)
        assert together.shape == (3,)
        alone = [measure(labels, scores, weights=w) for w in weights]
        assert together == pytest.approx(alone, nan_ok=True)


def test_groups_that_count_are_the_same_on_every_resample():
    """Else a resample would be a figure of other groups than the estimate."""
    labels, scores, groups = [1, 0, 1, 0], [0.9, 0.1, 0.1, 0.9], [1, 1, 2, 2]
    weights = [[1, 1, 1, 1], [1, 1, 0, 2], [2, 2, 5, 5]]
    mean, figures = balanced_accuracy_by_group(labels, scores, groups, weights=weights)
    assert figures[1].tolist() == [1, 1, 1]
    np.testing.assert_array_equal(figures[2], [0, math.nan, 0])
    np.testing.assert_array_equal(mean, [0.5, math.nan, 0.5])


def test_calibration_by_hand():
    table = calibration([0, 1, 1, 1, 0], [0.05, 0.15, 0.5, 1.0, 0.95], bins=4)
    np.testing.assert_allclose(table.count, [2, 0, 1, 2])
    np.testing.assert_allclose(table.mean_probability, [0.1, np.nan, 0.5, 0.975])
    np.testing.assert_allclose(table.frequency, [0.5, np.nan, 1, 0.5])
    error = expected_calibration_error([0, 1, 1, 1, 0], [0.05, 0.15, 0.5, 1.0, 0.95], bins=4)
    assert error == pytest.approx((2 * 0.4 + 1 * 0.5 + 2 * 0.475) / 5)
    # An edge belongs to the bin above it, the last one excepted.
    np.testing.assert_allclose(calibration([0] * 10, np.arange(10) / 10).count, np.ones(10))


def test_honest_probabilities_are_calibrated():
    rng = np.random.default_rng(0)
    p = rng.random(20_000)
    labels = rng.random(20_000) < p
    assert expected_calibration_error(labels, p) < 0.02
    assert expected_calibration_error(labels, np.sqrt(p)) > 0.1


def test_a_missing_class_is_nan():
    assert math.isnan(balanced_accuracy([1, 1], [0.1, 0.9]))
    assert math.isnan(auroc([0, 0], [0.1, 0.9]))
    assert math.isnan(auroc([0, 1], [0.1, 0.9], [1, 0]))
    assert math.isnan(false_negative_rate([0, 0], [0, 1]))
    precision, recall = precision_recall([0, 1], [0, 0])
    assert math.isnan(precision) and recall == 0
    assert math.isnan(expected_calibration_error([], []))
    assert math.isnan(auroc([], [])) and math.isnan(balanced_accuracy_by_group([], [], [])[0])


@pytest.mark.filterwarnings("error")
def test_ratio_by_hand():
    found = ratio([1, 0, 3, 2], [2, 0, 4, 0])
    np.testing.assert_array_equal(found, [0.5, math.nan, 0.75, math.nan])
    assert ratio(1, 4) == 0.25 and math.isnan(ratio(0, 0))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: auroc([0, 1], [0.1]), "one length"),
        (lambda: auroc([0, 1], [0.1, 0.2], [1]), "one length"),
        (lambda: auroc([0, 2], [0.1, 0.2]), r"labels\[1\]"),
        (lambda: auroc([0, 1], [0.1, math.nan]), r"scores\[1\]"),
        (lambda: auroc([0, 1], [0.1, 0.2], [1, -1]), r"weights\[1\]"),
        (lambda: auroc([0, 1], [0.1, 0.2], [[1, 1], [1, math.nan]]), r"weights\[1, 1\]"),
        (lambda: auroc_by_group([0, 1], [0.1, 0.2], [1]), "groups"),
        (lambda: precision_recall([0, 1], [0.2, 1]), r"predicted\[0\]"),
        (lambda: calibration([0, 1], [0.2, 1.2]), r"probabilities\[1\]"),
        (lambda: calibration([0, 1], [0.2, 1.0], bins=0), "bins"),
    ],
)
def test_errors_are_one_line(call, words):
    with pytest.raises(ValueError, match=words) as error:
        call()
    assert "\n" not in str(error.value)
