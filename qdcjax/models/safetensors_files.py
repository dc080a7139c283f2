"""The tensors of a folder of safetensors files: one file, or shards with an index."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import ml_dtypes  # noqa: F401  # names bfloat16 for numpy
import numpy as np
import safetensors
import safetensors.numpy

FILE_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"
TYPES = ("F64", "F32", "F16", "BF16")


class TensorFiles:
    """Reads tensors by name, one at a time, whichever file they lie in."""

    def __init__(self, folder: Path):
        """Opens the files of a folder.

        Raises:
          FileNotFoundError: there are none, or a shard that the index names is missing.
          ValueError: a file is damaged, or index and shards disagree.
        """
        self._folder = folder
        if (folder / INDEX_NAME).is_file():
            self._file_of = self._read_index()
        elif (folder / FILE_NAME).is_file():
            self._file_of = dict.fromkeys(self._open(FILE_NAME).keys(), FILE_NAME)
        else:
            raise FileNotFoundError(f"{folder}: neither {FILE_NAME} nor {INDEX_NAME} is there")
        self._opened: dict = {}

    def names(self) -> set[str]:
        """Of all tensors."""
        return set(self._file_of)

    def shape(self, name: str) -> tuple[int, ...]:
        """Of one tensor, without reading it."""
        return tuple(self._slice(name).get_shape())

    def check_types(self, names: Iterable[str]) -> None:
        """Raises a ValueError for a tensor that is not of floating point numbers of numpy."""
        for name in names:
            kind = self._slice(name).get_dtype()
            if kind not in TYPES:
                file = self._folder / self._file_of[name]
                raise ValueError(f"{file}: {name} is of type {kind}: it must be {', '.join(TYPES)}")

    def read(self, name: str) -> np.ndarray:
        """One tensor in the file's own type."""
        return self._slice(name)[...]

    def _slice(self, name: str):
        file = self._file_of[name]
        if file not in self._opened:
            self._opened[file] = self._open(file)
        return self._opened[file].get_slice(name)

    def _open(self, file: str):
        path = self._folder / file
        if not path.is_file():
            raise FileNotFoundError(f"{path}: {INDEX_NAME} names this file, and it is missing")
        try:
            return safetensors.safe_open(path, framework="np")
        except safetensors.SafetensorError as error:
            raise ValueError(f"{path} cannot be read: {error}") from error

    def _read_index(self) -> dict[str, str]:
        path = self._folder / INDEX_NAME
        try:
            found = dict(json.loads(path.read_text())["weight_map"])
        except (ValueError, KeyError, TypeError) as error:  # also of text that is no UTF-8
            raise ValueError(f"{path} is no index of safetensors files: {error!r}") from error
        for file in sorted(set(found.values())):
            inside = set(self._open(file).keys())
            for name in sorted(name for name, where in found.items() if where == file):
                if name not in inside:
                    raise ValueError(f"{path}: {file} should hold {name} and does not")
        return found


def write_files(
    folder: Path,
    tensors: Mapping[str, Callable[[], np.ndarray]],
    shapes: Mapping[str, tuple[int, ...]],
    shard_bytes: int,
) -> None:
    """Writes float32 tensors, in shards of at most `shard_bytes` where one file would be larger.

    Args:
      folder: made when missing.
      tensors: name → a function that makes the tensor; one shard is in memory at a time.
      shapes: name → shape.
      shard_bytes: largest file, but for a tensor that is larger alone.
    """
    shards: list[list[str]] = [[]]
    room = shard_bytes
    for name in tensors:
        size = 4 * int(np.prod(shapes[name]))
        if shards[-1] and size > room:
            shards.append([])
            room = shard_bytes
        shards[-1].append(name)
        room -= size
    count = len(shards)
    files = [f"model-{i + 1:05d}-of-{count:05d}.safetensors" for i in range(count)]
    files = files if count > 1 else [FILE_NAME]
    for stale in (FILE_NAME, INDEX_NAME):  # of an older export, which readers would prefer
        (folder / stale).unlink(missing_ok=True)
    for file, names in zip(files, shards, strict=True):
        made = {name: tensors[name]() for name in names}
        safetensors.numpy.save_file(made, folder / file, metadata={"format": "pt"})
    if count > 1:
        index = {
            "metadata": {"total_size": sum(4 * int(np.prod(shape)) for shape in shapes.values())},
            "weight_map": {n: file for file, ns in zip(files, shards, strict=True) for n in ns},
        }
        (folder / INDEX_NAME).write_text(json.dumps(index, indent=2) + "\n")
