"""What is made, with its lineage: one record a candidate, accepted or not."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

SEED = "seed"  # the operation of samples that were there before


@dataclasses.dataclass(frozen=True)
class Made:
    """A question with a solution, where it comes from and what was found of it.

    Attributes:
      id: unique in the run of an algorithm.
      round: in which it was made; 0 for seeds.
      operation: that made it, one of `operations.OPERATIONS`, or `seed`.
      parents: ids of the samples that it was made from.
      target: number of steps that were asked for; 0 for none.
      question, solution: the texts.
      invalid: why the question asks nothing; empty where it asks something.
      gold: its right answer, empty where it is invalid.
      template, steps: of the problem that it asks; empty and 0 where it is invalid.
      right: whether the solution's answer is right.
      process: share of right steps; 0 where it is invalid or there is none.
      cell: of an archive; −1 where it has none.
      dropped: why it was not accepted; empty where it was.
    """

    id: str
    round: int
    operation: str
    parents: tuple[str, ...]
    target: int
    question: str
    solution: str
    invalid: str
    gold: str
    template: str
    steps: int
    right: bool
    process: float
    cell: int = -1
    dropped: str = ""

    @property
    def fitness(self) -> float:
        """Quality in 0…1: ½ for the right answer and ½ · the share of right steps."""
        return (self.right + self.process) / 2

    @property
    def text(self) -> str:
        """Question and solution."""
        return f"{self.question}\n{self.solution}"


CellsOf = Callable[[Sequence[Made]], Sequence[int]]  # −1 for a sample that has none


def described(made: Sequence[Made], cells_of: CellsOf) -> list[Made]:
    """The records with their cells."""
    found = zip(made, cells_of(made), strict=True)
    return [dataclasses.replace(one, cell=cell) for one, cell in found]


def as_columns(made: Sequence[Made]) -> dict[str, list[Any]]:
    """The records as columns of an Arrow table, one a field."""
    names = [field.name for field in dataclasses.fields(Made)]
    found = {name: [getattr(one, name) for one in made] for name in names}
    return found | {"parents": [list(one.parents) for one in made]}


def from_columns(columns: Mapping[str, Sequence[Any]]) -> list[Made]:
    """The records of a table that `as_columns` made; other columns are left out."""
    names = [field.name for field in dataclasses.fields(Made)]
    rows = zip(*(columns[name] for name in names), strict=True)
    made = (dict(zip(names, row, strict=True)) for row in rows)
    return [Made(**row | {"parents": tuple(row["parents"])}) for row in made]
