"""Exact nearest neighbours, block by block on the device: never all n × n distances at a time."""

import dataclasses
import functools
import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

Metric = Literal["euclidean", "cosine", "angular"]
METRICS = ("euclidean", "cosine", "angular")
# Points in a block: as many as leave its distances to all others in the cache, but enough to read
# all points seldom; and the most distances that are held at one time.
CACHED, ROWS, HELD = 1 << 20, 256, 1 << 24
SPARE = 8  # candidates more than are asked for, since the first pass rounds


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """The nearest neighbours of each of n different points.

    Attributes:
      distances: [n, k] float64, ascending and positive; the point itself is none of them.
      dropped: how many points were left out since they equal another one.
    """

    distances: np.ndarray
    dropped: int


def nearest(points: ArrayLike, k: int, metric: Metric = "euclidean") -> Neighbours:
    """Distances of each point to its k nearest neighbours, by brute force.

    Points that equal another one are dropped first: a distance of zero says nothing of the
    dimension, and one of them makes a harmonic mean zero.

    |x − y|² = |x|² + |y|² − 2 x·y of centred points finds k + 8 candidates in float32, and the
    distances of those are then computed from x − y. Angles come from the distance c of points on
    the unit sphere: 1 − cos = c² / 2, and the angle is 2 asin(c / 2).

    Args:
      points: [n, D].
      k: how many neighbours.
      metric: `euclidean` |x − y|, `cosine` 1 − cos(x, y), or `angular`, the angle in radians.

    Raises:
      ValueError: points that are no finite matrix, a zero vector where angles are asked for, or
        not more than k different points.
    """
    if metric not in METRICS:
        raise ValueError(f"metric={metric!r} must be one of {', '.join(METRICS)}")
    if k < 1:
        raise ValueError(f"k={k} must be at least 1")
    given = checked(points)
    x = centred(given) if metric == "euclidean" else on_unit_sphere(given)
    x = different(x)
    count, dropped = len(x), len(given) - len(x)
    if count <= k:
        raise ValueError(
            f"k={k} needs at least {k + 1} different points, and there are {count:,}"
            + (f" ({dropped:,} of {len(given):,} equal another one)" if dropped else "")
        )
    # Samples of like numbers of different points share a program, at less than twice the rows.
    rows = min(len(given), 1 << (count - 1).bit_length())
    x = np.pad(x, ((0, rows - count), (0, 0)))
    block = max(1, min(rows, max(ROWS, CACHED // rows), HELD // rows))
    blocks = np.arange(-(-rows // block) * block, dtype=np.int32).reshape(-1, block) % rows
    found = np.asarray(_nearest(x, blocks, count, k), np.float64)
    chords = np.sqrt(found.reshape(-1, k)[:count])
    if metric == "cosine":
        chords = chords**2 / 2
    elif metric == "angular":
        chords = 2 * np.arcsin(np.minimum(chords / 2, 1))
    return Neighbours(chords, dropped)


def checked(points: ArrayLike, name: str = "points") -> np.ndarray:
    """A finite matrix [n, D].

    Raises:
      ValueError: it is none.
    """
    x = np.asarray(points)
    if x.ndim != 2 or not x.size:
        raise ValueError(f"{name} must be a matrix, one point a row: its shape is {x.shape}")
    bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
    if len(bad):
        raise ValueError(f"{name}[{bad[0]}] is not finite ({len(bad):,} of {len(x):,} rows)")
    return x


def centred(points: np.ndarray) -> np.ndarray:
    """float32, less the median of each coordinate, which a few far points do not move."""
    return (points - np.median(points, axis=0)).astype(np.float32)


def on_unit_sphere(points: np.ndarray, dtype: type = np.float32) -> np.ndarray:
    """Each of length 1.

    Raises:
      ValueError: a zero vector, which has no direction.
    """
    lengths = np.linalg.norm(points.astype(np.float64), axis=1)
    if not lengths.all():
        raise ValueError(f"points[{np.argmin(lengths)}] is zero: it has no direction")
    return (points / lengths[:, None]).astype(dtype)


def different(points: np.ndarray) -> np.ndarray:
    """The points, each once, in their order."""
    rows = np.ascontiguousarray(points + 0.0)  # −0 is 0
    whole = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1])))[:, 0]
    return rows[np.sort(np.unique(whole, return_index=True)[1])]


@functools.partial(jax.jit, static_argnames="k")
def _nearest(x: jax.Array, blocks: jax.Array, count: jax.Array, k: int) -> jax.Array:
    """Squared distances [blocks, rows, k] of the points in each block, ascending.

    Those after the first `count` points are none.
    """
    norms = jnp.where(jnp.arange(len(x)) < count, jnp.sum(x * x, axis=1), jnp.inf)
    candidates = min(k + SPARE, len(x))

    def of_block(rows):
        own = x[rows]
        products = jnp.matmul(own, x.T, precision="highest")
        squares = jnp.maximum(norms[rows][:, None] + norms - 2 * products, 0)
        squares = squares.at[jnp.arange(len(rows)), rows].set(jnp.inf)
        near = smallest(squares, candidates)
        exact = jnp.sum((own[:, None] - x[near]) ** 2, axis=-1)
        others = jnp.isfinite(jnp.take_along_axis(squares, near, axis=1))
        exact = jnp.where(others, exact, jnp.inf)
        return jnp.sort(exact, axis=1)[:, :k]

    return jax.lax.map(of_block, blocks)


def smallest(values: jax.Array, count: int) -> jax.Array:
    """Columns [R, count] of the least values of each row [R, n], in any order.

    A row is cut into groups. The least `count` values lie in the `count` groups whose own least
    values are the least: all but these are left out before anything is sorted.
    """
    rows, n = values.shape
    width = max(1, math.isqrt(n // count))
    padding = ((0, 0), (0, -n % width))
    groups = jnp.pad(values, padding, constant_values=jnp.inf).reshape(rows, -1, width)
    _, taken = jax.lax.top_k(-groups.min(axis=-1), count)
    members = jnp.take_along_axis(groups, taken[..., None], axis=1).reshape(rows, -1)
    columns = (taken[..., None] * width + jnp.arange(width)).reshape(rows, -1)
    _, at = jax.lax.top_k(-members, count)
    return jnp.take_along_axis(columns, at, axis=1)


def farthest_points(points: ArrayLike, count: int) -> np.ndarray:
    """[count] rows, each the farthest from those before it (Gonzalez 1985).

    The first is the farthest from the mean. Equal points are chosen again only when no others are
    left.

    Args:
      points: [n, D].
      count: from 1 to n.

    Raises:
      ValueError: points that are no finite matrix, or fewer than `count`.
    """
    x = checked(points).astype(float)
    if not 1 <= count <= len(x):
        raise ValueError(f"count={count} must be from 1 to the {len(x):,} points")
    rows = [int(((x - x.mean(axis=0)) ** 2).sum(axis=1).argmax())]
    squares = np.full(len(x), np.inf)
    while len(rows) < count:
        squares = np.minimum(squares, ((x - x[rows[-1]]) ** 2).sum(axis=1))
        rows.append(int(squares.argmax()))
    return np.asarray(rows)
