"""Low-rank adapters: put beside a model's products, merged into them, written for `peft`."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from flax.traverse_util import flatten_dict, unflatten_dict

from qdcjax.models import families
from qdcjax.models.config import Lora
from qdcjax.models.tensor_table import CONV, CONV_OUT, Tensor
from qdcjax.models.transformer import Transformer, param_shapes

LEAVES = ("lora_a", "lora_b")


def attach(model: Transformer, params, lora: Lora, key: jax.Array) -> tuple[Transformer, Any]:
    """The same function as before, with an adapter to train: A drawn from N(0, 1 / in), B zero.

    Raises:
      ValueError: a target that the family's files hold in one tensor with others, so that `peft`
        could not load what was trained.
    """
    adapted = Transformer(dataclasses.replace(model.config, lora=lora))
    _rows(adapted)
    flat = flatten_dict(params)
    for number, (path, shape) in enumerate(sorted(flatten_dict(param_shapes(adapted)).items())):
        if path[-1] == "lora_a":  # [L, *in, rank]
            fan_in = int(np.prod(shape.shape[1:-1]))
            draw = jax.random.normal(jax.random.fold_in(key, number), shape.shape)
            flat[path] = draw * fan_in**-0.5
        elif path[-1] == "lora_b":
            flat[path] = jnp.zeros(shape.shape, shape.dtype)
    return adapted, unflatten_dict(flat)


def merge(model: Transformer, params) -> tuple[Transformer, Any]:
    """One model without adapter, each product's kernel W + (alpha / rank) A B."""
    lora = model.config.lora
    flat = flatten_dict(params)
    for path in [path for path in flat if path[-1] == "lora_a"]:
        a, b, kernel = flat.pop(path), flat.pop((*path[:-1], "lora_b")), (*path[:-1], "kernel")
        rows = a.reshape(a.shape[0], -1, lora.rank)
        update = jnp.einsum("lir,lro->lio", rows, b.reshape(b.shape[0], lora.rank, -1))
        flat[kernel] += (lora.alpha / lora.rank) * update.reshape(flat[kernel].shape)
    return Transformer(dataclasses.replace(model.config, lora=None)), unflatten_dict(flat)


def trainable(params):
    """Tree of booleans: the adapter's leaves."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key in LEAVES, params)


def leaves(params):
    """The adapter's leaves alone, a tree for `export`."""
    flat = flatten_dict(params)
    return unflatten_dict({path: leaf for path, leaf in flat.items() if path[-1] in LEAVES})


def export(folder: Path, model: Transformer, params, base: str) -> None:
    """Writes the adapter as `peft` loads it: `adapter_config.json` and safetensors.

    Args:
      folder: made when missing.
      model, params: from `attach`, trained; the adapter's leaves are enough.
      base: name or folder of the model that the adapter belongs to.
    """
    lora, flat = model.config.lora, flatten_dict(params, sep="/")
    tensors, modules, layouts = {}, set(), set()
    for product, row in _rows(model).items():
        layouts.add(row.layout)
        name = row.name.removesuffix(".weight")
        modules.add(".".join(name.split(".")[-2:]))
        for layer in range(model.config.layers):
            a, b = (np.asarray(flat[f"{product}/{leaf}"][layer]) for leaf in LEAVES)
            prefix = f"base_model.model.{name.format(layer)}"
            tensors[f"{prefix}.lora_A.weight"] = a.reshape(-1, lora.rank).T.copy()
            tensors[f"{prefix}.lora_B.weight"] = b.reshape(lora.rank, -1).T.copy()
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.numpy.save_file(tensors, folder / "adapter_model.safetensors")
    fields = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "target_modules": sorted(modules),
        "fan_in_fan_out": bool(layouts & {CONV, CONV_OUT}),
        "bias": "none",
    }
    (folder / "adapter_config.json").write_text(json.dumps(fields, indent=2) + "\n")


def _rows(model: Transformer) -> dict[str, Tensor]:
    """Path of each adapted product → the tensor of its kernel in the family's files."""
    plain = dataclasses.replace(model.config, lora=None)
    rows = {row.parameters: row for row in families.family(plain).table(plain)}
    found = {}
    for path in flatten_dict(param_shapes(model), sep="/"):
        if not path.endswith("/lora_a"):
            continue
        product = path.removesuffix("/lora_a")
        if (f"{product}/kernel",) not in rows:
            raise ValueError(
                f"lora.targets: {product.rpartition('/')[2]} is a part of a larger product in "
                f"{families.model_type(plain)} models, which peft can only adapt whole"
            )
        found[product] = rows[(f"{product}/kernel",)]
    return found
