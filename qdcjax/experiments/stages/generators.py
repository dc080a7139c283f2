"""Generators of all members, their Wasserstein distances from held-out points, and the floors."""

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import datasets
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from scipy.spatial import cKDTree

from qdcjax.data.tables import columns
from qdcjax.experiments.running import from_config
from qdcjax.experiments.stages import point_members
from qdcjax.experiments.stages.point_cases import (
    PLANNED,
    Member,
    Programs,
    Shape,
    largest_of,
    learning_of,
    manifold_of,
    shape_of,
)
from qdcjax.measures.intervals import Interval
from qdcjax.measures.transport import exact_w1, floor_w1
from qdcjax.models.generator import Critic, CriticConfig, Generator, GeneratorConfig, generate
from qdcjax.tasks.densities import Density, Digits, Distribution
from qdcjax.tasks.manifolds import Sphere
from qdcjax.training.adversarial import CriticTraining, adversarial_program
from qdcjax.training.fit import TrainSettings
from qdcjax.training.members import Program, make_program
from qdcjax.training.point_losses import sinkhorn_loss
from qdcjax.workdir import Workdir

CALIBRATION = "S{}"  # name of the floors on S^d
TOGETHER = 32  # members whose distances are one part of their table, found on all cores


@dataclasses.dataclass(frozen=True)
class Learning:
    """How a model of `config.models` learns, beside its shape.

    Attributes:
      extra: latent dimensions beyond the data's.
      method: `sinkhorn`, which `config.training` is for, or `critic` with `config.adversarial`.
      epsilon: of the Sinkhorn divergence.
      critic_steps, penalty, spectral: of the critic, see `training.adversarial`.
    """

    extra: int = 1
    method: str = "sinkhorn"
    epsilon: float = 0.05
    critic_steps: int = 5
    penalty: float = 0.1
    spectral: bool = False

    def __post_init__(self):
        if self.method not in ("sinkhorn", "critic"):
            raise ValueError(f"method={self.method!r} must be sinkhorn or critic")
        if self.epsilon <= 0:
            raise ValueError(f"epsilon={self.epsilon} must be over 0")


def distribution_of(config: Mapping[str, Any], case: str) -> Distribution:
    """Where a case's points come from; the same for all seeds, which draw their own points."""
    fields = config["cases"][case]
    if fields.get("data"):
        if fields["data"] != "digits" or fields["width"] != Digits.width:
            raise ValueError(f"cases.{case}.data={fields['data']!r} must be digits, of width 64")
        return Digits()
    own = fields | {"manifold": manifold_of(config, case)}
    return from_config.make(Density, own, f"cases.{case}", PLANNED)


def tested(config: Mapping[str, Any], size: int) -> int:
    """M, how many points are generated and held out for a member: `times` those it learned from."""
    return config["times"] * size


def model_of(config: Mapping[str, Any], shape: Shape) -> Generator:
    """The model of a program."""
    return Generator(shape_of(config, shape, GeneratorConfig, Learning))


def program_of(
    config: Mapping[str, Any], shape: Shape, mesh: Mesh
) -> tuple[Program, TrainSettings, str]:
    """The training of a program's members, its settings, and their section of the config."""
    model, how = model_of(config, shape), learning_of(config, shape, Learning)
    section = "training" if how.method == "sinkhorn" else "adversarial"
    settings = from_config.training(config, section, mesh)
    if how.method == "sinkhorn":
        init = lambda key: model.init(key, jnp.zeros((1, shape.latent)))["params"]  # noqa: E731
        return make_program(init, sinkhorn_loss(model, how.epsilon), settings), settings, section
    of_critic = CriticTraining(how.critic_steps, how.penalty, settings.optimizer)
    if settings.batch_size % how.critic_steps:
        raise ValueError(
            f"adversarial.batch_size={settings.batch_size} must be a multiple of "
            f"models.{shape.model}.critic_steps={how.critic_steps}"
        )
    critic = Critic(CriticConfig(model.config.width, model.config.layers, how.spectral))
    return adversarial_program(model, critic, settings, of_critic), settings, section


