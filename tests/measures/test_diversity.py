"""Diversity of embeddings and cells: by hand, by loops, and against vendi-score."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdcjax.measures import diversity
from qdcjax.measures.diversity import (
    cell_coverage,
    cell_entropy,
    cosine_distance,
    distinct_share,
    diversity_gain,
    facility_location,
    nearest_distance,
    vendi_score,
    within_and_across,
)

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 6)) + 0.5, RNG.normal(size=(9, 6))
ORDERS = (0, 0.5, 1, 2, math.inf)


@pytest.mark.parametrize("q", ORDERS)
def test_vendi_counts_what_is_at_right_angles(q):
    assert vendi_score(np.eye(5), q) == pytest.approx(5)
    assert vendi_score(np.ones((7, 3)), q) == pytest.approx(1)
    assert vendi_score(np.repeat(np.eye(4), 3, axis=0) * 8, q) == pytest.approx(4)


def test_order_0_counts_every_direction_however_rare():
    assert vendi_score([[1, 0], [1, 1e-4]], 0) == pytest.approx(2)


@pytest.mark.parametrize("q", ORDERS)
@pytest.mark.parametrize("shape", [(40, 6), (6, 40)])
def test_vendi_is_that_of_the_whole_kernel(q, shape):
    x = np.random.default_rng(1).normal(size=shape)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(unit @ unit.T / len(x))
    values = values[values > 1e-12]
    expected = {
        0: len(values),
        1: np.exp(-(values * np.log(values)).sum()),
        math.inf: 1 / values.max(),
    }.get(q, (values**q).sum() ** (1 / (1 - q)) if q not in (1, math.inf) else None)
    assert vendi_score(3 * x, q) == pytest.approx(expected)


def test_vendi_falls_with_its_order_and_not_with_copies():
    found = [vendi_score(X, q) for q in ORDERS]
    assert found == sorted(found, reverse=True)
    assert vendi_score(np.concatenate([X, X])) == pytest.approx(vendi_score(X))


@pytest.mark.parity
@pytest.mark.parametrize("q", [0.5, 1, 2, math.inf])
def test_vendi_score_s_dual_form_agrees(q):
    vendi = pytest.importorskip("vendi_score.vendi")
    x = np.random.default_rng(2).normal(size=(300, 20)) + 0.3
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    theirs = vendi.score_dual(unit, q="inf" if math.isinf(q) else q)
    assert vendi_score(x, q) == pytest.approx(theirs, rel=1e-6)


def cosine(x, y):
    return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))


@pytest.mark.parametrize("block", [1 << 22, 90])
def test_distances_are_those_of_loops(monkeypatch, block):
    monkeypatch.setattr(diversity, "BLOCK", block)
    pairs = list(itertools.permutations(range(len(X)), 2))
    assert cosine_distance(X) == pytest.approx(np.mean([1 - cosine(X[i], X[j]) for i, j in pairs]))
    apart = np.linalg.norm(X[:, None] - X, axis=-1) + np.diag(np.full(len(X), np.inf))
    assert nearest_distance(X) == pytest.approx(apart.min(axis=1).mean())
    gains = [min(((x - y) ** 2).sum() for y in Y) for x in X]
    assert diversity_gain(X, Y) == pytest.approx(np.mean(gains))
    covered = [max(cosine(x, y) for y in Y) for x in X]
    assert facility_location(X, Y) == pytest.approx(np.mean(covered))
    assert facility_location(X, X) == pytest.approx(1)
    assert diversity_gain(X, X) == 0
    assert nearest_distance(np.concatenate([X, X])) == 0


def test_within_and_across_groups_by_loops():
    groups = [n % 3 for n in range(39)] + ["alone"]
    within, across = within_and_across(X, groups)
    pairs = list(itertools.combinations(range(len(X)), 2))
    own = [1 - cosine(X[i], X[j]) for i, j in pairs if groups[i] == groups[j]]
    other = [1 - cosine(X[i], X[j]) for i, j in pairs if groups[i] != groups[j]]
    assert (within, across) == pytest.approx((np.mean(own), np.mean(other)))
    assert math.isnan(within_and_across(X[:3], "abc")[0])
    assert math.isnan(within_and_across(X[:3], "aaa")[1])


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_cells(cells):
    assert cell_coverage(cells, 6) == len(set(cells)) / 6
    assert 1 - 1e-9 <= math.exp(cell_entropy(cells)) <= len(set(cells)) + 1e-9
    assert cell_entropy(cells * 3) == pytest.approx(cell_entropy(cells))
    assert distinct_share(cells) == len(set(cells)) / len(cells)


def test_entropy_by_hand():
    assert cell_entropy(["a", "b"]) == pytest.approx(math.log(2))
    assert cell_entropy(["a", "a", "a", "b"]) == pytest.approx(
        -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    )
    assert cell_entropy([("one", 1)] * 4) == 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: vendi_score(X, -1), "q=-1 must be at least 0"),
        (lambda: vendi_score(np.zeros((3, 2))), r"points\[0\] is zero: it has no direction"),
        (lambda: cosine_distance(X[:1]), "1 embedding has no other one to be held against"),
        (lambda: nearest_distance(X[:1]), "1 embedding has no other one to be held against"),
        (lambda: diversity_gain(X, Y[:, :2]), "the embeddings have 6 and 2 dimensions"),
        (lambda: facility_location(X, Y * np.nan), r"the other embeddings\[0\] is not finite .*"),
        (lambda: within_and_across(X, [1]), "groups=1 must be one for each of 40 embeddings"),
        (lambda: cell_coverage([1, 2, 3], 2), "total=2 cells, and 3 are occupied"),
        (lambda: cell_entropy([]), "cells is empty"),
        (lambda: distinct_share([]), "samples is empty"),
    ],
)
def test_bad_input_is_told_in_one_line(call, words):
    with pytest.raises(ValueError, match=f"^{words}$"):
        call()
