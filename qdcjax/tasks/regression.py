"""A regression target whose smoothness and dimension are known: the distance to fixed points."""

import dataclasses
import math

import numpy as np

from qdcjax.tasks.manifolds import Embedded

MANY = 20_000  # points by which the target is standardised


@dataclasses.dataclass(frozen=True)
class DistanceToAnchors(Embedded):
    """f(x) = min_j |x − p_j| over fixed random points p_j of a manifold: Lipschitz, so β = 1.

    Inputs are the D coordinates of x, times √D, so that they do not shrink as D grows; targets are
    standardised, so that the error is a share of their variance.

    Attributes:
      manifold, width, seed: of all points, see `Embedded`; the seed is that of the anchors too.
      anchors: how many p_j.
    """

    anchors: int = dataclasses.field(kw_only=True)

    def __post_init__(self):
        if self.anchors < 1:
            raise ValueError(f"anchors={self.anchors} must be at least 1")
        super().__post_init__()

    def draw(self, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Inputs [n, D] and targets [n], float32."""
        inputs, distances = self._drawn(count, [self.seed, 1, seed])
        typical = self._drawn(MANY, [self.seed, 2])[1]
        return inputs, ((distances - typical.mean()) / typical.std()).astype(np.float32)

    def _drawn(self, count: int, seed: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """Inputs, and distances before they are standardised."""
        anchors = self.manifold.draw(self.anchors, np.random.default_rng([self.seed, 0])).points
        points = self.manifold.draw(count, np.random.default_rng(seed)).points
        squares = ((points[:, None] - anchors) ** 2).sum(axis=-1)
        inputs = (math.sqrt(self.width) * (points @ self.turn.T)).astype(np.float32)
        return inputs, np.sqrt(squares.min(axis=1))
