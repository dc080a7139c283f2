"""Chart autoencoders of all members, their errors on fresh points, and what their charts do."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from qdcjax.data.tables import columns
from qdcjax.experiments.running import from_config
from qdcjax.experiments.stages import point_members
from qdcjax.experiments.stages.point_cases import (
    PLANNED,
    Member,
    Programs,
    Shape,
    first_and_largest,
    largest_of,
    learning_of,
    manifold_of,
    shape_of,
)
from qdcjax.measures.neighbours import farthest_points
from qdcjax.models.autoencoder import ChartAutoencoder, ChartConfig, with_centres
from qdcjax.tasks.denoising import Denoising
from qdcjax.training.members import make_program
from qdcjax.training.point_losses import denoising_loss
from qdcjax.workdir import Workdir

TRAIN, TEST = 1, 2  # seeds of draws; 0 would give the numbers of the map into R^D


@dataclasses.dataclass(frozen=True)
class Learning:
    """How a model of `config.models` learns, beside its shape.

    Attributes:
      extra: latent dimensions beyond the manifold's.
      start: where charts begin: `random`, or around the `farthest` points of the data from each
        other, so that none is dead from the first step on.
      temperature, lipschitz: see `point_losses.denoising_loss`.
    """

    extra: int = 0
    start: str = "random"
    temperature: float = 0.01
    lipschitz: float = 0.0

    def __post_init__(self):
        if self.start not in ("random", "farthest"):
            raise ValueError(f"start={self.start!r} must be random or farthest")
        if self.temperature <= 0:
            raise ValueError(f"temperature={self.temperature} must be over 0")
        if self.lipschitz < 0:
            raise ValueError(f"lipschitz={self.lipschitz} must be at least 0")


def task_of(config: Mapping[str, Any], case: str, seed: int) -> Denoising:
    """The noisy points of a case."""
    own = {"manifold": manifold_of(config, case), "seed": seed}
    return from_config.make(Denoising, config["cases"][case] | own, f"cases.{case}", PLANNED)


def model_of(config: Mapping[str, Any], shape: Shape) -> ChartAutoencoder:
    """The model of a program."""
    return ChartAutoencoder(shape_of(config, shape, ChartConfig, Learning))


def learn(
    config: Mapping[str, Any], workdir: Workdir, shape: Shape, members: Sequence[Member], mesh: Mesh
) -> Path:
    """Stage `<model>-<D>-<d>`: parameters of all members of a program, stacked."""
    model, how = model_of(config, shape), learning_of(config, shape, Learning)
    settings = from_config.training(config, "training", mesh)

    def data(case: str, seed: int) -> point_members.Fields:
        noisy, clean = task_of(config, case, seed).draw(largest_of(config, case), TRAIN)
        return {"noisy": noisy, "clean": clean, "mask": np.ones(len(clean), np.float32)}

    def far_apart(rows: point_members.Fields) -> np.ndarray:
        return rows["clean"][farthest_points(rows["clean"], model.config.charts)]

    program = make_program(
        lambda key: model.init(key, jnp.zeros((1, shape.width)))["params"],
        denoising_loss(model, how.temperature, how.lipschitz),
        settings,
        with_centres if how.start == "farthest" else lambda params, begin: params,
    )
    begin = far_apart if how.start == "farthest" else None
    return point_members.learn(
        config, workdir, shape, members, mesh, program, settings, "training", data, begin
    )


def errors(
    config: Mapping[str, Any], workdir: Workdir, shape: Shape, members: Sequence[Member]
) -> datasets.Dataset:
    """Table `<model>-<D>-<d>-errors`: each member on fresh noisy points.

    Columns `case`, `size`, `seed`; `error`, the mean of |x̂ − v|²; `input_error`, that of |x − v|²;
    `shares` [C], of the points for which a chart has the largest weight; `worst_chart`, the mean
    error of the points of the chart where it is largest.
    """
    model = model_of(config, shape)

    @jax.jit
    def outputs(params, noisy):
        output = model.apply({"params": params}, noisy)
        return output, model.apply({"params": params}, noisy, method="encode")[1].argmax(axis=1)

    def make(_: str) -> dict[str, list]:
        stacked, rows = point_members.trained(workdir, shape), []
        for m, of in enumerate(members):
            noisy, clean = task_of(config, of.case, of.seed).draw(config["tested"], TEST)
            output, chart = map(np.asarray, outputs(point_members.member_of(stacked, m), noisy))
            squares = ((output - clean) ** 2).sum(axis=1)
            counts = np.bincount(chart, minlength=model.config.charts)
            sums = np.bincount(chart, squares, minlength=model.config.charts)
            rows.append(
                dataclasses.asdict(of)
                | {
                    "model": shape.model,
                    "error": float(squares.mean()),
                    "input_error": float(((noisy - clean) ** 2).sum(axis=1).mean()),
                    "shares": (counts / counts.sum()).tolist(),
                    "worst_chart": float((sums[counts > 0] / counts[counts > 0]).max()),
                }
            )
        return columns(rows)

    name = f"{shape.stage}-errors"
    return workdir.table(
        name, ["seeds", "cases", "models", "tested"], [shape.stage], lambda: [""], make
    )


@dataclasses.dataclass(frozen=True)
class View:
    """What a member makes of fresh points, in the space R^m that its manifold lies in.

    Attributes:
      clean, noisy, output: [n, m]; noisy points and outputs are projected.
      charts: [n] of the largest weight.
    """

    clean: np.ndarray
    noisy: np.ndarray
    output: np.ndarray
    charts: np.ndarray


def view(
    config: Mapping[str, Any],
    workdir: Workdir,
    programs: Programs,
    case: str,
    model: str,
) -> View:
    """Of the first seed and the largest size of a case."""
    shape, at = first_and_largest(programs, case, model)
    module = model_of(config, shape)
    params = point_members.member_of(point_members.trained(workdir, shape), at)
    task = task_of(config, case, programs[shape][at].seed)
    noisy, clean = task.draw(config["tested"], TEST)
    output = module.apply({"params": params}, noisy)
    weights = module.apply({"params": params}, noisy, method="encode")[1]
    own = (np.asarray(of) @ task.turn for of in (clean, noisy, output))
    return View(*own, np.asarray(weights).argmax(axis=1))
