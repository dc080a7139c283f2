"""Tables in memory: an Arrow data set is written from columns, and made row by row."""

from collections.abc import Mapping, Sequence
from typing import Any


def columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Name → its values in all rows, at least one, which have the same names."""
    return {name: [row[name] for row in rows] for name in rows[0]}
