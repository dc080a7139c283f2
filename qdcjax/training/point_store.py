"""A trained model of points on disk: its shape (`model.json`) and its parameters (Orbax)."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import flax.linen as nn

from qdcjax.models.autoencoder import ChartAutoencoder, ChartConfig
from qdcjax.models.generator import Generator, GeneratorConfig
from qdcjax.training.checkpoints import load_params, save_params
from qdcjax.training.processes import is_writer, wait_for_all
from qdcjax.training.store import SHAPE_FILE

# Kind → module and its shape.
KINDS = {
    "chart_autoencoder": (ChartAutoencoder, ChartConfig),
    "generator": (Generator, GeneratorConfig),
}


def save_point_model(folder: Path, model: nn.Module, params) -> None:
    """Writes both parts into `folder`; the shape file comes last and marks it whole."""
    (kind,) = (kind for kind, (module, _) in KINDS.items() if isinstance(model, module))
    folder.mkdir(parents=True, exist_ok=True)
    save_params(folder / "params", params)
    if is_writer():
        shape = {"kind": kind, **dataclasses.asdict(model.config)}
        (folder / SHAPE_FILE).write_text(json.dumps(shape, indent=1) + "\n")
    wait_for_all(f"{folder} is written")


def is_point_model(folder: Path) -> bool:
    """Whether what lies in a folder is a model of points, and not one of tokens."""
    return json.loads((folder / SHAPE_FILE).read_text()).get("kind") in KINDS


def load_point_model(folder: Path) -> tuple[nn.Module, Any]:
    """The module and its parameters, on the first device.

    Raises:
      ValueError: the shape or the checkpoint is not whole.
    """
    try:
        fields = json.loads((folder / SHAPE_FILE).read_text())
        module, shape = KINDS[fields.pop("kind")]
        model = module(shape(**fields))
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / SHAPE_FILE} is no model's shape: {error}") from error
    return model, load_params(folder / "params")
