"""Evaluation of a policy on a task: greedy accuracy, and maj@K, pass@K, rerank@K of samples."""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from qdcjax.experiments.running import from_config
from qdcjax.experiments.stages.solutions import as_solutions, solution_table
from qdcjax.measures.intervals import Interval, bootstrap
from qdcjax.reasoning.answers import extract_vote
from qdcjax.reasoning.reward_models import answer_values, score
from qdcjax.reasoning.voting import majority_at_k, pass_at_k, rerank_at_k
from qdcjax.tasks.answers import gold_answer
from qdcjax.tasks.problem import Problem, Task
from qdcjax.training.processes import is_writer
from qdcjax.training.store import StoredModel
from qdcjax.workdir import Workdir

OF_TOKENS = ("sampled", "log_probs")
SHOWN = 100  # solutions of a table in `samples/`


def evaluate_policy(
    config: Mapping[str, Any],
    workdir: Workdir,
    policy: StoredModel,
    after: Sequence[str],
    reranker: StoredModel | None = None,
    name: str = "",
    marker: str = "",
) -> dict[str, Interval]:
    """Name → estimate, over the questions of each split in `config.evaluation.splits`.

    Intervals are bootstraps over questions. Names end in the split's name. A run that evaluates
    several policies gives each a `name`, which its tables bear too. A `marker` is forced before
    every line that the policy writes.
    """
    task = from_config.task(config["task"], config["seed"])
    results = {}
    for split in config["evaluation"]["splits"]:
        problems = test_problems(config, task, split)
        greedy, sampled = (
            solve(config, workdir, policy, task, problems, split, after, name, marker, greedy)
            for greedy in (True, False)
        )
        scores = None
        if reranker is not None:
            solutions = as_solutions(policy, problems, sampled)
            scores = answer_values(sampled["ends"][:], score(reranker, solutions))
        measured = accuracies(problems, greedy) | at_k(problems, sampled, scores)
        measured |= order(problems, greedy, sampled, scores) if scores is not None else {}
        results |= {f"{name}_{split}": value for name, value in measured.items()}
    return results


def check(config: Mapping[str, Any], task: Task) -> None:
    """Raises for a split that the task has not, before a policy is trained for it."""
    for split in config["evaluation"]["splits"]:
        test_problems(config, task, split)


def test_problems(config: Mapping[str, Any], task: Task, split: str) -> Sequence[Problem]:
    """The questions of a split that the study evaluates on."""
    return task.problems(split, config["evaluation"]["questions"] or None)


def solve(
    config: Mapping[str, Any],
    workdir: Workdir,
    policy: StoredModel,
    task: Task,
    problems: Sequence[Problem],
    split: str,
    after: Sequence[str],
    name: str = "",
    marker: str = "",
    greedy: bool = False,
) -> datasets.Dataset:
    """Table `greedy-<split>` or `samples-<split>`: the policy's solutions of the questions.

    With a name it is `greedy-<split>-<name>`.
    """
    changes = {"samples": 1, "temperature": 0.0} if greedy else {}
    changes |= {"marker": marker} if marker else {}
    settings = from_config.sampling(config, "evaluation", **changes)
    name = "-".join(filter(None, ["greedy" if greedy else "samples", split, name]))
    key = from_config.key(config, "evaluation")
    fields = ["seed", "task", "evaluation"]
    table = solution_table(
        workdir, name, fields, after, policy, task, problems, settings, key, OF_TOKENS
    )
    if is_writer():
        write_samples(workdir.path / "samples" / f"{name}.jsonl", problems, table)
    return table


