"""Regression on manifolds: transformers that read coordinates and tell a distance."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import numpy as np
from jax.sharding import Mesh

from qdcjax.experiments.running import from_config
from qdcjax.experiments.stages import fine_tuning
from qdcjax.experiments.stages.scaling_members import BASE, Member, learn, sizes_of, together
from qdcjax.models.transformer import Transformer
from qdcjax.tasks.manifolds import Manifold
from qdcjax.tasks.regression import DistanceToAnchors
from qdcjax.training.losses import squared_error_loss
from qdcjax.workdir import Workdir

FIELDS = ("seeds", "policy", "regression", "regression_training")


def manifold_of(fields: Mapping[str, Any], name: str) -> Manifold:
    """The manifold of the section `regression.manifolds.<name>`."""
    return from_config.manifold(fields, f"regression.manifolds.{name}")


def targets_of(config: Mapping[str, Any], width: int) -> dict[tuple[str, int], DistanceToAnchors]:
    """(manifold, seed) → the target on it in R^width."""
    of = config["regression"]
    return {
        (name, seed): DistanceToAnchors(
            manifold_of(fields, name), width, seed, anchors=of["anchors"]
        )
        for name, fields in of["manifolds"].items()
        for seed in config["seeds"]
    }


def model_of(config: Mapping[str, Any], name: str, width: int) -> Transformer:
    """The model `regression.models.<name>` for D coordinates."""
    changes = config["regression"]["models"][name]
    policy = {**config["policy"], **config["regression"]["shape"], **changes}
    shape = fine_tuning.own_shape({"policy": policy}, vocab_size=1)
    return Transformer(
        dataclasses.replace(
            shape, input="numbers", output="scalar", positions="learned", max_length=width
        )
    )


def programs(config: Mapping[str, Any]) -> list[tuple[int, str]]:
    """(D, model) of each program: the base model in every width, the others in the first."""
    widths, models = config["regression"]["widths"], config["regression"]["models"]
    return [(width, BASE) for width in widths] + [
        (widths[0], name) for name in models if name != BASE
    ]


def regress(config: Mapping[str, Any], workdir: Workdir, mesh: Mesh) -> list[dict[str, Any]]:
    """Rows of `scaling_members.learn` of all programs, each with its `ambient` and `model`."""
    return [
        {**row, "ambient": width, "model": name}
        for width, name in programs(config)
        for row in losses_of(config, workdir, width, name, mesh)
    ]


def losses_of(
    config: Mapping[str, Any], workdir: Workdir, width: int, name: str, mesh: Mesh
) -> datasets.Dataset:
    """Table `regression-<D>-<model>`: every manifold, size and seed, in one program."""
    of, stage = config["regression"], f"regression-{width}-{name}"
    sizes = sizes_of(of, name)
    settings = from_config.training(config, "regression_training", mesh)

    def make(sizes: Sequence[int]) -> dict[str, list]:
        targets = targets_of(config, width)
        every = itertools.product(of["manifolds"], sizes, config["seeds"])
        members = [Member(*member) for member in every]
        data = together(
            members,
            lambda member: (member.data, member.seed),
            {key: _fields(*target.draw(max(sizes), 0)) for key, target in targets.items()},
            {key: _fields(*target.draw(of["tested"], 1)) for key, target in targets.items()},
        )
        return learn(
            model_of(config, name, width),
            squared_error_loss,
            members,
            data,
            settings,
            at_once=config["members_at_once"],
            mesh=mesh,
            workdir=workdir,
            name=stage,
        )[1]

    return workdir.table(stage, FIELDS, [], lambda: [sizes], make)


def _fields(inputs: np.ndarray, targets: np.ndarray) -> dict[str, np.ndarray]:
    return {"tokens": inputs, "targets": targets, "mask": np.ones(len(targets), np.float32)}
