"""Members of a program: they learn together, and their parameters are kept stacked."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jax.sharding import Mesh

from qdcjax.experiments.stages.point_cases import Member, Programs, Shape, first_and_largest
from qdcjax.training.checkpoints import load_params, save_params
from qdcjax.training.fit import TrainSettings
from qdcjax.training.members import Program, SubsetBatches, fit_members, join
from qdcjax.training.point_store import save_point_model
from qdcjax.workdir import Workdir

Fields = dict[str, np.ndarray]  # name → [n, …]


def learn(
    config: Mapping[str, Any],
    workdir: Workdir,
    shape: Shape,
    members: Sequence[Member],
    mesh: Mesh,
    program: Program,
    settings: TrainSettings,
    section: str,
    data: Callable[[str, int], Fields],
    begin: Callable[[Fields], np.ndarray] | None = None,
) -> Path:
    """Stage `<model>-<D>-<latent>`: parameters of all members, stacked.

    Args:
      config, workdir, shape, members, mesh: of the study.
      program, settings, section: of the training, and where in the config it stands.
      data: case and seed → rows, of which each member learns the first ones.
      begin: a member's rows → what it begins from (see `fit_members`).
    """

    def make(folder: Path) -> None:
        wanted = [(of.case, of.seed) for of in members]
        sources = {of: data(*of) for of in dict.fromkeys(wanted)}
        rows, ranges = join(sources, list(zip(wanted, [of.size for of in members], strict=True)))
        params = fit_members(
            program,
            SubsetBatches(rows, ranges, settings.batch_size, [of.seed for of in members]),
            settings,
            seeds=[of.seed for of in members],
            at_once=config["members_at_once"],
            mesh=mesh,
            workdir=workdir.path,
            name=shape.stage,
            begin=begin and np.stack([begin(_part(rows, *ends)) for ends in ranges]),
        )
        save_params(folder / "params", jax.tree.map(lambda *leaves: np.stack(leaves), *params))

    return workdir.stage(shape.stage, ["seeds", "cases", "models", section], [], make)


def _part(rows: Fields, first: int, end: int) -> Fields:
    return {name: of[first:end] for name, of in rows.items()}


def trained(workdir: Workdir, shape: Shape) -> Any:
    """The parameters of all members, stacked."""
    return load_params(workdir.path / "stages" / shape.stage / "params")


def member_of(stacked: Any, member: int) -> Any:
    """One member's parameters."""
    return jax.tree.map(lambda x: x[member], stacked)


def keep(
    config: Mapping[str, Any],
    workdir: Workdir,
    programs: Programs,
    model: str,
    module_of: Callable[[Mapping[str, Any], Shape], nn.Module],
) -> Path:
    """Stage `student`: that model of the base case, of all its data and the first seed."""
    shape, at = first_and_largest(programs, config["base"], model)

    def make(folder: Path) -> None:
        save_point_model(folder, module_of(config, shape), member_of(trained(workdir, shape), at))

    return workdir.stage("student", ["base"], [shape.stage], make)
