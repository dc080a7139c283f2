"""How the policies of one run compare: with the starting point, and with one another."""

from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import numpy as np

from qdcjax.experiments.running import from_config
from qdcjax.experiments.stages import policy_evaluation
from qdcjax.experiments.stages.solutions import as_solutions
from qdcjax.measures.intervals import Interval, bootstrap
from qdcjax.rl.log_probs import completion_log_probs
from qdcjax.tasks.arithmetic import solution_key
from qdcjax.training.store import StoredModel
from qdcjax.workdir import Workdir

Figures = Mapping[str, Mapping[str, float | Interval]]  # policy → figure → value


def measure(
    config: Mapping[str, Any],
    workdir: Workdir,
    policy: StoredModel,
    after: str,
    name: str,
    start: StoredModel | None = None,
    marker: str = "",
) -> dict[str, Interval]:
    """`evaluate_policy` of the stage `after`, and how far the policy went `from_start`.

    Without a start, as for one that is asked with a marker, only how diverse its samples are.
    """
    found = policy_evaluation.evaluate_policy(
        config, workdir, policy, [after], name=name, marker=marker
    )
    if start is None:
        return found | diversity(config, workdir, name)
    return found | from_start(config, workdir, policy, start, name)


def named(found: Figures) -> dict[str, float | Interval]:
    """`<policy>_<figure>` → value, for the summary."""
    return {
        f"{policy.replace('-', '_')}_{name}": value
        for policy, of in found.items()
        for name, value in of.items()
    }


def gains(
    config: Mapping[str, Any], workdir: Workdir, before: str, after: str
) -> dict[str, Interval]:
    """`gain_<figure>_<split>`: what the policy `after` has more than `before`.

    Greedy accuracy, and maj@k and pass@k of the samples; the bootstrap is paired by question.
    """
    found = {}
    for split in config["evaluation"]["splits"]:
        old, new = (by_question(config, workdir, split, policy) for policy in (before, after))
        questions = test_questions(config, split)
        for name in new:
            if name == "greedy_accuracy" or name.startswith(("pass", "maj")):
                found[f"gain_{name}_{split}"] = bootstrap(new[name] - old[name], questions)
    return found


def by_question(
    config: Mapping[str, Any], workdir: Workdir, split: str, policy: str
) -> dict[str, np.ndarray]:
    """Figure → [N] of a policy on each test question: greedy accuracy, and `at_k_by_question`."""
    task = from_config.task(config["task"], config["seed"])
    problems, tables = (
        policy_evaluation.test_problems(config, task, split),
        solutions(workdir, split, policy),
    )
    return {
        "greedy_accuracy": np.asarray(tables["greedy"]["correct"][:], float),
        **policy_evaluation.at_k_by_question(problems, tables["samples"]),
    }


def test_questions(config: Mapping[str, Any], split: str) -> list[str]:
    """The ids of a split's test questions."""
    task = from_config.task(config["task"], config["seed"])
    return [problem.id for problem in policy_evaluation.test_problems(config, task, split)]


def from_start(
    config: Mapping[str, Any],
    workdir: Workdir,
    policy: StoredModel,
    start: StoredModel,
    name: str,
) -> dict[str, Interval]:
    """How far a policy went, on its samples of the test questions: of each split,

        kl = E Σ_t log π(y_t) − log π_start(y_t),   entropy = −E Σ_t log π(y_t) / E T,

    and its `diversity`. Below float32 the sampler rounds otherwise than the forward pass that tells
    log π_start: log π then comes from such a pass too, and a policy is at distance 0 from itself.
    """
    task = from_config.task(config["task"], config["seed"])
    temperature = config["evaluation"]["temperature"]
    found = {}
    for split in config["evaluation"]["splits"]:
        problems = policy_evaluation.test_problems(config, task, split)
        sampled = solutions(workdir, split, name)["samples"]

        def make(_, problems=problems, sampled=sampled) -> dict[str, list]:
            rows = as_solutions(start, problems, sampled)
            prompts, tokens = ([getattr(row, of) for row in rows] for of in ("prompt", "tokens"))
            columns = {"log_probs": completion_log_probs(start, prompts, tokens, temperature)}
            if policy.model.config.dtype != "float32":
                columns["own"] = completion_log_probs(policy, prompts, tokens, temperature)
            return columns

        stage, after = f"reference-{split}-{name}", [f"samples-{split}-{name}"]
        reference = workdir.table(stage, [], after, lambda: [0], make)
        own = reference["own"] if "own" in reference.column_names else sampled["log_probs"]
        columns = (own[:], reference["log_probs"][:], sampled["sampled"][:])
        sums = np.asarray(
            [
                [np.sum((np.asarray(a) - b) * chosen), np.sum(np.multiply(a, chosen)), sum(chosen)]
                for a, b, chosen in zip(*columns, strict=True)
            ]
        )
        questions = np.asarray(sampled["problem_id"][:])
        found |= {
            f"kl_{split}": bootstrap(sums[:, 0], questions),
            f"entropy_{split}": bootstrap(-sums[:, 1] / max(sums[:, 2].mean(), 1), questions),
        }
    return found | diversity(config, workdir, name)


def diversity(config: Mapping[str, Any], workdir: Workdir, policy: str) -> dict[str, Interval]:
    """`distinct_<split>`: the different sequences of operations among K samples of a question."""
    found = {}
    for split in config["evaluation"]["splits"]:
        distinct = distinct_solutions(solutions(workdir, split, policy)["samples"])
        found[f"distinct_{split}"] = bootstrap(list(distinct.values()), list(distinct))
    return found


def solutions(workdir: Workdir, split: str, policy: str) -> dict[str, datasets.Dataset]:
    """The tables `greedy` and `samples` of a policy that `evaluate_policy` has made."""
    return {kind: workdir.read_table(f"{kind}-{split}-{policy}") for kind in ("greedy", "samples")}


def distinct_solutions(table: Mapping[str, Sequence]) -> dict[str, int]:
    """Question → number of different sequences of operations among its solutions."""
    keys: dict[str, set[str]] = {}
    for question, text in zip(table["problem_id"][:], table["text"][:], strict=True):
        keys.setdefault(question, set()).add(solution_key(text))
    return {question: len(found) for question, found in keys.items()}
