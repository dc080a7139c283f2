"""Solutions sampled from a policy, graded and cut into steps, as columns of an Arrow table."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from qdcjax.data.examples import encode_prompts, prompt_text
from qdcjax.data.tables import columns
from qdcjax.decoding import (
    Prompts,
    Samples,
    SamplingSettings,
    sample,
    shared_shapes,
    stream,
)
from qdcjax.reasoning.answers import grade, is_number
from qdcjax.reasoning.labels import is_consistent
from qdcjax.reasoning.steps import segment, separator_tokens
from qdcjax.reporting.stopwatch import Stopwatch
from qdcjax.tasks.problem import Problem, Task
from qdcjax.training.store import StoredModel

PART = 8_192  # samples in a part of a table: what a kill can cost


@dataclasses.dataclass(frozen=True)
class Prefix:
    """The beginning of a solution, up to the end of one of its steps.

    Attributes:
      problem: that it tries to solve.
      tokens: ids of the completion so far, the last step's separator included.
      step: text of the last step.
      length: number of steps.
      truth: whether all of them are valid; None where the task can't tell.
    """

    problem: Problem
    tokens: tuple[int, ...]
    step: str
    length: int
    truth: bool | None


@dataclasses.dataclass(frozen=True)
class Attempt:
    """What a solution is to be sampled from, when that is more than a question.

    Attributes:
      problem: that it tries to solve.
      context: ids between the question and the solution, such as those of a draft to refine.
      kept: ids that the solution begins with.
    """

    problem: Problem
    context: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()


def parts_of_problems(
    policy: StoredModel, problems: Sequence[Problem], settings: SamplingSettings
) -> list[tuple[Sequence[Problem], SamplingSettings]]:
    """Parts of a table of solutions: some of the problems each, sampled by the same programs."""
    return _parts(problems, _prompts(policy, problems, [()] * len(problems)), settings)


def parts_of_attempts(
    policy: StoredModel, attempts: Sequence[Attempt], settings: SamplingSettings
) -> list[tuple[Sequence[Attempt], SamplingSettings]]:
    """Parts of a table of attempts likewise."""
    return _parts(attempts, _prompts(policy, *_beginnings(attempts)), settings)


def parts_of_prefixes(
    policy: StoredModel, prefixes: Sequence[Prefix], settings: SamplingSettings
) -> list[tuple[Sequence[Prefix], SamplingSettings]]:
    """Parts of a table of verified prefixes."""
    problems, beginnings = ([getattr(p, of) for p in prefixes] for of in ("problem", "tokens"))
    return _parts(prefixes, _prompts(policy, problems, beginnings), settings)


def _parts(items: Sequence, prompts: Sequence[Sequence[int]], settings: SamplingSettings) -> list:
    settings = shared_shapes(settings, [len(tokens) for tokens in prompts])
    size = max(1, PART // settings.samples)
    return [(items[at : at + size], settings) for at in range(0, len(items), size)]


def sample_solutions(
    policy: StoredModel,
    task: Task,
    problems: Sequence[Problem],
    settings: SamplingSettings,
    key: jax.Array,
    description: str,
    of_tokens: Sequence[str] = (),
    watch: Stopwatch | None = None,
) -> dict[str, list[Any]]:
    """K solutions of every problem: one row a solution.

    Columns: `problem_id`, `sample`, `tokens` (as sampled, end token included), `text`,
    `correct` and `flexible` (right by the last number that it names; both false when the room
    ended first), `truncated`, `flagged` (more than one answer marker), `error` (a number too long
    to be read), `steps` (texts), `ends` (token position of each step's end) and `truth` (whether
    steps 0…i are valid; empty where the task can't tell). `of_tokens` adds fields of `Samples` with
    a number for each token, such as `sampled` and `log_probs`.

    Solutions are graded in a thread while others are still being sampled. `watch` gets the seconds
    of `generation`, of `grading` (in the thread), and of `waiting` for grades at the end.
    """
    attempts = [Attempt(problem) for problem in problems]
    return sample_attempts(policy, task, attempts, settings, key, description, of_tokens, watch)


def sample_attempts(
    policy: StoredModel,
    task: Task,
    attempts: Sequence[Attempt],
    settings: SamplingSettings,
    key: jax.Array,
    description: str,
    of_tokens: Sequence[str] = (),
    watch: Stopwatch | None = None,
) -> dict[str, list[Any]]:
    """K solutions of every attempt: `sample_solutions` after a context, and from a beginning.

    A solution is what was kept and what was sampled; `of_tokens` are of the latter alone.
    """
    watch = watch or Stopwatch()
    separators = separator_tokens(policy.tokenizer)
    graded: dict[int, Future] = {}

    def rows_of(n: int, samples: Samples) -> list[dict[str, Any]]:
        with watch.timed("grading"):
            return [
                _graded(policy, task, attempts[n], samples, (n, k), settings, separators, of_tokens)
                for k in range(settings.samples)
            ]

    with ThreadPoolExecutor(1) as pool:

        def finished(whole, samples: Samples) -> None:
            graded.update({int(n): pool.submit(rows_of, int(n), samples) for n in whole})

        with watch.timed("generation"):
            _complete(policy, *_beginnings(attempts), settings, key, description, finished)
        with watch.timed("waiting"):
            return columns([row for n in range(len(attempts)) for row in graded[n].result()])


def _graded(
    policy: StoredModel,
    task: Task,
    attempt: Attempt,
    samples: Samples,
    at: tuple[int, int],
    settings: SamplingSettings,
    separators: frozenset[int],
    of_tokens: Sequence[str],
) -> dict[str, Any]:
    """A row of `sample_solutions`: the sample at [n, k]."""
    problem, length = attempt.problem, samples.lengths[at]
    tokens = [*attempt.kept, *samples.tokens[at][:length].tolist()]
    text = policy.tokenizer.decode(tokens)
    truncated = bool(samples.truncated[at])
    steps = segment(tokens, policy.tokenizer, separators, settings.marker)
    correct = not truncated and task.is_correct(problem, text)
    grades = grade(text, problem.answer) if is_number(problem.answer) else None
    return {
        "problem_id": problem.id,
        "sample": settings.first_sample + at[1],
        "tokens": tokens,
        "text": text,
        "correct": correct,
        "flexible": (not truncated and grades.flexible) if grades else correct,
        "truncated": truncated,
        "flagged": grades is not None and grades.flagged,
        "error": grades is not None and grades.error,
        "steps": list(steps.texts),
        "ends": list(steps.ends),
        "truth": step_truth(task, problem, steps.texts),
        **{name: getattr(samples, name)[at][:length] for name in of_tokens},
    }


def verify(
    policy: StoredModel,
    task: Task,
    prefixes: Sequence[Prefix],
    settings: SamplingSettings,
    key: jax.Array,
) -> dict[str, list[Any]]:
    """K verifying completions from every prefix: one row a prefix.

    Columns: `problem_id`, `prefix` (tokens), `step`, `length`, `truth`, `completions` (K texts;
    refiners are trained on them), `correct` (K), `consistent` (K, whether a completion uses the
    step's result again).
    """
    samples = _complete(
        policy,
        [prefix.problem for prefix in prefixes],
        [prefix.tokens for prefix in prefixes],
        settings,
        key,
        "verify prefixes",
    )
    rows = []
    for n, prefix in enumerate(prefixes):
        texts = [
            policy.tokenizer.decode(samples.tokens[n, k, : samples.lengths[n, k]].tolist())
            for k in range(settings.samples)
        ]
        rows.append(
            {
                "problem_id": prefix.problem.id,
                "prefix": list(prefix.tokens),
                "step": prefix.step,
                "length": prefix.length,
                "truth": prefix.truth,
                "completions": texts,
                "correct": [
                    not samples.truncated[n, k] and task.is_correct(prefix.problem, text)
                    for k, text in enumerate(texts)
                ],
                "consistent": [is_consistent(prefix.step, text) for text in texts],
            }
        )
    return columns(rows)


def prefixes_of(drafts: Mapping[str, Sequence], problems: Mapping[str, Problem]) -> list[Prefix]:
    """Every distinct prefix that ends with a step of some draft, in order of appearance."""
    found: dict[tuple, Prefix] = {}
    columns = (drafts[name][:] for name in ("problem_id", "tokens", "steps", "ends", "truth"))
    for problem_id, tokens, steps, ends, truth in zip(*columns, strict=True):
        for index, (step, end) in enumerate(zip(steps, ends, strict=True)):
            prefix = tuple(tokens[: end + 1])
            if (problem_id, prefix) not in found:
                valid = truth[index] if truth else None
                found[problem_id, prefix] = Prefix(
                    problems[problem_id], prefix, step, index + 1, valid
                )
    return list(found.values())


def step_truth(task: Task, problem: Problem, steps: Sequence[str]) -> list[bool]:
    """The task's exact check of the steps, or nothing where it has none."""
    check = getattr(task, "step_truth", None)
    return [bool(valid) for valid in check(problem, steps)] if check else []


def _beginnings(attempts: Sequence[Attempt]) -> tuple[list[Problem], list[tuple[int, ...]]]:
    """What each is asked, and the ids that follow the question."""
    return [a.problem for a in attempts], [(*a.context, *a.kept) for a in attempts]


def _complete(
    policy: StoredModel,
    problems: Sequence[Problem],
    beginnings: Sequence[Sequence[int]],
    settings: SamplingSettings,
    key: jax.Array,
    description: str,
    finished: Callable[[np.ndarray, Samples], None] = lambda rows, samples: None,
) -> Samples:
    """Goes on from question and beginning; token in, token out."""
    prompts = Prompts(
        _prompts(policy, problems, beginnings),
        [stream(p.id, *b) for p, b in zip(problems, beginnings, strict=True)],
    )
    return sample(
        policy.model,
        policy.params,
        prompts,
        settings,
        key,
        policy.tokenizer,
        description,
        finished,
    )


def _prompts(
    policy: StoredModel, problems: Sequence[Problem], beginnings: Sequence[Sequence[int]]
) -> list[list[int]]:
    """Ids of each question and of the solution's beginning."""
    asked = encode_prompts(policy.tokenizer, [prompt_text(p.question) for p in problems])
    return [[*prompt, *beginning] for prompt, beginning in zip(asked, beginnings, strict=True)]
