"""Complexity: how hard or how much composed a sample is; a mean over samples."""

import zlib
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from qdcjax.measures.ngrams import Text, rows_of
from qdcjax.measures.quality import length_normalised

Step = tuple[Sequence[Hashable], Hashable]  # what goes into a computation, and what comes out


def lengths(texts: Sequence[Text]) -> np.ndarray:
    """[n] tokens of each text.

    Raises:
      ValueError: no text.
    """
    return np.array([len(row) for row in rows_of(texts)])


def depth(steps: Sequence[Step]) -> int:
    """Computations on the longest way from a given number to a result; 0 without any.

    An input is the newest earlier result of that value, and where there is none it is given.

    Args:
      steps: of each computation its inputs and its result, in order.
    """
    of_result: dict[Hashable, int] = {}
    most = 0
    for inputs, result in steps:
        own = 1 + max((of_result.get(value, 0) for value in inputs), default=0)
        of_result[result] = own
        most = max(most, own)
    return most


def difficulty(right: ArrayLike) -> np.ndarray:
    """[n] 1 − the share of k samples of a reference policy that solve each problem.

    Args:
      right: [n, k] of 0 and 1.

    Raises:
      ValueError: it is no matrix, or k is 0.
    """
    right = np.asarray(right, float)
    if right.ndim != 2 or not right.shape[1]:
        raise ValueError(f"right must be [n, k], one or more samples each: {right.shape}")
    return 1 - right.mean(axis=1)


def perplexity(log_probs: ArrayLike, mask: ArrayLike) -> np.ndarray:
    """[n] exp(−(1/L) Σ_t log p(x_t | x_<t)) of each sample under a reference model.

    Args:
      log_probs, mask: see `quality.length_normalised`.

    Raises:
      ValueError: as there.
    """
    return np.exp(-length_normalised(log_probs, mask))


def compressed_size(text: str) -> int:
    """Bytes that zlib makes of the text at its highest level, less the 8 that nothing takes."""
    return len(zlib.compress(text.encode(), 9)) - 8


def compression(texts: Sequence[str]) -> float:
    """Bytes of all texts as one / bytes of it compressed: the larger, the more they repeat.

    Over texts of one size, since longer ones repeat more; zlib sees 32 KiB back.

    Raises:
      ValueError: no text with a character in it.
    """
    whole = "\n".join(texts)
    if not whole.strip():
        raise ValueError("texts: there is no character in them")
    return len(whole.encode()) / compressed_size(whole)
