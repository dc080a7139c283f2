"""Quality: how far a sample meets its target; a mean over samples."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.special import expit

from qdcjax.measures.intervals import Interval, bootstrap

ELO = 400 / math.log(10)  # points of a factor e in the odds
MIDDLE = 1_000.0  # what players have in the mean
How = Literal["last", "mean", "least", "product"]


def correctness(right: ArrayLike, questions: Sequence[str]) -> Interval:
    """The share of samples whose answer was checked and found right, resampled by question.

    Args:
      right: [n] of 0 and 1.
      questions: [n] which one a sample answers.

    Raises:
      ValueError: no sample, or other lengths.
    """
    return bootstrap(np.asarray(right, float), np.asarray(questions))


def process_correctness(steps: Sequence[ArrayLike]) -> np.ndarray:
    """[n] the share of right steps in each solution, NaN where it has none.

    Args:
      steps: of each solution, [L] whether each step is right.
    """
    return np.array([np.mean(of, dtype=float) if np.size(of) else math.nan for of in steps])


def step_score(scores: ArrayLike, mask: ArrayLike, how: How = "last") -> np.ndarray:
    """[n] one score of a solution from a reward model's scores of its steps.

    `last` is what an outcome reward model says at the end; `mean`, `least` and `product` are of all
    steps.

    Args:
      scores: [n, L], in (0, 1) for the product to mean something.
      mask: [n, L], 1 on steps, of which each solution has one or more.
      how: see above.

    Raises:
      ValueError: other shapes, a solution without steps, or another way.
    """
    scores, there = _masked("scores", scores, mask)
    if how == "last":
        last = there.shape[1] - 1 - there[:, ::-1].argmax(axis=1)
        return scores[np.arange(len(scores)), last]
    if how == "mean":
        return np.where(there, scores, 0).sum(axis=1) / there.sum(axis=1)
    if how == "least":
        return np.where(there, scores, np.inf).min(axis=1)
    if how == "product":
        return np.where(there, scores, 1).prod(axis=1)
    raise ValueError(f"how={how!r} must be last, mean, least or product")


def length_normalised(log_probs: ArrayLike, mask: ArrayLike) -> np.ndarray:
    """[n] (1/L) Σ_t log p(x_t | x_<t) of each sample under a reference model.

    Args:
      log_probs: [n, T] of the tokens.
      mask: [n, T], 1 on the sample's L tokens, of which it has one or more.

    Raises:
      ValueError: other shapes, or a sample without tokens.
    """
    return step_score(log_probs, mask, "mean")


def elo(first: Sequence[str], second: Sequence[str], outcome: ArrayLike) -> dict[str, float]:
    """Ratings by which P(a beats b) = 1 / (1 + 10^((r_b − r_a) / 400)), of the largest likelihood.

    The Bradley–Terry model, which does not depend on the order of the comparisons as the running
    update of chess does. The mean rating is 1,000.

    Args:
      first, second: [n] the two players of each comparison.
      outcome: [n] 1 where the first wins, 0 where the second does, 1/2 for a draw.

    Raises:
      ValueError: other lengths, an outcome outside 0…1, a player against itself, or players that
        the comparisons do not bind: one that always wins has no finite rating.
    """
    scores = np.asarray(outcome, float)
    if not len(first) == len(second) == len(scores) or not len(scores):
        raise ValueError(
            f"first, second and outcome must have one length: {len(first)}, {len(second)}, "
            f"{len(scores)}"
        )
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("outcome must lie in 0…1")
    players = list(dict.fromkeys([*first, *second]))
    numbers = {player: number for number, player in enumerate(players)}
    a, b = (np.array([numbers[player] for player in side]) for side in (first, second))
    if (a == b).any():
        raise ValueError(f"{players[a[a == b][0]]!r} is compared with itself")
    of_first, of_second = scores > 0, scores < 1
    winners = np.concatenate([a[of_first], b[of_second]])
    losers = np.concatenate([b[of_first], a[of_second]])
    won = csr_array((np.ones(len(winners)), (winners, losers)), (len(players),) * 2)
    if connected_components(won, connection="strong")[0] > 1:
        raise ValueError("some players never lose to some others, so that ratings have no bound")

    def loss(r: np.ndarray) -> tuple[float, np.ndarray]:
        ahead = r[a] - r[b]
        terms = np.logaddexp(0, -ahead) * scores + np.logaddexp(0, ahead) * (1 - scores)
        slope = expit(ahead) - scores
        both = np.bincount(a, slope, len(r)) - np.bincount(b, slope, len(r))
        return float(terms.mean()), both / len(scores)

    found = minimize(loss, np.zeros(len(players)), jac=True, method="L-BFGS-B", tol=1e-12).x
    ratings = MIDDLE + ELO * found  # steps from 0 keep the mean
    return {player: float(rating) for player, rating in zip(players, ratings, strict=True)}


def _masked(name: str, values: ArrayLike, mask: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    values, there = np.asarray(values, float), np.asarray(mask) > 0
    if values.ndim != 2 or values.shape != there.shape:
        raise ValueError(
            f"{name} and mask must be [n, L] of one shape: {values.shape}, {there.shape}"
        )
    if not there.any(axis=1).all():
        raise ValueError(f"{name}[{np.argmin(there.any(axis=1))}] has nothing that the mask marks")
    return values, there
