"""Where arrays live: a mesh of data × fsdp × tensor, and one table of logical axis names."""

import dataclasses
import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import numpy as np
import optax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from qdcjax.models.transformer import Transformer, boxed_params, init_params
from qdcjax.training.step import TrainState, init_state

AXES = ("data", "fsdp", "tensor")

# Logical axis → mesh axis. Of parameters, `embed` (the width D) is cut by fsdp, and the axes that a
# product makes or sums over inside a layer by tensor. Of what layers pass on, the rows of the batch
# are cut by data and fsdp. All other axes are whole everywhere.
RULES = (
    ("batch", ("data", "fsdp")),
    ("length", None),
    ("width", None),
    ("vocab", "tensor"),
    ("embed", "fsdp"),
    ("heads", "tensor"),
    ("kv_heads", "tensor"),
    ("mlp", "tensor"),
    ("head_width", None),
    ("norm", None),
    ("layers", None),
)


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """Devices along each mesh axis; −1 once for all that are left.

    Attributes:
      data: copies of the model, each with its part of the batch.
      fsdp: parts of the batch and of every parameter.
      tensor: parts of heads, MLP and vocabulary.
    """

    data: int = -1
    fsdp: int = 1
    tensor: int = 1


def make_mesh(config: MeshConfig, devices=None) -> Mesh:
    """The mesh over `devices` (default: all of them).

    Raises:
      ValueError: when the axes do not divide the devices, or the pod's network cannot form them.
    """
    devices = jax.devices() if devices is None else devices
    shape = [config.data, config.fsdp, config.tensor]
    known = 1
    for size in shape:
        known *= size if size > 0 else 1
    if shape.count(-1) == 1 and len(devices) % known == 0:
        shape[shape.index(-1)] = len(devices) // known
    if any(size < 1 for size in shape) or shape[0] * shape[1] * shape[2] != len(devices):
        raise ValueError(
            f"mesh data={config.data}, fsdp={config.fsdp}, tensor={config.tensor} does not fit "
            f"{len(devices)} devices; their product must be that number (-1 once fills in)"
        )
    try:
        return jax.make_mesh(tuple(shape), AXES, axis_types=(AxisType.Auto,) * 3, devices=devices)
    except NotImplementedError as error:  # JAX lays each axis along whole axes of a pod's network
        sides = zip(*(device.coords for device in devices), strict=True)
        pod = " × ".join(str(1 + max(side)) for side in sides)
        raise ValueError(
            f"mesh data={shape[0]}, fsdp={shape[1]}, tensor={shape[2]} cannot be laid on a pod of "
            f"{pod} chips: each size must be a product of some of these numbers, each used once"
        ) from error


def on_mesh(function: Callable, mesh: Mesh) -> Callable:
    """The function, to be jitted, with what a model's layers pass on laid out by `RULES`.

    Without it the compiler may keep rows whole and cut the width, as parameters are cut by fsdp.
    """

    @functools.wraps(function)
    def placed(*args):
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh), nn.logical_axis_rules(RULES):
            return function(*args)

    return placed


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The leading axis of a batch is cut by data and fsdp."""
    return NamedSharding(mesh, PartitionSpec(("data", "fsdp")))


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def mesh_of(params) -> Mesh:
    """The mesh that parameters lie on; without one, that of their one device."""
    where = jax.tree.leaves(params)[0].sharding
    if isinstance(where, NamedSharding):
        return where.mesh
    return make_mesh(MeshConfig(1), list(where.device_set))


def param_shardings(model: Transformer, mesh: Mesh, rules=RULES):
    """Shardings of a model's parameters by the rules, a tree like them.

    Raises:
      ValueError: the mesh does not divide an axis of the model.
    """
    boxed = jax.eval_shape(functools.partial(boxed_params, model), jax.random.key(0))
    _check_axes(boxed, mesh, dict(rules))
    return nn.logical_to_mesh_sharding(nn.get_partition_spec(boxed), mesh, rules)


def _check_axes(boxed, mesh: Mesh, rules: dict[str, str | None]) -> None:
    is_box = lambda leaf: isinstance(leaf, nn.LogicallyPartitioned)  # noqa: E731
    for box in filter(is_box, jax.tree.leaves(boxed, is_leaf=is_box)):
        for name, size in zip(box.names, box.value.shape, strict=True):
            axis = rules.get(name)
            if axis and size % mesh.shape[axis]:
                raise ValueError(
                    f"mesh.{axis}={mesh.shape[axis]} does not divide the model's {name}={size}"
                )


def init_on_mesh(model: Transformer, key: jax.Array, mesh: Mesh):
    """Fresh parameters, each made where it is to lie; up to rounding the same on any mesh."""
    return _init_on_mesh(model, mesh)(key)


@functools.lru_cache(maxsize=8)
def _init_on_mesh(model: Transformer, mesh: Mesh):
    shardings = param_shardings(model, mesh)
    return jax.jit(functools.partial(init_params, model), out_shardings=shardings)


def state_shardings(
    params_like, shardings, optimizer: optax.GradientTransformation, mesh: Mesh
) -> TrainState:
    """Shardings of a train state: the optimiser's moments lie where their parameters do."""
    state = jax.eval_shape(lambda params: init_state(params, optimizer), params_like)
    opt_state = optax.tree.map_params(
        optimizer,
        lambda leaf, sharding: leaf if _is_masked(leaf) else sharding,
        state.opt_state,
        shardings,
        transform_non_params=lambda _: replicated(mesh),
        is_leaf=_is_masked,
    )
    return TrainState(replicated(mesh), shardings, opt_state)


def _is_masked(leaf) -> bool:
    """Whether the optimiser keeps nothing for a parameter, which is not trained."""
    return isinstance(leaf, optax.MaskedNode)


def put_batch(batch: dict, mesh: Mesh) -> dict:
    """Host arrays → device arrays; each process gives the rows of its own parts (`own_parts`).

    Of n parts of the global batch, part i has the rows i, i + n, i + 2 n, … (`data.batches`): where
    the devices are spread over processes, a batch still holds the same rows.
    """
    sharding, own, parts = batch_sharding(mesh), own_parts(mesh), row_parts(mesh)

    def put(values):
        rows = len(values) // len(own)  # of each part

        def part(index):
            return values[own.index((index[0].start or 0) // rows) :: len(own)]

        shape = (parts * rows, *values.shape[1:])
        return jax.make_array_from_callback(shape, sharding, part)

    return jax.tree.map(put, batch)


def own_parts(mesh: Mesh) -> tuple[int, ...]:
    """The parts of a batch's rows that this process's devices work on.

    Devices along `tensor` share a part; where they belong to several processes, each has its rows.
    """
    groups = mesh.devices.reshape(row_parts(mesh), -1)
    here = jax.process_index()
    return tuple(
        part for part, group in enumerate(groups) if any(d.process_index == here for d in group)
    )


def parts_of(mesh: Mesh) -> tuple[tuple[int, ...], int]:
    """The parts of a batch's rows that this process works on, and how many parts there are."""
    return own_parts(mesh), row_parts(mesh)


def row_parts(mesh: Mesh) -> int:
    """How many parts the rows of a batch are cut into."""
    return mesh.shape["data"] * mesh.shape["fsdp"]


def whole_rows(rows: int, mesh: Mesh) -> int:
    """The least number of rows, at least so many, that the mesh divides."""
    parts = row_parts(mesh)
    return max(1, -(-rows // parts)) * parts


def spread(array: np.ndarray, mesh: Mesh) -> jax.Array:
    """An array that every process holds whole → its rows over the devices."""
    sharding = batch_sharding(mesh)
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])
