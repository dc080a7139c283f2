"""What a writer is asked to do: the prompt of each operation, and demonstrations of it.

A writer completes a prompt by a question and its solution, or by a solution alone. One that was
fine-tuned on demonstrations gets the bare prompt; a pretrained one gets some demonstrations before.
"""

import random
from collections.abc import Mapping, Sequence

from qdcjax.data.examples import prompt_text
from qdcjax.tasks.problem import Problem
from qdcjax.tasks.word_problems import TEMPLATES
from qdcjax.tasks.word_problems.backward import masked, parse_backward
from qdcjax.tasks.word_problems.rewriting import rephrased, shorter

# Operation → what the writer is told; of `solve` and `backward` it is a question that is given.
OPERATIONS: Mapping[str, str] = {
    "write": "A new problem",
    "like": "A problem like these",
    "deeper": "With one more step",
    "other": "Another problem than this",
    "rephrase": "In other words",
    "solve": "",
    "backward": "",
}
FROM_NOTHING = ("write",)
SOLUTIONS = (
    "solve",
    "backward",
)  # those whose completion is a solution of a question that is given
AIMED = ("write", "like")  # those that can be asked for a number of steps
TRIES = 200  # children that are tried for a demonstration
END = "\n\n"  # of a demonstration before a prompt


def prompt(operation: str, questions: Sequence[str], target: int = 0) -> str:
    """The text that a writer completes.

    Args:
      operation: one of `OPERATIONS`.
      questions: of the parents; of `solve` and `backward` the one to solve.
      target: steps that are asked for, 0 for any number.
    """
    if operation in SOLUTIONS:
        (question,) = questions
        return prompt_text(question)
    steps = f" of {target} step{'s' if target > 1 else ''}" if target else ""
    return "\n".join([f"{OPERATIONS[operation]}{steps}:", *questions, ""])


def split_completion(operation: str, question: str, text: str) -> tuple[str, str]:
    """Question and solution of a completion."""
    if operation in SOLUTIONS:
        return question, text.strip()
    first, _, rest = text.strip().partition("\n")
    return first.strip(), rest.strip()


class Demonstrations:
    """Examples of all operations, made from problems with solutions.

    A parent of `like` is another problem of the child's template; of `deeper` the child without
    its last step; of `rephrase` the child with other nouns; of `other` any problem of another
    template. Children come as often as they are in the pool; one that asks nothing, which has no
    template, is written and solved alone. The parents of `deeper` have other numbers of steps than
    their children, so that they may be questions of a test: they stand in prompts alone.
    """

    def __init__(self, pool: Sequence[Problem], parents: int = 2):
        """Sorts the pool.

        Args:
          pool: problems, of the generator or read back.
          parents: of `like`.
        """
        self._pool, self._parents = list(pool), parents
        self._of_template: dict[str, list[Problem]] = {}
        for problem in pool:
            if "template" in problem.meta:
                self._of_template.setdefault(problem.meta["template"], []).append(problem)

    def __call__(self, operation: str, rng: random.Random) -> tuple[str, str] | None:
        """A prompt and its completion; nothing where no child was found for the operation."""
        for _ in range(TRIES):
            child = rng.choice(self._pool)
            target = child.meta.get("depth", 0) if operation in AIMED and rng.random() < 0.5 else 0
            if operation == "solve":
                return prompt(operation, [child.question]), child.solution
            if operation != "write" and "template" not in child.meta:
                continue
            if operation == "backward":
                question = masked(child, rng.choice(list(child.meta["givens"])))
                if question is not None:
                    return prompt(operation, [question]), parse_backward(question).solution
                continue
            parents = self._questions(operation, child, rng)
            if parents is not None:
                return prompt(operation, parents, target), f"{child.question}\n{child.solution}"
        return None

    def _questions(self, operation: str, child: Problem, rng: random.Random) -> list[str] | None:
        """Of the parents; nothing where the child has none."""
        if operation == "write":
            return []
        if operation == "like":
            own = rng.choice(self._of_template[child.meta["template"]])
            found = [own, *(rng.choice(self._pool) for _ in range(self._parents - 1))]
            if any(problem is child for problem in found):
                return None
            rng.shuffle(found)
            return [problem.question for problem in found]
        if operation == "deeper":
            ends = TEMPLATES[child.meta["template"]].depths
            before = [depth for depth in ends if depth < child.meta["depth"]]
            return [shorter(child, before[-1]).question] if before else None
        if operation == "rephrase":
            question = rephrased(child, rng).question
            return None if question == child.question else [question]
        parent = rng.choice(self._pool)
        alike = parent.meta.get("template") == child.meta["template"]
        return None if alike else [parent.question]
