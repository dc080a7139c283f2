"""Examples → padded batches: `batches[s]` is a function of (seed, s) alone, on any host count."""

import functools
import math
from collections.abc import Sequence

import grain
import numpy as np

Example = dict[str, np.ndarray]

ENDLESS = 2**48  # examples a stream gives; Grain's own endless repeat overflows when streams mix


def bucket_lengths(lengths: Sequence[int], buckets: int, multiple: int = 32) -> tuple[int, ...]:
    """At most `buckets` padded lengths, multiples of `multiple`, that hold all given lengths.

    They lie at the quantiles 1/n, 2/n, …, 1 of the lengths, so buckets are about equally full.
    """
    quantiles = np.quantile(np.asarray(lengths), np.arange(1, buckets + 1) / buckets)
    return padded_lengths(quantiles, multiple)


def padded_lengths(lengths: Sequence[float], multiple: int) -> tuple[int, ...]:
    """The least multiples that hold the lengths, rising, each once."""
    return tuple(sorted({multiple * math.ceil(length / multiple) for length in lengths}))


def length_buckets(
    lengths: Sequence[int], buckets: int, padded: Sequence[int] = ()
) -> list[tuple[np.ndarray, int]]:
    """(rows, padded length) of each bucket that holds a row.

    The longest comes first: a run too large for memory then ends at its first step, not hours on.

    Args:
      lengths: of the rows.
      buckets: how many padded lengths at most, where `padded` does not give them.
      padded: rising lengths, of which the last holds every row.

    Raises:
      ValueError: a row is longer than that.
    """
    if not len(lengths):
        return []
    padded = np.asarray(padded or bucket_lengths(lengths, buckets))
    if max(lengths) > padded[-1]:
        raise ValueError(
            f"a sequence has {max(lengths)} tokens, and the widest bucket {padded[-1]}"
        )
    of_row = padded[np.searchsorted(padded, lengths)]
    return [(np.flatnonzero(of_row == length), int(length)) for length in np.unique(of_row)[::-1]]


def pad_and_stack(examples: Sequence[Example], length: int) -> Example:
    """Right-pads every 1-D field with zeros to `length` and stacks; scalars are stacked alone."""
    batch = {}
    for name, first in examples[0].items():
        if np.ndim(first) == 0:
            batch[name] = np.asarray([example[name] for example in examples])
            continue
        batch[name] = np.zeros((len(examples), length), np.asarray(first).dtype)
        for row, example in zip(batch[name], examples, strict=True):
            row[: len(example[name])] = example[name]
    return batch


def make_batches(
    examples: Sequence[Example],
    batch_size: int,
    seed: int,
    *,
    buckets: int = 1,
    parts: tuple[Sequence[int], int] = ((0,), 1),
) -> grain.MapDataset:
    """An endless Grain data set of batches: shuffle → repeat → batch → stride by part.

    Examples of similar length share a batch: each length bucket is a stream of its own, and the
    streams are interleaved in proportion to their sizes, beginning with the longest. The global
    batch of step s is a function of (seed, s). A mesh cuts it into n parts, of which part i has
    the rows i, i + n, i + 2 n, …; a process asks for the parts that its devices work on.

    Args:
      examples: dicts of fields; `tokens` gives an example's length, all 1-D fields share it.
        Added are `index`, the example's number, to name it in errors, and `length`, its tokens
        without padding.
      batch_size: of the global batch.
      seed: of the order.
      buckets: number of padded lengths, and so of compiled shapes.
      parts: (which parts, in rising order; number of parts n).

    Raises:
      ValueError: no examples, or a batch size that the parts do not divide.
    """
    if not examples:
        raise ValueError("no examples to make batches of")
    own, count = parts
    if batch_size % count:
        raise ValueError(f"batch_size={batch_size} must be a multiple of {count} parts")
    rows_here = [row for row in range(batch_size) if row % count in own]
    lengths = [len(example["tokens"]) for example in examples]

    def stack(group: Sequence[Example], length: int) -> Example:
        return pad_and_stack([group[row] for row in rows_here], length)

    streams, weights = [], []
    for rows, length in length_buckets(lengths, buckets):
        # A seed of its own for each bucket, which no other seed's buckets share.
        bucket_seed = np.random.SeedSequence([seed, len(streams)]).generate_state(1)[0]
        stream = grain.MapDataset.source([_numbered(examples[row], row) for row in rows])
        stream = stream.seed(int(bucket_seed)).shuffle().repeat(ENDLESS // len(rows))
        stream = stream.batch(batch_size, batch_fn=functools.partial(stack, length=length))
        streams.append(stream)
        weights.append(len(rows))
    return grain.MapDataset.mix(streams, weights)


def epochs_of_batches(
    examples: Sequence[Example],
    batch_size: int,
    epochs: int,
    seed: Sequence[int],
    widths: Sequence[int],
    parts: tuple[Sequence[int], int] = ((0,), 1),
) -> list[Example]:
    """Batches in which every example comes exactly once an epoch.

    Examples of similar length share a batch, which is padded to one of `widths`; the batches of an
    epoch come in random order, but for the first one of all: that is the longest, so that a shape
    too large for the memory is told at once.

    Args:
      examples, batch_size, parts: as for `make_batches`; the batch size divides the examples.
      epochs: how many.
      seed: numbers that the order depends on.
      widths: rising lengths, of which the last holds every example.
    """
    own, count = parts
    rows_here = [row for row in range(batch_size) if row % count in own]
    lengths = np.asarray([len(example["tokens"]) for example in examples])
    groups = np.argsort(lengths, kind="stable").reshape(-1, batch_size)
    found = []
    for epoch in range(epochs):
        order = np.random.default_rng([*seed, epoch]).permutation(len(groups))
        if epoch == 0:
            order = [order.max(), *order[order < order.max()]]
        for at in order:
            group = groups[at]
            width = widths[np.searchsorted(widths, lengths[group].max())]
            mine = [_numbered(examples[row], row) for row in group[rows_here]]
            found.append(pad_and_stack(mine, width))
    return found


def _numbered(example: Example, row: int) -> Example:
    """With what the host wants to know of it."""
    packed = example.get("segment_ids")
    length = len(example["tokens"]) if packed is None else np.count_nonzero(packed)
    return {**example, "index": row, "length": length}
