"""Noise is of the kind and size that it is called, and is asked for within bounds."""

import numpy as np
import pytest

from qdcjax.tasks.denoising import Denoising
from qdcjax.tasks.manifolds import FlatTorus, Sphere, SwissRoll, Torus, Union, embedding

N = 20_000
EVERY = (Sphere(1), Sphere(4), FlatTorus(2), Torus(), SwissRoll(), Union((Sphere(2), Torus())))


def pairs(manifold, **noise):
    return Denoising(manifold, 12, **noise).draw(N, seed=1)


@pytest.mark.parametrize("manifold", EVERY, ids=str)
def test_normal_noise_moves_no_nearest_point(manifold):
    """A point within the reach along a normal still has the clean one as the nearest."""
    noisy, clean = pairs(manifold, normal=0.9 * manifold.reach)
    lengths = np.linalg.norm(noisy - clean, axis=1)
    turn = embedding(manifold.ambient, 12, 0)
    others = manifold.draw(N, np.random.default_rng(7)).points @ turn.T
    nearest = np.min(np.linalg.norm(noisy[:100, None] - others[None], axis=-1), axis=1)
    assert (nearest >= lengths[:100] - 1e-5).all()
    np.testing.assert_allclose(np.sort(lengths) / lengths.max(), np.arange(N) / N, atol=0.02)


@pytest.mark.parametrize("manifold", EVERY, ids=str)
@pytest.mark.parametrize("noise", [{"normal": 0.1}, {"tangential": 0.1}, {"isotropic": 0.1}])
def test_squared_lengths_are_as_stated(manifold, noise):
    noisy, clean = pairs(manifold, **noise)
    squares = ((noisy - clean) ** 2).sum(axis=1)
    expected = Denoising(manifold, 12, **noise).noise
    assert squares.mean() == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("manifold", EVERY, ids=str)
def test_normal_noise_fills_the_normal_space_evenly_and_tangential_the_rest(manifold):
    """Of unit directions, each normal coordinate has a mean square of 1 / (D − d)."""
    d, turn = manifold.dimension, embedding(manifold.ambient, 12, 0)
    normals = manifold.draw(N, np.random.default_rng([0, 1])).normals @ turn.T  # [n, m − d, D]
    noisy, clean = pairs(manifold, normal=0.1)
    unit = (noisy - clean) / np.linalg.norm(noisy - clean, axis=1, keepdims=True)
    own = np.einsum("nkD,nD->nk", normals, unit)
    shares = (own**2).mean(axis=0)
    np.testing.assert_allclose(shares, 1 / (12 - d), rtol=0.06)
    outside = unit - unit @ turn @ turn.T
    assert ((outside**2).sum(axis=1).mean() + shares.sum()) == pytest.approx(1, abs=1e-3)

    noisy, clean = pairs(manifold, tangential=0.1)
    moved = noisy - clean
    assert np.abs(np.einsum("nkD,nD->nk", normals, moved)).max() < 1e-5
    np.testing.assert_allclose(moved @ turn @ turn.T, moved, atol=1e-5)


def test_draws_are_of_their_seeds():
    task = Denoising(Sphere(2), 5, normal=0.3)
    np.testing.assert_array_equal(task.draw(10, 0), task.draw(10, 0))
    assert not np.allclose(task.draw(10, 0)[1], task.draw(10, 1)[1])
    other = Denoising(Sphere(2), 5, normal=0.3, seed=1)
    assert not np.allclose(task.draw(10, 0)[1], other.draw(10, 0)[1])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"normal": 1.0}, r"normal=1\.0 must be under the reach of Sphere\(dimension=2\), 1:"),
        ({"tangential": -0.1}, r"tangential=-0\.1 must be at least 0"),
        ({"isotropic": -1}, "isotropic=-1 must be at least 0"),
        ({"width": 2}, "D=2 must be at least 3, that the manifold lies in"),
    ],
)
def test_bad_noise_is_named_in_one_line(fields, words):
    with pytest.raises(ValueError, match=f"^{words}"):
        Denoising(**{"manifold": Sphere(2), "width": 5, **fields})
