"""Where the sampler's arrays live: prompts over data and fsdp, heads over tensor.

Training cuts every parameter by fsdp and gathers it layer by layer. A token is too little work to
pay for that, so the sampler holds parameters whole but for the tensor axis, in the dtype of the
arithmetic.
"""

import functools

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from qdcjax.decoding.generate import Generation
from qdcjax.models.cache import LayerCache
from qdcjax.models.transformer import Transformer, param_shapes
from qdcjax.training.sharding import RULES, param_shardings

RULES_OF_SAMPLING = tuple((name, None if axis == "fsdp" else axis) for name, axis in RULES)
ROWS = ("data", "fsdp")
CAST = ("kernel", "embedding")  # parameters that products read in the dtype of the arithmetic


def params_for_sampling(model: Transformer, params, mesh: Mesh):
    """Parameters as the sampler reads them; the same ones where nothing is to change."""
    if model.config.dtype == "float32" and mesh.shape["fsdp"] == 1:
        return params
    return _gather(model, mesh)(params)


@functools.lru_cache(maxsize=8)
def _gather(model: Transformer, mesh: Mesh):
    cast = functools.partial(_cast, model)
    return jax.jit(cast, out_shardings=params_shardings(model, mesh))


def _cast(model: Transformer, params):
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf.astype(model.config.dtype) if path[-1].key in CAST else leaf,
        params,
    )


def params_like(model: Transformer):
    """Shapes and dtypes of the parameters that the sampler reads."""
    return jax.eval_shape(functools.partial(_cast, model), param_shapes(model))


def params_shardings(model: Transformer, mesh: Mesh):
    """Where the parameters that the sampler reads lie."""
    return param_shardings(model, mesh, RULES_OF_SAMPLING)


def shardings_of(state: Generation, mesh: Mesh) -> tuple[Generation, NamedSharding]:
    """Where the samples under way lie, a tree like `state`, and where their keys do."""
    rows = NamedSharding(mesh, PartitionSpec(ROWS))
    prompt = NamedSharding(mesh, PartitionSpec(ROWS, "tensor"))
    own = NamedSharding(mesh, PartitionSpec(ROWS, None, "tensor"))
    placed = jax.tree.map(lambda _: rows, state)
    layers = (LayerCache(prompt, prompt, own, own),) * len(state.cache.layers)
    return placed.replace(cache=placed.cache.replace(layers=layers)), rows
