"""Wasserstein-1 distances between samples, with the cost |x − y|, beside the floor of sampling.

Two samples of one distribution in d dimensions are apart too, by about n^(−1/d): a distance says
something only beside that floor at the same size.
"""

import dataclasses
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from ott.geometry.costs import Euclidean
from ott.tools.sinkhorn_divergence import sinkdiv
from scipy import sparse
from scipy.optimize import linear_sum_assignment, linprog
from scipy.spatial.distance import cdist

from qdcjax.measures.intervals import Interval, students_t
from qdcjax.measures.neighbours import checked

Draw = Callable[[int, np.random.Generator], np.ndarray]  # so many points [n, D], independent
PAIRS = 40  # of fresh samples: single pairs spread by a quarter at d = 1


@dataclasses.dataclass(frozen=True)
class Distance:
    """A distance beside its floor.

    Attributes:
      value: between the two samples.
      floor: the mean between fresh samples of the same size, with its interval.
    """

    value: float
    floor: Interval

    @property
    def excess(self) -> Interval:
        """Value − floor."""
        low, high = self.value - self.floor.high, self.value - self.floor.low
        return Interval(self.value - self.floor.value, low, high, self.floor.method)


def exact_w1(x: ArrayLike, y: ArrayLike) -> float:
    """W1 = min over permutations π of (1/n) Σ_i |x_i − y_π(i)|, by linear assignment.

    Args:
      x, y: [n, D], of one shape.

    Raises:
      ValueError: other shapes, or points that are not finite.
    """
    x, y = _pair(x, y)
    if len(x) != len(y):
        raise ValueError(
            f"x and y have {len(x):,} and {len(y):,} points: an assignment needs as many; "
            "w1 takes unequal numbers"
        )
    costs = cdist(x, y)
    return float(costs[linear_sum_assignment(costs)].mean())


def w1(
    x: ArrayLike,
    y: ArrayLike,
    x_weights: ArrayLike | None = None,
    y_weights: ArrayLike | None = None,
) -> float:
    """W1 = min Σ_ij P_ij |x_i − y_j| over P ≥ 0 with the weights as margins, by linear programming.

    Args:
      x, y: [n, D] and [m, D].
      x_weights, y_weights: [n] and [m], which are scaled to add to 1; all alike by default.

    Raises:
      ValueError: other shapes, numbers that are not finite, weights below 0 or all 0.
      RuntimeError: the program was not solved.
    """
    x, y = _pair(x, y)
    a, b = _weights("x_weights", x_weights, len(x)), _weights("y_weights", y_weights, len(y))
    rows = sparse.kron(sparse.eye_array(len(x)), np.ones((1, len(y))))
    columns = sparse.kron(np.ones((1, len(x))), sparse.eye_array(len(y)))
    margins = sparse.vstack([rows, columns]).tocsr()
    # One of the margins follows from the others.
    found = linprog(
        cdist(x, y).ravel(), A_eq=margins[:-1], b_eq=np.concatenate([a, b])[:-1], method="highs"
    )
    if not found.success:
        raise RuntimeError(f"the linear program of {len(x):,} × {len(y):,}: {found.message}")
    return float(found.fun)


def sinkhorn_divergence(x: ArrayLike, y: ArrayLike, epsilon: float) -> float:
    """S(x, y) = T(x, y) − (T(x, x) + T(y, y)) / 2, T the entropic transport with cost |x − y|.

    T has the penalty ε KL(P | a ⊗ b) (Feydy et al. 2019, "Interpolating between Optimal Transport
    and MMD using Sinkhorn Divergences"). It is 0 where x is y, and W1 in the limit of ε → 0.

    Args:
      x, y: [n, D] and [m, D].
      epsilon: ε, in the unit of the cost.

    Raises:
      ValueError: other shapes, points that are not finite, ε not positive.
      RuntimeError: the iterations did not converge.
    """
    x, y = _pair(x, y)
    if epsilon <= 0:
        raise ValueError(f"epsilon={epsilon} must be over 0")
    middle = np.concatenate([x, y]).mean(axis=0)
    points = [jnp.asarray(of - middle, jnp.float32) for of in (x, y)]
    value, found = sinkdiv(*points, cost_fn=Euclidean(), epsilon=epsilon)
    if not all(found.converged):
        raise RuntimeError(f"epsilon={epsilon}: Sinkhorn's iterations did not converge; raise it")
    return float(value)


def floor_w1(draw: Draw, count: int, pairs: int = PAIRS, seed: int = 0) -> Interval:
    """The mean of `exact_w1` over independent pairs of fresh samples, with Student's interval.

    Pairs are matched on all cores.

    Args:
      draw: of points.
      count: of each sample.
      pairs: how many, at least 2.
      seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    drawn = ((draw(count, rng), draw(count, rng)) for _ in range(pairs))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = students_t(list(pool.map(lambda pair: exact_w1(*pair), drawn)))
    return dataclasses.replace(found, method=f"{found.method.removesuffix('seeds')}pairs")


def beside_floor(x: ArrayLike, y: ArrayLike, draw: Draw, pairs: int = PAIRS) -> Distance:
    """`exact_w1` of two samples, beside the floor at their size; see `floor_w1`."""
    return Distance(exact_w1(x, y), floor_w1(draw, len(np.asarray(x)), pairs))


def _pair(x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    x, y = (checked(of, name).astype(float) for name, of in (("x", x), ("y", y)))
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"x and y lie in {x.shape[1]} and {y.shape[1]} dimensions")
    return x, y


def _weights(name: str, weights: ArrayLike | None, count: int) -> np.ndarray:
    w = np.ones(count) if weights is None else np.asarray(weights, float)
    if w.shape != (count,):
        raise ValueError(f"{name} must be one for each of {count:,} points: its shape is {w.shape}")
    if not (np.isfinite(w).all() and (w >= 0).all() and w.any()):
        raise ValueError(f"{name} must be finite, none below 0, and one above")
    return w / w.sum()
