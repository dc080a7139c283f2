"""Several examples in one row, so that no token of a batch is padding but at the ends of rows."""

from collections.abc import Sequence

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
    return [_row([examples[number] for number in row], length) for row in rows]


def _row(examples: Sequence[Example], length: int) -> Example:
    sizes = [len(example["tokens"]) for example in examples]
    for name, value in examples[0].items():
        if np.ndim(value) != 1:
            raise ValueError(f"pack: field {name} has {np.ndim(value)} axes and must have one")
    fields = {name: [example[name] for example in examples] for name in examples[0]}
    fields["segment_ids"] = [np.full(size, i + 1, np.int32) for i, size in enumerate(sizes)]
    fields["positions"] = [np.arange(size, dtype=np.int32) for size in sizes]
    whole = {name: np.concatenate(parts) for name, parts in fields.items()}
    return {name: np.pad(field, (0, length - len(field))) for name, field in whole.items()}
