"""Opening a GGUF file: one reader for its tokeniser and its weights."""

import functools
from pathlib import Path
from typing import Any

import gguf


def open_gguf(path: str | Path) -> gguf.GGUFReader:
    """A reader of the GGUF file at `path`.

    The last file opened is kept: parsing its metadata takes seconds, and a tokeniser, a config
    and parameters are mostly read from the same file. Tensor data are mapped, not loaded.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is no GGUF file, or it is cut short.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such GGUF file")
    stat = path.stat()
    return _open(path.resolve(), stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=1)
def _open(path: Path, size: int, modified: int) -> gguf.GGUFReader:
    """Opens a file that exists; size and modification time are part of the cache's key."""
    with path.open("rb") as file:
        magic = file.read(4)
    if magic != b"GGUF":
        raise ValueError(f"{path}: not a GGUF file (it begins with {magic!r}, not b'GGUF')")
    try:
        return gguf.GGUFReader(path)
    except (ValueError, IndexError, OverflowError) as error:
        raise ValueError(
            f"{path}: this GGUF file of {size:,} bytes is cut short or damaged; fetch it again"
        ) from error


def metadata(reader: gguf.GGUFReader, key: str, default: Any = None) -> Any:
    """The value of a metadata field, or `default` where the file does not have it.

    Raises:
      ValueError: the field is missing and there is no default.
    """
    field = reader.get_field(key)
    if field is not None:
        return field.contents()
    if default is None:
        raise ValueError(f"{key} is missing in the GGUF file's metadata")
    return default
