"""Lexical measures by hand, and against nltk and rouge-score."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdcjax.measures.ngrams import (
    RougeL,
    distinct_n,
    expectation_adjusted_distinct,
    ngrams,
    rouge_l,
    self_bleu,
)

TEXTS = st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=9), min_size=2, max_size=7)


def test_distinct_n_by_hand():
    assert distinct_n(["a b a", "b a"], 1) == 2 / 5
    assert distinct_n(["a b a", "b a"], 2) == 2 / 3  # ab, ba, ba
    assert distinct_n(["a b a", "b a"], 3) == 1
    assert distinct_n([[7, 9, 7], [9, 7]], 2) == 2 / 3, "token ids are texts too"


@given(TEXTS, st.integers(1, 4))
def test_ngrams_are_those_of_a_loop(texts, n):
    found = ngrams([" ".join(text) for text in texts], n)
    every = [tuple(text[i : i + n]) for text in texts for i in range(len(text) - n + 1)]
    own = [number for number, text in enumerate(texts) for _ in range(len(text) - n + 1)]
    assert found.distinct == len(set(every)) and found.texts.tolist() == own
    assert len(set(zip(found.ids.tolist(), every, strict=True))) == found.distinct


def test_expected_distinct_is_one_for_random_tokens_of_any_number():
    rng = np.random.default_rng(0)
    for count in (50, 500, 5_000):
        tokens = [rng.integers(300, size=count)]
        assert expectation_adjusted_distinct(tokens, 300) == pytest.approx(1, abs=0.08)
    assert distinct_n([rng.integers(300, size=5_000)], 1) < 0.1
    # 2 of 4 words in 3 tokens: 2 / (4 (1 − (3/4)³))
    assert expectation_adjusted_distinct(["a b a"], 4) == pytest.approx(2 / (4 * (1 - 27 / 64)))
    assert expectation_adjusted_distinct(["a a"], 1) == 1


def test_self_bleu_by_hand():
    assert self_bleu(["a b c d"] * 3) == pytest.approx(1)
    assert self_bleu(["a b c d", "e f g h"]) == 0
    # Of `a a` only one a is in `a b`, and the other way round: p_1 = 1/2 for both.
    assert self_bleu(["a a", "a b"], n=1) == pytest.approx(0.5)
    # `a` is shorter than its reference by two tokens: exp(1 − 3/1); `a b c` has p_1 = 1/3.
    assert self_bleu(["a", "a b c"], n=1) == pytest.approx((np.exp(-2) + 1 / 3) / 2)


@pytest.mark.parity
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_nltk_finds_the_same_bleu(n):
    bleu = pytest.importorskip("nltk.translate.bleu_score")
    rng = random.Random(n)
    for _ in range(20):
        texts = [rng.choices("abcdefgh", k=rng.randint(1, 14)) for _ in range(rng.randint(2, 12))]
        theirs = [
            bleu.sentence_bleu(
                texts[:i] + texts[i + 1 :], texts[i], weights=(1 / n,) * n,
                smoothing_function=bleu.SmoothingFunction().method1,
            )
            for i in range(len(texts))
        ]  # fmt: skip
        assert self_bleu([" ".join(text) for text in texts], n) == pytest.approx(np.mean(theirs))


def test_rouge_l_by_hand():
    assert rouge_l("the cat sat", "The cat, it sat!") == pytest.approx(2 * 3 / 7)
    assert rouge_l("a b c d", "d c b a") == pytest.approx(2 / 8)
    assert rouge_l([1, 2, 3], [1, 3]) == pytest.approx(4 / 5)
    assert rouge_l("", "a") == rouge_l("a", "?") == 0


@given(TEXTS)
def test_rouge_l_is_that_of_the_usual_table(texts):
    pool = RougeL([np.array([ord(x) for x in text]) for text in texts])
    for text in texts:
        found = pool(np.array([ord(x) for x in text]))
        assert found == pytest.approx(
            [2 * common(text, other) / (len(text) + len(other)) for other in texts]
        )


def common(one, other) -> int:
    table = np.zeros((len(one) + 1, len(other) + 1), int)
    for i, x in enumerate(one):
        for j, y in enumerate(other):
            table[i + 1, j + 1] = (
                table[i, j] + 1 if x == y else max(table[i, j + 1], table[i + 1, j])
            )
    return table[-1, -1]


@pytest.mark.parity
def test_rouge_score_finds_the_same_overlap():
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(["rougeL"])
    rng = random.Random(0)
    vocabulary = ["Tom", "has", "12", "apples,", "and", "buys", "3.5", "more.", "co-op", "$7"]
    for _ in range(200):
        one, other = (" ".join(rng.choices(vocabulary, k=rng.randint(0, 60))) for _ in range(2))
        assert rouge_l(one, other) == pytest.approx(scorer.score(one, other)["rougeL"].fmeasure)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: distinct_n([], 1), "texts is empty"),
        (lambda: distinct_n(["a", "b"], 2), "no text has n=2 tokens"),
        (lambda: distinct_n(["a"], 0), "n=0 must be at least 1"),
        (lambda: self_bleu(["a"]), "1 text has no other one to be held against"),
        (
            lambda: expectation_adjusted_distinct(["a b"], 1),
            "vocabulary=1: the texts have 2",
        ),
    ],
)
def test_bad_input_is_told_in_one_line(call, words):
    with pytest.raises(ValueError, match=f"^{words}$"):
        call()
