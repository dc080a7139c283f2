"""The distance to anchors: what is drawn, and that it is Lipschitz and of known dimension."""

import numpy as np
import pytest

from qdcjax.tasks.manifolds import FlatTorus, Sphere, embedding
from qdcjax.tasks.regression import DistanceToAnchors

TARGET = DistanceToAnchors(Sphere(3), width=10, anchors=5, seed=2)


def test_targets_are_standardised_distances_to_the_nearest_anchor():
    inputs, targets = TARGET.draw(4_000, 0)
    assert inputs.shape == (4_000, 10) and inputs.dtype == targets.dtype == np.float32
    assert abs(targets.mean()) < 0.06 and targets.std() == pytest.approx(1, abs=0.04)
    np.testing.assert_allclose(np.linalg.norm(inputs, axis=1), 10**0.5, rtol=1e-5)
    # |f(x) − f(y)| ≤ |x − y|, in units of the target's deviation and of √D.
    raw = TARGET._drawn(4_000, [2, 1, 0])[1]
    deviation = raw.std() / targets.std()
    gaps = np.abs(targets[:-1] - targets[1:]) * deviation
    assert (gaps <= np.linalg.norm(inputs[:-1] - inputs[1:], axis=1) / 10**0.5 + 1e-5).all()


def test_targets_rank_points_by_their_nearest_anchor():
    inputs, targets = TARGET.draw(200, 0)
    points = inputs / 10**0.5 @ embedding(4, 10, seed=2)
    anchors = Sphere(3).draw(5, np.random.default_rng([2, 0])).points
    nearest = np.linalg.norm(points[:, None] - anchors, axis=-1).min(axis=1)
    assert np.corrcoef(nearest, targets)[0, 1] == pytest.approx(1, abs=1e-6)


def test_draws_differ_by_seed_and_anchors_do_not():
    again = TARGET.draw(50, 0)
    np.testing.assert_array_equal(TARGET.draw(50, 0)[1], again[1])
    assert not np.array_equal(TARGET.draw(50, 1)[1], again[1])
    # The same point has the same target in any draw: one function, whatever the seed of points.
    wider = DistanceToAnchors(Sphere(3), width=25, anchors=5, seed=2)
    np.testing.assert_allclose(wider.draw(50, 0)[1], again[1], atol=1e-5)
    other = DistanceToAnchors(Sphere(3), width=10, anchors=5, seed=3)
    assert not np.allclose(other.draw(50, 0)[1], again[1])


def test_what_does_not_fit_is_told():
    with pytest.raises(ValueError, match="anchors=0 must be at least 1"):
        DistanceToAnchors(Sphere(2), 5, anchors=0)
    with pytest.raises(ValueError, match="D=5 must be at least 6"):
        DistanceToAnchors(FlatTorus(3), 5, anchors=4)
