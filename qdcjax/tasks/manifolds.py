"""Points on manifolds of known dimension d, embedded in R^D by a random orthonormal map.

Each lies in a smallest Euclidean space R^m of its own, within a ball of radius about 1; the map
R^m → R^D keeps all distances.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Protocol

import numpy as np

BLOCK = 256  # points whose offsets to all others are held at once


@dataclasses.dataclass(frozen=True)
class Points:
    """Independent points of a manifold.

    Attributes:
      points: [n, m].
      normals: [n, m − d, m] an orthonormal basis of the normal space at each.
    """

    points: np.ndarray
    normals: np.ndarray


class Manifold(Protocol):
    """A compact set of known dimension.

    Attributes:
      dimension: d.
      ambient: m.
      reach: τ, the largest distance within which every point has one nearest point of the set.
    """

    @property
    def dimension(self) -> int:
        """See above."""

    @property
    def ambient(self) -> int:
        """See above."""

    @property
    def reach(self) -> float:
        """See above."""

    def draw(self, count: int, rng: np.random.Generator) -> Points:
        """So many points; uniform by volume, where the class does not say otherwise."""


@dataclasses.dataclass(frozen=True)
class Sphere:
    """S^d, of radius 1, in R^(d+1); S^1 is the circle."""

    dimension: int
    reach = 1.0

    def __post_init__(self):
        at_least(self.dimension, 1)

    @property
    def ambient(self) -> int:
        """d + 1."""
        return self.dimension + 1

    def draw(self, count: int, rng: np.random.Generator) -> Points:
        """See `Manifold`."""
        x = rng.normal(size=(count, self.ambient))
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        return Points(x, x[:, None])


@dataclasses.dataclass(frozen=True)
class FlatTorus:
    """The product of d circles, each of radius 1/√d, in R^2d."""

    dimension: int

    def __post_init__(self):
        at_least(self.dimension, 1)

    @property
    def ambient(self) -> int:
        """2 d."""
        return 2 * self.dimension

    @property
    def reach(self) -> float:
        """The circles' radius."""
        return 1 / math.sqrt(self.dimension)

    def draw(self, count: int, rng: np.random.Generator) -> Points:
        """See `Manifold`."""
        d = self.dimension
        angles = rng.uniform(0, 2 * np.pi, (count, d))
        circles = np.stack([np.cos(angles), np.sin(angles)], axis=-1)  # [n, d, 2]
        normals = np.eye(d)[None, :, :, None] * circles[:, None]  # [n, d, d, 2]
        return Points(
            circles.reshape(count, -1) / math.sqrt(d), normals.reshape(count, d, self.ambient)
        )


@dataclasses.dataclass(frozen=True)
class Torus:
    """The torus in R^3: a tube around a circle, whose radii add to 1.

    Attributes:
      tube: radius of the tube, under 1/2.
    """

    tube: float = 0.25
    dimension = 2
    ambient = 3

    def __post_init__(self):
        if not 0 < self.tube < 0.5:
            raise ValueError(f"tube={self.tube} must lie between 0 and .5")

    @property
    def reach(self) -> float:
        """To the tube's middle, or to the axis from the ring's inner side."""
        return min(self.tube, 1 - 2 * self.tube)

    def draw(self, count: int, rng: np.random.Generator) -> Points:
        """See `Manifold`."""
        ring = 1 - self.tube
        around = rng.uniform(0, 2 * np.pi, count)
        across = by_rejection(
            lambda n: rng.uniform(0, 2 * np.pi, n),
            lambda a: ring + self.tube * np.cos(a),
            1,
            count,
            rng,
        )
        outward = np.stack([np.cos(around), np.sin(around), np.zeros(count)], axis=1)
        normal = np.cos(across)[:, None] * outward
        normal[:, 2] = np.sin(across)
        return Points(ring * outward + self.tube * normal, normal[:, None])


