"""W1 by hand, by assignment, by linear programming and by Sinkhorn; its floor; bad input."""

import numpy as np
import pytest

from qdcjax.measures.transport import beside_floor, exact_w1, floor_w1, sinkhorn_divergence, w1

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 3)), RNG.normal(size=(40, 3)) + 0.5


def square(count: int, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(size=(count, 2))


def test_by_hand():
    assert exact_w1([[0.0], [1.0]], [[3.0], [2.0]]) == pytest.approx(2)
    assert exact_w1([[0, 0], [0, 1]], [[3, 5], [3, 4]]) == pytest.approx(5)  # by (3, 4) each
    # A third of the mass at 0 goes 3 far, and nothing else moves.
    assert w1([[0.0]], [[0.0], [3.0]], y_weights=[2, 1]) == pytest.approx(1)


def test_on_a_line_it_is_the_distance_of_the_sorted():
    x, y = RNG.normal(size=(200, 1)), RNG.exponential(size=(200, 1))
    apart = np.abs(np.sort(x[:, 0]) - np.sort(y[:, 0])).mean()
    assert exact_w1(x, y) == pytest.approx(apart)


def test_programming_agrees_with_assignment_and_takes_copies_as_weights():
    assert w1(X, Y) == pytest.approx(exact_w1(X, Y), rel=1e-6)
    weights = RNG.integers(1, 4, size=20)
    copies = np.repeat(X[:20], weights, axis=0)
    others = RNG.normal(size=(len(copies), 3))
    assert w1(X[:20], others, x_weights=weights) == pytest.approx(exact_w1(copies, others))
    assert w1(X[:7], Y[:11]) == pytest.approx(w1(Y[:11], X[:7]))


def test_sinkhorn_is_zero_on_itself_and_tends_to_w1():
    assert sinkhorn_divergence(X, X, 0.1) == pytest.approx(0, abs=1e-4)
    exact = exact_w1(X, Y)
    errors = [abs(sinkhorn_divergence(X, Y, epsilon) - exact) for epsilon in (1.0, 0.1, 0.02)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.03 * exact


def test_the_floor_is_that_of_fresh_samples_and_falls_with_their_size():
    floors = [floor_w1(square, count, pairs=20) for count in (30, 120)]
    assert floors[0].low > floors[1].high
    assert floors[0].method == "95 % t over 20 pairs"
    rng = np.random.default_rng(5)
    fresh = beside_floor(square(120, rng), square(120, rng), square, pairs=20)
    assert fresh.value == pytest.approx(fresh.floor.value, rel=0.4)
    assert fresh.floor == floors[1]
    moved = beside_floor(square(120, rng) + np.array([1, 0]), square(120, rng), square, pairs=20)
    assert moved.excess.low > 0.7
    assert moved.excess.value == pytest.approx(moved.value - moved.floor.value)
    assert moved.excess.low < moved.excess.value < moved.excess.high


def test_a_pair_s_two_samples_are_both_fresh():
    drawn = []

    def noted(count: int, rng: np.random.Generator) -> np.ndarray:
        drawn.append(square(count, rng))
        return drawn[-1]

    floor = floor_w1(noted, 30, pairs=3)
    assert len({points.tobytes() for points in drawn}) == 6
    pairs = zip(drawn[::2], drawn[1::2], strict=True)
    assert floor.value == pytest.approx(np.mean([exact_w1(x, y) for x, y in pairs]))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: exact_w1(X, Y[:9]), "x and y have 40 and 9 points: an assignment needs as many"),
        (lambda: exact_w1(X, Y[:, :2]), "x and y lie in 3 and 2 dimensions"),
        (
            lambda: exact_w1(X[:, 0], Y),
            r"x must be a matrix, one point a row: .* is \(40,\)",
        ),
        (lambda: exact_w1(X, Y * np.nan), r"y\[0\] is not finite \(40 of 40 rows\)"),
        (lambda: w1(X, Y, x_weights=[1, 2]), r"x_weights must be one for each of 40 points"),
        (lambda: w1(X, Y, y_weights=-np.ones(40)), "y_weights must be finite, none below 0"),
        (lambda: sinkhorn_divergence(X, Y, 0), "epsilon=0 must be over 0"),
    ],
)
def test_bad_input_is_told_in_one_line(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parity
def test_pot_finds_the_same_distances():
    ot = pytest.importorskip("ot")
    x, y = (np.random.default_rng(seed).normal(size=(300, 8)) for seed in (1, 2))
    theirs = ot.emd2(*(np.full(300, 1 / 300),) * 2, ot.dist(x, y, "euclidean"), numItermax=10**7)
    assert exact_w1(x, y) == pytest.approx(theirs, rel=1e-9)
    weights = np.random.default_rng(3).dirichlet(np.ones(40))
    theirs = ot.emd2(weights, np.full(30, 1 / 30), ot.dist(X, Y[:30], "euclidean"))
    assert w1(X, Y[:30], x_weights=weights) == pytest.approx(theirs, rel=1e-6)
