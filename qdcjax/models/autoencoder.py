"""Chart autoencoders: a manifold by several charts of d coordinates each (arXiv 2303.09863).

Shapes: B points of D coordinates, C charts of d latent coordinates.
"""

import dataclasses
import math
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from qdcjax.models.norms import spectral_norm


@dataclasses.dataclass(frozen=True)
class ChartConfig:
    """A chart autoencoder's shape; with one chart it is the ordinary autoencoder.

    Attributes:
      ambient: D.
      latent: d, coordinates of a chart.
      charts: C.
      form: how charts make one point. `partition`: their weighted sum, by the weights that the
        encoder gives them (the theory's form). `predictor`: the point of the chart with the largest
        weight (the practical form, after Schonsheck, Chen and Lai 2019, "Chart auto-encoders for
        manifold structured data").
      width: of hidden layers.
      layers: hidden layers of the encoder, and as many of the decoder.
    """

    ambient: int
    latent: int
    charts: int = 4
    form: Literal["partition", "predictor"] = "partition"
    width: int = 64
    layers: int = 2

    def __post_init__(self):
        for name in ("ambient", "latent", "charts", "width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if self.layers < 2:
            raise ValueError(f"layers={self.layers} must be at least 2: one is the charts' own")
        if self.latent > self.ambient:
            raise ValueError(f"latent={self.latent} must be at most ambient={self.ambient}")
        if self.form not in ("partition", "predictor"):
            raise ValueError(f"form={self.form!r} must be partition or predictor")


class PerChart(nn.Module):
    """A dense layer of its own for each chart: [C, B, i] or [1, B, i] → [C, B, o].

    Charts come first, so that each one's product is of arrays that lie together.
    """

    charts: int
    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "c B i"]) -> Float[Array, "C B o"]:
        """x W_a + b_a for each chart a."""
        shape = self.charts, x.shape[-1], self.features
        kernel = self.param("kernel", nn.initializers.lecun_normal(batch_axis=0), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.charts, self.features))
        return x @ kernel + bias[:, None]


class ChartAutoencoder(nn.Module):
    """A shared encoder, chart encoders with weights, chart decoders and a shared last layer.

        h_a = F_a(E(x)),   u_a = sigmoid(A_a h_a) ∈ (0, 1)^d,   p = softmax_a(P_a h_a),
        x̂_a = c_a + L(D_a(u_a))

    and x̂ = Σ_a p_a x̂_a, or x̂_a of the largest p_a. The centres c_a begin at 0, or far apart (see
    `with_centres`).
    """

    config: ChartConfig

    def setup(self):
        """The layers, `layers − 1` of which all charts share before their own."""
        c = self.config
        self.trunk = [nn.Dense(c.width) for _ in range(c.layers - 1)]
        self.inward = PerChart(c.charts, c.width)
        self.coordinates = PerChart(c.charts, c.latent)
        self.weigher = PerChart(c.charts, 1)
        self.outward = [PerChart(c.charts, c.width) for _ in range(c.layers)]
        self.last = nn.Dense(c.ambient)
        self.centres = self.param("centres", nn.initializers.zeros, (c.charts, c.ambient))

    def encode(self, x: Float[Array, "B D"]) -> tuple[Float[Array, "B C d"], Float[Array, "B C"]]:
        """Each chart's coordinates in (0, 1)^d, and the charts' weights, which add to 1."""
        coordinates, logits = self.encode_logits(x)
        return coordinates, jax.nn.softmax(logits)

    def encode_logits(
        self, x: Float[Array, "B D"]
    ) -> tuple[Float[Array, "B C d"], Float[Array, "B C"]]:
        """As `encode`, with the logarithms of weights that do not add to 1 yet."""
        h = x
        for layer in self.trunk:
            h = nn.relu(layer(h))
        h = nn.relu(self.inward(h[None]))
        return nn.sigmoid(self.coordinates(h)).swapaxes(0, 1), self.weigher(h)[..., 0].T

    def decode_charts(self, coordinates: Float[Array, "B C d"]) -> Float[Array, "B C D"]:
        """What each chart makes of its coordinates."""
        h = coordinates.swapaxes(0, 1)
        for layer in self.outward:
            h = nn.relu(layer(h))
        return self.centres + self.last(h).swapaxes(0, 1)

    def decode(
        self, coordinates: Float[Array, "B C d"], weights: Float[Array, "B C"]
    ) -> Float[Array, "B D"]:
        """One point from all charts."""
        points = self.decode_charts(coordinates)
        if self.config.form == "partition":
            return jnp.einsum("bc,bcD->bD", weights, points)
        return jnp.take_along_axis(points, weights.argmax(axis=1)[:, None, None], axis=1)[:, 0]

    def __call__(self, x: Float[Array, "B D"]) -> Float[Array, "B D"]:
        """The point of the manifold that x is a noisy copy of."""
        return self.decode(*self.encode(x))


def with_centres(params, centres: Float[Array, "C D"]):
    """Parameters whose charts begin around `centres`, so that each has points of its own."""
    return {**params, "centres": centres}


def lipschitz_bound(params) -> Float[Array, "C"]:
    """Of each chart's decoder, Π_l |W_l|₂ ≥ its Lipschitz constant, since |relu′| ≤ 1.

    Norms are those of `spectral_norm`, within a hundredth or so.
    """
    layers = [params[name]["kernel"] for name in sorted(params) if name.startswith("outward")]
    norms = [spectral_norm(kernel) for kernel in layers]
    return math.prod(norms) * spectral_norm(params["last"]["kernel"])
