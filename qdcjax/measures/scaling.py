"""Power laws of loss against data and parameters: fits, their intervals, predicted exponents."""

import dataclasses
import itertools
import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import OptimizeResult, least_squares

from qdcjax.measures.intervals import draws

DELTA = 1e-3  # of Huber's loss: residuals of log loss over it count by their size alone
# Where fits start from: each exponent, and the floor's share of the least loss.
EXPONENTS = (0.1, 0.6)
FLOORS = (0.05, 0.5, 0.95)
LIMITS = (-1.0, 4.0)  # of an exponent beside another term


@dataclasses.dataclass(frozen=True)
class Law:
    """A fitted law L = E + Σ_i A_i x_i^−α_i.

    Attributes:
      floor: E; 0 where the law has none.
      factors: A_i.
      exponents: α_i.
      misfit: the summed Huber loss.
    """

    floor: float
    factors: tuple[float, ...]
    exponents: tuple[float, ...]
    misfit: float

    def __call__(self, *sizes: ArrayLike) -> np.ndarray:
        """The law at sizes x_1, x_2, …"""
        terms = zip(self.factors, self.exponents, sizes, strict=True)
        return self.floor + sum(a * np.asarray(x, float) ** -alpha for a, alpha, x in terms)


def fit_law(sizes: ArrayLike, losses: ArrayLike, floor: bool = True) -> Law:
    """The law whose logarithm is nearest to that of the losses, by Huber's loss with δ = 1e-3:

        min Σ_p Huber_δ( log(exp(e) + Σ_i exp(a_i − α_i log x_pi)) − log L_p ),

    a sum and not a mean, from a grid of starts (Hoffmann et al. 2022, "Training Compute-Optimal
    Large Language Models", section 3.3); beside another term α_i stays between −1 and 4. With one
    size it is a power law with or without a floor, with data and parameters the joint surface.

    Args:
      sizes: [P] or [P, V], positive.
      losses: [P], positive.
      floor: whether there is an E.

    Raises:
      ValueError: sizes or losses that are not positive, or fewer runs of different sizes than the
        law has numbers.
    """
    x, y = _logs(sizes, losses)
    _check(x, floor)
    return _law(x, y, floor, _starts(x, y, floor))


def resampled_exponents(
    sizes: ArrayLike, losses: ArrayLike, floor: bool = True, resamples: int = 200
) -> np.ndarray:
    """The exponents of `fit_law`, and those of resampled runs: [1 + resamples, V], the fit first.

    A resample is fitted from the whole fit. One with too few sizes has NaN. `percentiles` makes
    intervals of them; two laws with as many runs have the same draws.

    Args:
      sizes, losses, floor: see `fit_law`; a row is a run.
      resamples: how many are drawn.
    """
    x, y = _logs(sizes, losses)
    _check(x, floor)
    law = _law(x, y, floor, _starts(x, y, floor))
    found = [law.exponents]
    for counts in draws(len(y), resamples)[1:]:
        rows = np.repeat(np.arange(len(y)), counts.astype(int))
        if _numbers(x, floor) <= len(np.unique(x[rows], axis=0)):
            found.append(_law(x[rows], y[rows], floor, [_solution(law, x[rows])]).exponents)
        else:
            found.append((math.nan,) * len(law.exponents))
    return np.asarray(found)


def data_exponent(dimension: float, smoothness: float = 1.0) -> float:
    """α_D = 2β / (2β + d): the squared error of a β-Hölder target falls as n^−α_D."""
    return 2 * smoothness / (2 * smoothness + dimension)


def model_exponent(dimension: float, smoothness: float = 1.0) -> float:
    """α_N = 2β / d: the squared error of a β-Hölder target falls as N^−α_N in parameters."""
    return 2 * smoothness / dimension


