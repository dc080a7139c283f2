"""Noisy points of a manifold in R^D beside the clean ones (arXiv 2303.09863)."""

import dataclasses

import numpy as np

from qdcjax.tasks.manifolds import Embedded


@dataclasses.dataclass(frozen=True)
class Denoising(Embedded):
    """Pairs (x, v): v on a manifold, and x = v + w, where w is a sum of noises of three kinds.

    Attributes:
      manifold, width, seed: of the clean points, see `Embedded`.
      normal: q. At right angles to the manifold, in a uniform direction, with a length uniform
        from 0 to q; E|w|² = q² / 3.
      tangential: σ. Gaussian along the manifold; E|w|² = d σ².
      isotropic: σ. Gaussian in all directions; E|w|² = D σ². Only the part along the manifold,
        d σ², cannot be removed.
    """

    normal: float = 0.0
    tangential: float = 0.0
    isotropic: float = 0.0

    def __post_init__(self):
        for name in ("normal", "tangential", "isotropic"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 0")
        if self.normal and self.normal >= self.manifold.reach:
            raise ValueError(
                f"normal={self.normal} must be under the reach of {self.manifold}, "
                f"{self.manifold.reach:.4g}: from there on points have several nearest ones"
            )
        super().__post_init__()

    @property
    def noise(self) -> float:
        """E|w|²."""
        of_dimensions = (
            self.manifold.dimension * self.tangential**2 + self.width * self.isotropic**2
        )
        return self.normal**2 / 3 + of_dimensions

    def draw(self, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Noisy points [n, D] and their clean ones [n, D], float32."""
        rng = np.random.default_rng([self.seed, seed])
        found = self.manifold.draw(count, rng)
        turn, normals = self.turn, found.normals

        def across(offsets: np.ndarray) -> np.ndarray:
            """The normal parts [n, m] of offsets in R^m."""
            return np.einsum("nkm,nk->nm", normals, np.einsum("nkm,nm->nk", normals, offsets))

        clean, noisy = found.points @ turn.T, 0.0
        if self.normal:
            ambient = rng.normal(size=clean.shape)
            own = ambient @ turn
            normal = ambient + (across(own) - own) @ turn.T
            lengths = rng.uniform(0, self.normal, (count, 1))
            noisy += lengths * normal / np.linalg.norm(normal, axis=1, keepdims=True)
        if self.tangential:
            own = self.tangential * rng.normal(size=found.points.shape)
            noisy += (own - across(own)) @ turn.T
        if self.isotropic:
            noisy += self.isotropic * rng.normal(size=clean.shape)
        return (clean + noisy).astype(np.float32), clean.astype(np.float32)
