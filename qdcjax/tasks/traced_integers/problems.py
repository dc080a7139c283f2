"""Problems of traced integers, and sets of their traces with noise."""

import dataclasses
import hashlib
import itertools
import math
import random
from collections.abc import Sequence
from typing import Any

from qdcjax.tasks.problem import Problem
from qdcjax.tasks.traced_integers.integers import TraceError
from qdcjax.tasks.traced_integers.noise import Noise
from qdcjax.tasks.traced_integers.recording import HIDDEN
from qdcjax.tasks.traced_integers.traces import ask, named, trace, with_noise

SPLITS = ("train", "validation", "test")
PARTS = 10  # of all operands: one is for validation, one for testing, the others for training
TRIES = 1_000  # of noise that leads nowhere


@dataclasses.dataclass(frozen=True)
class TracedIntegers:
    """A `Task` of one operation on random operands.

    Operands in one order or another are one problem, and each problem belongs to one split.

    Attributes:
      operation: see `trace`.
      shortest, longest: digits of an operand, or with `sampling` magnitude the least and the
        largest operand.
      fewest, most: numbers in a list, where the operation takes one.
      sampling: `length`, a uniform number of digits, the first from 1 to 9; or `magnitude`.
      hidden: symbols of the operations that only show their results.
      seed: of the operands.
    """

    operation: str = "add"
    shortest: int = 1
    longest: int = 2
    fewest: int = 4
    most: int = 8
    sampling: str = "length"
    hidden: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self):
        if self.sampling not in ("length", "magnitude"):
            raise ValueError(f"sampling={self.sampling!r} must be length or magnitude")
        least = int(self.sampling == "length")
        if not least <= self.shortest <= self.longest:
            raise ValueError(
                f"shortest={self.shortest} and longest={self.longest} must be at least {least}, "
                "and in that order"
            )
        if not 1 <= self.fewest <= self.most:
            raise ValueError(f"fewest={self.fewest} must be from 1 to most={self.most}")
        trace(self.operation, self._operands(random.Random(0)), self.visibility)

    @property
    def visibility(self) -> dict[str, str]:
        """As `trace` takes it."""
        return dict.fromkeys(self.hidden, HIDDEN)

    def problems(self, split: str, count: int | None = None) -> list[Problem]:
        """So many problems of a split, 1,000 by default; in training one may come again.

        Raises:
          ValueError: there is no such split, or it has fewer problems.
        """
        if split not in SPLITS:
            raise ValueError(f"split {split!r}: traced integers have {', '.join(SPLITS)}")
        rng, seen = random.Random(f"{self.seed}/{self.operation}/{split}"), set()
        found, wasted, count = [], 0, 1_000 if count is None else count
        while len(found) < count:
            operands = self._operands(rng)
            again = split != "train" and tuple(sorted(operands)) in seen
            if again or self._split(operands) != split:
                wasted += 1
                if wasted > 100 * PARTS + 100 * count:
                    raise ValueError(
                        f"{split} of {self.operation} has no {count:,} different problems: there "
                        f"are {len(found):,} (shortest={self.shortest}, longest={self.longest})"
                    )
                continue
            seen.add(tuple(sorted(operands)))
            found.append(self._problem(split, len(found), operands))
        return found

    def is_correct(self, problem: Problem, completion: str) -> bool:
        """Whether the last line is the answer, whose digits may stand apart."""
        last = completion.rstrip("\n").rpartition("\n")[2]
        return last.replace(" ", "") == problem.answer.replace(" ", "")

    def noised(self, problem: Problem, noise: Noise) -> dict[str, Any]:
        """A row of a data set: a problem's trace with noise.

        Columns: `problem_id`, `operation`, `operands`, `prompt`, `response`, `answer` (the right
        one), `kind` and `level` of the noise, `noised` (whether it struck), `survived` (whether the
        response's answer is right), and `redrawn`: how often the noise was drawn again, since it
        led to where a computation cannot go on.

        Raises:
          ValueError: it leads nowhere `TRIES` times in a row.
        """
        question = ask(self.operation, problem.meta["operands"])
        for attempt in range(TRIES):
            rng = random.Random(f"{self.seed}/{problem.id}/{noise}/{attempt}")
            try:
                made = with_noise(question, problem.solution, noise, rng, self.visibility)
            except TraceError:
                continue
            return {
                "problem_id": problem.id,
                "operation": self.operation,
                "operands": problem.meta["operands"],
                "prompt": problem.question,
                "response": made.response,
                "answer": problem.answer,
                "kind": noise.kind,
                "level": noise.level,
                "noised": made.noised,
                "survived": made.survived,
                "redrawn": attempt,
            }
        raise ValueError(
            f"{noise} leads nowhere on {problem.question!r}, {TRIES:,} times in a row: lower level="
            f"{noise.level}"
        )

    def _operands(self, rng: random.Random) -> list[int]:
        count = len(named(self.operation).operands)
        count = rng.randint(self.fewest, self.most) if count == 1 else count
        if self.sampling == "magnitude":
            return [rng.randint(self.shortest, self.longest) for _ in range(count)]
        lengths = [rng.randint(self.shortest, self.longest) for _ in range(count)]
        return [rng.randint(10 ** (n - 1), 10**n - 1) for n in lengths]

    def _split(self, operands: Sequence[int]) -> str:
        name = f"{self.operation} {sorted(operands)}".encode()
        part = int.from_bytes(hashlib.blake2b(name, digest_size=4).digest()) % PARTS
        return {0: "test", 1: "validation"}.get(part, "train")

    def _problem(self, split: str, number: int, operands: list[int]) -> Problem:
        prompt, response = trace(self.operation, operands, self.visibility)
        return Problem(
            id=f"traced_integers/{self.operation}/{split}/{number}",
            question=prompt.rstrip("\n"),
            answer=response.rpartition("\n")[2].replace(" ", ""),
            solution=response,
            split=split,
            meta={"operation": self.operation, "operands": operands},
        )


@dataclasses.dataclass(frozen=True)
class MixedOperations:
    """A `Task` of several operations, in turn.

    Attributes:
      tasks: one of each operation.
    """

    tasks: tuple[TracedIntegers, ...]

    def __post_init__(self):
        names = [task.operation for task in self.tasks]
        if len(set(names)) < max(2, len(names)):
            raise ValueError(f"mix={tuple(names)} must name two operations or more, each once")

    def problems(self, split: str, count: int | None = None) -> list[Problem]:
        """So many problems of a split, 1,000 by default; see `TracedIntegers.problems`."""
        count = 1_000 if count is None else count
        each = math.ceil(count / len(self.tasks))
        in_turn = zip(*(task.problems(split, each) for task in self.tasks), strict=True)
        return list(itertools.chain.from_iterable(in_turn))[:count]

    def is_correct(self, problem: Problem, completion: str) -> bool:
        """As its own operation's task says."""
        return self._task_of(problem).is_correct(problem, completion)

    def noised(self, problem: Problem, noise: Noise) -> dict[str, Any]:
        """A row of a data set; see `TracedIntegers.noised`."""
        return self._task_of(problem).noised(problem, noise)

    def _task_of(self, problem: Problem) -> TracedIntegers:
        return next(t for t in self.tasks if t.operation == problem.meta["operation"])
