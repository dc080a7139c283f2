"""Distributions on manifolds in R^D, smooth or not, and one of real data (arXiv 2302.13183)."""

import dataclasses
import functools
from typing import Protocol

import numpy as np
from sklearn.datasets import load_digits

from qdcjax.tasks.manifolds import Embedded

TRAINED_ON = 1_000  # digits; the others are held out


class Distribution(Protocol):
    """Something to draw points from.

    Attributes:
      width: D.
    """

    @property
    def width(self) -> int:
        """See above."""

    def draw(self, count: int, seed: int, held_out: bool = True) -> np.ndarray:
        """So many independent points [n, D], float32; those to learn from are not held out."""


@dataclasses.dataclass(frozen=True)
class Density(Embedded):
    """A manifold's own distribution in R^D, changed so that it is not smooth.

    Attributes:
      manifold, width, seed: of all points, see `Embedded`; the seed is that of the atoms too.
      atoms: points, drawn once, that have a part of the mass.
      atoms_share: that part.
      gap: points whose first coordinate in R^m is under this in size are left out.
    """

    atoms: int = 0
    atoms_share: float = 0.0
    gap: float = 0.0

    def __post_init__(self):
        if self.atoms < 0:
            raise ValueError(f"atoms={self.atoms} must be at least 0")
        if not 0 <= self.atoms_share < 1 or bool(self.atoms) != bool(self.atoms_share):
            raise ValueError(
                f"atoms_share={self.atoms_share} must be under 1, and over 0 with {self.atoms=}"
            )
        if self.gap < 0:
            raise ValueError(f"gap={self.gap} must be at least 0")
        super().__post_init__()

    def draw(self, count: int, seed: int, held_out: bool = True) -> np.ndarray:
        """See `Distribution`."""
        rng = np.random.default_rng([self.seed, 1, seed, held_out])
        points = self._smooth(count, rng)
        if self.atoms:
            atoms = self._smooth(self.atoms, np.random.default_rng([self.seed, 2]))
            chosen = rng.random(count) < self.atoms_share
            points[chosen] = atoms[rng.integers(self.atoms, size=int(chosen.sum()))]
        return (points @ self.turn.T).astype(np.float32)

    def _smooth(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """[n, m] outside the gap."""
        found: list[np.ndarray] = []
        tries = 0
        while sum(map(len, found)) < count:
            points = self.manifold.draw(count, rng).points
            found.append(points[np.abs(points[:, 0]) >= self.gap])
            tries += 1
            if tries > 100:
                raise ValueError(f"gap={self.gap} leaves next to nothing of {self.manifold}")
        return np.concatenate(found)[:count]


@dataclasses.dataclass(frozen=True)
class Digits:
    """Scikit-learn's 1,797 handwritten digits of 8 × 8, each of a mean square of about 1.

    The first 1,000 of a fixed order are there to learn from, the others are held out: no more
    than those can be drawn, each once.
    """

    width = 64

    def draw(self, count: int, seed: int, held_out: bool = True) -> np.ndarray:
        """See `Distribution`."""
        every = _digits()
        there = every[TRAINED_ON:] if held_out else every[:TRAINED_ON]
        if count > len(there):
            part = "held out" if held_out else "to learn from"
            raise ValueError(f"{count:,} digits: only {len(there):,} are {part}")
        return there[np.random.default_rng(seed).permutation(len(there))[:count]]


@functools.cache
def _digits() -> np.ndarray:
    digits = load_digits().data / 16
    shuffled = np.random.default_rng(0).permutation(digits)
    return (shuffled / np.sqrt((digits**2).sum(axis=1).mean())).astype(np.float32)
