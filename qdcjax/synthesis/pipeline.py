"""Rounds of an algorithm that makes data: propose, verify, describe, accept, emit."""

import dataclasses
import random
from collections.abc import Callable, Collection, Sequence

import numpy as np

from qdcjax.synthesis.acceptance import FILTERS, Elites, first_reason
from qdcjax.synthesis.operations import AIMED, FROM_NOTHING, SOLUTIONS, prompt, split_completion
from qdcjax.synthesis.recipes import Recipe
from qdcjax.synthesis.samples import CellsOf, Made, described
from qdcjax.synthesis.selection import deita, qdit
from qdcjax.synthesis.verification import verified
from qdcjax.tasks.word_problems.backward import masked
from qdcjax.tasks.word_problems.parsing import UnreadableQuestion, parse_question

BEST = 64  # of the pool, that `best` parents are drawn from


@dataclasses.dataclass(frozen=True)
class Settings:
    """What all algorithms of a study share.

    Attributes:
      steps: the largest number of steps that is asked for.
      novelty: see `acceptance.New`.
      distance: of DEITA, see `selection.deita`.
      alpha: of QDIT, see `selection.qdit`.
      held_out: templates that students are tested on, so that nothing made may have them.
    """

    steps: int
    novelty: float
    distance: float
    alpha: float
    held_out: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Proposal:
    """What a writer is asked for.

    Attributes:
      id: of the candidate.
      operation, parents, target: see `Made`.
      question: that is to be solved, of operations that keep their parent's; else empty.
      prompt: the text.
    """

    id: str
    operation: str
    parents: tuple[str, ...]
    target: int
    question: str
    prompt: str


class Synthesis:
    """One algorithm's run: the pool, the filters' memory, and what is proposed next.

    A run is a function of (recipe, seeds, seed, completions): after `replay` of the rounds so far
    it goes on as if it had not been stopped.

    Attributes:
      pool: seeds and what was accepted, by `recipe.memory`; parents come from it.
    """

    def __init__(
        self,
        recipe: Recipe,
        seeds: Sequence[Made],
        settings: Settings,
        cells_of: CellsOf,
        cells: int,
        seed: int,
    ):
        """Begins with the seeds.

        Args:
          recipe: the algorithm.
          seeds: samples that are there.
          settings: of all algorithms.
          cells_of: samples → the cell of each.
          cells: how many there are.
          seed: of what is drawn.

        Raises:
          ValueError: there are no seeds.
        """
        if not seeds:
            raise ValueError("seeds is empty: nothing could be made from them")
        self._recipe, self._settings, self._seed = recipe.used, settings, seed
        self._cells_of, self._seeds = cells_of, described(seeds, cells_of)
        self.pool, self._known = list(self._seeds), {one.id: one for one in self._seeds}
        shared = (self._known, settings.novelty, cells)
        self._filters = [FILTERS[name](*shared) for name in self._recipe.accept]
        self._elites = next((of for of in self._filters if isinstance(of, Elites)), None)
        self._notes = [*self._filters]
        if self._elites is None and self._recipe.parents == "elites":
            self._elites = Elites(*shared)  # parents are elites though all may enter the pool
            self._notes.append(self._elites)
        for one in self._seeds:
            self._note(one)

    def propose(self, round: int, count: int) -> list[Proposal]:
        """`count` proposals of a round, from the pool as it is now."""
        rng = random.Random(f"{self._seed}/{round}")
        sources = self._sources()
        return [self._proposal(f"{round}-{n}", sources, rng) for n in range(count)]

    def judge(
        self, round: int, proposals: Sequence[Proposal], completions: Sequence[tuple[str, bool]]
    ) -> list[Made]:
        """The candidates, graded, each accepted or with the reason why not.

        Args:
          round: of the proposals.
          proposals: what was asked for.
          completions: of each, the text and whether the room ended before it did.
        """
        graded = []
        for asked, (text, cut) in zip(proposals, completions, strict=True):
            question, solution = split_completion(asked.operation, asked.question, text)
            lineage = (asked.id, round, asked.operation, asked.parents, asked.target)
            held_out = self._settings.held_out
            graded.append(verified(*lineage, question, solution, held_out=held_out, cut=cut))
        made = []
        for one in described(graded, self._cells_of):
            one = dataclasses.replace(one, dropped=first_reason(self._filters, one))
            made.append(one)
            self._take(one)
        self._forget(round)
        return made

    def replay(self, made: Sequence[Made]) -> None:
        """Takes in a round that was judged before."""
        for one in made:
            self._take(one)
        if made:
            self._forget(made[0].round)

    def _take(self, one: Made) -> None:
        if not one.dropped:
            self._known[one.id] = one
            self.pool.append(one)
            self._note(one)

    def _note(self, one: Made) -> None:
        for of in self._notes:
            of.accepted(one)

    def _forget(self, round: int) -> None:
        """After a round, what came before it is no parent any more, if it is to be replaced."""
        if self._recipe.memory == "replace":
            self.pool = [one for one in self.pool if one.round == round] or self.pool

    def _sources(self) -> list[Made]:
        """The samples that parents are drawn from."""
        kind = self._recipe.parents
        if kind == "seeds":
            return self._seeds
        if kind == "best":
            order = sorted(range(len(self.pool)), key=lambda row: -self.pool[row].fitness)
            return [self.pool[row] for row in order[:BEST]]
        if kind == "elites" and (found := self._elites.elites()):
            return found
        return self.pool

    def _proposal(self, id: str, sources: Sequence[Made], rng: random.Random) -> Proposal:
        recipe = self._recipe
        operation = rng.choice(recipe.operations)
        if recipe.parents != "none" and rng.random() < recipe.explore:
            operation = "write"
        aimed = recipe.target and operation in AIMED
        target = rng.randint(1, self._settings.steps) if aimed else 0
        if operation in FROM_NOTHING:
            return Proposal(id, operation, (), target, "", prompt(operation, [], target))
        parents = [rng.choice(sources) for _ in range(recipe.count if operation == "like" else 1)]
        questions = [parent.question for parent in parents]
        if operation == "backward":
            questions = [_backward(parents[0], rng)]
        asked = questions[0] if operation in SOLUTIONS else ""
        ids = tuple(parent.id for parent in parents)
        return Proposal(id, operation, ids, target, asked, prompt(operation, questions, target))


