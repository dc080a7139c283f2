"""JSON that a person gave: what is none is named by where it lies."""

import json
from typing import Any


def json_of(text: str | bytes, where: str, kind: type) -> Any:
    """A JSON object or list.

    Args:
      text: the JSON.
      where: file and line, for the error.
      kind: `dict` or `list`, which it has to be.

    Raises:
      ValueError: it is none, or of another kind.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:  # also of bytes that are no UTF-8
        raise ValueError(f"{where}: no JSON, perhaps cut short ({error})") from error
    if not isinstance(found, kind):
        raise ValueError(f"{where}: a JSON {type(found).__name__} and must be a {kind.__name__}")
    return found
