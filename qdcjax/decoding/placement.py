"""Where the sampler's arrays live: prompts over data and fsdp, heads over tensor.

Training cuts every parameter by fsdp and gathers it layer by layer. A token is too little work to
pay for that, so the sampler holds parameters whole but for the tensor axis, in the dtype of the
arithmetic.
"""

import functools

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from qdcjax.decoding.generate import Generation
from qdcjax.models.transformer import Transformer
from qdcjax.training.sharding import RULES, param_shardings

RULES_OF_SAMPLING = tuple((name, None if axis == "fsdp" else axis) for name, axis in RULES)
ROWS = ("data", "fsdp")
CAST = ("kernel", "embedding")  # parameters that products read in the dtype of the arithmetic


def ways(mesh: Mesh) -> int:
    """How many parts the prompts are cut into."""
    return mesh.shape["data"] * mesh.shape["fsdp"]


def params_for_sampling(model: Transformer, params, mesh: Mesh):
    """Parameters as the sampler reads them; the same ones where nothing is to change."""
    if model.config.dtype == "float32" and mesh.shape["fsdp"] == 1:
        return params
    return _gather(model, mesh)(params)


@functools.lru_cache(maxsize=8)
def _gather(model: Transformer, mesh: Mesh):
    def cast(path, leaf):
        return leaf.astype(model.config.dtype) if path[-1].key in CAST else leaf

    shardings = param_shardings(model, mesh, RULES_OF_SAMPLING)
    return jax.jit(
        functools.partial(jax.tree_util.tree_map_with_path, cast), out_shardings=shardings
    )


def constrain(state: Generation, keys: jax.Array, mesh: Mesh) -> tuple[Generation, jax.Array]:
    """Tells the compiler where the samples under way are to lie."""

    def put(leaf, *axes):
        spec = PartitionSpec(ROWS if leaf.shape[0] % ways(mesh) == 0 else None, *axes)
        return jax.lax.with_sharding_constraint(leaf, NamedSharding(mesh, spec))

    def put_layer(layer):
        heads = "tensor" if layer.prefix_keys.shape[1] % mesh.shape["tensor"] == 0 else None
        return layer.replace(
            prefix_keys=put(layer.prefix_keys, heads),
            prefix_values=put(layer.prefix_values, heads),
            keys=put(layer.keys, None, heads),
            values=put(layer.values, None, heads),
        )

    layers = tuple(put_layer(layer) for layer in state.cache.layers)
    rest = state.replace(cache=state.cache.replace(layers=()))
    rest, keys = jax.tree.map(put, (rest, keys))
    return rest.replace(cache=rest.cache.replace(layers=layers)), keys
