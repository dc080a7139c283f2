"""Cases of points on manifolds, and which models learn them: the plan of a study of points.

A case is a manifold in R^D with what is done to its points. A program is all trainings of one
shape: members that differ in case, size of the data and seed.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from qdcjax.experiments.running import from_config
from qdcjax.tasks.manifolds import Manifold

PLANNED = ("sizes", "models")  # fields of a case that say how it is learned


@dataclasses.dataclass(frozen=True)
class Member:
    """One training.

    Attributes:
      case: name.
      size: points that are learned from.
      seed: of everything random.
    """

    case: str
    size: int
    seed: int


@dataclasses.dataclass(frozen=True)
class Shape:
    """What members of one program share.

    Attributes:
      model: name in `config.models`.
      width: D.
      latent: dimensions of the model's latent space.
    """

    model: str
    width: int
    latent: int

    @property
    def stage(self) -> str:
        """The name of the program's stage."""
        return f"{self.model}-{self.width}-{self.latent}"


Programs = Mapping[Shape, Sequence[Member]]


def learning_of(config: Mapping[str, Any], shape: Shape, kind: type) -> Any:
    """How the model of a program learns: the fields in `models.<model>` that `kind` has."""
    fields = config["models"][shape.model]
    own = {of.name: fields[of.name] for of in dataclasses.fields(kind) if of.name in fields}
    return from_config.make(kind, own, f"models.{shape.model}")


def shape_of(config: Mapping[str, Any], shape: Shape, kind: type, learning: type) -> Any:
    """The shape of a program's model: the other fields there, `latent` and `ambient`."""
    fields = config["models"][shape.model] | {"latent": shape.latent, "ambient": shape.width}
    others = [field.name for field in dataclasses.fields(learning)]
    return from_config.make(kind, fields, f"models.{shape.model}", others)


def dimension_of(config: Mapping[str, Any], case: str) -> int:
    """d of a case: its manifold's, or `dimension` where it names data on no known manifold."""
    fields = config["cases"][case]
    return fields["dimension"] if fields.get("data") else manifold_of(config, case).dimension


def manifold_of(config: Mapping[str, Any], case: str) -> Manifold:
    """The manifold of a case."""
    return from_config.manifold(config["cases"][case]["manifold"], f"cases.{case}.manifold")


def plan(config: Mapping[str, Any]) -> dict[Shape, list[Member]]:
    """Every program with its members: cases × sizes × seeds of the models that a case names.

    A model's latent space has `extra` dimensions more than the manifold.

    Raises:
      ValueError: one line that names the field.
    """
    programs: dict[Shape, list[Member]] = {}
    for case, fields in config["cases"].items():
        dimension = dimension_of(config, case)
        if not fields["sizes"] or min(fields["sizes"]) < 1:
            raise ValueError(f"cases.{case}.sizes={tuple(fields['sizes'])} must be 1 or more each")
        for model in fields["models"]:
            if model not in config["models"]:
                there = ", ".join(config["models"])
                raise ValueError(f"cases.{case}.models has {model!r}, which is none of {there}")
            latent = dimension + config["models"][model]["extra"]
            if latent < 1:
                raise ValueError(f"models.{model}.extra: no latent dimension is left on {case}")
            members = programs.setdefault(Shape(model, fields["width"], latent), [])
            members += [
                Member(case, size, seed) for size in fields["sizes"] for seed in config["seeds"]
            ]
    return programs


def largest_of(config: Mapping[str, Any], case: str) -> int:
    """How many points of a case are drawn; a member has the first ones."""
    return max(config["cases"][case]["sizes"])


def first_and_largest(programs: Programs, case: str, model: str) -> tuple[Shape, int]:
    """The program of a case and a model, and its member of all the data and the first seed."""
    for shape, members in programs.items():
        found = [m for m, of in enumerate(members) if of.case == case]
        if shape.model == model and found:
            return shape, max(found, key=lambda m: (members[m].size, -m))
    raise ValueError(f"cases.{case}.models has no {model!r}")


def check_base(config: Mapping[str, Any], model: str) -> None:
    """Raises ValueError where `config.base` is no case that this model learns."""
    base = config["base"]
    if base not in config["cases"]:
        raise ValueError(f"base={base!r} must be one of {', '.join(config['cases'])}")
    if model not in config["cases"][base]["models"]:
        raise ValueError(f"cases.{base}.models has no {model!r}, which others are held against")
