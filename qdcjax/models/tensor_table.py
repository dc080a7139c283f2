"""How a file's tensors become the transformer's parameters, and back.

A family of checkpoints is a table with a row for each tensor: its name, the parameters that it
holds, and the layout that turns one into the other. Parameters are named by their path in the
tree of `qdcjax.models.transformer`, with slashes; `{}` in a tensor's name stands for the layer.

Shapes: D width, H heads (KV for keys and values), d head width, F MLP width.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.sharding import NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding

Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Layout:
    """How one tensor of a file holds one or several parameters of a layer.

    Attributes:
      read: (tensor, shapes of the parameters) → the parameters.
      write: parameters → tensor, the inverse.
    """

    read: Callable[[np.ndarray, Sequence[Shape]], Sequence[np.ndarray]]
    write: Callable[[Sequence[jax.Array]], jax.Array]


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A row of a table: a tensor's name, the parameters that it holds, and how."""

    name: str
    parameters: tuple[str, ...]
    layout: Layout


def _flat(kernel, inputs: int):
    """A kernel [*inputs, *outputs] as a matrix [in, out]."""
    return kernel.reshape(math.prod(kernel.shape[:inputs]), -1)


# An embedding, or a norm's scale or bias.
SAME = Layout(lambda x, shapes: [x], lambda p: p[0])
# A product's bias: [H d] → [H, d].
FLAT = Layout(lambda x, shapes: [x.reshape(shapes[0])], lambda p: p[0].reshape(-1))
# PyTorch's Linear: [out, in] → [in, out]; the output of attention sums over two axes, H and d.
LINEAR = Layout(lambda x, shapes: [x.T.reshape(shapes[0])], lambda p: _flat(p[0], 1).T)
LINEAR_OUT = Layout(lambda x, shapes: [x.T.reshape(shapes[0])], lambda p: _flat(p[0], 2).T)
# GPT-2's Conv1D: [in, out].
CONV = Layout(lambda x, shapes: [x.reshape(shapes[0])], lambda p: _flat(p[0], 1))
CONV_OUT = Layout(lambda x, shapes: [x.reshape(shapes[0])], lambda p: _flat(p[0], 2))
# GPT-2's queries, keys and values side by side: [in, 3 H d], and their biases [3 H d].
CONV_QKV = Layout(
    lambda x, shapes: [p.reshape(s) for p, s in zip(np.split(x, 3, axis=1), shapes, strict=True)],
    lambda p: jnp.concatenate([_flat(x, 1) for x in p], axis=1),
)
FLAT_QKV = Layout(
    lambda x, shapes: [p.reshape(s) for p, s in zip(np.split(x, 3), shapes, strict=True)],
    lambda p: jnp.concatenate([x.reshape(-1) for x in p]),
)


def _read_head_qkv(x: np.ndarray, shapes: Sequence[Shape]) -> list[np.ndarray]:
    heads, d = shapes[0][-2:]
    x = x.reshape(heads, 3, d, *x.shape[1:])
    return [np.moveaxis(x[:, i], -1, 0) if x.ndim == 4 else x[:, i] for i in range(3)]


def _write_head_qkv(parameters: Sequence[jax.Array]) -> jax.Array:
    heads = [jnp.moveaxis(p, 0, -1) if p.ndim == 3 else p for p in parameters]
    return jnp.stack(heads, axis=1).reshape(-1, *heads[0].shape[2:])


# GPT-NeoX's queries, keys and values head by head: [H 3 d, in], and their biases [H 3 d].
HEAD_QKV = Layout(_read_head_qkv, _write_head_qkv)


