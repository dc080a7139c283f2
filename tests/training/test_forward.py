"""What a function says of each token of many sequences does not depend on how they are batched."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qdcjax.models.config import TransformerConfig
from qdcjax.models.transformer import Transformer
from qdcjax.training import forward, sharding
from qdcjax.training.forward import at_tokens

MODEL = Transformer(
    TransformerConfig(
        vocab_size=32,
        layers=1,
        width=16,
        heads=4,
        kv_heads=2,
        head_width=4,
        mlp_width=16,
        output="scalar",
    )
)
LENGTHS = (1, 20, 61, 20, 33, 1, 61, 33, 20)


def scores(model, params, tokens):
    return model.apply({"params": params}, tokens)


@pytest.fixture(scope="module")
def params(random_params):
    return random_params(MODEL)


@pytest.fixture(scope="module")
def sequences() -> list[list[int]]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 32, length).tolist() for length in LENGTHS]


@pytest.fixture(scope="module")
def alone(params, sequences) -> list[np.ndarray]:
    """Each sequence in a batch of its own, without padding."""
    compiled = jax.jit(lambda row: scores(MODEL, params, row[None])[0])
    found = [np.asarray(compiled(jnp.asarray(ids))) for ids in sequences]
    assert np.ptp(np.concatenate(found)) > 0.05
    return found


def assert_are(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_size": 1, "buckets": 1},
        {"batch_size": 2, "buckets": 3},
        {"batch_size": 4, "widths": (2, 33, 61, 99)},
    ],
)
def test_a_sequence_gets_what_it_gets_alone(params, sequences, alone, options):
    assert_are(at_tokens(scores, MODEL, params, sequences, "score", **options), alone)


@pytest.mark.parametrize("shape", [(8, 1, 1), (2, 2, 2)])
def test_eight_devices_give_what_one_gives(devices, params, sequences, alone, shape):
    mesh = sharding.make_mesh(sharding.MeshConfig(*shape), devices)
    placed = jax.device_put(params, sharding.param_shardings(MODEL, mesh))
    assert_are(at_tokens(scores, MODEL, placed, sequences, "score", batch_size=3), alone)


def test_the_order_of_sequences_is_theirs(params, sequences, alone):
    order = [4, 8, 0, 3]
    some = [sequences[row] for row in order]
    assert_are(at_tokens(scores, MODEL, params, some, "score"), [alone[row] for row in order])


def test_no_sequences_give_nothing(params):
    assert at_tokens(scores, MODEL, params, [], "score") == []


COMPILED: list[tuple] = []


def times(model, params, tokens, factor):
    COMPILED.append((tokens.shape, factor))
    return factor * tokens * params["one"]


def test_one_program_a_width_and_the_longest_is_the_first():
    params = {"one": jnp.ones(())}
    options = {"batch_size": 4, "widths": (8, 16, 32), "settings": (2.0,)}
    for lengths in [(3, 9, 8, 1, 2, 5), (16, 4), (7,)]:
        rows = [list(range(1, 1 + length)) for length in lengths]
        found = at_tokens(times, MODEL, params, rows, "multiply", **options)
        assert [values.tolist() for values in found] == [[2 * x for x in row] for row in rows]
    assert COMPILED == [((4, 16), 2.0), ((4, 8), 2.0)]
    (found,) = at_tokens(times, MODEL, params, [[3]], "multiply", **options | {"settings": (5.0,)})
    assert found.tolist() == [15] and COMPILED[2:] == [((4, 8), 5.0)]


def test_progress_counts_real_sequences_and_tokens(monkeypatch, params, sequences):
    """The last batch is filled up with rows that are there already; they are no progress."""
    advanced = []

    class Bar:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def advance(self, rows, tokens):
            advanced.append((rows, tokens))

    monkeypatch.setattr(forward, "progress", lambda *_: Bar())
    at_tokens(scores, MODEL, params, sequences, "score", batch_size=2, buckets=3)
    assert np.sum(advanced, axis=0).tolist() == [len(LENGTHS), sum(LENGTHS)]
