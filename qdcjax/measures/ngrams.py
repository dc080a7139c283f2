"""Lexical measures over n-grams: distinct ones, self-BLEU, ROUGE-L.

A text is a string, which is cut at white space, or a row of token ids.
"""

import dataclasses
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

Text = str | ArrayLike
SMOOTHING = 0.1  # what a precision of 0 counts for, in matches
_WORD = re.compile(r"[^\W_]+")


@dataclasses.dataclass(frozen=True)
class NGrams:
    """The n-grams of several texts, in order.

    Attributes:
      ids: [G] equal where the n-grams are.
      texts: [G] the text that each stands in.
      distinct: how many different ones there are.
    """

    ids: np.ndarray
    texts: np.ndarray
    distinct: int


def rows_of(texts: Sequence[Text]) -> list[list]:
    """The tokens of each text.

    Raises:
      ValueError: no text.
    """
    if not len(texts):
        raise ValueError("texts is empty")
    return [text.split() if isinstance(text, str) else np.ravel(text).tolist() for text in texts]


@dataclasses.dataclass(frozen=True)
class Tokens:
    """The tokens of several texts, one after another.

    Attributes:
      ids: [N] numbers from 0, equal where the tokens are.
      different: the token of each number.
      texts: [N] the text that each stands in.
      left: [N] how many tokens its text has from it on.
    """

    ids: np.ndarray
    different: list
    texts: np.ndarray
    left: np.ndarray


def numbered(rows: Sequence[Sequence]) -> Tokens:
    """The tokens of rows as numbers."""
    numbers: dict = {}
    ids = [numbers.setdefault(token, len(numbers)) for row in rows for token in row]
    lengths = np.array([len(row) for row in rows], np.int64)
    return Tokens(
        np.asarray(ids, np.int64),
        list(numbers),
        np.repeat(np.arange(len(rows)), lengths),
        np.repeat(np.cumsum(lengths), lengths) - np.arange(len(ids)),
    )


def ngrams(texts: Sequence[Text], n: int) -> NGrams:
    """Every run of n tokens within a text; a shorter text has none.

    Raises:
      ValueError: no text, or n under 1.
    """
    return _every(numbered(rows_of(texts)), n)[-1]


def distinct_n(texts: Sequence[Text], n: int) -> float:
    """Different n-grams / all n-grams of the set.

    Of Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models". It
    falls with the length of the texts and with their number: compare sets of one size.

    Raises:
      ValueError: no text has n tokens, or n under 1.
    """
    found = ngrams(texts, n)
    _some(found, n)
    return found.distinct / len(found.ids)


def expectation_adjusted_distinct(texts: Sequence[Text], vocabulary: int, n: int = 1) -> float:
    """N / (V (1 − ((V − 1) / V)^C)): N different n-grams beside how many C random ones would be.

    It does not fall with the length as `distinct_n` does (Liu et al. 2022, "Rethinking and Refining
    the Distinct Metric").

    Args:
      texts: the set.
      vocabulary: V, how many n-grams there are to choose from.
      n: of the n-grams.

    Raises:
      ValueError: as `distinct_n`; or fewer in the vocabulary than the texts have.
    """
    found = ngrams(texts, n)
    _some(found, n)
    if vocabulary < found.distinct:
        raise ValueError(f"vocabulary={vocabulary:,}: the texts have {found.distinct:,}")
    if vocabulary == 1:
        return 1.0
    expected = -vocabulary * np.expm1(len(found.ids) * np.log1p(-1 / vocabulary))
    return float(found.distinct / expected)


def self_bleu(texts: Sequence[Text], n: int = 4, smoothing: float = SMOOTHING) -> float:
    """The mean BLEU of each text with all others as its references; 1 where long ones are alike.

    BLEU = min(1, exp(1 − r / c)) · (Π_k p_k)^(1/n), k = 1 … n: c the length of the text, r that of
    the reference nearest to it in length, p_k the share of its k-grams that are in a reference,
    each counted at most as often as in the reference that has it most (Zhu et al. 2018, "Texygen").
    Exact in O(N log N) of N tokens, since of every k-gram only the two texts that have it most are
    looked at.

    Args:
      texts: two or more.
      n: the longest k-grams.
      smoothing: matches that count where a k-gram has none; a text without any token in common has
        0 all the same.

    Raises:
      ValueError: fewer than two texts, or n under 1.
    """
    if len(texts) < 2:
        raise ValueError(f"{len(texts)} text has no other one to be held against")
    rows = rows_of(texts)
    lengths = np.array([len(row) for row in rows])
    logs = np.zeros(len(lengths))
    for k, found in enumerate(_every(numbered(rows), n), start=1):
        matched = _matches(found, len(lengths))
        matches, total = matched, np.maximum(lengths - k + 1, 1)
        with np.errstate(divide="ignore"):
            logs += np.log(np.where(matches > 0, matches, smoothing) / total) / n
        if k == 1:
            none = matched == 0
    penalty = np.minimum(0.0, 1 - _nearest_lengths(lengths) / np.maximum(lengths, 1))
    return float(np.where(none, 0.0, np.exp(logs + penalty)).mean())


