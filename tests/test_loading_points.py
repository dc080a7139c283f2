"""A finished run's models of points in memory."""

import jax
import numpy as np
import pytest
import runs

import qdcjax
from qdcjax.measures.transport import exact_w1
from qdcjax.tasks.denoising import Denoising
from qdcjax.tasks.densities import Density
from qdcjax.tasks.manifolds import Sphere

pytestmark = pytest.mark.slow


def test_charts_encode_decode_and_denoise():
    workdir = runs.finished("chart_autoencoder")
    charts = qdcjax.load(workdir)
    assert (charts.config.ambient, charts.config.latent, charts.config.charts) == (10, 2, 4)
    noisy, clean = Denoising(Sphere(2), 10, normal=0.5).draw(64, seed=2)
    number, coordinates, weights = charts.encode(noisy)
    assert number.shape == (64,) and coordinates.shape == (64, 4, 2) and weights.shape == (64, 4)
    assert (number == weights.argmax(axis=1)).all() and coordinates.min() > 0
    output = charts.denoise(noisy)
    np.testing.assert_allclose(charts.decode(coordinates, weights), output, atol=1e-5)
    rows = runs.table(workdir, "charts-10-2-errors")
    at = list(zip(rows["case"], rows["size"], strict=True)).index(("sphere2", 64))
    assert ((output - clean) ** 2).sum(axis=1).mean() == pytest.approx(rows["error"][at], rel=1e-5)
    shares = np.bincount(number, minlength=4) / 64
    np.testing.assert_allclose(shares, rows["shares"][at])
    with pytest.raises(ValueError, match=r"points must be \[n, 10\]: their shape is \(64, 3\)"):
        charts.denoise(noisy[:, :3])


def test_generators_sample():
    workdir = runs.finished("generator")
    generator = qdcjax.load(workdir)
    assert (generator.config.ambient, generator.config.latent) == (16, 4)
    found = generator.sample(256)
    assert found.shape == (256, 16)
    np.testing.assert_array_equal(generator.sample(256), found)
    assert not np.allclose(generator.sample(256, jax.random.key(1)), found)
    rows = runs.table(workdir, "sinkhorn-16-4-distances")
    at = list(zip(rows["case"], rows["size"], strict=True)).index(("sphere3", 32))
    held_out = Density(Sphere(3), 16).draw(256, 0)
    assert exact_w1(found, held_out) == pytest.approx(rows["w1"][at], rel=1e-5)
    with pytest.raises(ValueError, match=r"^count=0 must be at least 1$"):
        generator.sample(0)