def _backward(parent: Made, rng: random.Random) -> str:
    """The parent's question with one of its numbers unknown; as it is where none can be."""
    try:
        problem = parse_question(parent.question)
    except UnreadableQuestion:
        return parent.question
    givens = list(problem.meta["givens"])
    for given in rng.sample(givens, len(givens)):
        if question := masked(problem, given):
            return question
    return parent.question


def emit(
    recipe: Recipe,
    made: Sequence[Made],
    settings: Settings,
    embed: Callable[[Sequence[str]], np.ndarray],
) -> list[int]:
    """Rows of `made` that are the data set: what was accepted, or a choice of it.

    DEITA scores by quality · steps, QDIT by quality; both compare questions with solutions.

    Args:
      recipe: the algorithm.
      made: all candidates of all rounds.
      settings: of all algorithms.
      embed: texts → [n, D].
    """
    used = recipe.used
    rows = [row for row, one in enumerate(made) if not one.dropped]
    if used.select == "none" or len(rows) < 2:
        return rows
    chosen = [made[row] for row in rows]
    count = max(1, round(used.keep * len(rows)))
    quality, embeddings = [one.fitness for one in chosen], embed([one.text for one in chosen])
    if used.select == "deita":
        steps = [one.steps for one in chosen]
        kept = deita(quality, steps, embeddings, count, settings.distance)
    else:
        kept = qdit(quality, embeddings, count, settings.alpha)
    return [rows[place] for place in kept]


def dropped_counts(made: Collection[Made]) -> dict[str, int]:
    """Reason → how many candidates were dropped for it; with those accepted they are all."""
    found: dict[str, int] = {}
    for one in made:
        if one.dropped:
            found[one.dropped] = found.get(one.dropped, 0) + 1
    return dict(sorted(found.items(), key=lambda item: -item[1]))
