import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qdcjax.decoding import generate
from qdcjax.decoding.programs import sample_keys
from qdcjax.models.transformer import Transformer

ROOM, SAMPLES = 10, 3
COMPARED = ("tokens", "lengths", "log_probs", "kept_log_mass", "sampled", "done", "paused")


@pytest.fixture(scope="module")
def prompts(policy):
    rows = policy.prompts()[:3]
    tokens = np.zeros((4, 32), np.int32)  # the last row is empty
    for row, ids in enumerate(rows):
        tokens[row, : len(ids)] = ids
    return tokens, np.asarray([*map(len, rows), 0])


@pytest.fixture(scope="module")
def completed(policy, prompts):
    """`run(params, early_exit)` → the compared fields of a finished generation."""
    decoding = generate.Decoding(
        samples=SAMPLES,
        max_new_tokens=ROOM,
        temperature=1.0,
        stop_tokens=(policy.tokenizer.eos_id,),
    )

    def run(params, early_exit):
        streams = jnp.arange(len(prompts[1]), dtype=jnp.uint32)
        keys = sample_keys(jax.random.key(0), streams, SAMPLES, jnp.uint32(0))
        state = generate.start(policy.model, params, *prompts, keys, decoding)
        state = generate.run(policy.model, params, state, keys, decoding, ROOM, early_exit)
        return {name: getattr(state, name) for name in COMPARED}

    return run


@pytest.fixture(scope="module")
def early(policy, completed):
    return jax.jit(completed, static_argnums=1)(policy.params, True)


@pytest.fixture(scope="module")
def members(policy):
    """Two policies as one tree with a leading axis; the second is the first, shaken."""
    rng = np.random.default_rng(0)
    shaken = jax.tree.map(lambda x: x * rng.uniform(0.7, 1.3, x.shape), policy.params)
    return jax.tree.map(lambda *pair: np.stack(pair).astype(np.float32), policy.params, shaken)


@pytest.fixture(scope="module")
def vmapped(completed, members):
    """Both members in one program of a fixed length."""
    return jax.jit(jax.vmap(lambda params: completed(params, False)))(members)


def assert_same_samples(actual, expected):
    for name in COMPARED:
        if name == "log_probs":
            chex.assert_trees_all_close(actual[name], expected[name], atol=1e-4, rtol=0)
        else:
            chex.assert_trees_all_equal(actual[name], expected[name])


def test_early_exit_equals_the_fixed_length_under_vmap(early, vmapped):
    member = {name: x[0] for name, x in vmapped.items()}
    assert_same_samples(member, early)
    assert len(set(early["lengths"][:3].ravel().tolist())) > 1, "lengths should vary"


def test_a_vmapped_member_equals_itself_alone(completed, members, vmapped):
    second = jax.tree.map(lambda x: x[1], members)
    alone = jax.jit(completed, static_argnums=1)(second, True)
    assert_same_samples({name: x[1] for name, x in vmapped.items()}, alone)
    assert not np.array_equal(vmapped["tokens"][0], vmapped["tokens"][1])


def test_all_past_a_samples_end_is_zero(early, policy):
    lengths = np.asarray(early["lengths"])
    past = np.arange(ROOM) >= lengths[..., None]
    for name in ("tokens", "log_probs", "sampled"):
        assert not np.asarray(early[name])[past].any()
    assert np.asarray(early["sampled"])[~past].all()
    assert (np.asarray(early["log_probs"])[~past] < 0).all()
    ends = (np.asarray(early["tokens"]) == policy.tokenizer.eos_id).sum(axis=-1)
    assert set(ends[:3].ravel().tolist()) == {0, 1}
    assert (lengths[:3][ends[:3] == 0] == ROOM).all(), "neither ended nor full"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_empty_state_is_like_one_that_has_read_prompts(policy, prompts, dtype):
    model = Transformer(dataclasses.replace(policy.model.config, dtype=dtype))
    decoding = generate.Decoding(SAMPLES, ROOM, temperature=1.0, begin=(5, 6), forced=1)
    keys = jax.random.split(jax.random.key(0), (len(prompts[1]), SAMPLES))
    start = lambda params: generate.start(model, params, *prompts, keys, decoding)  # noqa: E731
    empty = generate.empty(model, *prompts[0].shape, decoding)
    chex.assert_trees_all_equal_shapes_and_dtypes(empty, jax.eval_shape(start, policy.params))
    assert empty.done.all()


def test_an_empty_row_is_done_at_once(early):
    assert np.asarray(early["done"]).all()
    assert not np.asarray(early["lengths"])[3].any()
    assert np.asarray(early["lengths"])[:3].all()
