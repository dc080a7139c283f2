import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdcjax.data.batches import (
    bucket_lengths,
    epochs_of_batches,
    length_buckets,
    make_batches,
    pad_and_stack,
)
from qdcjax.data.packing import pack


def make_examples(lengths):
    return [
        {
            "tokens": np.full(length, number + 1, np.int32),
            "mask": np.ones(length, np.float32),
            "weight": np.float32(number),
        }
        for number, length in enumerate(lengths)
    ]


EXAMPLES = make_examples([5, 40, 30, 64, 12, 33, 7, 60, 20, 32, 31, 50])  # 7 up to 32, 5 above
EXAMPLES_TO_PACK = [{"tokens": np.arange(n, dtype=np.int32)} for n in (40, 20, 50, 9)]  # 2 rows
STEPS = 24


def ids(batches, steps=range(STEPS)):
    return [batches[step]["index"].tolist() for step in steps]


@pytest.mark.parametrize("buckets", [1, 2])
@pytest.mark.parametrize("count", [2, 4])
def test_parts_together_are_the_global_batch_of_every_step(buckets, count):
    whole = ids(make_batches(EXAMPLES, 4, 0, buckets=buckets))
    parts = [
        make_batches(EXAMPLES, 4, 0, buckets=buckets, parts=((i,), count)) for i in range(count)
    ]
    for step in range(STEPS):
        rows = [part[step] for part in parts]
        for i, row in enumerate(rows):
            assert row["index"].tolist() == whole[step][i::count]
        assert len({row["tokens"].shape[1] for row in rows}) == 1, "padded lengths differ"


def test_a_process_may_have_several_parts():
    whole = ids(make_batches(EXAMPLES, 8, 0))
    batches = make_batches(EXAMPLES, 8, 0, parts=((1, 3), 4))
    for step in range(STEPS):
        assert batches[step]["index"].tolist() == [whole[step][row] for row in (1, 3, 5, 7)]


def test_a_batch_tells_its_tokens_without_padding():
    batch = make_batches(EXAMPLES, 12, 0)[0]
    assert batch["length"].tolist() == [len(EXAMPLES[row]["tokens"]) for row in batch["index"]]
    batch = make_batches(pack(EXAMPLES_TO_PACK, 64), 2, 0)[0]
    assert batch["length"].sum() == sum(len(example["tokens"]) for example in EXAMPLES_TO_PACK)


def test_a_batch_is_a_function_of_seed_and_step():
    one, other = (make_batches(EXAMPLES, 4, 3, buckets=2) for _ in range(2))
    forwards, backwards = ids(one), ids(other, reversed(range(STEPS)))
    assert forwards == backwards[::-1]
    assert ids(make_batches(EXAMPLES, 4, 4, buckets=2)) != forwards


@pytest.mark.parametrize("buckets", [1, 2])
def test_each_example_comes_once_an_epoch_of_its_bucket(buckets):
    batches = make_batches(EXAMPLES, 2, 0, buckets=buckets)
    by_width = {}
    for step in range(60):
        batch = batches[step]
        by_width.setdefault(batch["tokens"].shape[1], []).extend(batch["index"].tolist())
    assert len(by_width) == buckets
    expected = {n: len(example["tokens"]) for n, example in enumerate(EXAMPLES)}
    epochs = []
    for width, order in by_width.items():
        members = sorted(n for n, length in expected.items() if width - 32 < length <= width)
        members = members if buckets == 2 else sorted(expected)
        for i in range(0, len(order) - len(members) + 1, len(members)):
            epochs.append(order[i : i + len(members)])
            assert sorted(epochs[-1]) == members
    assert len(set(map(tuple, epochs))) > len(epochs) // 2, "every epoch has one order"


def test_buckets_take_turns_by_their_size():
    batches = make_batches(EXAMPLES, 2, 0, buckets=2)
    widths = Counter(batches[step]["tokens"].shape[1] for step in range(60))
    assert widths == {32: 35, 64: 25}


@pytest.mark.parametrize("lengths", [[90] + [10] * 30, [10] * 30 + [90], [90] * 15 + [10] * 16])
def test_training_begins_with_its_largest_shape(lengths):
    batches = make_batches(make_examples(lengths), 2, 0, buckets=2)
    widths = [batches[step]["tokens"].shape[1] for step in range(60)]
    assert widths[0] == 96 and set(widths) == {32, 96}


def test_fields_are_padded_with_zeros_and_rows_keep_together():
    batches = make_batches(EXAMPLES, 4, 0, buckets=2)
    for batch in (batches[step] for step in range(10)):
        width = batch["tokens"].shape[1]
        for row, number in enumerate(batch["index"]):
            length = len(EXAMPLES[number]["tokens"])
            expected = [number + 1] * length + [0] * (width - length)
            assert batch["tokens"][row].tolist() == expected
            assert batch["mask"][row].sum() == length and batch["weight"][row] == number
        assert batch["tokens"].dtype == np.int32 and batch["mask"].dtype == np.float32