def write_samples(file: Path, problems: Sequence[Problem], table: datasets.Dataset) -> None:
    """The first `SHOWN` solutions of a table for a reader: question, text, correct a line."""
    questions = {problem.id: problem.question for problem in problems}
    lines = [
        {
            "question": questions[row["problem_id"]],
            "text": row["text"],
            "correct": row["correct"],
        }
        for row in table.select(range(min(SHOWN, len(table))))
    ]
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def accuracies(problems: Sequence[Problem], greedy: datasets.Dataset) -> dict[str, Interval]:
    """Greedy accuracy (strict and flexible), tokens, and shares of what went wrong otherwise.

    Truncated completions, those with several answer markers, those whose number cannot be read.
    """
    questions = np.asarray(greedy["problem_id"][:])
    columns = {
        "accuracy": greedy["correct"][:],
        "flexible_accuracy": greedy["flexible"][:],
        "truncated": greedy["truncated"][:],
        "flagged": greedy["flagged"][:],
        "errors": greedy["error"][:],
        "tokens": [len(tokens) for tokens in greedy["tokens"][:]],
    }
    results = {
        f"greedy_{name}": bootstrap(np.asarray(values, float), questions)
        for name, values in columns.items()
    }
    depths = np.asarray([problem.meta.get("depth", 0) for problem in problems])
    for depth in np.unique(depths[depths > 0]):
        rows = depths == depth
        right = np.asarray(greedy["correct"][:], float)[rows]
        results[f"greedy_accuracy_depth{depth}"] = bootstrap(right, questions[rows])
    return results


def at_k(
    problems: Sequence[Problem], sampled: datasets.Dataset, scores: np.ndarray | None = None
) -> dict[str, Interval]:
    """The figures of `at_k_by_question` over all questions, with bootstrap intervals."""
    questions = [problem.id for problem in problems]
    by_question = at_k_by_question(problems, sampled, scores)
    return {name: bootstrap(values, questions) for name, values in by_question.items()}


def order(
    problems: Sequence[Problem],
    greedy: datasets.Dataset,
    sampled: datasets.Dataset,
    scores: np.ndarray,
) -> dict[str, Interval]:
    """What each way to answer has more than the next one, paired by question, with all K samples.

    pass@K over rerank@K over maj@K over one greedy answer.
    """
    found = at_k_by_question(problems, sampled, scores)
    K = len(sampled) // len(problems)
    ways = {name: found[f"{name}_at_{K}"] for name in ("pass", "rerank", "maj")}
    ways["greedy"] = np.asarray(greedy["correct"][:], float)
    questions = [problem.id for problem in problems]
    return {
        f"{more}_over_{less}": bootstrap(ways[more] - ways[less], questions)
        for more, less in itertools.pairwise(ways)
    }


def at_k_by_question(
    problems: Sequence[Problem],
    sampled: datasets.Dataset,
    scores: np.ndarray | None = None,
    sizes: Sequence[int] = (),
) -> dict[str, np.ndarray]:
    """maj@k, pass@k and, with scores, rerank@k for some k of K samples a question.

    Also one sample's accuracy, tokens and chance of being truncated. Each [N].

    Args:
      problems: N questions.
      sampled: N · K rows, question by question.
      scores: [N · K] a reward model's values of the whole solutions.
      sizes: the k; by default 1, 2, 4, … and K.
    """
    N = len(problems)
    K = len(sampled) // N
    correct = np.asarray(sampled["correct"][:], bool).reshape(N, K)
    votes = [
        None if truncated else extract_vote(text)
        for text, truncated in zip(sampled["text"][:], sampled["truncated"][:], strict=True)
    ]
    gold = [gold_answer(problem.answer) for problem in problems]
    columns = {
        "accuracy": sampled["correct"][:],
        "truncated": sampled["truncated"][:],
        "tokens": [len(tokens) for tokens in sampled["tokens"][:]],
    }
    found = {
        f"sampled_{name}": np.reshape(values, (N, K)).mean(axis=1)
        for name, values in columns.items()
    }
    for k in sizes or powers_of_two(K):
        values = {
            "pass": pass_at_k(K, correct.sum(axis=1), k),
            "maj": [majority_at_k(votes[n * K : (n + 1) * K], gold[n], k) for n in range(N)],
        }
        if scores is not None:
            by_question = np.asarray(scores).reshape(N, K)
            values["rerank"] = [rerank_at_k(by_question[n], correct[n], k) for n in range(N)]
        found |= {f"{name}_at_{k}": np.asarray(value, float) for name, value in values.items()}
    return found


def powers_of_two(largest: int) -> list[int]:
    """1, 2, 4, … below `largest`, and `largest` itself."""
    return [*(2**i for i in range((largest - 1).bit_length())), largest]
