"""Tables of a policy's solutions and of their values, and their rows as other rooms take them."""

from collections.abc import Mapping, Sequence

import datasets
import jax
import numpy as np

from qdcjax.data.batches import Example
from qdcjax.data.examples import question_prompts
from qdcjax.decoding import SamplingSettings
from qdcjax.reasoning.reward_models import Solution, score
from qdcjax.reasoning.rollouts import parts_of_problems, sample_solutions
from qdcjax.tasks.problem import Problem, Task
from qdcjax.training.store import StoredModel
from qdcjax.workdir import Workdir


def solution_table(
    workdir: Workdir,
    name: str,
    reads: Sequence[str],
    after: Sequence[str],
    policy: StoredModel,
    task: Task,
    problems: Sequence[Problem],
    settings: SamplingSettings,
    key: jax.Array,
    of_tokens: Sequence[str] = (),
) -> datasets.Dataset:
    """K solutions of every problem as a stage of the run: see `rollouts.sample_solutions`.

    Args:
      workdir, name, reads, after: of the stage.
      policy, task, problems, settings, key, of_tokens: of the sampling.
    """
    return workdir.table(
        name,
        reads,
        after,
        lambda: parts_of_problems(policy, problems, settings),
        lambda part: sample_solutions(policy, task, *part, key, name, of_tokens),
    )


def value_table(
    workdir: Workdir,
    name: str,
    reads: Sequence[str],
    after: Sequence[str],
    scored: Mapping[str, tuple[StoredModel, Sequence[Solution]]],
) -> dict[str, list[np.ndarray]]:
    """Values at every token of solutions as a stage of the run, one part for each of `scored`.

    Args:
      workdir, name, reads, after: of the stage.
      scored: name → reward model, and the solutions that it scores.
    """

    def make(of: str) -> dict[str, list]:
        values = [value.tolist() for value in score(*scored[of])]
        return {"of": [of] * len(values), "values": values}

    table = workdir.table(name, reads, after, lambda: list(scored), make)
    of, values = np.asarray(table["of"][:]), table["values"][:]
    return {one: [np.asarray(values[row]) for row in np.flatnonzero(of == one)] for one in scored}


def as_solutions(
    policy: StoredModel, problems: Sequence[Problem], table: datasets.Dataset
) -> list[Solution]:
    """The rows of a table of solutions as a reward model sees them, without labels."""
    prompts = question_prompts(policy.tokenizer, problems)
    columns = (table[name][:] for name in ("problem_id", "tokens", "ends", "correct"))
    return [
        Solution(prompts[problem], tokens, ends, correct)
        for problem, tokens, ends, correct in zip(*columns, strict=True)
    ]


def solution_examples(
    policy: StoredModel, problems: Sequence[Problem], table: datasets.Dataset
) -> list[Example]:
    """Sampled solutions to learn by heart: token in, token out; forced tokens carry no loss."""
    prompts = question_prompts(policy.tokenizer, problems)
    columns = (table[name][:] for name in ("problem_id", "tokens", "sampled"))
    return [
        {
            "tokens": np.asarray([*prompts[problem], *tokens], np.int32),
            "mask": np.asarray([*np.zeros(len(prompts[problem])), *sampled], np.float32),
        }
        for problem, tokens, sampled in zip(*columns, strict=True)
    ]