def test_more_rows_than_examples_start_the_next_epoch():
    counts = Counter(make_batches(make_examples([3, 4, 5]), 6, 0)[0]["index"].tolist())
    assert counts == {0: 2, 1: 2, 2: 2}


@pytest.mark.parametrize(("batch_size", "buckets", "count"), [(1, 1, 1), (4, 2, 4), (2, 3, 1)])
def test_small_batches_are_batches_too(batch_size, buckets, count):
    examples = make_examples([10, 40, 70] * 4)
    batches = make_batches(examples, batch_size, 0, buckets=buckets, parts=((0,), count))
    assert len(batches[0]["index"]) == batch_size // count
    assert len(batches[100_000]["index"]) == batch_size // count


def test_bad_arguments_are_named_in_one_line():
    with pytest.raises(ValueError, match="no examples to make batches of"):
        make_batches([], 4, 0)
    with pytest.raises(ValueError, match="batch_size=4 must be a multiple of 3 parts"):
        make_batches(EXAMPLES, 4, 0, parts=((0,), 3))


def test_scalars_are_stacked_alone():
    examples = [{"tokens": np.arange(2), "label": 3}, {"tokens": np.arange(1), "label": 4}]
    batch = pad_and_stack(examples, 3)
    assert batch["tokens"].tolist() == [[0, 1, 0], [0, 0, 0]]
    assert batch["label"].tolist() == [3, 4]


lengths_lists = st.lists(st.integers(1, 500), min_size=1, max_size=60)


@given(lengths_lists, st.integers(1, 6), st.sampled_from([1, 8, 32]))
def test_bucket_lengths_hold_all_and_are_few(lengths, buckets, multiple):
    padded = bucket_lengths(lengths, buckets, multiple)
    assert 1 <= len(padded) <= buckets
    assert all(length % multiple == 0 for length in padded)
    assert all(a < b for a, b in itertools.pairwise(padded))
    assert max(lengths) <= padded[-1] < max(lengths) + multiple


@given(lengths_lists, st.integers(1, 6), st.randoms())
def test_bucket_lengths_do_not_depend_on_order(lengths, buckets, random):
    shuffled = list(lengths)
    random.shuffle(shuffled)
    assert bucket_lengths(shuffled, buckets) == bucket_lengths(lengths, buckets)


def test_bucket_lengths_by_hand():
    assert bucket_lengths([10, 20, 30, 40, 50, 60, 70, 80], 2) == (64, 96)
    assert bucket_lengths(range(1, 101), 4, multiple=1) == (26, 51, 76, 100)


def test_length_buckets_hold_every_row_once_and_begin_with_the_longest():
    lengths = np.asarray([5, 70, 31, 90, 6, 33, 64])
    buckets = length_buckets(lengths, 3)
    widths = [width for _, width in buckets]
    assert widths == sorted(widths, reverse=True) and len(set(widths)) == 3
    assert sorted(np.concatenate([rows for rows, _ in buckets]).tolist()) == list(range(7))
    assert all(width - 32 < lengths[rows].max() <= width for rows, width in buckets)
    assert length_buckets([], 3) == []


def test_each_epoch_has_every_example_once_beside_others_of_its_length():
    rng = np.random.default_rng(0)
    examples = [{"tokens": np.arange(n), "weight": np.float32(n)} for n in rng.integers(1, 90, 24)]
    found = epochs_of_batches(examples, 4, 3, [7, 1], (32, 64, 96))
    assert len(found) == 3 * 6
    for epoch in range(3):
        batches = found[6 * epoch : 6 * (epoch + 1)]
        assert sorted(np.concatenate([b["index"] for b in batches])) == list(range(24))
        longest = sorted(len(e["tokens"]) for e in examples)[3::4]
        assert sorted(b["length"].max() for b in batches) == longest
        for batch in batches:
            assert batch["tokens"].shape[1] == -(-batch["length"].max() // 32) * 32
            np.testing.assert_array_equal(batch["weight"], batch["length"])
    orders = [[b["index"].tolist() for b in found[6 * e :][:6]] for e in range(3)]
    assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1])
    again = epochs_of_batches(examples, 4, 3, [7, 1], (32, 64, 96))
    assert [b["index"].tolist() for b in again] == [b["index"].tolist() for b in found]
    other = epochs_of_batches(examples, 4, 3, [7, 2], (32, 64, 96))
    assert [b["index"].tolist() for b in other] != [b["index"].tolist() for b in found]
    parts = [epochs_of_batches(examples, 4, 1, [7, 1], (96,), ([p], 2)) for p in (0, 1)]
    for whole, first, second in zip(found[:6], *parts, strict=True):
        np.testing.assert_array_equal(whole["index"][::2], first["index"])
        np.testing.assert_array_equal(whole["index"][1::2], second["index"])
