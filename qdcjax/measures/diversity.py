"""Diversity: how much of a space a set covers; a figure of the whole set, never of one sample.

All of these grow or fall with the number of samples, and most grow with noise: compare sets of one
size (`subsamples.at_size`), with their quality beside. Embeddings are rows [n, D]; which ones they
are matters more than which measure. Lexical measures stand in `ngrams`.
"""

import math
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import xlogy

from qdcjax.measures.neighbours import checked, on_unit_sphere
from qdcjax.measures.ngrams import distinct_n, expectation_adjusted_distinct, rouge_l, self_bleu

__all__ = [
    "cell_coverage",
    "cell_entropy",
    "cosine_distance",
    "distinct_n",
    "distinct_share",
    "diversity_gain",
    "expectation_adjusted_distinct",
    "facility_location",
    "nearest_distance",
    "rouge_l",
    "self_bleu",
    "vendi_score",
    "within_and_across",
]
BLOCK = 1 << 22  # similarities that are held at once


def vendi_score(embeddings: ArrayLike, q: float = 1.0) -> float:
    """exp H_q(λ), λ the eigenvalues of K / n with K_ij = cos(x_i, x_j): an effective number.

    H_1 = −Σ λ log λ, H_q = log(Σ λ^q) / (1 − q), H_0 counts the eigenvalues over 0 and
    H_∞ = −log max λ. It is 1 where all samples are alike and n where all are at right angles. The
    larger q, the more the common directions count (Friedman and Dieng 2023, "The Vendi Score";
    Pasarkar and Dieng 2024, "Cousins of the Vendi Score"). With D < n the eigenvalues are those of
    XᵀX / n.

    Args:
      embeddings: [n, D].
      q: the order, from 0 to infinity.

    Raises:
      ValueError: points that are no finite matrix, a zero vector, or an order under 0.
    """
    if not q >= 0:
        raise ValueError(f"q={q} must be at least 0")
    x = on_unit_sphere(checked(embeddings), float)
    small = x.T @ x if x.shape[1] < len(x) else x @ x.T
    eigenvalues = np.linalg.eigvalsh(small / len(x))
    rounding = max(x.shape) * np.finfo(float).eps * eigenvalues[-1]
    shares = eigenvalues[eigenvalues > rounding]
    if q == 1:
        return float(np.exp(-xlogy(shares, shares).sum()))
    if math.isinf(q):
        return float(1 / shares.max())
    return float((shares**q).sum() ** (1 / (1 - q)))


def cosine_distance(embeddings: ArrayLike) -> float:
    """The mean of 1 − cos(x_i, x_j) over all pairs i ≠ j, from Σ x alone.

    Raises:
      ValueError: points that are no finite matrix, a zero vector, or fewer than two.
    """
    x = _several(on_unit_sphere(checked(embeddings), float))
    n = len(x)
    return float(1 - ((x.sum(axis=0) ** 2).sum() - n) / (n * (n - 1)))


def nearest_distance(embeddings: ArrayLike) -> float:
    """The mean of min_{j ≠ i} |x_i − x_j|; copies are 0 apart.

    Raises:
      ValueError: points that are no finite matrix, or fewer than two.
    """
    x = _several(checked(embeddings).astype(float))
    return float(np.sqrt(_least_squares(x, x, skip_own=True)).mean())


def diversity_gain(embeddings: ArrayLike, base: ArrayLike) -> float:
    """The mean of min_y |x − y|² over y of a base set: what new samples add to it.

    Args:
      embeddings: [n, D] of the new samples.
      base: [m, D].

    Raises:
      ValueError: points that are no finite matrix, or of other dimensions.
    """
    x, y = _pair(embeddings, base)
    return float(_least_squares(x, y).mean())


def facility_location(embeddings: ArrayLike, chosen: ArrayLike) -> float:
    """(1/n) Σ_i max_{j ∈ chosen} cos(x_i, y_j): how well a subset stands for the whole, at most 1.

    Args:
      embeddings: [n, D] the whole.
      chosen: [m, D] the subset's.

    Raises:
      ValueError: points that are no finite matrix, a zero vector, or other dimensions.
    """
    x, y = (on_unit_sphere(of, float) for of in _pair(embeddings, chosen))
    return float(
        np.mean([most for rows in _blocks(x, len(y)) for most in (rows @ y.T).max(axis=1)])
    )


