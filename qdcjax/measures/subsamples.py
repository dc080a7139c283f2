"""Measures of sets at one size, since most of them depend on it."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from qdcjax.measures.intervals import Interval, students_t

MOST = 30  # blocks: more of them say little that is new


def at_size(
    measure: Callable[[Any], float], samples: Any, size: int, most: int = MOST, seed: int = 0
) -> Interval:
    """The mean of a measure over disjoint random blocks of `size` samples, with Student's interval.

    Blocks do not overlap, so that their figures are independent draws of what a set of that size
    has, and sets of any number of samples can be compared. A set of fewer than two blocks has a
    value and no interval; one with a block for which the measure is NaN has neither.

    Args:
      measure: of a list, or of an array of rows.
      samples: list, or array of rows.
      size: of a block.
      most: blocks that are looked at.
      seed: of the order in which samples come into blocks.

    Raises:
      ValueError: fewer than `size` samples, or a size under 1.
    """
    if not 1 <= size <= len(samples):
        raise ValueError(f"size={size:,} must be from 1 to the {len(samples):,} samples")
    order = np.random.default_rng(seed).permutation(len(samples))
    blocks = order[: min(most, len(samples) // size) * size].reshape(-1, size)
    values = [measure(_rows(samples, block)) for block in blocks]
    if np.isnan(values).any():
        return Interval(math.nan, math.nan, math.nan, f"not of every block of {size:,}")
    if len(values) == 1:
        return Interval(float(values[0]), math.nan, math.nan, f"one block of {size:,}")
    found = students_t(values)
    return dataclasses.replace(found, method=found.method.replace("seeds", f"blocks of {size:,}"))


def _rows(samples: Any, rows: np.ndarray) -> Sequence | np.ndarray:
    return samples[rows] if isinstance(samples, np.ndarray) else [samples[row] for row in rows]
