import dataclasses
import functools
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qdcjax.models import attention
from qdcjax.models.attention import causal_attention, fused_attention, rotary_angles, rotate
from qdcjax.models.config import TransformerConfig
from qdcjax.models.layers import to_logits
from qdcjax.models.transformer import (
    Transformer,
    count_params,
    decode_step,
    hidden_states,
    init_params,
    layer_params,
    prefill,
)

TINY = TransformerConfig(
    vocab_size=48, layers=2, width=32, heads=4, kv_heads=2, head_width=8, mlp_width=64
)
B, T = 12, 12


@pytest.fixture(scope="module")
def params(random_params):
    return random_params(Transformer(TINY))


@pytest.fixture(scope="module")
def forward():
    """Logits of the tiny model; one compilation a shape for all tests."""

    @jax.jit
    def forward(params, tokens, segment_ids=None, positions=None):
        return Transformer(TINY).apply({"params": params}, tokens, segment_ids, positions)

    return forward


@pytest.fixture(scope="module")
def tokens():
    return jax.random.randint(jax.random.key(1), (B, T), 0, TINY.vocab_size)


def naive_attention(query, key, value, segment_ids=None):
    """Attention as in the textbook: one key head a query head, the weights written out."""
    heads, length, width = query.shape[1:]
    key, value = (jnp.repeat(x, heads // x.shape[1], axis=1) for x in (key, value))
    hidden = jnp.arange(length)[None, :] > jnp.arange(length)[:, None]
    if segment_ids is not None:
        hidden = hidden | (segment_ids[:, None, :, None] != segment_ids[:, None, None, :])
    scores = query @ key.swapaxes(2, 3) / np.sqrt(width)
    return jax.nn.softmax(jnp.where(hidden, -jnp.inf, scores), axis=-1) @ value


@pytest.mark.parametrize("block", [2, 128])
@pytest.mark.parametrize(("kv_heads", "packed"), [(4, False), (2, False), (2, True), (1, True)])
def test_attention_equals_naive_softmax_in_value_and_gradient(monkeypatch, kv_heads, packed, block):
    monkeypatch.setattr(attention, "BLOCK", block)
    keys = jax.random.split(jax.random.key(kv_heads), 4)
    query, target = (jax.random.normal(k, (2, 4, 9, 8)) for k in keys[:2])
    key, value = (2 * jax.random.normal(k, (2, kv_heads, 9, 8)) for k in keys[2:])
    segments = jnp.asarray([[0, 0, 0, 1, 1, 1, 1, 2, 2], [3] * 9]) if packed else None

    def value_and_gradients(attention):
        def projected(*qkv):
            mixed = attention(*qkv, segments)
            return jnp.sum(mixed * target), mixed

        return jax.jit(jax.grad(projected, argnums=(0, 1, 2), has_aux=True))(query, key, value)

    ours, naive = value_and_gradients(causal_attention), value_and_gradients(naive_attention)
    for actual, expected in zip(jax.tree.leaves(ours), jax.tree.leaves(naive), strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("window", [0, 3])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("implementation", ["xla", "cudnn"])
def test_fused_attention_is_the_same_function(monkeypatch, packed, window, implementation):
    on_gpu = implementation == "cudnn"
    if on_gpu and jax.default_backend() != "gpu":
        pytest.skip("needs an NVIDIA GPU")
    dtype, tolerance = (jnp.bfloat16, 0.03) if on_gpu else (jnp.float32, 1e-5)
    rng = np.random.default_rng(0)
    query, key, value, weight = (
        jnp.asarray(rng.normal(size=(2, heads, 16, 8)), dtype) for heads in (4, 2, 2, 4)
    )
    segments = jnp.asarray(np.repeat([[1, 2, 3]], 2, 0).repeat([4, 7, 5], 1)) if packed else None

    def gradients(attend, *more):
        total = lambda *qkv: jnp.sum(weight * attend(*qkv, segments, window, *more))  # noqa: E731
        return jax.value_and_grad(total, argnums=(0, 1, 2))(query, key, value)

    with monkeypatch.context() as patch:
        patch.setattr(attention.jax, "default_backend", lambda: "cpu")
        patch.setattr(attention, "BLOCK", 6)
        expected = gradients(causal_attention)
    actual = gradients(fused_attention, implementation)
    chex.assert_trees_all_close(actual, expected, atol=tolerance, rtol=tolerance)


def test_rotation_of_a_pair_by_hand():
    cos, sin = rotary_angles(jnp.asarray([0, 3, 4]), 4, 4, base=100.0)
    assert np.isnan([cos[2], sin[2]]).all()  # beyond the table: no angle rather than a wrong one
    cos, sin = cos[:2], sin[:2]
    np.testing.assert_allclose(cos, [[1, 1], np.cos([3.0, 0.3])], atol=1e-6)
    np.testing.assert_allclose(sin, [[0, 0], np.sin([3.0, 0.3])], atol=1e-6)
    # Pair i of head width 4 is (x_i, x_{i+2}): (1, 0) turns to (cos, sin).
    turned = rotate(jnp.asarray([1.0, 0.0, 0.0, 1.0]), (cos[1], sin[1]))
    expected = [np.cos(3.0), -np.sin(0.3), np.sin(3.0), np.cos(0.3)]
    np.testing.assert_allclose(turned, expected, atol=1e-6)


def test_rotated_products_depend_on_the_distance_alone():
    query, key = np.random.default_rng(0).normal(size=(2, 8)).astype(np.float32)

    def product(at_query, at_key):
        turned = [
            rotate(jnp.asarray(x), rotary_angles(jnp.asarray(at), 105, 8, base=50.0))
            for x, at in ((query, at_query), (key, at_key))
        ]
        return float(turned[0] @ turned[1])

    assert product(7, 3) == pytest.approx(product(104, 100), abs=1e-4)
    assert product(5, 5) == pytest.approx(float(query @ key), abs=1e-5)
    assert abs(product(7, 3) - product(7, 4)) > 0.01


def test_a_later_token_changes_no_earlier_logit(forward, params, tokens):
    before = forward(params, tokens)
    for t in (1, 5, T - 1):
        after = forward(params, tokens.at[:, t].add(1) % TINY.vocab_size)
        np.testing.assert_array_equal(after[:, :t], before[:, :t])
        changed = jnp.abs(after - before)[:, t:].max(axis=-1)
        assert changed.min() > 1e-4, "a position at or after the change did not see it"


@pytest.mark.parametrize("pad", [0, 7])
def test_right_padding_changes_no_logit(forward, params, tokens, pad):
    padded = jnp.pad(tokens, ((0, 0), (0, 9)), constant_values=pad)
    logits = forward(params, padded)[:, :T]
    np.testing.assert_allclose(logits, forward(params, tokens), atol=1e-5)


def test_packed_documents_equal_each_alone(forward, params, tokens):
    cut = 5
    segments = jnp.asarray([0] * cut + [1] * (T - cut))[None].repeat(B, axis=0)
    positions = jnp.asarray([*range(cut), *range(T - cut)])[None].repeat(B, axis=0)
    packed = forward(params, tokens, segments, positions)
    np.testing.assert_allclose(packed[:, :cut], forward(params, tokens)[:, :cut], atol=1e-5)
    second = jnp.pad(tokens[:, cut:], ((0, 0), (0, cut)))
    alone = forward(params, second)[:, : T - cut]
    np.testing.assert_allclose(packed[:, cut:], alone, atol=1e-5)

    other_first = tokens.at[:, :cut].set((tokens[:, :cut] + 1) % TINY.vocab_size)
    changed = forward(params, other_first, segments, positions)
    np.testing.assert_array_equal(changed[:, cut:], packed[:, cut:])
    assert jnp.abs(changed[:, :cut] - packed[:, :cut]).min(axis=-1).max() > 1e-4
    assert jnp.abs(forward(params, tokens) - packed)[:, cut:].max() > 1e-3, "packing is not seen"


def test_grouped_heads_equal_full_heads_with_repeated_keys(forward, params, tokens):
    full = Transformer(dataclasses.replace(TINY, kv_heads=4))
    attention = dict(params["layers"]["attention"])
    for name in ("key", "value"):
        attention[name] = {"kernel": jnp.repeat(attention[name]["kernel"], 2, axis=2)}
    repeated = {**params, "layers": {**params["layers"], "attention": attention}}
    logits = jax.jit(full.apply)({"params": repeated}, tokens)
    np.testing.assert_allclose(logits, forward(params, tokens), atol=1e-5)


@pytest.fixture(scope="module")
def cached():
    """`run(params, prompts, lengths, new)`: outputs [B, K, N + 1, V] by prefill and decode."""

    def run(model, params, prompts, lengths, new):
        samples, count = new.shape[1:]
        last, cache = prefill(model, params, prompts, lengths, samples, slots=count)
        unstacked = layer_params(params)
        outputs = [jnp.repeat(last[:, None], samples, axis=1)]
        for n in range(count):
            output, cache = decode_step(model, params, unstacked, new[:, :, n], cache)
            outputs.append(output)
        return jnp.stack(outputs, axis=2), cache

    return jax.jit(run, static_argnums=0)


def test_prefill_and_steps_equal_the_whole_sequence(cached, forward, params):
    lengths, samples, count = np.array([6, 3, 1]), 4, 3
    prompts = jax.random.randint(jax.random.key(2), (3, 6), 1, TINY.vocab_size)
    new = jax.random.randint(jax.random.key(3), (3, samples, count), 1, TINY.vocab_size)
    outputs, cache = cached(Transformer(TINY), params, prompts, lengths, new)
    assert cache.lengths.tolist() == [[count] * samples] * 3 and 3 * samples == B

    whole = np.zeros((B, T), np.int32)  # pad 0, while prompts' own padding is not 0
    for b in range(3):
        for k in range(samples):
            row = [*prompts[b, : lengths[b]], *new[b, k]]
            whole[b * samples + k, : len(row)] = row
    logits = np.asarray(forward(params, whole)).reshape(3, samples, T, -1)
    for b, length in enumerate(lengths):
        expected = logits[b, :, length - 1 : length + count]
        np.testing.assert_allclose(outputs[b], expected, atol=1e-5)


def test_bfloat16_stays_near_float32(cached, forward, params, tokens):
    model = Transformer(dataclasses.replace(TINY, dtype="bfloat16"))
    exact = forward(params, tokens)
    rough = jax.jit(model.apply)({"params": params}, tokens)
    assert rough.dtype == jnp.float32 and jnp.isfinite(rough).all()
    # bfloat16 keeps 8 bits: errors of some 2^-8 on logits of size about 1, and not none at all.
    assert 1e-4 < jnp.abs(rough - exact).max() < 0.1
    lengths = np.full(B, T - 3)
    steps, _ = cached(model, params, tokens[:, :-3], lengths, tokens[:, None, -3:])
    assert jnp.abs(steps[:, 0] - exact[:, T - 4 :]).max() < 0.1


def test_remat_policies_give_equal_gradients(params, tokens):
    def gradient(remat):
        model = Transformer(dataclasses.replace(TINY, remat=remat))

        def loss(params):  # scaled so that gradients are about one
            return jnp.sum(jnp.sin(model.apply({"params": params}, tokens))) / 100

        return jax.jit(jax.grad(loss))(params)

    none = gradient("none")
    assert min(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(none)) > 0
    for remat in ("full", "dots"):
        chex.assert_trees_all_close(gradient(remat), none, atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def hidden_and_output():
    def both(model, params, tokens):
        hidden = model.apply({"params": params}, tokens, method="hidden")[0]
        return hidden, model.apply({"params": params}, tokens)

    return jax.jit(both, static_argnums=0)


def test_scalar_output_is_a_number_a_position(hidden_and_output, random_params, tokens):
    model = Transformer(dataclasses.replace(TINY, layers=1, output="scalar"))
    params = random_params(model)
    hidden, scores = hidden_and_output(model, params, tokens)
    assert scores.shape == (B, T) and "head" not in params
    expected = hidden @ params["score"]["kernel"][:, 0] + params["score"]["bias"][0]
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert params["score"]["bias"].any()


def test_a_scalar_head_starts_at_zero_and_the_rest_does_not():
    model = Transformer(dataclasses.replace(TINY, layers=1, output="scalar"))

    @jax.jit
    def init(key):
        params = init_params(model, key)
        return params["score"], params["embed"], params["layers"]["mlp"]["up"]

    score, embed, up = jax.device_get(init(jax.random.key(0)))
    assert not score["kernel"].any() and not score["bias"].any()
    # Others start at fan-in^-1/2, so that activations keep their size.
    assert embed["embedding"].std() == pytest.approx(TINY.width**-0.5, rel=0.1)
    assert up["kernel"].std() == pytest.approx(TINY.width**-0.5, rel=0.1)


def test_untied_output_has_its_own_matrix(hidden_and_output, random_params, tokens):
    model = Transformer(dataclasses.replace(TINY, layers=1, tied=False))
    params = random_params(model)
    hidden, logits = hidden_and_output(model, params, tokens)
    expected = np.asarray(hidden) @ np.asarray(params["head"]["kernel"])
    np.testing.assert_allclose(logits, expected, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1])
def test_logits_and_their_gradient(axis):
    """The products' own gradient in float32; in bfloat16, no operand of a product is wider."""
    rng = np.random.default_rng(0)
    hidden, weights = rng.normal(size=(6, 8)), rng.normal(size=(6, 16))
    matrix = rng.normal(size=(8, 16) if axis == 0 else (16, 8))

    def loss(product, dtype):
        def value(hidden, matrix):
            return jnp.sum(jnp.sin(product(hidden.astype(dtype), matrix)) * weights)

        return jax.value_and_grad(value, argnums=(0, 1))

    def plain(hidden, matrix):
        return hidden @ (matrix if axis == 0 else matrix.T)

    ours = functools.partial(to_logits, axis=axis)
    arrays = [jnp.asarray(x, jnp.float32) for x in (hidden, matrix)]
    expected = loss(plain, "float32")(*arrays)
    chex.assert_trees_all_close(loss(ours, "float32")(*arrays), expected, atol=1e-5)
    rough = jax.tree.map(lambda x: x.astype(jnp.float32), loss(ours, "bfloat16")(*arrays))
    chex.assert_trees_all_close(rough, expected, atol=0.3)
    program = jax.jit(loss(ours, "bfloat16")).lower(*arrays).as_text()
    operands = re.findall(r"dot_general.*: \(tensor<\w+x(\w+)>, tensor<\w+x(\w+)>\)", program)
    assert operands == [("bf16", "bf16")] * 3


@pytest.mark.parametrize(
    ("shape", "dtype", "packed", "fused"),
    [
        ((2, 4, 8, 16), "bfloat16", False, True),
        ((2, 4, 8, 16), "bfloat16", True, True),
        ((2, 4, 7, 16), "bfloat16", False, True),
        ((2, 4, 7, 16), "bfloat16", True, False),
        ((2, 4, 8, 16), "float32", False, False),
        ((2, 4, 8, 12), "bfloat16", False, False),
        ((2, 4, 8, 256), "bfloat16", False, False),
    ],
)
def test_gpus_take_cudnn_s_kernel_where_it_has_one(monkeypatch, shape, dtype, packed, fused):
    calls = []
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(
        attention, "fused_attention", lambda query, *_: calls.append(query.shape) or query
    )
    query = jnp.zeros(shape, dtype)
    segments = jnp.zeros((shape[0], shape[2]), jnp.int32) if packed else None
    assert causal_attention(query, query, query, segments).shape == shape
    assert len(calls) == fused


def test_parameter_shapes_are_those_documented(params):
    shapes = {
        "/".join(key.key for key in path): leaf.shape
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    }
    assert shapes == {
        "embed/embedding": (48, 32),
        "layers/attention/query/kernel": (2, 32, 4, 8),
        "layers/attention/key/kernel": (2, 32, 2, 8),
        "layers/attention/value/kernel": (2, 32, 2, 8),
        "layers/attention/out/kernel": (2, 4, 8, 32),
        "layers/mlp/gate/kernel": (2, 32, 64),
        "layers/mlp/up/kernel": (2, 32, 64),
        "layers/mlp/down/kernel": (2, 64, 32),
        "layers/attention_norm/scale": (2, 32),
        "layers/mlp_norm/scale": (2, 32),
        "final_norm/scale": (32,),
    }
    per_layer = 32 * (4 + 2 + 2) * 8 + 4 * 8 * 32 + 3 * 32 * 64 + 2 * 32
    assert count_params(params) == 48 * 32 + 2 * per_layer + 32


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("kv_heads", 3, "kv_heads=3 must divide heads=4"),
        ("head_width", 7, "head_width=7 must be even"),
        ("remat", "some", "remat='some' must be one of none, full, dots"),
        ("output", "both", "output='both' must be one of tokens, scalar"),
        ("dtype", "float16", "dtype='float16' must be one of float32, bfloat16"),
    ],
)
def test_a_bad_config_is_named_in_one_line(field, value, words):
    with pytest.raises(ValueError) as caught:
        dataclasses.replace(TINY, **{field: value})
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("layers", [1, 2])
def test_hidden_states_are_those_of_the_layers(params, tokens, layers):
    """The last is what the final norm is given; those below are the last of a shallower model."""
    cut = dict(params, layers=jax.tree.map(lambda x: x[:layers], params["layers"]))
    states = hidden_states(Transformer(TINY), params, tokens)
    assert states.shape == (3, B, T, TINY.width)
    shallow = Transformer(dataclasses.replace(TINY, layers=layers))
    expected = shallow.apply({"params": cut}, tokens, method="hidden")[0]
    scale = params["final_norm"]["scale"]
    x = states[layers]
    normed = x / jnp.sqrt(jnp.mean(x**2, axis=-1, keepdims=True) + TINY.norm_eps) * scale
    chex.assert_trees_all_close(normed, expected, atol=1e-5)
    chex.assert_trees_all_close(states[0], params["embed"]["embedding"][tokens])


def test_numbers_are_read_as_stretched_vectors(random_params):
    """A model of numbers is one of tokens whose embeddings are multiples of one vector."""
    shape = dataclasses.replace(TINY, vocab_size=1, input="numbers", output="scalar")
    shape = dataclasses.replace(shape, positions="learned", max_length=T)
    model = Transformer(shape)
    params = random_params(model)
    numbers = jax.random.normal(jax.random.key(0), (B, T))
    found = model.apply({"params": params}, numbers)
    assert found.shape == (B, T)
    levels, ids = jnp.unique(numbers, return_inverse=True)
    words = Transformer(dataclasses.replace(shape, vocab_size=len(levels), input="tokens"))
    table = levels[:, None] * params["embed"]["embedding"]
    worded = dict(params, embed={"embedding": table})
    chex.assert_trees_all_close(words.apply({"params": worded}, ids), found, atol=1e-5)
    later = model.apply({"params": params}, numbers.at[:, -1].add(1.0))
    chex.assert_trees_all_close(later[:, :-1], found[:, :-1])
    assert jnp.abs(later[:, -1] - found[:, -1]).min() > 1e-4
