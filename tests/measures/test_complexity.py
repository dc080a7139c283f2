"""Complexity by hand."""

import numpy as np
import pytest

from qdcjax.measures.complexity import (
    compressed_size,
    compression,
    depth,
    difficulty,
    lengths,
    perplexity,
)


def test_lengths_of_strings_and_of_ids():
    assert lengths(["a b  c", ""]).tolist() == [3, 0]
    assert lengths([[1, 2], [3]]).tolist() == [2, 1]


def test_depth_is_the_longest_chain():
    assert depth([]) == 0
    assert depth([((2, 3), 5), ((4, 4), 16)]) == 1, "side by side"
    assert depth([((2, 3), 5), ((5, 4), 20), ((20, 5), 25)]) == 3
    assert depth([((2, 3), 5), ((7, 1), 8), ((5, 8), 13)]) == 2
    assert depth([((2, 3), 5), ((5, 1), 6), ((4, 2), 6), ((6, 1), 7)]) == 2, "the newest 6"


def test_difficulty_and_perplexity_by_hand():
    assert difficulty([[1, 0, 0, 1], [1, 1, 1, 1]]).tolist() == [0.5, 0]
    np.testing.assert_allclose(
        perplexity(np.log([[0.5, 0.125], [0.1, 1]]), [[1, 1], [1, 0]]), [4, 10]
    )


def test_what_repeats_is_small():
    assert compressed_size("") == 0
    assert compressed_size("ab" * 500) < 30 < compressed_size("".join(map(chr, range(40, 120))))
    assert compression(["one and the same text"] * 50) > 10
    assert compression(["abcdefg", "hijklmn"]) < 1.1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: difficulty([1, 0]), r"right must be \[n, k\], one or more samples each: \(2,\)"),
        (lambda: compression([" ", ""]), "texts: there is no character in them"),
        (lambda: lengths([]), "texts is empty"),
    ],
)
def test_bad_input_is_told_in_one_line(call, words):
    with pytest.raises(ValueError, match=f"^{words}$"):
        call()