def _logs(sizes: ArrayLike, losses: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms [P, V] and [P]."""
    x, y = np.asarray(sizes, float), np.asarray(losses, float)
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2 or y.shape != x.shape[:1]:
        raise ValueError(f"sizes {x.shape} and losses {y.shape} must have a row for each run")
    for name, of in (("sizes", x), ("losses", y)):
        bad = np.argwhere(~(np.isfinite(of) & (of > 0)))
        if len(bad):
            raise ValueError(f"{name}: run {bad[0][0]} must be positive: {of[tuple(bad[0])]}")
    return np.log(x), np.log(y)


def _numbers(x: np.ndarray, floor: bool) -> int:
    """How many numbers a law has."""
    return 2 * x.shape[1] + floor


def _check(x: np.ndarray, floor: bool) -> None:
    different = len(np.unique(x, axis=0))
    if different < _numbers(x, floor):
        raise ValueError(
            f"sizes: {different} different ones, and the law has {_numbers(x, floor)} numbers"
        )
    for column in x.T:
        if len(np.unique(column)) < 2:
            raise ValueError(
                f"sizes: all runs have {math.exp(column[0]):g}, which tells no exponent"
            )


def _starts(x: np.ndarray, y: np.ndarray, floor: bool) -> list[np.ndarray]:
    """Numbers [a_1 … a_V, α_1 … α_V, e] to begin from, a_i at the mean of log x_i."""
    starts, terms = [], x.shape[1]
    for exponents in itertools.product(EXPONENTS, repeat=terms):
        for share in FLOORS if floor else (0.0,):
            least = share * math.exp(y.min())
            rest = math.log((math.exp(np.median(y)) - least) / terms)
            ends = [math.log(least)] if floor else []
            starts.append(np.array([rest] * terms + list(exponents) + ends))
    return starts


def _solution(law: Law, x: np.ndarray) -> np.ndarray:
    """A law as numbers to begin from; see `_starts`."""
    alphas = np.asarray(law.exponents)
    a = np.log(law.factors) - alphas * x.mean(axis=0)
    return np.concatenate([a, alphas, [math.log(law.floor)] if law.floor else []])


def _law(x: np.ndarray, y: np.ndarray, floor: bool, starts: list[np.ndarray]) -> Law:
    """The best fit from all starts."""
    terms, middle = x.shape[1], x.mean(axis=0)
    centred = x - middle

    def logs_of(numbers: np.ndarray) -> np.ndarray:
        """log of each term [P, V (+ 1)]."""
        of_sizes = numbers[:terms] - numbers[terms : 2 * terms] * centred
        if not floor:
            return of_sizes
        return np.concatenate([of_sizes, np.full((len(y), 1), numbers[-1])], axis=1)

    def residuals(numbers: np.ndarray) -> np.ndarray:
        return np.logaddexp.reduce(logs_of(numbers), axis=1) - y

    def jacobian(numbers: np.ndarray) -> np.ndarray:
        logs = logs_of(numbers)
        shares = np.exp(logs - np.logaddexp.reduce(logs, axis=1, keepdims=True))
        return np.concatenate(
            [shares[:, :terms], -shares[:, :terms] * centred, shares[:, terms:]], axis=1
        )

    # Alone, nothing leads an exponent astray, and a free problem is solved faster.
    low, high = LIMITS if floor or terms > 1 else (-np.inf, np.inf)
    free = np.full(terms, np.inf)
    bounds = (
        np.concatenate([-free, np.full(terms, low), [-np.inf] * floor]),
        np.concatenate([free, np.full(terms, high), [np.inf] * floor]),
    )

    def fit(start: np.ndarray) -> OptimizeResult:
        return least_squares(
            residuals,
            start,
            jacobian,
            bounds=bounds,
            loss="huber",
            f_scale=DELTA,
            xtol=1e-11,
            ftol=1e-11,
            gtol=1e-14,
        )

    best = min((fit(start) for start in starts), key=lambda of: of.cost)
    a, alphas = best.x[:terms], best.x[terms : 2 * terms]
    return Law(
        math.exp(best.x[-1]) if floor else 0.0,
        tuple(np.exp(a + alphas * middle).tolist()),
        tuple(alphas.tolist()),
        float(best.cost),
    )
