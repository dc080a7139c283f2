"""Config fields → the frozen dataclasses that the rooms take."""

import contextlib
import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import jax
from jax.sharding import Mesh

from qdcjax.decoding import SamplingSettings
from qdcjax.measures.predictions import Prediction
from qdcjax.reasoning.refinement import PairSettings
from qdcjax.rl.policy_gradient import PolicyGradient
from qdcjax.rl.selection import ExpertIteration
from qdcjax.tasks import manifolds
from qdcjax.tasks.math_word_problems import GSM8K, SVAMP
from qdcjax.tasks.problem import Problem, Task
from qdcjax.tasks.random_walks import RandomWalks
from qdcjax.tasks.traced_integers import TracedIntegers
from qdcjax.tasks.word_problems import Dials, Misconceptions, WordProblems
from qdcjax.training.fit import TrainSettings
from qdcjax.training.optimizer import OptimizerConfig
from qdcjax.training.sharding import MeshConfig, make_mesh

TASKS = ("word_problems", "gsm8k", "svamp", "random_walks", "traced_integers")
MANIFOLDS = {
    "sphere": manifolds.Sphere,
    "flat_torus": manifolds.FlatTorus,
    "torus": manifolds.Torus,
    "swiss_roll": manifolds.SwissRoll,
    "genus_two": manifolds.GenusTwo,
    "random": manifolds.RandomManifold,
}
GENERATED = ("word_problems", "traced_integers")  # those whose questions are drawn by the seed
# Section → the study's own fields in it, beside those of the settings that it holds.
TRAINING = {
    "sft": ("questions", "validation_questions"),
    "reward": ("seeds", "threshold"),
    "pretrain": ("questions",),
    "finetune": (),
    "refiner": (),
    "students": (),
    "retraining": ("lessons",),
    "writer": ("lessons", "operations"),
    "regression_training": (),
    "language_training": (),
    "training": (),
    "adversarial": (),
    "learn": (),
    "critic": (),
}
# Sections of `TRAINING` of members, each of which has a device to itself.
OF_MEMBERS = ("regression_training", "language_training", "training", "adversarial", "retraining")
ONLINE = ("learn", "critic")  # sections of `TRAINING` whose steps follow from the rollouts
ROLES = ("policy", "reference", "critic", "reward_model")
SAMPLING = {
    "evaluation": ("splits", "questions"),
    "drafts": ("split", "questions"),
    "rollouts": ("split", "questions"),
    "verify": (),
    "verify_many": ("prefixes",),
    "writing": ("candidates", "rounds", "shots"),
}

ALGORITHMS = {
    "expert_iteration": ExpertIteration,
    "policy_gradient": PolicyGradient,
    "pairs": PairSettings,
}  # section → the settings that it holds
# What random numbers are for → folded into the seed's key, so that no two share them.
KEYS = {
    "evaluation": 1,
    "drafts": 2,
    "verify": 3,
    "adapter": 4,
    "expert_iteration": 5,
    "online_learning": 6,
    "rcrl": 7,
    "writing": 8,
}


def check(config: Mapping[str, Any]) -> None:
    """Makes the settings of all sections, so that a wrong field is told before a run begins.

    Raises:
      ValueError: one line that names the field.
    """
    seeds = config.get("seeds", (0,))
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds={tuple(seeds)} must be different numbers, at least one")
    if "algorithms" in config:  # of runs that are checked when they are made
        return
    for section in filter(config.__contains__, ("task", "corpus")):
        task(config[section], config["seed"])
    if "misconceptions" in config:
        misconceptions(config)
    for role in config.get("meshes", ()):
        role_mesh(config, role)
    where = mesh(config["mesh"])
    for section in filter(config.__contains__, TRAINING):
        if section in ONLINE:
            online_training(config, section, where)
        else:
            training(config, section, where)
    for section in filter(config.__contains__, SAMPLING):
        sampling(config, section)
    for section in filter(config.__contains__, ALGORITHMS):
        algorithm(config, section)


def task(config: Mapping[str, Any], seed: int) -> Task:
    """The task of a section such as `config.task`: `name`, and that task's own fields."""
    fields = dict(config)
    name = fields.pop("name")
    if name == "word_problems":
        return WordProblems(make(Dials, fields, "task"), seed)
    if name == "gsm8k":
        return make(GSM8K, fields, "task")
    if name == "svamp":
        return make(SVAMP, fields, "task")
    if name == "random_walks":
        return make(RandomWalks, fields, "task")
    if name == "traced_integers":
        return make(TracedIntegers, {"seed": seed, **fields}, "task")
    raise ValueError(f"task.name={name!r} must be one of {', '.join(TASKS)}")


def manifold(fields: Mapping[str, Any], section: str) -> manifolds.Manifold:
    """The manifold of a section: `kind`, one of `MANIFOLDS`, and the fields of that.

    Of the kind `union` that is `parts`, a section like this one for each.
    """
    fields = dict(fields)
    kind = fields.pop("kind")
    if kind == "union":
        parts = fields.pop("parts")
        fields["parts"] = tuple(manifold(of, f"{section}.parts.{p}") for p, of in parts.items())
        return make(manifolds.Union, fields, section)
    if kind not in MANIFOLDS:
        raise ValueError(f"{section}.kind={kind!r} must be one of {', '.join(MANIFOLDS)}, union")
    return make(MANIFOLDS[kind], fields, section)


