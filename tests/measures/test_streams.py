"""Counts of streams against those of lists; sketches within their own error; contamination."""

import numpy as np
import pytest

from qdcjax.measures.ngrams import distinct_n
from qdcjax.measures.streams import DistinctSketch, Overlap, TextStream
from qdcjax.measures.subsamples import at_size

RNG = np.random.default_rng(0)


def some(count: int, words: int = 200) -> list[str]:
    return [" ".join(f"w{n}" for n in row) for row in RNG.integers(words, size=(count, 12))]


def streamed(texts, parts: int = 3, **fields) -> TextStream:
    stream = TextStream(**fields)
    for part in range(parts):
        stream.add(texts[part::parts])
    return stream


def test_few_texts_are_counted_exactly():
    texts = [*some(100), "short", "short", ""]
    stream = streamed(texts)
    assert (stream.texts, stream.tokens) == (103, 1_202)
    for n in (1, 2, 3):
        found = stream.distinct_n(n)
        assert found.value == found.low == pytest.approx(distinct_n(texts, n))
    assert stream.distinct_texts().value == pytest.approx(102 / 103)
    assert TextStream().distinct_n(1).method == "nothing to count"


def test_many_are_counted_within_the_sketch_s_error():
    texts = some(20_000)
    stream = streamed(texts, parts=7)
    for n in (1, 2, 3):
        found = stream.distinct_n(n)
        assert found.low <= found.value <= found.high
        assert found.value == pytest.approx(distinct_n(texts, n), rel=0.03)
    assert stream.distinct_n(1).method == "exact"
    assert stream.distinct_n(3).method == "95 % of a sketch of 16,384 hashes"


def test_a_sketch_s_interval_covers_as_often_as_it_says():
    covered = 0
    for seed in range(200):
        sketch = DistinctSketch(kept=64)
        hashes = np.random.default_rng(seed).integers(2**64, size=3_000, dtype=np.uint64)
        for part in np.split(hashes, 10):
            sketch.add(np.concatenate([part, part]))
        covered += sketch.count.low <= 3_000 <= sketch.count.high
    assert 176 <= covered <= 200


def test_the_kept_texts_are_a_sample_at_random_of_bounded_size():
    texts = [f"text {n}" for n in range(1_000)]
    often = np.zeros(1_000)
    for seed in range(100):
        kept = streamed(texts, sampled=100, seed=seed).sample
        assert len(set(kept)) == 100
        often[[int(text.split()[1]) for text in kept]] += 1
    assert abs(often[:500].sum() - 5_000) < 250, "early and late texts are as likely"
    assert often.max() < 30
    assert streamed(texts[:50], sampled=100).sample != texts[:50], "in random order"


def test_orders_of_words_and_texts_tell_apart():
    stream = streamed(["a b", "b a", "ab"])
    assert stream.distinct_n(2).value == 1
    assert stream.distinct_texts().value == 1


def test_contamination_is_found_whatever_case_and_marks():
    tests = ["one two three four five six", "seven eight nine ten", "Too short", "not there at all"]
    overlap = Overlap(tests, n=3)
    overlap.add(["He said: ONE, two; three four. Then nothing", "eight nine ten"])
    overlap.add(["too short!", "too short to be whole"])
    np.testing.assert_allclose(overlap.shares, [2 / 4, 1 / 2, 1, 0])
    foreign = Overlap(["你好吗", "?!", "Что это"], n=3)
    foreign.add(["完全不同的东西", "!!", "что это"])
    np.testing.assert_allclose(foreign.shares, [0, 0, 1])


def test_blocks_of_one_size():
    samples = list(range(100))
    found = at_size(lambda block: np.mean(block), samples, 10)
    assert found.value == pytest.approx(49.5) and found.low < 49.5 < found.high
    assert found.method == "95 % t over 10 blocks of 10"
    seen = []
    at_size(lambda block: seen.append(block) or 0.0, samples, 30, seed=1)
    assert len(set(sum(seen, []))) == 90, "disjoint"  # noqa: RUF017
    one = at_size(len, np.zeros((15, 2)), 10)
    assert one.value == 10 and np.isnan(one.low) and one.method == "one block of 10"
    assert at_size(lambda block: np.nan, samples, 10).method == "not of every block of 10"
    assert at_size(len, samples, 2, most=5).method == "95 % t over 5 blocks of 2"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: DistinctSketch(2), "kept=2 must be at least 3"),
        (lambda: TextStream(()), r"orders=\(\) and sampled=20000 must be at least 1"),
        (lambda: Overlap([]), "0 tests and n=13 must be at least 1"),
        (lambda: at_size(len, [1, 2], 3), "size=3 must be from 1 to the 2 samples"),
    ],
)
def test_bad_input_is_told_in_one_line(call, words):
    with pytest.raises(ValueError, match=f"^{words}$"):
        call()