def _read_ggml_rotary(x: np.ndarray, shapes: Sequence[Shape]) -> list[np.ndarray]:
    width, heads, d = shapes[0]
    pairs = x.reshape(heads, d // 2, 2, width).swapaxes(1, 2)
    return [pairs.reshape(heads, d, width).transpose(2, 0, 1)]


def _write_ggml_rotary(parameters: Sequence[jax.Array]) -> jax.Array:
    width, heads, d = parameters[0].shape
    halves = parameters[0].transpose(1, 2, 0).reshape(heads, 2, d // 2, width)
    return halves.swapaxes(1, 2).reshape(heads * d, width)


# ggml's queries and keys [H d, D]. Both turn d/2 pairs (a_i, b_i) by their angles; ggml has the
# pairs side by side, a_0 b_0 a_1 b_1 …, and we have all first members, then all second ones.
GGML_ROTARY = Layout(_read_ggml_rotary, _write_ggml_rotary)


def check(
    path: Path,
    expected: Mapping[str, Shape],
    found: Mapping[str, Shape],
    ignored: tuple[str, ...] = (),
) -> None:
    """Compares names and shapes of the tensors at a path with a model's, before any is read.

    Args:
      path: for the error.
      expected: name → shape of the model's (`file_shapes`).
      found: name → shape of those that are there.
      ignored: ends of the names that may be there besides.

    Raises:
      ValueError: a tensor is missing, misshapen or of unknown use.
    """
    for name, shape in expected.items():
        if name not in found:
            raise ValueError(f"{path}: tensor {name} is missing")
        if found[name] != shape:
            raise ValueError(f"{path}: {name} has shape {found[name]} and must have {shape}")
    unknown = [name for name in found.keys() - expected.keys() if not name.endswith(ignored)]
    if unknown:
        raise ValueError(f"{path}: the model has no place for tensor {min(unknown)}")


def read_params(
    table: Sequence[Tensor],
    shapes,
    take: Callable[[str], np.ndarray],
    shardings=None,
) -> dict[str, Any]:
    """Float32 parameters, read tensor by tensor into the shardings of the caller.

    The host holds about one tensor at a time: a layer's goes into its row of the stacked
    parameter on the devices before the next one is read.

    Args:
      table: the family's tensors.
      shapes: tree like the parameters with `.shape` at each leaf (`transformer.param_shapes`).
      take: name → that tensor; names and shapes have passed `check`.
      shardings: tree of shardings like the parameters; by default all on the first device.

    Returns:
      The tree of parameters.
    """
    shapes = {name: leaf.shape for name, leaf in flatten_dict(shapes, sep="/").items()}
    here = SingleDeviceSharding(jax.devices()[0])
    shardings = flatten_dict(shardings, sep="/") if shardings else dict.fromkeys(shapes, here)
    params: dict[str, jax.Array] = {}
    for tensor in table:
        stacked = "{}" in tensor.name
        parts_shapes = [shapes[name][stacked:] for name in tensor.parameters]
        for layer in range(shapes[tensor.parameters[0]][0] if stacked else 1):
            array = take(tensor.name.format(layer)).astype(np.float32, copy=False)
            parts = tensor.layout.read(array, parts_shapes)
            for name, part in zip(tensor.parameters, parts, strict=True):
                sharding = shardings[name]
                if not stacked:
                    params[name] = _place(part, sharding)
                    continue
                if layer == 0:
                    params[name] = _zeros(shapes[name], sharding)
                row = _place(part, _row_sharding(sharding))
                params[name] = _set_row(sharding)(params[name], row, layer)
    return unflatten_dict(params, sep="/")


def write_tensors(table: Sequence[Tensor], params, layers: int) -> Mapping[str, Any]:
    """Name → a function that gives the tensor as numpy, for one to be made at a time."""
    flat = flatten_dict(params, sep="/")

    def tensor_of(tensor: Tensor, layer: int | None):
        parts = [flat[name] if layer is None else flat[name][layer] for name in tensor.parameters]
        return np.ascontiguousarray(tensor.layout.write([jnp.asarray(part) for part in parts]))

    return {
        tensor.name.format(layer): functools.partial(tensor_of, tensor, layer)
        for tensor in table
        for layer in (range(layers) if "{}" in tensor.name else [None])
    }


def file_shapes(table: Sequence[Tensor], shapes) -> dict[str, Shape]:
    """Name → shape of each tensor of a file; `shapes` as in `read_params`."""
    flat = {name: leaf.shape for name, leaf in flatten_dict(shapes, sep="/").items()}
    found = {}
    for tensor in table:
        stacked = "{}" in tensor.name
        shape = _file_shape(tensor.layout, [flat[name][stacked:] for name in tensor.parameters])
        layers = range(flat[tensor.parameters[0]][0]) if stacked else [0]
        found |= {tensor.name.format(layer): shape for layer in layers}
    return found


def _file_shape(layout: Layout, shapes: Sequence[Shape]) -> Shape:
    """The shape of a tensor in its file."""
    return jax.eval_shape(
        layout.write, [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    ).shape


def _place(array: np.ndarray, sharding: Sharding) -> jax.Array:
    """The array on this process's devices; each takes its own part."""
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def _row_sharding(sharding: Sharding) -> Sharding:
    """Of one layer's part of a stacked parameter."""
    if isinstance(sharding, NamedSharding):
        return NamedSharding(sharding.mesh, PartitionSpec(*sharding.spec[1:]))
    return sharding


def _zeros(shape: Shape, sharding: Sharding) -> jax.Array:
    return jax.jit(functools.partial(jnp.zeros, shape, jnp.float32), out_shardings=sharding)()


@functools.cache
def _set_row(sharding: Sharding):
    """(stacked, row, layer) → stacked with that row, in the same memory."""
    return jax.jit(
        lambda stacked, row, layer: stacked.at[layer].set(row),
        donate_argnums=0,
        out_shardings=sharding,
    )
