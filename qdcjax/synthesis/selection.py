"""Choosing samples by quality and diversity, as DEITA and QDIT do.

Embeddings are rows [n, D], compared by their cosine; a choice is a list of rows in its order.
"""

import heapq

import numpy as np
from numpy.typing import ArrayLike

from qdcjax.measures.neighbours import checked, on_unit_sphere


def deita(
    quality: ArrayLike,
    complexity: ArrayLike,
    embeddings: ArrayLike,
    count: int,
    distance: float = 0.1,
) -> np.ndarray:
    """Rows by quality · complexity, each kept when it is far enough from all that are kept.

    At most `count` of them, fewer where no more are far enough (Liu et al. 2024, "What Makes Good
    Data for Alignment?").

    Args:
      quality, complexity: [n], not under 0.
      embeddings: [n, D].
      count: rows to keep.
      distance: 1 − cos to the nearest kept row has to be over it.

    Raises:
      ValueError: other lengths, scores under 0 or not finite, or a count out of 1 … n.
    """
    x = on_unit_sphere(checked(embeddings), float)
    scores = _scores("quality", quality, x) * _scores("complexity", complexity, x)
    _check_count(count, x)
    kept: list[int] = []
    for row in np.argsort(-scores, kind="stable"):
        if not kept or 1 - (x[kept] @ x[row]).max() > distance:
            kept.append(int(row))
        if len(kept) == count:
            break
    return np.array(kept)


def qdit(quality: ArrayLike, embeddings: ArrayLike, count: int, alpha: float) -> np.ndarray:
    """Rows one after another by the largest (1 − α) q_i + α (F(S ∪ i) − F(S)).

    F(S) = (1/n) Σ_j max(0, max_{i ∈ S} cos(x_i, x_j)) is the facility location (Bukharin et al.
    2024, "Data Diversity Matters for Robust Instruction Tuning"). With α = 0 these are the best
    rows. F's gains only fall as S grows, so that a row is scored again only when it comes first.

    Args:
      quality: [n], in 0…1 for α to mean something.
      embeddings: [n, D].
      count: rows to keep.
      alpha: the weight of diversity, in 0…1.

    Raises:
      ValueError: other lengths, scores under 0 or not finite, a count out of 1 … n, another weight.
    """
    x = on_unit_sphere(checked(embeddings), float)
    q = (1 - alpha) * _scores("quality", quality, x)
    _check_count(count, x)
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha={alpha} must lie in 0…1")
    covered = np.zeros(len(x))

    def score(row: int) -> float:
        return q[row] + alpha * np.maximum(x @ x[row] - covered, 0).mean()

    waiting = [(-score(row), row) for row in range(len(x))]
    heapq.heapify(waiting)
    kept: list[int] = []
    while len(kept) < count:
        row = heapq.heappop(waiting)[1]
        again = -score(row), row
        if waiting and again > waiting[0]:
            heapq.heappush(waiting, again)
            continue
        kept.append(row)
        covered = np.maximum(covered, x @ x[row])
    return np.array(kept)


def _scores(name: str, scores: ArrayLike, x: np.ndarray) -> np.ndarray:
    found = np.asarray(scores, float)
    if found.shape != (len(x),):
        raise ValueError(f"{name} must be one for each of {len(x):,} rows: {found.shape}")
    if not (np.isfinite(found) & (found >= 0)).all():
        raise ValueError(f"{name} must be finite and not under 0")
    return found


def _check_count(count: int, x: np.ndarray) -> None:
    if not 1 <= count <= len(x):
        raise ValueError(f"count={count:,} must be from 1 to the {len(x):,} rows")
