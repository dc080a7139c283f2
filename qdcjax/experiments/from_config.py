"""Config fields → the frozen dataclasses that the rooms take."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from jax.sharding import Mesh

from qdcjax.decoding import SamplingSettings
from qdcjax.measures.predictions import Prediction
from qdcjax.tasks.math_word_problems import GSM8K, SVAMP
from qdcjax.tasks.problem import Task
from qdcjax.tasks.word_problems import Dials, WordProblems
from qdcjax.training.fit import TrainSettings
from qdcjax.training.optimizer import OptimizerConfig
from qdcjax.training.sharding import MeshConfig, make_mesh

TASKS = ("word_problems", "gsm8k", "svamp")


def task(config: Mapping[str, Any], seed: int) -> Task:
    """The task of a section such as `config.task`: `name`, and that task's own fields."""
    fields = dict(config)
    name = fields.pop("name")
    if name == "word_problems":
        return WordProblems(_make(Dials, fields, "task"), seed)
    if name == "gsm8k":
        return _make(GSM8K, fields, "task")
    if name == "svamp":
        return _make(SVAMP, fields, "task")
    raise ValueError(f"task.name={name!r} must be one of {', '.join(TASKS)}")


def training(config: Mapping[str, Any], section: str, mesh: Mesh) -> TrainSettings:
    """The training settings in a section, for a mesh; its other fields are the study's own."""
    fields = {**config, "optimizer": _make(OptimizerConfig, config["optimizer"], section)}
    settings = _make(TrainSettings, _known(TrainSettings, fields), section)
    settings.check(mesh)
    return settings


def sampling(config: Mapping[str, Any], section: str, **changes: Any) -> SamplingSettings:
    """The sampling settings in a section; its other fields are the study's own."""
    fields = _known(SamplingSettings, {**config, **changes})
    return _make(SamplingSettings, fields, section)


def mesh(config: Mapping[str, Any], devices: Sequence | None = None) -> Mesh:
    """The mesh of `config.mesh`, by default over all devices."""
    return make_mesh(_make(MeshConfig, config, "mesh"), devices)


def predictions(config: Mapping[str, Any]) -> dict[str, Prediction]:
    """The predictions of `config.predictions`: name → claim, threshold, direction."""
    return {name: Prediction(name, **fields) for name, fields in config.items()}


def _known(kind: type, fields: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: value for name, value in fields.items() if name in names}


def _make(kind: type, fields: Mapping[str, Any], section: str) -> Any:
    """`kind(**fields)` with lists as tuples; a field that it does not have is named."""
    names = {field.name for field in dataclasses.fields(kind)}
    for name in fields:
        if name not in names:
            known = ", ".join(sorted(names))
            raise ValueError(f"{section}.{name} is no field of {kind.__name__}: it has {known}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})