@dataclasses.dataclass(frozen=True)
class SwissRoll:
    """A strip that is rolled up in R^3: (t cos t, h, t sin t), t from 3π/2 to 9π/2, scaled.

    Attributes:
      height: of the strip, h from −height/2 to height/2, where the roll's radius is 1.
    """

    height: float = 1.0
    dimension = 2
    ambient = 3

    def __post_init__(self):
        if self.height <= 0:
            raise ValueError(f"height={self.height} must be over 0")

    @functools.cached_property
    def reach(self) -> float:
        """See `measured_reach`; about half the distance between two turns."""
        return measured_reach(self)

    def draw(self, count: int, rng: np.random.Generator) -> Points:
        """See `Manifold`."""
        least, most = 1.5 * np.pi, 4.5 * np.pi
        t = by_rejection(
            lambda n: rng.uniform(least, most, n),
            lambda t: np.hypot(1, t),
            np.hypot(1, most),
            count,
            rng,
        )
        h = self.height * rng.uniform(-0.5, 0.5, count)
        points = np.stack([t * np.cos(t) / most, h, t * np.sin(t) / most], axis=1)
        cos, sin, zero = np.cos(t), np.sin(t), np.zeros(count)
        normals = np.stack([sin + t * cos, zero, t * sin - cos], axis=1)
        return Points(points, (normals / np.hypot(1, t)[:, None])[:, None])


