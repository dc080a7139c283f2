"""Packed rows hold every example once, and a model computes on them what it does on each alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdcjax.data.batches import pad_and_stack
from qdcjax.data.packing import pack, trim
from qdcjax.models.config import TransformerConfig
from qdcjax.models.transformer import Transformer
from qdcjax.training.losses import binary_loss, language_model_loss

SMALL = {"vocab_size": 64, "layers": 2, "width": 32, "heads": 4, "kv_heads": 2}
SMALL |= {"head_width": 8, "mlp_width": 48}
MODELS = {
    "rotary": TransformerConfig(**SMALL),
    "window": TransformerConfig(**SMALL, window=5),
    "learned positions": TransformerConfig(**SMALL, positions="learned", max_length=40),
}


def make_examples(lengths):
    rng = np.random.default_rng(0)
    return [
        {
            "tokens": rng.integers(0, 64, n).astype(np.int32),
            "mask": (np.arange(n) >= min(3, n)).astype(np.float32),
            "labels": rng.uniform(size=n).astype(np.float32),
        }
        for n in lengths
    ]


def parts(row):
    """The examples of a row, without what packing added."""
    return [
        {name: row[name][row["segment_ids"] == i] for name in ("tokens", "mask", "labels")}
        for i in range(1, row["segment_ids"].max() + 1)
    ]


@given(st.lists(st.integers(1, 20), max_size=40))
def test_every_example_is_there_once_and_whole(lengths):
    examples = make_examples(lengths)
    rows = pack(examples, 20)
    found = [part for row in rows for part in parts(row)]
    as_text = lambda example: str({k: example[k].tolist() for k in sorted(example)})  # noqa: E731
    assert sorted(map(as_text, found)) == sorted(map(as_text, examples))
    for row in rows:
        assert {len(field) for field in row.values()} == {20}
        assert row["mask"][row["segment_ids"] == 0].sum() == 0
        for i in range(1, row["segment_ids"].max() + 1):
            at = np.flatnonzero(row["segment_ids"] == i)
            assert (np.diff(at) == 1).all() and row["positions"][at].tolist() == list(
                range(len(at))
            )


@given(st.lists(st.integers(1, 20), min_size=1, max_size=60))
def test_no_two_rows_could_be_one(lengths):
    used = sorted(int((row["segment_ids"] > 0).sum()) for row in pack(make_examples(lengths), 20))
    assert len(used) < 2 or used[0] + used[1] > 20


def unlearned_ends(examples, seed=0):
    """The examples without loss at their ends; of every third one nothing is learned."""
    rng, found = np.random.default_rng(seed), []
    for number, example in enumerate(examples):
        size = len(example["tokens"])
        end = 0 if number % 3 == 2 else int(rng.integers(0, size + 1))
        found.append(example | {"mask": example["mask"] * (np.arange(size) < end)})
    return found


@given(st.lists(st.integers(1, 20), min_size=1, max_size=40))
def test_what_is_trimmed_follows_the_last_token_with_loss(lengths):
    rows = pack(unlearned_ends(make_examples(lengths)), 20)
    longest = 0
    for row, left in zip(rows, trim(rows), strict=True):
        expected = [
            {
                name: of[: np.flatnonzero(part["mask"]).max(initial=-1) + 1]
                for name, of in part.items()
            }
            for part in parts(row)
        ]
        for number, part in enumerate(expected, start=1):
            at = left["segment_ids"] == number
            for name, values in part.items():
                np.testing.assert_array_equal(left[name][at], values)
            np.testing.assert_array_equal(left["positions"][at], np.arange(at.sum()))
        used = sum(len(part["tokens"]) for part in expected)
        assert (left["segment_ids"] > 0).sum() == (left["segment_ids"][:used] > 0).sum() == used
        assert {name: of.dtype for name, of in left.items()} == {
            name: of.dtype for name, of in row.items()
        }
        longest = max(longest, used)
    room = next(size for size in (3, 5, 8, 10, 13, 15, 18, 20) if size >= longest)
    assert {len(of) for row in trim(rows) for of in row.values()} == {room}


def test_nothing_is_trimmed_where_all_ends_are_learned():
    rows = pack(make_examples([7, 30, 12, 5, 21, 9, 18, 4]), 40)
    for row, left in zip(rows, trim(rows), strict=True):
        for name in row:
            np.testing.assert_array_equal(row[name], left[name])
    assert trim([]) == []


@pytest.mark.parametrize("name", MODELS)
def test_trimmed_rows_teach_the_same(name, random_params):
    model = Transformer(MODELS[name])
    params = random_params(model)
    whole = pack(unlearned_ends(make_examples([7, 30, 12, 5, 21, 9, 18, 4])), 40)
    left = trim(whole)
    assert len(left[0]["tokens"]) == 20

    @jax.jit
    def loss_and_gradient(batch):
        batch = {**batch, "weights": batch["mask"] / batch["mask"].sum()}
        loss = language_model_loss(model)
        return jax.value_and_grad(loss, has_aux=True)(params, batch, jax.random.key(0))

    before, after = (
        loss_and_gradient(pad_and_stack(rows, len(rows[0]["tokens"]))) for rows in (whole, left)
    )
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert max(float(jnp.abs(g).max()) for g in jax.tree.leaves(before[1])) > 1e-2


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("loss", [language_model_loss, binary_loss])
def test_packed_is_unpacked(name, loss, random_params):
    output = "tokens" if loss is language_model_loss else "scalar"
    model = Transformer(TransformerConfig(**{**vars(MODELS[name]), "output": output}))
    params = random_params(model)
    examples = make_examples([7, 30, 12, 5, 21, 9, 18, 4])

    @jax.jit
    def loss_and_gradient(batch):
        batch = {**batch, "weights": batch["mask"] / batch["mask"].sum()}
        return jax.value_and_grad(loss(model), has_aux=True)(params, batch, jax.random.key(0))

    rows = pack(examples, 40)
    assert len(rows) == 3
    apart = loss_and_gradient(pad_and_stack(examples, 30))
    packed = loss_and_gradient(pad_and_stack(rows, 40))
    for a, b in zip(jax.tree.leaves(apart), jax.tree.leaves(packed), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert max(float(jnp.abs(g).max()) for g in jax.tree.leaves(apart[1])) > 1e-2


def test_bad_input_is_named_in_one_line():
    with pytest.raises(ValueError, match="pack=8: an example has 9 tokens"):
        pack(make_examples([3, 9]), 8)
    with pytest.raises(ValueError, match="pack: field label has 0 axes"):
        pack([{"tokens": np.arange(3), "label": 1}], 8)
    assert pack([], 8) == []