def misconceptions(config: Mapping[str, Any]) -> Misconceptions:
    """Those of the solvers whose demonstrations are learned from.

    Raises:
      ValueError: there are some, and the task's problems are not generated.
    """
    found = make(Misconceptions, config["misconceptions"], "misconceptions")
    if found.hard * found.err and config["task"]["name"] != "word_problems":
        raise ValueError(
            f"misconceptions.hard={found.hard}: {config['task']['name']} is no task of generated "
            "problems, whose kinds of steps are known; set it to 0"
        )
    return found


def problems(config: Mapping[str, Any], section: str, task: Task) -> Sequence[Problem]:
    """The questions of a section such as `rollouts`: the first of a split, or with 0 all."""
    fields = config[section]
    return task.problems(fields["split"], fields["questions"] or None)


def key(config: Mapping[str, Any], use: str) -> jax.Array:
    """The key of the random numbers of one of `KEYS`."""
    return jax.random.fold_in(jax.random.key(config["seed"]), KEYS[use])


def training(config: Mapping[str, Any], section: str, mesh: Mesh) -> TrainSettings:
    """The training settings in a section of `TRAINING`, for a mesh."""
    return _training(config[section], section, None if section in OF_MEMBERS else mesh)


def _training(fields: Mapping[str, Any], section: str, mesh: Mesh | None) -> TrainSettings:
    optimizer = make(OptimizerConfig, fields["optimizer"], f"{section}.optimizer")
    fields = {**fields, "optimizer": optimizer}
    settings = make(TrainSettings, fields, section, TRAINING[section])
    with _naming(section):
        settings.check(mesh)
    return settings


def online_training(config: Mapping[str, Any], section: str, mesh: Mesh) -> TrainSettings:
    """The training settings in a section of `ONLINE`; a record of the log is an iteration."""
    fields = config[section]
    for name in ("steps", "buckets", "pack", "log_every", "evaluate_every"):
        if name in fields:
            raise ValueError(f"{section}.{name} is no field of this section: rollouts decide it")
    learning, size = algorithm(config, "policy_gradient"), fields["batch_size"]
    rollouts = learning.questions * config["rollouts"]["samples"]
    if size < 1 or rollouts % size:
        raise ValueError(
            f"{section}.batch_size={size} must divide the {rollouts:,} rollouts of an iteration "
            "(policy_gradient.questions × rollouts.samples)"
        )
    each = learning.epochs * rollouts // size
    waits = section == "learn" and not learning.shares_trunk
    turns = learning.iterations - (learning.critic_warmup if waits else 0)
    steps = {"steps": turns * each, "log_every": each}
    return _training({**fields, **steps}, section, mesh)


def sampling(config: Mapping[str, Any], section: str, **changes: Any) -> SamplingSettings:
    """The sampling settings in a section of `SAMPLING`."""
    return make(SamplingSettings, {**config[section], **changes}, section, SAMPLING[section])


def algorithm(config: Mapping[str, Any], section: str) -> Any:
    """The settings of a way to learn, in a section of `ALGORITHMS`."""
    return make(ALGORITHMS[section], config[section], section)


def mesh(config: Mapping[str, Any], devices: Sequence | None = None) -> Mesh:
    """The mesh of `config.mesh`, by default over all devices."""
    return make_mesh(make(MeshConfig, config, "mesh"), devices)


def role_mesh(config: Mapping[str, Any], role: str) -> Mesh:
    """The mesh of a model of on-line learning, of `ROLES`: `config.mesh`, or one apart.

    That is `config.meshes.<role>` with the axes of a mesh, where it names `devices` such as `4:8`.

    Raises:
      ValueError: one line that names the field.
    """
    fields = dict(config["meshes"][role])
    asked, every = fields.pop("devices"), jax.devices()
    if not asked:
        return mesh(config["mesh"])
    first, colon, end = asked.partition(":")
    if not (colon and first.isdecimal() and end.isdecimal() and every[int(first) : int(end)]):
        raise ValueError(
            f"meshes.{role}.devices={asked!r} must be first:end, of the {len(every)} devices"
        )
    if jax.process_count() > 1:
        raise ValueError(f"meshes.{role}.devices={asked!r}: several processes share all devices")
    return mesh(fields, every[int(first) : int(end)])


def predictions(config: Mapping[str, Any]) -> dict[str, Prediction]:
    """The predictions of `config.predictions`: name → claim, threshold, direction."""
    return {name: Prediction(name, **fields) for name, fields in config.items()}


def make(
    kind: type, fields: Mapping[str, Any], section: str, left_out: Collection[str] = ()
) -> Any:
    """`kind(**fields)` with lists as tuples; errors name the section and the field."""
    names = {field.name for field in dataclasses.fields(kind)}
    known = {}
    for name, value in fields.items():
        if name in names:
            known[name] = tuple(value) if isinstance(value, list) else value
        elif name not in left_out:
            there = ", ".join(sorted({*names, *left_out}))
            raise ValueError(f"{section}.{name} is no field of this section: it has {there}")
    with _naming(section):
        return kind(**known)


@contextlib.contextmanager
def _naming(section: str) -> Iterator[None]:
    """Puts the section before the field that an error begins with."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{section}.{error}") from error