@dataclasses.dataclass(frozen=True)
class GenusTwo:
    """The closed surface with two holes ((x (x−1)² (x−2) + y²)² + z² = .01), centred and halved.

    Points are drawn from a thin shell around the surface and moved onto it, so that they are
    uniform but for the square of the shell's thickness.
    """

    dimension = 2
    ambient = 3

    @functools.cached_property
    def reach(self) -> float:
        """See `measured_reach`; about half the surface's thickness."""
        return measured_reach(self)

    def draw(self, count: int, rng: np.random.Generator) -> Points:
        """See `Manifold`."""
        least, most = np.array([-0.2, -0.8, -0.15]), np.array([2.2, 0.8, 0.15])
        found, shell = [], 0.01
        while sum(map(len, found)) < count:
            x = rng.uniform(least, most, (16 * count + 1_000, 3))
            value, gradient = self._implicit(x)
            near = np.abs(value) < shell * np.linalg.norm(gradient, axis=1)
            found.append(x[near])
        x = np.concatenate(found)[:count]
        for _ in range(20):
            value, gradient = self._implicit(x)
            x = x - (value / (gradient**2).sum(axis=1))[:, None] * gradient
        gradient = self._implicit(x)[1]
        normals = gradient / np.linalg.norm(gradient, axis=1, keepdims=True)
        return Points((x - [1, 0, 0]) / 2, normals[:, None])

    @staticmethod
    def _implicit(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The function that is 0 on the surface [n], and its gradient [n, 3]."""
        a, b, c = x.T
        curve = a * (a - 1) ** 2 * (a - 2) + b**2
        slope = (a - 1) ** 2 * (a - 2) + 2 * a * (a - 1) * (a - 2) + a * (a - 1) ** 2
        gradient = np.stack([2 * curve * slope, 4 * curve * b, 2 * c], axis=1)
        return curve**2 + c**2 - 0.01, gradient


@dataclasses.dataclass(frozen=True)
class RandomManifold:
    """The image of the flat torus of d angles under random waves, in R^(2d+1).

    Coordinate j is Σ_t a_jt cos(k_jt · θ + b_jt), where one or two of the d numbers in k_jt are 1
    or −1 and the others 0. A generic smooth map into so many dimensions is an embedding (Whitney).
    Angles are uniform, so that points are not, by volume.

    Attributes:
      dimension: d.
      seed: of the waves.
      waves: of each coordinate.
    """

    dimension: int
    seed: int = 0
    waves: int = 4

    def __post_init__(self):
        at_least(self.dimension, 1)
        at_least(self.waves, 1, "waves")

    @property
    def ambient(self) -> int:
        """2 d + 1."""
        return 2 * self.dimension + 1

    @functools.cached_property
    def reach(self) -> float:
        """See `measured_reach`."""
        return measured_reach(self)

    def draw(self, count: int, rng: np.random.Generator) -> Points:
        """See `Manifold`."""
        frequencies, phases, amplitudes = self._waves()
        angles = rng.uniform(0, 2 * np.pi, (count, self.dimension))
        phase = np.einsum("jtd,nd->njt", frequencies, angles) + phases
        points = (amplitudes * np.cos(phase)).sum(axis=-1)
        slopes = np.einsum("njt,jtd->njd", -amplitudes * np.sin(phase), frequencies)
        whole = np.linalg.qr(slopes, mode="complete").Q  # [n, m, m], of which d columns are tangent
        return Points(points, whole[:, :, self.dimension :].swapaxes(1, 2))

    def _waves(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Frequencies [m, T, d], phases and amplitudes [m, T]."""
        rng, d = np.random.default_rng(self.seed), self.dimension
        shape = self.ambient, self.waves
        frequencies = np.zeros((*shape, d))
        for wave in np.ndindex(*shape):
            axes = rng.choice(d, size=min(d, rng.integers(1, 3)), replace=False)
            frequencies[wave][axes] = rng.choice([-1, 1], size=len(axes))
        amplitudes = rng.normal(size=shape) / math.sqrt(self.ambient * self.waves / 2)
        return frequencies, rng.uniform(0, 2 * np.pi, shape), amplitudes


@dataclasses.dataclass(frozen=True)
class Union:
    """Several manifolds of one dimension, apart from each other, each as likely.

    Attributes:
      parts: the manifolds; the smaller ambient spaces are filled up with zeros.
      gap: distance between the centres of two that follow each other, along an axis of its own.
    """

    parts: tuple[Manifold, ...]
    gap: float = 3.0

    def __post_init__(self):
        if len({part.dimension for part in self.parts}) != 1:
            raise ValueError(f"parts={self.parts} must be manifolds of one dimension")

    @property
    def dimension(self) -> int:
        """d of each part."""
        return self.parts[0].dimension

    @property
    def ambient(self) -> int:
        """The largest of the parts', and one."""
        return max(part.ambient for part in self.parts) + 1

    @property
    def reach(self) -> float:
        """The least of the parts', or half of the gap."""
        return min(self.gap / 2, *(part.reach for part in self.parts))

    def draw(self, count: int, rng: np.random.Generator) -> Points:
        """See `Manifold`."""
        of_part = rng.integers(len(self.parts), size=count)
        points = np.zeros((count, self.ambient))
        normals = np.zeros((count, self.ambient - self.dimension, self.ambient))
        for number, part in enumerate(self.parts):
            rows = of_part == number
            own, m = part.draw(int(rows.sum()), rng), part.ambient
            points[rows, :m] = own.points
            points[rows, -1] = self.gap * (number - (len(self.parts) - 1) / 2)
            normals[rows, : m - self.dimension, :m] = own.normals
            for extra, axis in enumerate(range(m, self.ambient), m - self.dimension):
                normals[rows, extra, axis] = 1
        return Points(points, normals)


def measured_reach(manifold: Manifold, count: int = 4_000, seed: int = 0) -> float:
    """min |y − x|² / (2 |the normal part at x of y − x|) over pairs of so many points.

    Over all pairs the infimum is τ (Federer 1959, "Curvature measures", theorem 4.18); over a
    sample it is more: in two dimensions a little, in many of them, where neighbours are far, a lot.
    """
    found, least = manifold.draw(count, np.random.default_rng(seed)), math.inf
    for first in range(0, count, BLOCK):
        rows = slice(first, first + BLOCK)
        offsets = found.points - found.points[rows, None]  # [b, n, m]
        away = np.linalg.norm(np.einsum("bnm,bkm->bnk", offsets, found.normals[rows]), axis=-1)
        squares = (offsets**2).sum(axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            least = min(least, float(np.nanmin(squares / (2 * away))))
    return least


def embedding(ambient: int, width: int, seed: int) -> np.ndarray:
    """A random orthonormal map R^m → R^D, as a matrix [D, m] whose columns are orthonormal.

    Raises:
      ValueError: D is under m.
    """
    if width < ambient:
        raise ValueError(f"D={width} must be at least {ambient}, that the manifold lies in")
    random = np.random.default_rng(seed).normal(size=(width, ambient))
    q, r = np.linalg.qr(random)
    return q * np.sign(np.diag(r))


@dataclasses.dataclass(frozen=True)
class Embedded:
    """A manifold in R^D, by a random orthonormal map.

    Attributes:
      manifold: in its own R^m.
      width: D.
      seed: of the map.
    """

    manifold: Manifold
    width: int
    seed: int = 0

    def __post_init__(self):
        self.turn  # noqa: B018  # raises where D is too small

    @functools.cached_property
    def turn(self) -> np.ndarray:
        """[D, m], the map R^m → R^D."""
        return embedding(self.manifold.ambient, self.width, self.seed)


def by_rejection(
    propose: Callable[[int], np.ndarray],
    density: Callable[[np.ndarray], np.ndarray],
    most: float,
    count: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """So many independent draws of a density that is at most `most`, from uniform proposals."""
    found = np.zeros(0)
    while len(found) < count:
        x = propose(2 * count + 10)
        found = np.concatenate([found, x[rng.uniform(0, most, len(x)) < density(x)]])
    return found[:count]


def at_least(value: int, least: int, name: str = "dimension") -> None:
    """Raises ValueError where a field is too small."""
    if value < least:
        raise ValueError(f"{name}={value} must be at least {least}")
