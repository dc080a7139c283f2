"""Lexical measures of more texts than memory holds: counts, sketches, and a sample at random."""

import collections
import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from qdcjax.measures.intervals import Interval
from qdcjax.measures.ngrams import numbered, words

KEPT = 1 << 14  # hashes of a sketch: a standard error of .8 %


class DistinctSketch:
    """How many different 64-bit hashes were seen, from the k least of them.

    The k-th least of D uniform hashes lies near k / D of their range, so that D ≈ (k − 1) / u_k,
    with a standard error of D / √(k − 2) (Beyer et al. 2007, "On Synopses for Distinct-Value
    Estimation Under Multiset Operations"). Up to k − 1 different ones the count is exact.
    """

    def __init__(self, kept: int = KEPT):
        if kept < 3:
            raise ValueError(f"kept={kept} must be at least 3")
        self._kept = kept
        self._least = np.zeros(0, np.uint64)

    def add(self, hashes: np.ndarray) -> None:
        """Takes in hashes [N], uint64, each as often as it comes."""
        if len(self._least) == self._kept:
            hashes = hashes[hashes < self._least[-1]]
        if len(hashes):
            self._least = np.union1d(self._least, hashes)[: self._kept]

    @property
    def count(self) -> Interval:
        """Of different hashes; its ends are 1.96 standard errors away."""
        k = len(self._least)
        if k < self._kept:
            return Interval(float(k), float(k), float(k), "exact")
        value = (k - 1) * 2.0**64 / float(self._least[-1])
        half = 1.96 * value / math.sqrt(k - 2)
        return Interval(value, value - half, value + half, f"95 % of a sketch of {k:,} hashes")


class TextStream:
    """Counts of a stream of texts, in memory that does not grow with it.

    Attributes:
      texts, tokens: seen so far; tokens are cut at white space.
      sample: texts drawn at random from all so far, without replacement and in random order, for
        measures at one size (`subsamples.at_size`).
    """

    def __init__(self, orders: Sequence[int] = (1, 2, 3), sampled: int = 20_000, seed: int = 0):
        """Counts different n-grams of these orders, and keeps so many texts."""
        if not orders or min(orders) < 1 or sampled < 1:
            raise ValueError(f"orders={tuple(orders)} and sampled={sampled} must be at least 1")
        self.texts = self.tokens = 0
        self._ngrams = dict.fromkeys(orders, 0)
        self._sketches = {order: DistinctSketch() for order in orders}
        self._whole = DistinctSketch()
        self._rng, self._sampled = np.random.default_rng(seed), sampled
        self._keys, self._sample = np.zeros(0), np.zeros(0, object)

    def add(self, texts: Sequence[str], kept: Sequence[Any] | None = None) -> None:
        """Takes in some more texts: tens of thousands at a time, for speed.

        Args:
          texts: to be counted.
          kept: what the sample has of each; the texts themselves by default.
        """
        if not len(texts):
            return
        rows = [text.split() for text in texts]
        for order, (grams, _) in enumerate(_ngrams(rows, max(self._sketches)), start=1):
            if order in self._sketches:
                self._ngrams[order] += len(grams)
                self._sketches[order].add(grams)
        self._whole.add(_hashes(texts))
        self.texts += len(texts)
        self.tokens += sum(map(len, rows))
        keys = np.concatenate([self._keys, self._rng.random(len(texts))])
        every = np.concatenate([self._sample, np.array([*(kept or texts), None], object)[:-1]])
        best = np.argsort(keys)[: self._sampled]
        self._keys, self._sample = keys[best], every[best]

    @property
    def sample(self) -> list[Any]:
        """See above."""
        return self._sample.tolist()

    def distinct_n(self, n: int) -> Interval:
        """Different n-grams / all n-grams of everything so far, as `ngrams.distinct_n`."""
        return _share(self._sketches[n].count, self._ngrams[n])

    def distinct_texts(self) -> Interval:
        """Different texts / texts: 1 where no text is a copy."""
        return _share(self._whole.count, self.texts)


class Overlap:
    """How much of each text of a test set stands in a stream of others: contamination.

    Texts are compared by runs of n words (`ngrams.words`), 13 as in Brown et al. 2020, "Language
    Models are Few-Shot Learners", appendix C. A test text of fewer words is found as a whole alone,
    and one without words is not found.
    """

    def __init__(self, tests: Sequence[str], n: int = 13):
        if not len(tests) or n < 1:
            raise ValueError(f"{len(tests)} tests and n={n} must be at least 1")
        self._n, self._count = n, len(tests)
        rows = [words(text) for text in tests]
        grams, texts = self._runs(rows)
        short = np.flatnonzero([0 < len(row) < n for row in rows])
        grams = np.concatenate([grams, _hashes([" ".join(rows[of]) for of in short])])
        self._texts = np.concatenate([texts, short])
        self._wanted, self._at = np.unique(grams, return_inverse=True)
        self._seen = np.zeros(len(self._wanted), bool)

    def add(self, texts: Sequence[str]) -> None:
        """Takes in some more texts of the stream."""
        rows = [words(text) for text in texts]
        whole = _hashes([" ".join(row) for row in rows if len(row) < self._n])
        self._seen |= np.isin(self._wanted, np.concatenate([self._runs(rows)[0], whole]))

    def _runs(self, rows: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
        (last,) = collections.deque(_ngrams(rows, self._n), maxlen=1)
        return last

    @property
    def shares(self) -> np.ndarray:
        """[tests] the share of each one's runs of n words that the stream had."""
        seen = np.bincount(self._texts, self._seen[self._at], self._count)
        return seen / np.maximum(np.bincount(self._texts, minlength=self._count), 1)


def _ngrams(rows: Sequence[Sequence[str]], most: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of the orders 1 … most: the hashes of all n-grams, and the text that each stands in."""
    tokens = numbered(rows)
    hashes = _hashes(tokens.different)[tokens.ids]
    grams = np.zeros_like(hashes)
    for order in range(1, most + 1):
        starts = np.flatnonzero(tokens.left >= order)
        grams[starts] = _mixed(grams[starts], hashes[starts + order - 1])
        yield grams[starts], tokens.texts[starts]


def _share(count: Interval, total: int) -> Interval:
    if not total:
        return Interval(math.nan, math.nan, math.nan, "nothing to count")
    ends = (end / total for end in (count.value, count.low, count.high))
    return Interval(*ends, count.method).within(0, 1)


def _hashes(texts: Sequence[str]) -> np.ndarray:
    """[n] uint64, the same in every process."""
    digest = hashlib.blake2b
    whole = b"".join(digest(text.encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(whole, "<u8").astype(np.uint64)


def _mixed(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Hashes of n-grams from those of their first n − 1 tokens and of the last (splitmix64's)."""
    x = one ^ other
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
