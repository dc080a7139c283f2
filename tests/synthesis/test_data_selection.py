"""Selections against greedy loops that score everything anew."""

import numpy as np
import pytest

from qdcjax.measures.diversity import facility_location, vendi_score
from qdcjax.synthesis.selection import deita, qdit

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)) + 0.3
QUALITY, COMPLEXITY = RNG.uniform(size=60), RNG.uniform(size=60)


def cosines(x):
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    return unit @ unit.T


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.9, 1.0])
def test_qdit_is_the_greedy_choice(alpha):
    similar, kept, covered = cosines(X), [], np.zeros(60)
    for _ in range(15):
        gains = np.maximum(similar - covered, 0).mean(axis=1)
        scores = (1 - alpha) * QUALITY + alpha * gains
        scores[kept] = -1
        kept.append(int(scores.argmax()))
        covered = np.maximum(covered, similar[kept[-1]])
    assert qdit(QUALITY, X, 15, alpha).tolist() == kept


def test_qdit_s_weight_trades_quality_for_diversity():
    chosen = [qdit(QUALITY, X, 12, alpha) for alpha in (0.0, 0.9, 1.0)]
    assert sorted(chosen[0]) == sorted(np.argsort(-QUALITY)[:12])
    quality = [QUALITY[rows].mean() for rows in chosen]
    covered = [facility_location(X, X[rows]) for rows in chosen]
    assert quality == sorted(quality, reverse=True)
    assert covered == sorted(covered)
    assert vendi_score(X[chosen[2]]) > vendi_score(X[chosen[0]])


@pytest.mark.parametrize("distance", [-1.0, 0.1, 0.5])
def test_deita_keeps_the_best_that_are_far_enough(distance):
    similar, kept = cosines(X), []
    for row in np.argsort(-QUALITY * COMPLEXITY):
        if all(1 - similar[row, other] > distance for other in kept) and len(kept) < 20:
            kept.append(int(row))
    assert deita(QUALITY, COMPLEXITY, X, 20, distance).tolist() == kept
    assert len(kept) == (20 if distance < 0.5 else len(kept))


def test_deita_keeps_no_copies():
    found = deita(np.tile(QUALITY, 2), np.tile(COMPLEXITY, 2), np.tile(X, (2, 1)), 120, 1e-6)
    assert sorted(found % 60) == list(range(60))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: qdit(QUALITY[:3], X, 5, 0.5), r"quality must be one for each of 60 rows: \(3,\)"),
        (lambda: qdit(-QUALITY, X, 5, 0.5), "quality must be finite and not under 0"),
        (lambda: qdit(QUALITY, X, 0, 0.5), "count=0 must be from 1 to the 60 rows"),
        (lambda: qdit(QUALITY, X, 5, 1.5), r"alpha=1.5 must lie in 0…1"),
        (lambda: deita(QUALITY, COMPLEXITY * np.nan, X, 5), "complexity must be finite and .*"),
        (lambda: deita(QUALITY, COMPLEXITY, X, 61), "count=61 must be from 1 to the 60 rows"),
    ],
)
def test_bad_input_is_told_in_one_line(call, words):
    with pytest.raises(ValueError, match=f"^{words}$"):
        call()
