"""An archive of elites: the best sample of each cell (MAP-Elites, Mouret and Clune 2015).

Pure functions of arrays, which jit and vmap. Shapes: C cells, B candidates.
"""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from numpy.typing import ArrayLike


@flax.struct.dataclass
class Archive:
    """The elites.

    Attributes:
      fitness: [C] of each cell's elite, −∞ where a cell is empty.
      elites: a tree of [C, …], what is kept of each; zeros where a cell is empty.
    """

    fitness: Float[Array, "C"]
    elites: Any

    @property
    def filled(self) -> Bool[Array, "C"]:
        """Which cells have an elite."""
        return self.fitness > -jnp.inf


def empty(cells: int, like: Any) -> Archive:
    """An archive without elites.

    Args:
      cells: C.
      like: a tree of arrays, of the shapes and types that one sample has.

    Raises:
      ValueError: less than one cell.
    """
    if cells < 1:
        raise ValueError(f"cells={cells} must be at least 1")
    blank = lambda x: jnp.zeros((cells, *jnp.shape(x)), jnp.result_type(x))  # noqa: E731
    return Archive(jnp.full(cells, -jnp.inf), jax.tree.map(blank, like))


@jax.jit
def add(
    archive: Archive, cells: Int[Array, "B"], fitness: Float[Array, "B"], samples: Any
) -> tuple[Archive, Bool[Array, "B"]]:
    """The archive after B candidates came one after another, and which of them are elites in it.

    A candidate takes its cell when it is better than the elite there: a tie keeps the incumbent,
    and of equal candidates the first. One whose fitness is NaN or −∞, or whose cell is none of
    0 … C − 1, takes none.

    Args:
      archive: before.
      cells: of the candidates.
      fitness: likewise.
      samples: a tree of [B, …].
    """
    count, total = len(fitness), len(archive.fitness)
    valid = (fitness > -jnp.inf) & (cells >= 0) & (cells < total)
    fitness, cells = jnp.where(valid, fitness, -jnp.inf), jnp.where(valid, cells, total)
    best = jax.ops.segment_max(fitness, cells, total + 1)
    order = jnp.arange(count)
    leads = valid & (fitness == best[cells]) & (best[cells] > archive.fitness[cells % total])
    first = jax.ops.segment_min(jnp.where(leads, order, count), cells, total + 1)
    entered = leads & (order == first[cells])
    to = jnp.where(entered, cells, total)  # what lies outside is dropped
    put = lambda old, new: old.at[to].set(new, mode="drop")  # noqa: E731
    elites = jax.tree.map(put, archive.elites, samples)
    return Archive(put(archive.fitness, fitness), elites), entered


def coverage(archive: Archive) -> Float[Array, ""]:
    """Filled cells / cells."""
    return archive.filled.mean()


def qd_score(archive: Archive, offset: float = 0.0) -> Float[Array, ""]:
    """Σ (fitness − offset) over the filled cells (Pugh et al. 2016, "Quality Diversity").

    It grows with every cell that is filled only where no fitness is under the offset.
    """
    return jnp.where(archive.filled, archive.fitness - offset, 0.0).sum()


def grid_cells(features: ArrayLike, lows: ArrayLike, highs: ArrayLike, counts: ArrayLike):
    """[B] the cell of each row of features [B, K] in a grid of Π counts cells.

    Feature k is cut into `counts[k]` intervals of one length from `lows[k]` to `highs[k]`; what
    lies outside is in the first or the last of them.

    Raises:
      ValueError: a feature that is NaN, or a range or a count that is none.
    """
    x = np.atleast_2d(np.asarray(features, float))
    low, high, count = (np.asarray(of) for of in (lows, highs, counts))
    if np.isnan(x).any():
        raise ValueError(f"features[{np.isnan(x).any(axis=1).argmax()}] is NaN")
    if not ((low < high).all() and (count >= 1).all()):
        raise ValueError(f"lows={lows}, highs={highs}, counts={counts} leave no cells")
    steps = np.floor((x - low) / (high - low) * count)
    return np.ravel_multi_index(tuple(np.clip(steps, 0, count - 1).astype(int).T), tuple(count))
