"""What k of n samples are worth: any right one, the majority's, the best scored.

Each function is the exact expectation over k-subsets of the n samples drawn without replacement,
and over ties, which are broken uniformly at random. Nothing is resampled.
"""

import collections
import functools
import math
from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

# C(n, k) of more samples overflows a float.
MAX_SAMPLES = 1000


def pass_at_k(n: ArrayLike, c: ArrayLike, k: ArrayLike) -> float | Float[np.ndarray, "..."]:
    """The probability that k of n samples hold a right one (Chen et al. 2021, section 2.1).

        1 − C(n − c, k) / C(n, k) = 1 − Π_{i = n−c+1 … n} (1 − k / i), and 1 where n − c < k

    Args:
      n: samples.
      c: the right ones among them.
      k: samples drawn; all three are integers, or arrays that broadcast.

    Returns:
      A float for scalars, else an array of the broadcast shape.

    Raises:
      ValueError: not 1 ≤ k ≤ n, or not 0 ≤ c ≤ n.
    """
    n, c, k = np.broadcast_arrays(n, c, k)
    if np.any((k < 1) | (k > n)):
        raise ValueError(f"k must lie in 1 … n: k = {k.tolist()}, n = {n.tolist()}")
    if np.any((c < 0) | (c > n)):
        raise ValueError(f"c must lie in 0 … n: c = {c.tolist()}, n = {n.tolist()}")
    none_right = np.ones(n.shape)
    for i in range(1, int(n.max(initial=0)) + 1):
        # Below i = k the factors are negative, but the one at i = k is 0: so are they made here.
        factor = np.maximum(0.0, 1 - k / i)
        none_right = none_right * np.where((n - c < i) & (i <= n), factor, 1.0)
    value = 1 - none_right
    return float(value) if value.ndim == 0 else value


def majority_at_k(answers: Sequence[Hashable | None], gold: Hashable, k: int) -> float:
    """The probability that the majority vote of k samples is right.

    Votes are grouped by answer and unparsable ones dropped; a subset without a parsable vote is
    wrong. With m votes for the gold answer, m_j for another, z dropped and g of the gold votes in
    the subset, the subsets in which no other answer has more than g votes, and t have as many, are
    counted by

        C(m, g) · [x^(k−g) y^t] (1 + x)^z · Π_j (Σ_{v<g} C(m_j, v) x^v + C(m_j, g) x^g y)

    and each is right with probability 1 / (1 + t).

    Args:
      answers: n normalised answers, None for an unparsable one; n is at most `MAX_SAMPLES`.
      gold: the normalised right answer.
      k: samples drawn.

    Raises:
      ValueError: not 1 ≤ k ≤ n, n too large, or gold is None.
    """
    from scipy.signal import convolve2d  # here, for it would cost every program half a second

    n = len(answers)
    _check_k(n, k)
    if gold is None:
        raise ValueError("gold is None: give the normalised right answer")
    votes = collections.Counter(answers)
    dropped, gold_votes = votes.pop(None, 0), votes.pop(gold, 0)
    others = sorted(votes.values())
    right = 0.0
    for g in range(1, min(gold_votes, k) + 1):
        rivals = [m for m in others if m >= g]
        # Answers that cannot reach g votes are as free as dropped ones.
        free = dropped + sum(others) - sum(rivals)
        ways = _binomials(free)[None, : k - g + 1]
        for m in rivals:
            factor = np.zeros((2, g + 1))
            factor[0, :g], factor[1, g] = _binomials(m)[:g], math.comb(m, g)
            ways = convolve2d(ways, factor)[: k // g, : k - g + 1]
        if ways.shape[1] > k - g:
            ties = np.arange(len(ways))
            right += math.comb(gold_votes, g) * float(np.sum(ways[:, k - g] / (1 + ties)))
    return min(1.0, right / math.comb(n, k))


def rerank_at_k(scores: ArrayLike, correct: ArrayLike, k: int) -> float:
    """The probability that the best scored of k samples is right.

    The best of a subset lies among the s samples of one score, with b samples below it, in
    C(b + s, k) − C(b, k) of the C(n, k) subsets; it is then each of the s equally often.

    Args:
      scores: [n] scores, higher is better; n is at most `MAX_SAMPLES`.
      correct: [n] whether each sample is right.
      k: samples drawn.

    Raises:
      ValueError: not 1 ≤ k ≤ n, n too large, lengths differ, or a score is NaN.
    """
    scores, correct = np.asarray(scores), np.asarray(correct)
    if scores.ndim != 1 or scores.shape != correct.shape:
        raise ValueError(
            f"scores and correct must be two lists of one length: {scores.shape}, {correct.shape}"
        )
    _check_k(len(scores), k)
    if np.isnan(scores).any():
        raise ValueError(f"scores[{int(np.argmax(np.isnan(scores)))}] is NaN: it has no rank")
    _, level, size = np.unique(scores, return_inverse=True, return_counts=True)
    share = np.bincount(level, weights=correct) / size
    up_to = [0, *np.cumsum(size).tolist()]
    subsets = np.diff(_choose(len(scores), k)[up_to])
    return float(np.sum(share * subsets))


def _check_k(n: int, k: int) -> None:
    if not 1 <= k <= n:
        raise ValueError(f"k must lie in 1 … n: k = {k}, n = {n}")
    if n > MAX_SAMPLES:
        raise ValueError(f"{n} samples are too many: at most {MAX_SAMPLES}")


@functools.cache
def _binomials(m: int) -> np.ndarray:
    """[m + 1]: C(m, 0 … m), as floats."""
    return np.array([math.comb(m, v) for v in range(m + 1)], dtype=float)


@functools.cache
def _choose(n: int, k: int) -> np.ndarray:
    """[n + 1]: C(b, k) / C(n, k) for b = 0 … n, the share of k-subsets among the first b of n."""
    total = math.comb(n, k)
    return np.array([math.comb(b, k) / total for b in range(n + 1)])