def words(text: str) -> list[str]:
    """Runs of letters and digits in lower case, which ROUGE compares."""
    return _WORD.findall(text.lower())


def rouge_l(one: Text, other: Text) -> float:
    """2 L / (a + b): L the longest common subsequence of two texts of a and b tokens.

    The F-measure of precision L / a and recall L / b (Lin 2004, "ROUGE"), 0 where either is empty.
    Strings are compared by their `words`.
    """
    return RougeL([one])(other)[0]


class RougeL:
    """`rouge_l` of a text with each of a pool that grows.

    The longest common subsequence is found by addition and bitwise operations on integers of one
    bit a token (Hyyrö 2004, "Bit-parallel LCS-length computation revisited").
    """

    def __init__(self, texts: Sequence[Text] = ()):
        self._pool: list[tuple[int, dict]] = []  # length, and of each token the bits where it is
        for text in texts:
            self.add(text)

    def __len__(self) -> int:
        return len(self._pool)

    def add(self, text: Text) -> None:
        """Puts one more text into the pool."""
        tokens, places = _tokens(text), {}
        for place, token in enumerate(tokens):
            places[token] = places.get(token, 0) | 1 << place
        self._pool.append((len(tokens), places))

    def __call__(self, text: Text) -> list[float]:
        """The F-measure of the text with each of the pool."""
        tokens = _tokens(text)
        return [
            2 * _common(tokens, length, places) / (len(tokens) + length)
            if tokens and length
            else 0.0
            for length, places in self._pool
        ]


def _tokens(text: Text) -> list:
    return words(text) if isinstance(text, str) else np.ravel(text).tolist()


def _common(tokens: Sequence, length: int, places: dict) -> int:
    every = (1 << length) - 1
    left = every  # a bit for each token of the pooled text that is not matched
    for token in tokens:
        if here := left & places.get(token, 0):
            left = (left + here | left - here) & every
    return length - left.bit_count()


def _every(tokens: Tokens, n: int) -> list[NGrams]:
    """The k-grams, k = 1 … n; those of k are numbered by pairs of a (k−1)-gram and a token."""
    if n < 1:
        raise ValueError(f"n={n} must be at least 1")
    found, ids = [], np.zeros_like(tokens.ids)
    for k in range(1, n + 1):
        starts = np.flatnonzero(tokens.left >= k)
        pairs = ids[starts] * len(tokens.different) + tokens.ids[starts + k - 1]
        unique, own = np.unique(pairs, return_inverse=True)
        ids = np.zeros_like(tokens.ids)
        ids[starts] = own
        found.append(NGrams(own, tokens.texts[starts], len(unique)))
    return found


def _some(found: NGrams, n: int) -> None:
    if not len(found.ids):
        raise ValueError(f"no text has n={n} tokens")


def _matches(found: NGrams, texts: int) -> np.ndarray:
    """[texts] Σ over a text's different k-grams of min(its count, the most of any other text)."""
    pairs, counts = np.unique(found.ids * texts + found.texts, return_counts=True)
    gram, text = pairs // texts, pairs % texts
    order = np.lexsort((-counts, gram))
    gram, text, counts = gram[order], text[order], counts[order]
    first = np.flatnonzero(np.diff(gram, prepend=-1))
    group = np.cumsum(np.diff(gram, prepend=-1) > 0) - 1
    most = counts[first]
    second = np.zeros(len(first), counts.dtype)
    several = np.diff(np.append(first, len(gram))) > 1
    second[several] = counts[first[several] + 1]
    others = most[group]
    others[first] = second
    return np.bincount(text, np.minimum(counts, others), texts)


def _nearest_lengths(lengths: np.ndarray) -> np.ndarray:
    """Of each text the length of another one that is nearest to its own; of two, the shorter."""
    order = np.argsort(lengths, kind="stable")
    of = lengths[order].astype(float)
    below, above = np.append(-np.inf, of[:-1]), np.append(of[1:], np.inf)
    found = np.empty(len(of))
    found[order] = np.where(of - below <= above - of, below, above)
    return found
