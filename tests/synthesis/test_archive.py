"""The archive against a loop over a dict, and against ribs."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdcjax.synthesis.archive import add, coverage, empty, grid_cells, qd_score

CELLS = 7
STREAM = st.lists(
    st.tuples(st.integers(-1, CELLS), st.sampled_from([-2.0, 0.0, 0.5, 1.0, np.nan, -np.inf])),
    min_size=1, max_size=25,
)  # fmt: skip


def in_turn(stream):
    """Fitness and number of each cell's elite, one candidate after another."""
    elites = {}
    for number, (cell, fitness) in enumerate(stream):
        if 0 <= cell < CELLS and fitness > elites.get(cell, (-np.inf, 0))[0]:
            elites[cell] = fitness, number
    return elites


def arrays(stream, first=0):
    cells, fitness = (np.array(of) for of in zip(*stream, strict=True))
    number = jnp.arange(first, first + len(stream))
    return jnp.asarray(cells), jnp.asarray(fitness, jnp.float32), {"number": number}


@given(STREAM, st.integers(0, 25))
@settings(max_examples=30, deadline=None)
def test_batches_are_as_one_after_another(stream, cut):
    archive = empty(CELLS, {"number": jnp.int32(0)})
    for part, first in ((stream[:cut], 0), (stream[cut:], min(cut, len(stream)))):
        if part:
            before = archive
            archive, entered = add(archive, *arrays(part, first))
            new = {first + int(n) for n in np.flatnonzero(entered)}
            there = archive.elites["number"][archive.filled].tolist()
            old = before.elites["number"][before.filled].tolist()
            assert new == set(there) - set(old)
    expected = in_turn(stream)
    assert np.flatnonzero(archive.filled).tolist() == sorted(expected)
    for cell, (fitness, number) in expected.items():
        assert (archive.fitness[cell], archive.elites["number"][cell]) == (fitness, number)
    assert float(coverage(archive)) == pytest.approx(len(expected) / CELLS)
    total = sum(fitness + 2 for fitness, _ in expected.values())
    assert float(qd_score(archive, offset=-2.0)) == pytest.approx(total)


def test_it_jits_and_maps_over_archives():
    rng = np.random.default_rng(0)
    cells, fitness = rng.integers(CELLS, size=(4, 30)), rng.normal(size=(4, 30))
    samples = jnp.asarray(rng.normal(size=(4, 30, 2)), jnp.float32)
    alone = [
        add(empty(CELLS, samples[0, 0]), jnp.asarray(c), jnp.asarray(f, jnp.float32), s)
        for c, f, s in zip(cells, fitness, samples, strict=True)
    ]
    start = jax.tree.map(lambda x: jnp.stack([x] * 4), empty(CELLS, samples[0, 0]))
    together = jax.jit(jax.vmap(add))(
        start, jnp.asarray(cells), jnp.asarray(fitness, jnp.float32), samples
    )
    chex.assert_trees_all_equal(together, jax.tree.map(lambda *x: jnp.stack(x), *alone))


def test_cells_of_a_grid_by_hand():
    features = [[0, 0], [0.49, 9.9], [0.5, 10], [-3, 50], [1, 5]]
    assert grid_cells(features, [0, 0], [1, 10], [2, 5]).tolist() == [0, 4, 9, 4, 7]
    with pytest.raises(ValueError, match=r"^features\[1\] is NaN$"):
        grid_cells([[0], [np.nan]], [0], [1], [2])
    with pytest.raises(ValueError, match="leave no cells"):
        grid_cells([[0]], [1], [1], [2])
    with pytest.raises(ValueError, match="cells=0 must be at least 1"):
        empty(0, jnp.zeros(2))


@pytest.mark.parity
def test_ribs_has_the_same_elites():
    archives = pytest.importorskip("ribs.archives")
    rng = np.random.default_rng(1)
    counts, lows, highs = [4, 5], [-1.0, 0.0], [1.0, 3.0]
    theirs = archives.GridArchive(
        solution_dim=1, dims=counts, ranges=list(zip(lows, highs, strict=True)), qd_score_offset=-5
    )
    archive = empty(20, jnp.zeros(1))
    for _ in range(8):
        measures = rng.uniform([-1.2, -0.3], [1.2, 3.3], (25, 2))
        fitness = rng.integers(-4, 5, 25).astype(np.float32)  # ties
        solutions = rng.normal(size=(25, 1)).astype(np.float32)
        for solution, objective, at in zip(solutions, fitness, measures, strict=True):
            theirs.add_single(solution, objective, at)
        cells = grid_cells(measures, lows, highs, counts)
        assert cells.tolist() == theirs.index_of(measures).tolist()
        archive, _ = add(archive, jnp.asarray(cells), jnp.asarray(fitness), jnp.asarray(solutions))
        filled = np.flatnonzero(archive.filled)
        found = theirs.data(["index", "objective", "solution"])
        order = np.argsort(found["index"])
        assert found["index"][order].tolist() == filled.tolist()
        np.testing.assert_array_equal(found["objective"][order], archive.fitness[filled])
        np.testing.assert_array_equal(found["solution"][order], archive.elites[filled])
        assert float(coverage(archive)) == pytest.approx(theirs.stats.coverage)
        assert float(qd_score(archive, -5)) == pytest.approx(theirs.stats.qd_score)
    with pytest.raises(ValueError, match=r"NaN|finite"):
        theirs.add_single([0.0], np.nan, [0.0, 1.0])
    kept, entered = add(archive, jnp.array([0]), jnp.array([jnp.nan]), jnp.zeros((1, 1)))
    chex.assert_trees_all_equal(kept, archive)
    assert not entered.any()
