"""Atoms have their mass, gaps have none, and what is held out is not learned from."""

import numpy as np
import pytest

from qdcjax.tasks.densities import Density, Digits
from qdcjax.tasks.manifolds import Sphere, Union

N = 20_000


def test_a_plain_density_is_the_manifold_s():
    found = Density(Sphere(2), 16).draw(N, 0)
    assert found.shape == (N, 16) and found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert np.linalg.matrix_rank(found[:100], tol=1e-3) == 3


def test_atoms_have_their_mass_and_are_the_same_in_every_draw():
    density, atoms = Density(Sphere(2), 5, atoms=3, atoms_share=0.4), None
    for seed, held_out in ((0, True), (1, True), (0, False)):
        points, counts = np.unique(
            density.draw(N, seed, held_out).round(5), axis=0, return_counts=True
        )
        heavy = counts > 1_000
        assert heavy.sum() == 3 and counts[~heavy].max() < 10
        assert counts[heavy].sum() / N == pytest.approx(0.4, abs=0.02)
        np.testing.assert_allclose(counts[heavy] / N, 0.4 / 3, atol=0.02)
        atoms = points[heavy] if atoms is None else atoms
        np.testing.assert_allclose(points[heavy], atoms, atol=2e-5)


def test_gaps_are_empty_and_the_rest_is_as_before():
    density = Density(Sphere(3), 9, gap=0.3)
    own = density.draw(N, 0) @ density.turn
    assert np.abs(own[:, 0]).min() >= 0.3 - 1e-6
    assert 0.45 < (own[:, 0] > 0).mean() < 0.55
    np.testing.assert_allclose(own[:, 1:].mean(axis=0), 0, atol=0.02)


def test_draws_are_of_their_seeds_and_held_out_ones_are_others():
    density = Density(Union((Sphere(2), Sphere(2))), 8)
    np.testing.assert_array_equal(density.draw(50, 3), density.draw(50, 3))
    assert not np.allclose(density.draw(50, 3), density.draw(50, 4))
    assert not np.allclose(density.draw(50, 3), density.draw(50, 3, held_out=False))


def test_digits_to_learn_from_are_not_held_out():
    digits = Digits()
    learned, held_out = digits.draw(1_000, 0, held_out=False), digits.draw(797, 0)
    assert learned.shape == (1_000, 64) and held_out.shape == (797, 64)
    every = np.concatenate([learned, held_out])
    assert len(np.unique(every, axis=0)) > 1_790
    assert (every**2).sum(axis=1).mean() == pytest.approx(1, rel=1e-3)
    assert {tuple(x) for x in digits.draw(100, 5)} <= {tuple(x) for x in held_out}
    with pytest.raises(ValueError, match=r"^798 digits: only 797 are held out$"):
        digits.draw(798, 0)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"atoms": -1}, "atoms=-1 must be at least 0"),
        ({"atoms": 3}, r"atoms_share=0\.0 must be under 1, and over 0 with"),
        ({"atoms_share": 0.5}, r"atoms_share=0\.5 must be under 1, and over 0 with"),
        ({"gap": -1}, "gap=-1 must be at least 0"),
        ({"width": 2}, "D=2 must be at least 3"),
    ],
)
def test_bad_densities_are_named_in_one_line(fields, words):
    with pytest.raises(ValueError, match=f"^{words}"):
        Density(**{"manifold": Sphere(2), "width": 5, **fields})


def test_a_gap_that_leaves_nothing_is_told():
    with pytest.raises(ValueError, match=r"^gap=2 leaves next to nothing of Sphere"):
        Density(Sphere(2), 5, gap=2).draw(10, 0)
