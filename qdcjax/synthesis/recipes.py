"""Algorithms that make data, each as a configuration of one pipeline (arXiv 2412.02980).

    seeds → propose(parents, target) → verify and score → describe → accept → emit

The parts that a recipe has can be taken out one by one.
"""

import dataclasses
from typing import Literal

from qdcjax.synthesis.acceptance import FILTERS
from qdcjax.synthesis.operations import FROM_NOTHING, OPERATIONS

Parents = Literal["none", "seeds", "pool", "best", "elites"]
PARENTS = ("none", "seeds", "pool", "best", "elites")
SELECTIONS = ("none", "deita", "qdit")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """An algorithm.

    Attributes:
      parents: where they come from: `none`; the `seeds`; the `pool` of seeds and of what was
        accepted; the `best` of the pool; the `elites` of an archive, each as likely as another.
      count: parents of a candidate of `like`; the other operations have one.
      operations: of `operations.OPERATIONS`, each as likely as another.
      explore: share of the candidates that are written without parents.
      target: whether a number of steps is asked for, any as likely as another.
      accept: filters, of `acceptance.FILTERS`, in their order; `valid` is the first, unless there
        is none and everything is accepted.
      memory: of what was accepted, whether the pool has that of all rounds (`accumulate`), or of
        the last alone and no seeds (`replace`); filters remember all.
      select: what is emitted of what was accepted: all (`none`), or a choice.
      keep: share of what was accepted that is chosen.
      without: the part that is taken out, one of `parts`; empty for none.
    """

    parents: Parents = "none"
    count: int = 1
    operations: tuple[str, ...] = FROM_NOTHING
    explore: float = 0.0
    target: bool = False
    accept: tuple[str, ...] = ("valid",)
    memory: Literal["accumulate", "replace"] = "accumulate"
    select: Literal["none", "deita", "qdit"] = "none"
    keep: float = 0.5
    without: str = ""

    def __post_init__(self):
        allowed = {
            "parents": (PARENTS, [self.parents]),
            "operations": (tuple(OPERATIONS), self.operations),
            "accept": (tuple(FILTERS), self.accept),
            "memory": (("accumulate", "replace"), [self.memory]),
            "select": (SELECTIONS, [self.select]),
            "without": (("", *self.parts()), [self.without]),
        }
        for name, (known, given) in allowed.items():
            for value in given:
                if value not in known:
                    there = ", ".join(filter(None, known)) or "none, since it has no parts"
                    raise ValueError(f"{name}={value!r} must be one of {there}")
        if self.accept and self.accept[0] != "valid":
            raise ValueError(f"accept={', '.join(self.accept)} must begin with valid, or be empty")
        if not self.operations:
            raise ValueError("operations is empty: nothing would be made")
        if self.parents == "none" and set(self.operations) - set(FROM_NOTHING):
            raise ValueError(
                f"operations={', '.join(self.operations)} need parents, and parents is none"
            )
        if self.count < 1:
            raise ValueError(f"count={self.count} must be at least 1")
        for name in ("explore", "keep"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)} must be in 0…1")

    def parts(self) -> tuple[str, ...]:
        """The parts that can be taken out, such as `parents`, `target`, `right`, `backward`."""
        found = ["parents"] if self.parents != "none" else []
        found += self.operations if len(self.operations) > 1 else ()
        found += ["target"] if self.target else []
        found += [name for name in self.accept if name != "valid"]
        return (*found, *([self.select] if self.select != "none" else []))

    @property
    def used(self) -> "Recipe":
        """The recipe without the part that is taken out.

        Without parents everything is written from nothing. `valid` is no part.
        """
        gone = self.without
        if not gone:
            return self
        changes = {
            "parents": {"parents": "none", "operations": FROM_NOTHING},
            "target": {"target": False},
            self.select: {"select": "none"},
        }.get(gone)
        if changes is None and gone in self.operations:
            changes = {"operations": tuple(name for name in self.operations if name != gone)}
        if changes is None:
            changes = {"accept": tuple(name for name in self.accept if name != gone)}
        return dataclasses.replace(self, without="", **changes)

    @property
    def generating(self) -> "Recipe":
        """What decides the candidates: the recipe that is used, whatever it selects of them."""
        return dataclasses.replace(self.used, select="none", keep=0.5)
