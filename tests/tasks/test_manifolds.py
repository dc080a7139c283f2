"""Points lie on their manifolds, uniformly; normals are normal; maps keep distances."""

import numpy as np
import pytest

from qdcjax.measures.intrinsic_dimension import mle
from qdcjax.tasks.manifolds import (
    FlatTorus,
    GenusTwo,
    RandomManifold,
    Sphere,
    SwissRoll,
    Torus,
    Union,
    embedding,
    measured_reach,
)

EVERY = (
    Sphere(1),
    Sphere(2),
    Sphere(5),
    FlatTorus(1),
    FlatTorus(3),
    Torus(),
    SwissRoll(),
    GenusTwo(),
    RandomManifold(2),
    RandomManifold(4, seed=3),
    Union((Sphere(2), FlatTorus(2), GenusTwo())),
)


def drawn(manifold, count: int = 3_000, seed: int = 0):
    return manifold.draw(count, np.random.default_rng(seed))


@pytest.mark.parametrize("manifold", EVERY, ids=str)
def test_points_and_normals_have_their_shapes_and_the_dimension(manifold):
    found, d, m = drawn(manifold), manifold.dimension, manifold.ambient
    assert found.points.shape == (3_000, m)
    assert found.normals.shape == (3_000, m - d, m)
    inner = np.einsum("nam,nbm->nab", found.normals, found.normals)
    np.testing.assert_allclose(inner, np.broadcast_to(np.eye(m - d), inner.shape), atol=1e-9)
    assert mle(found.points).dimension == pytest.approx(d, rel=0.18)


@pytest.mark.parametrize("manifold", EVERY, ids=str)
def test_normals_are_at_right_angles_to_what_is_near(manifold):
    found = drawn(manifold, 20_000)
    own, normal = found.points[:50], found.normals[:50]
    offsets = found.points[None] - own[:, None]
    distances = np.linalg.norm(offsets, axis=-1)
    near = np.argsort(distances, axis=1)[:, 1:9]
    offsets = np.take_along_axis(offsets, near[:, :, None], axis=1)
    distances = np.take_along_axis(distances, near, axis=1)

    def leaves(normal: np.ndarray) -> float:
        out = np.linalg.norm(np.einsum("pom,pnm->pon", offsets, normal), axis=-1)
        return float(np.median(out / distances))

    of_another_point = np.roll(normal, 1, axis=0)
    assert leaves(normal) < min(0.3, 0.6 * leaves(of_another_point))


@pytest.mark.parametrize("manifold", EVERY, ids=str)
def test_draws_are_functions_of_the_generator(manifold):
    again = drawn(manifold, 20, 7)
    np.testing.assert_array_equal(drawn(manifold, 20, 7).points, again.points)
    assert not np.array_equal(drawn(manifold, 20, 8).points, again.points)


def test_equations_hold():
    np.testing.assert_allclose(np.linalg.norm(drawn(Sphere(4)).points, axis=1), 1)
    circles = drawn(FlatTorus(3)).points.reshape(-1, 3, 2)
    np.testing.assert_allclose(np.linalg.norm(circles, axis=-1), 3**-0.5)
    x, y, z = drawn(Torus(0.3)).points.T
    np.testing.assert_allclose(np.hypot(np.hypot(x, y) - 0.7, z), 0.3)
    x, _, z = drawn(SwissRoll()).points.T * 4.5 * np.pi
    angle = np.arctan2(z, x)
    turns = (np.hypot(x, z) - angle) / (2 * np.pi)
    np.testing.assert_allclose(turns, np.round(turns), atol=1e-9)
    x, y, z = (2 * drawn(GenusTwo()).points + [1, 0, 0]).T
    implicit = (x * (x - 1) ** 2 * (x - 2) + y**2) ** 2 + z**2 - 0.01
    np.testing.assert_allclose(implicit, 0, atol=1e-12)


def test_points_are_uniform_by_volume():
    # On S^2 each coordinate is uniform; on the outer half of the torus there is more area.
    height = np.sort(drawn(Sphere(2), 20_000).points[:, 2])
    assert np.abs(height - np.linspace(-1, 1, 20_000)).max() < 0.03
    x, y, _ = drawn(Torus(0.25), 20_000).points.T
    outer = np.mean(np.hypot(x, y) > 0.75)
    assert outer == pytest.approx(0.5 + 0.25 / (np.pi * 0.75), abs=0.01)
    x, h, z = drawn(SwissRoll(), 20_000).points.T
    radius = np.hypot(x, z) * 4.5 * np.pi
    length = lambda t: (t * np.hypot(1, t) + np.arcsinh(t)) / 2  # noqa: E731
    ends = length(1.5 * np.pi), length(4.5 * np.pi)
    share = np.sort((length(radius) - ends[0]) / (ends[1] - ends[0]))
    assert np.abs(share - np.linspace(0, 1, 20_000)).max() < 0.015
    assert np.abs(np.sort(h) - np.linspace(-0.5, 0.5, 20_000)).max() < 0.015


def test_genus_two_is_uniform_by_volume():
    """Near the plane z = 0 the surface is steep: what lies there must not be thinned out."""
    points = drawn(GenusTwo(), 40_000).points
    counts = [np.mean(np.linalg.norm(points - p, axis=1) < 0.05) for p in points[:400]]
    # A disc of one radius has one area, but where the surface comes near itself.
    assert np.quantile(counts, 0.75) < 1.6 * np.quantile(counts, 0.1)


def test_parts_of_a_union_are_apart_and_as_likely():
    union = Union((Sphere(2), GenusTwo()), gap=5)
    points = drawn(union).points
    assert set(points[:, -1]) == {-2.5, 2.5}
    assert np.mean(points[:, -1] > 0) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("width", [3, 8, 100])
def test_an_embedding_keeps_distances_and_depends_on_its_seed(width):
    q = embedding(3, width, 1)
    np.testing.assert_allclose(q.T @ q, np.eye(3), atol=1e-12)
    assert not np.allclose(q, embedding(3, width, 2))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Sphere(0), "dimension=0 must be at least 1"),
        (lambda: FlatTorus(0), "dimension=0 must be at least 1"),
        (lambda: RandomManifold(2, waves=0), "waves=0 must be at least 1"),
        (lambda: Torus(0.5), "tube=0.5 must lie between 0 and .5"),
        (lambda: SwissRoll(-1), "height=-1 must be over 0"),
        (lambda: Union((Sphere(1), Sphere(2))), "must be manifolds of one dimension"),
        (lambda: embedding(5, 4, 0), "D=4 must be at least 5"),
    ],
)
def test_bad_fields_are_told_in_one_line(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("manifold", [Sphere(2), FlatTorus(2), Torus(0.3), Torus(0.45)], ids=str)
def test_measured_reach_is_the_known_one(manifold):
    """Both sides of a torus: the tube's radius, and the way to the axis."""
    assert measured_reach(manifold) == pytest.approx(manifold.reach, rel=0.02)


def test_reach_of_turns_parts_and_thin_surfaces():
    """Half of what lies between two turns or two sheets, or of the gap between parts."""
    assert SwissRoll().reach == pytest.approx(np.pi / 14.14, rel=0.05)
    assert 0.005 < GenusTwo().reach < 0.05
    assert Union((Sphere(2), Torus())).reach == 0.25
    assert Union((Sphere(2), Sphere(2)), gap=0.4).reach == 0.2
