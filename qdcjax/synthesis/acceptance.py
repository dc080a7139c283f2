"""Filters: which candidates are accepted, and of each other one why it is not.

Candidates come one by one. A filter gives the reason for which it drops one, or an empty text, and
is told of every one that was accepted in the end.
"""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np

from qdcjax.measures.ngrams import RougeL
from qdcjax.synthesis import archive
from qdcjax.synthesis.samples import Made
from qdcjax.tasks.answers import is_correct

COPY = 0.98  # ROUGE-L with its parent from which a question says nothing else

Known = Mapping[str, Made]  # id → sample, of all that there are


class Filter:
    """One that drops nothing."""

    def __init__(self, known: Known, novelty: float, cells: int):
        """Begins with nothing accepted; see `Elites` for the cells, `New` for the novelty."""
        self.known = known

    def __call__(self, one: Made) -> str:
        """The reason why a candidate is dropped, or nothing."""
        return ""

    def accepted(self, one: Made) -> None:
        """Takes note of a candidate, or a seed, that is in the pool from now on."""


class Valid(Filter):
    """Drops what asks nothing, with the reason that it has."""

    def __call__(self, one: Made) -> str:  # noqa: D102
        return one.invalid


class Right(Filter):
    """Drops what has a wrong answer, as rejection sampling does."""

    def __call__(self, one: Made) -> str:  # noqa: D102
        return "" if one.right else "wrong answer"


class New(Filter):
    """Drops a question whose ROUGE-L with one of the pool is at least `novelty`.

    Of Wang et al. 2022, "Self-Instruct", where that is .7.
    """

    def __init__(self, known: Known, novelty: float, cells: int):
        super().__init__(known, novelty, cells)
        self._novelty, self._pool = novelty, RougeL()

    def __call__(self, one: Made) -> str:  # noqa: D102
        return "not new" if max(self._pool(one.question), default=0) >= self._novelty else ""

    def accepted(self, one: Made) -> None:  # noqa: D102
        self._pool.add(one.question)


class Evolved(Filter):
    """Evol-instruct's elimination: what says no more than its parent, or failed to be deeper.

    Xu et al. 2023, "WizardLM", whose other rules (a solution that cannot be given, words of the
    prompt in the text) make a question invalid here.
    """

    def __call__(self, one: Made) -> str:  # noqa: D102
        for parent in map(self.known.__getitem__, one.parents):
            if RougeL([parent.question])(one.question)[0] >= COPY:
                return "copy of its parent"
            if one.operation == "deeper" and one.steps <= parent.steps:
                return "not deeper"
        return ""


class Matches(Filter):
    """MetaMath's: the solution's answer is the parent's, or the number that is asked for.

    What was written without a parent is held against its own problem's answer.
    """

    def __call__(self, one: Made) -> str:  # noqa: D102
        own = one.operation == "backward" or not one.parents
        golds = [one.gold] if own else [self.known[parent].gold for parent in one.parents]
        matches = all(is_correct(one.solution, gold) for gold in golds)
        return "" if matches else "another answer"


class Elites(Filter):
    """MAP-Elites: what is not better than the elite of its cell is dropped; a tie keeps the elite.

    Attributes:
      archive: of the elites; `elites` has the place of each in `members`.
      members: all that were ever elites.
    """

    def __init__(self, known: Known, novelty: float, cells: int):
        super().__init__(known, novelty, cells)
        self.members: list[Made] = []
        self.archive = archive.empty(cells, jnp.int32(0))

    def __call__(self, one: Made) -> str:  # noqa: D102
        if one.cell < 0:
            return "no cell"
        better = np.float32(one.fitness) > self.archive.fitness[one.cell]  # as the archive compares
        return "" if better else "no better than the elite"

    def accepted(self, one: Made) -> None:  # noqa: D102
        cell, fitness = np.array([one.cell]), np.array([one.fitness], np.float32)
        place = np.array([len(self.members)], np.int32)
        self.archive, _ = archive.add(self.archive, cell, fitness, place)
        self.members.append(one)

    def elites(self) -> list[Made]:
        """Those of all filled cells, in the cells' order."""
        filled = np.asarray(self.archive.filled)
        return [self.members[place] for place in np.asarray(self.archive.elites)[filled]]


FILTERS: dict[str, type[Filter]] = {
    "valid": Valid,
    "right": Right,
    "new": New,
    "evolved": Evolved,
    "matches": Matches,
    "better": Elites,
}


def first_reason(filters: Sequence[Filter], one: Made) -> str:
    """Why the first filter that drops a candidate does so; empty where none does."""
    return next(filter(None, (check(one) for check in filters)), "")
