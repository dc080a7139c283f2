"""Where arrays live: a mesh of data × fsdp × tensor, and one table of logical axis names."""

import dataclasses
import functools

import flax.linen as nn
import jax
import optax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from qdcjax.models.transformer import Transformer, boxed_params
from qdcjax.training.step import TrainState, init_state

AXES = ("data", "fsdp", "tensor")

# Logical axis of a parameter → mesh axis. `embed` (the width D) is cut by fsdp; the axes that a
# product makes or sums over inside a layer are cut by tensor; all others are whole everywhere.
RULES = (
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
      ValueError: when the axes do not divide the devices.
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
    return jax.make_mesh(tuple(shape), AXES, axis_types=(AxisType.Auto,) * 3, devices=devices)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The leading axis of a batch is cut by data and fsdp."""
    return NamedSharding(mesh, PartitionSpec(("data", "fsdp")))


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def param_shardings(model: Transformer, mesh: Mesh):
    """Shardings of a model's parameters by `RULES`, a tree like them."""
    boxed = jax.eval_shape(functools.partial(boxed_params, model), jax.random.key(0))
    specs = nn.get_partition_spec(boxed)
    return nn.logical_to_mesh_sharding(specs, mesh, RULES)


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


def put_batch(batch: dict, sharding: NamedSharding) -> dict:
    """Host arrays → device arrays; each process gives its own rows of the global batch."""
    return {
        name: jax.make_array_from_process_local_data(sharding, values)
        for name, values in batch.items()
    }