def within_and_across(embeddings: ArrayLike, groups: Sequence[Hashable]) -> tuple[float, float]:
    """The mean cosine distance of pairs of one group, and of pairs of two groups.

    With the questions as groups of their solutions: how differently one question is solved, and how
    different the questions are. NaN where there is no such pair.

    Args:
      embeddings: [n, D].
      groups: [n] the group of each.

    Raises:
      ValueError: points that are no finite matrix, a zero vector, or another number of groups.
    """
    x = on_unit_sphere(checked(embeddings), float)
    if len(groups) != len(x):
        raise ValueError(f"groups={len(groups):,} must be one for each of {len(x):,} embeddings")
    numbers: dict[Hashable, int] = {}
    group = np.array([numbers.setdefault(of, len(numbers)) for of in groups])
    counts = np.bincount(group)
    sums = np.zeros((len(counts), x.shape[1]))
    np.add.at(sums, group, x)
    of_own = (sums**2).sum() - len(x)  # Σ of the cosines of ordered pairs of one group
    of_all = (x.sum(axis=0) ** 2).sum() - len(x)
    own, every = float((counts * (counts - 1)).sum()), float(len(x) * (len(x) - 1))
    within = 1 - of_own / own if own else math.nan
    across = 1 - (of_all - of_own) / (every - own) if every > own else math.nan
    return within, across


def cell_coverage(cells: Sequence[Hashable], total: int) -> float:
    """Occupied cells / all cells.

    Args:
      cells: the cell of each sample.
      total: how many there are.

    Raises:
      ValueError: more are occupied than there are.
    """
    occupied = len(set(cells))
    if occupied > total:
        raise ValueError(f"total={total:,} cells, and {occupied:,} are occupied")
    return occupied / total


def cell_entropy(cells: Sequence[Hashable]) -> float:
    """−Σ p log p in nats, p the share of the samples in each cell; exp of it is a number of cells.

    Raises:
      ValueError: no sample.
    """
    if not len(cells):
        raise ValueError("cells is empty")
    counts: dict[Hashable, int] = {}
    for cell in cells:
        counts[cell] = counts.get(cell, 0) + 1
    p = np.array(list(counts.values())) / len(cells)
    return float(-xlogy(p, p).sum() + 0.0)


def distinct_share(samples: Sequence[Hashable]) -> float:
    """Different samples / samples, e.g. of sequences of operations.

    Raises:
      ValueError: no sample.
    """
    if not len(samples):
        raise ValueError("samples is empty")
    return len(set(samples)) / len(samples)


def _several(x: np.ndarray) -> np.ndarray:
    if len(x) < 2:
        raise ValueError(f"{len(x)} embedding has no other one to be held against")
    return x


def _pair(x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    x, y = checked(x, "embeddings").astype(float), checked(y, "the other embeddings").astype(float)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"the embeddings have {x.shape[1]} and {y.shape[1]} dimensions")
    return x, y


def _blocks(x: np.ndarray, others: int):
    step = max(1, BLOCK // others)
    return (x[first : first + step] for first in range(0, len(x), step))


def _least_squares(x: np.ndarray, y: np.ndarray, skip_own: bool = False) -> np.ndarray:
    """[n] the least |x − y|² over y, where asked without y of the same row."""
    norms, found, first = (y**2).sum(axis=1), [], 0
    for rows in _blocks(x, len(y)):
        squares = (rows**2).sum(axis=1)[:, None] + norms - 2 * rows @ y.T
        if skip_own:
            own = np.arange(len(rows))
            squares[own, first + own] = np.inf
        nearest = squares.argmin(axis=1)
        found.append(((rows - y[nearest]) ** 2).sum(axis=1))
        first += len(rows)
    return np.concatenate(found)
