"""Several examples in one row, so that no token of a batch is padding but at the ends of rows."""

from collections.abc import Mapping, Sequence

import numpy as np

from qdcjax.data.batches import Example


def pack(examples: Sequence[Example], length: int) -> list[Example]:
    """Rows of `length` tokens, each with as many examples as fit, longest first.

    An example goes whole into the row that it fills best. A row has the examples' own fields, one
    after another and zero at the end, and

        segment_ids [length]: 1, 2, … for the row's examples, 0 for padding
        positions [length]: of each token in its example

    so that a model that is given both computes what it would on the examples alone.

    Raises:
      ValueError: an example that is longer than a row, or has a field that is not 1-D.
    """
    lengths = np.asarray([len(example["tokens"]) for example in examples])
    if lengths.max(initial=0) > length:
        raise ValueError(f"pack={length}: an example has {lengths.max()} tokens")
    with_room: list[list[int]] = [[] for _ in range(length + 1)]  # room left → rows
    rows: list[list[int]] = []
    for number in np.argsort(-lengths, kind="stable"):
        size = int(lengths[number])
        room = next((r for r in range(size, length) if with_room[r]), length)
        if room == length:  # a new row: none of the open ones has room
            rows.append([])
            row = len(rows) - 1
        else:
            row = with_room[room].pop()
        rows[row].append(int(number))
        with_room[room - size].append(row)
    return _filled(examples, rows, lengths, length)


def _filled(
    examples: Sequence[Example], rows: Sequence[Sequence[int]], lengths: np.ndarray, length: int
) -> list[Example]:
    """Rows of examples, given as their numbers: all fields of all rows are written at once."""
    if not rows:
        return []
    for name, value in examples[0].items():
        if np.ndim(value) != 1:
            raise ValueError(f"pack: field {name} has {np.ndim(value)} axes and must have one")
    order = np.concatenate(rows)
    sizes, totals = lengths[order], [lengths[of].sum() for of in rows]
    fields = {name: np.concatenate([examples[n][name] for n in order]) for name in examples[0]}
    segments = np.repeat(_counted([len(of) for of in rows]) + 1, sizes)
    fields["segment_ids"], fields["positions"] = np.int32(segments), np.int32(_counted(sizes))
    at = np.repeat(np.arange(len(rows)), totals), _counted(totals)
    whole = {name: np.zeros((len(rows), length), of.dtype) for name, of in fields.items()}
    for name, values in fields.items():
        whole[name][at] = values
    return _apart(whole)


def _counted(sizes: Sequence[int]) -> np.ndarray:
    """0, 1, … of each size, one after another."""
    ends = np.cumsum(sizes)
    return np.arange(ends[-1]) - np.repeat(ends - sizes, sizes)


def _apart(fields: Mapping[str, np.ndarray]) -> list[Example]:
    """Name → [N, T], as N rows that share its memory."""
    count = len(next(iter(fields.values())))
    return [{name: of[row] for name, of in fields.items()} for row in range(count)]


def trim(rows: Sequence[Example]) -> list[Example]:
    """Packed rows without what follows the last token of an example that carries loss.

    Nothing before it sees it, so that losses and gradients stay. All rows are cut to the least
    eighth of their length that holds every one: then few lengths come about.

    Args:
      rows: of `pack`, with `mask`, which is above zero where a token carries loss.
    """
    if not rows:
        return []
    fields = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    ids, length = fields["segment_ids"], len(rows[0]["mask"])
    learned = np.where(fields["mask"] > 0, np.arange(length), length)
    following = np.minimum.accumulate(learned[:, ::-1], axis=1)[:, ::-1]  # the next that is learned
    inside = np.minimum(following, length - 1)
    kept = (following < length) & (np.take_along_axis(ids, inside, axis=1) == ids)
    eighths = -(-np.arange(1, 9) * length // 8)
    room = eighths[eighths >= kept.sum(axis=1).max()][0]
    order = np.argsort(~kept, axis=1, kind="stable")[:, :room]
    for name, of in fields.items():
        fields[name] = np.take_along_axis(of * kept, order, axis=1)
    return _apart(fields)