def learn(
    config: Mapping[str, Any], workdir: Workdir, shape: Shape, members: Sequence[Member], mesh: Mesh
) -> Path:
    """Stage `<model>-<D>-<latent>`: parameters of all members of a program, stacked."""
    program, settings, section = program_of(config, shape, mesh)

    def data(case: str, seed: int) -> point_members.Fields:
        points = learned_from(config, Member(case, largest_of(config, case), seed))
        return {"points": points, "mask": np.ones(len(points), np.float32)}

    return point_members.learn(
        config, workdir, shape, members, mesh, program, settings, section, data
    )


def learned_from(config: Mapping[str, Any], member: Member) -> np.ndarray:
    """[n, D] the points of a member: the first ones of those that are drawn for the largest."""
    most = largest_of(config, member.case)
    drawn = distribution_of(config, member.case).draw(most, member.seed, held_out=False)
    return drawn[: member.size]


def distances(
    config: Mapping[str, Any], workdir: Workdir, shape: Shape, members: Sequence[Member]
) -> datasets.Dataset:
    """Table `<model>-<D>-<latent>-distances`: each member's points beside held-out ones.

    Columns `case`, `model`, `size`, `seed`, `tested` M; `w1`, exact, between M generated and M
    held-out points; `nearest`, the mean distance of generated points from the nearest one that was
    learned from, and `nearest_held_out`, that of held-out ones.
    """

    model = model_of(config, shape)
    stacked = functools.cache(lambda: point_members.trained(workdir, shape))  # where it is needed

    def row(member: int) -> dict[str, Any]:
        of, params = members[member], point_members.member_of(stacked(), member)
        count = tested(config, of.size)
        generated = np.asarray(generate(model, params, jax.random.key(of.seed), count))
        held_out = distribution_of(config, of.case).draw(count, of.seed)
        near = cKDTree(learned_from(config, of))
        return dataclasses.asdict(of) | {
            "model": shape.model,
            "tested": count,
            "w1": exact_w1(generated, held_out),
            "nearest": float(near.query(generated)[0].mean()),
            "nearest_held_out": float(near.query(held_out)[0].mean()),
        }

    def make(some: Sequence[int]) -> dict[str, list]:
        stacked()  # once, before threads ask for it
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return columns(list(pool.map(row, some)))

    every = range(len(members))
    parts = [every[first : first + TOGETHER] for first in every[::TOGETHER]]
    name = f"{shape.stage}-distances"
    return workdir.table(name, ["seeds", "cases", "times"], [shape.stage], lambda: parts, make)


def floors(config: Mapping[str, Any], workdir: Workdir, programs: Programs) -> datasets.Dataset:
    """Table `floors`: W1 between fresh samples of M points, of each case and each M.

    And of S^d of `config.floor`, to be held against known ones. Maps into R^D keep distances, so
    that cases which differ in D alone have one floor. Columns `of`, `tested`, `floor`,
    `low`, `high`, `method`.
    """
    of = config["floor"]
    asked: list[tuple[str, int]] = [
        (CALIBRATION.format(d), size) for d in of["dimensions"] for size in of["sizes"]
    ]
    members = [member for some in programs.values() for member in some]
    for member in members:
        wanted = member.case, tested(config, member.size)
        if not config["cases"][member.case].get("data") and wanted not in asked:
            asked.append(wanted)

    def make(part: tuple[str, int]) -> dict[str, list]:
        name, count = part
        if name in config["cases"]:
            there = distribution_of(config, name)
            density = dataclasses.replace(there, width=there.manifold.ambient)
        else:
            sphere = Sphere(int(name.removeprefix("S")))
            density = Density(sphere, sphere.ambient)
        found = _floor(density, count, of["pairs"])
        ends = {"low": found.low, "high": found.high, "method": found.method}
        return columns([{"of": name, "tested": count, "floor": found.value, **ends}])

    return workdir.table("floors", ["cases", "times", "floor"], [], lambda: asked, make)


@functools.cache
def _floor(density: Density, count: int, pairs: int) -> Interval:
    return floor_w1(lambda n, rng: density.draw(n, int(rng.integers(2**31))), count, pairs)
