"""Quality by hand; ratings that are planted and found again."""

import math

import numpy as np
import pytest

from qdcjax.measures.quality import (
    correctness,
    elo,
    length_normalised,
    process_correctness,
    step_score,
)

SCORES = np.array([[0.9, 0.5, 0.2], [0.8, 0.4, 9.0]])
MASK = np.array([[1, 1, 1], [1, 1, 0]])


def test_correctness_is_resampled_by_question():
    few = correctness([1, 1, 0, 0] * 5, ["a", "a", "b", "b"] * 5)
    many = correctness([1, 1, 0, 0] * 5, [str(n) for n in range(20)])
    assert few.value == many.value == 0.5
    assert (few.low, few.high) == (0, 1) and 0.2 < many.low < many.high < 0.8


def test_process_correctness_by_hand():
    found = process_correctness([[True, False], [True], []])
    assert found[:2].tolist() == [0.5, 1] and math.isnan(found[2])


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("last", [0.2, 0.4]),
        ("mean", [1.6 / 3, 0.6]),
        ("least", [0.2, 0.4]),
        ("product", [0.09, 0.32]),
    ],
)
def test_scores_of_steps_by_hand(how, expected):
    np.testing.assert_allclose(step_score(SCORES, MASK, how), expected)


def test_likelihood_does_not_grow_with_length():
    found = length_normalised(np.log([[0.5, 0.5], [0.25, 0.7]]), [[1, 1], [1, 0]])
    np.testing.assert_allclose(found, np.log([0.5, 0.25]))


def test_planted_ratings_are_found():
    rng, planted = np.random.default_rng(0), {"a": 900.0, "b": 1_000.0, "c": 1_100.0}
    names = np.array(list(planted))
    one, other = names[np.stack([rng.permutation(3)[:2] for _ in range(6_000)]).T]
    chance = [
        1 / (1 + 10 ** ((planted[y] - planted[x]) / 400))
        for x, y in zip(one, other, strict=True)
    ]  # fmt: skip
    found = elo(one, other, rng.random(6_000) < chance)
    assert found == pytest.approx(planted, abs=15)
    assert np.mean(list(found.values())) == pytest.approx(1_000)


def test_ratings_by_hand():
    found = elo(["a"] * 4, ["b"] * 4, [1, 1, 1, 0])  # odds of 3
    assert found["a"] - found["b"] == pytest.approx(400 * math.log10(3), abs=0.01)
    assert elo(["a"], ["b"], [0.5]) == pytest.approx({"a": 1_000, "b": 1_000})
    swapped = elo(["b"] * 4, ["a"] * 4, [0, 0, 0, 1])
    assert swapped == pytest.approx(found, abs=0.01)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: step_score(SCORES, MASK[:1]), r"scores and mask must be \[n, L\] of one shape.*"),
        (lambda: step_score(SCORES, 0 * MASK), r"scores\[0\] has nothing that the mask marks"),
        (lambda: step_score(SCORES, MASK, "max"), "how='max' must be last, mean, least or .*"),
        (lambda: elo(["a"], ["b"], [1]), "some players never lose to some others.*"),
        (lambda: elo(["a", "c"], ["b", "d"], [0.5, 0.5]), "some players never lose.*"),
        (lambda: elo(["a"], ["a"], [1]), "'a' is compared with itself"),
        (lambda: elo(["a"], ["b"], [2]), "outcome must lie in 0…1"),
        (lambda: elo(["a"], ["b"], []), "first, second and outcome must have one length: 1, 1, 0"),
    ],
)
def test_bad_input_is_told_in_one_line(call, words):
    with pytest.raises(ValueError, match=f"^{words}$"):
        call()
