"""Shortest paths from sampled walks: a graph of 21 nodes, small enough to learn from scratch.

The field's public trainers check themselves on it (a policy that imitates random walks has to find
shortest paths by reward alone; Chen et al. 2021, arXiv 2106.01345, figure 2). A question names a
node, a solution is a walk from it to the goal, `b f a`, and its optimality is

    length of the shortest path / length of the walk,

0 for a walk that takes an edge that is not there, or does not end at the goal.
"""

import dataclasses
import functools
import itertools
import random
import string
from collections import deque
from collections.abc import Sequence

from qdcjax.tasks.problem import Problem


@dataclasses.dataclass(frozen=True)
class RandomWalks:
    """A `Task`, with a `reward` beside it; the graph is a function of the seed.

    Attributes:
      nodes: named a, b, c, …; `a` is the goal.
      edges: chance of an edge from one node to another.
      longest: steps of a sampled walk.
      seed: of graph and walks.
    """

    nodes: int = 21
    edges: float = 0.1
    longest: int = 10
    seed: int = 1002

    def __post_init__(self):
        if not 3 <= self.nodes <= len(string.ascii_lowercase):
            raise ValueError(f"nodes={self.nodes} must be between 3 and 26")

    @functools.cached_property
    def graph(self) -> dict[str, list[str]]:
        """Node → nodes that an edge leads to; each node has one, and a way to the goal."""
        names, tries = string.ascii_lowercase[: self.nodes], 0
        while True:
            rng = random.Random(f"{self.seed}/graph/{tries}")
            graph = {a: [b for b in names if b != a and rng.random() < self.edges] for a in names}
            for a in names:
                graph[a] = graph[a] or [rng.choice([b for b in names if b != a])]
            if len(_distances(graph)) == self.nodes:
                return graph
            tries += 1

    @functools.cached_property
    def distances(self) -> dict[str, int]:
        """Node → steps of the shortest path to the goal."""
        return _distances(self.graph)

    def problems(self, split: str, count: int | None = None) -> list[Problem]:
        """`test`: each node but the goal, with a shortest path; `train`: walks from random nodes.

        Walks stop at the goal or after `longest` steps, wherever they are then.
        """
        starts = [node for node in self.graph if node != "a"]
        if split == "test":
            walks = [[start, *self._shortest(start)] for start in starts[:count]]
            return [self._problem(split, number, walk) for number, walk in enumerate(walks)]
        if split == "validation":
            return []
        if split != "train":
            raise ValueError(f"split {split!r}: random walks have train and test")
        rng = random.Random(f"{self.seed}/{split}")
        found = []
        for number in range(count or 1_000):
            walk = [rng.choice(starts)]
            while walk[-1] != "a" and len(walk) <= self.longest:
                walk.append(rng.choice(self.graph[walk[-1]]))
            found.append(self._problem(split, number, walk))
        return found

    def is_correct(self, problem: Problem, completion: str) -> bool:
        """Whether the completion is a shortest path."""
        return self.reward(problem, completion) == 1.0

    def reward(self, problem: Problem, completion: str) -> float:
        """The optimality of a walk, in [0, 1]."""
        start, walk = problem.meta["start"], completion.split()
        if not walk or walk[-1] != "a" or "a" in walk[:-1]:
            return 0.0
        if any(b not in self.graph.get(a, ()) for a, b in itertools.pairwise([start, *walk])):
            return 0.0
        return self.distances[start] / len(walk)

    def _problem(self, split: str, number: int, walk: Sequence[str]) -> Problem:
        start = walk[0]
        return Problem(
            id=f"random_walks/{split}/{number}",
            question=f"{start} to a:",
            answer=str(self.distances[start]),
            solution=" ".join(walk[1:]),
            split=split,
            meta={"start": start},
        )

    def _shortest(self, start: str) -> list[str]:
        walk = [start]
        while walk[-1] != "a":
            walk.append(min(self.graph[walk[-1]], key=self.distances.__getitem__))
        return walk[1:]


def _distances(graph: dict[str, list[str]]) -> dict[str, int]:
    """Node → steps to the goal, of the nodes that have a way there."""
    found, waiting = {"a": 0}, deque("a")
    while waiting:
        node = waiting.popleft()
        for other, nexts in graph.items():
            if node in nexts and other not in found:
                found[other] = found[node] + 1
                waiting.append(other)
    return found
