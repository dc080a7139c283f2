"""Outcome (ORM) and stepwise outcome (SORM) reward models: examples, training, scores.

Both are the student's trunk with a scalar head; σ(score) at a step's last token estimates a
probability. The ORM learns the solution's final correctness at every completion token: the
student's own value function. The SORM learns at each step's end whether the answer can still be
reached (GLoRe, arXiv 2402.10963). At the last token both learn whether the answer is right.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

from qdcjax.data.batches import Example
from qdcjax.models.transformer import Transformer
from qdcjax.reasoning.labels import balance
from qdcjax.training.fit import TrainSettings, fit
from qdcjax.training.forward import at_tokens
from qdcjax.training.losses import binary_loss
from qdcjax.training.store import StoredModel


@dataclasses.dataclass(frozen=True)
class Solution:
    """A draft as a reward model sees it.

    Attributes:
      prompt: P ids, begin token included.
      tokens: T ids of the completion.
      ends: L positions among `tokens` of the steps' ends.
      correct: whether the final answer is right.
      labels: L step labels, 1 when the answer can still be reached (empty for an ORM).
    """

    prompt: Sequence[int]
    tokens: Sequence[int]
    ends: Sequence[int]
    correct: bool
    labels: Sequence[int] = ()


def orm_examples(solutions: Sequence[Solution]) -> list[Example]:
    """Final correctness at every completion token, balanced at each number of steps so far."""
    step_of = [np.searchsorted(s.ends, np.arange(len(s.tokens))) for s in solutions]
    units = [(row, step) for row, of in enumerate(step_of) for step in np.unique(of)]
    labels = np.asarray([solutions[row].correct for row, _ in units], int)
    lengths = np.asarray([step for _, step in units])
    weights = balance(labels, lengths, question_numbers(solutions)[[row for row, _ in units]])
    of_unit = dict(zip(units, weights, strict=True))
    examples = []
    for row, (solution, of) in enumerate(zip(solutions, step_of, strict=True)):
        mask = np.asarray([of_unit[row, step] for step in of], np.float32)
        examples.append(_example(solution, np.full(len(of), solution.correct), mask))
    return examples


def sorm_examples(solutions: Sequence[Solution], balanced: bool = True) -> list[Example]:
    """Step labels at step ends, and the answer's correctness at the last token.

    A solution that was cut at the very end of a step has no answer to learn, and its last token
    keeps the step's label.

    Args:
      solutions: with labels.
      balanced: whether right and wrong weigh the same at each prefix length (and at the answer),
        and each question the same within them.
    """
    units = [  # solution, token, label, number of steps; 0 stands for the answer
        (row, end, label, i + 1)
        for row, s in enumerate(solutions)
        for i, (end, label) in enumerate(zip(s.ends, s.labels, strict=True))
    ]
    units += [
        (row, len(s.tokens) - 1, int(s.correct), 0)
        for row, s in enumerate(solutions)
        if has_answer(s.ends, len(s.tokens))
    ]
    rows, _, labels, lengths = (np.asarray(column, int) for column in zip(*units, strict=True))
    weights = np.ones(len(units), np.float32)
    if balanced:
        weights = balance(labels, lengths, question_numbers(solutions)[rows])
    at_tokens = [np.zeros((2, len(s.tokens)), np.float32) for s in solutions]  # labels, mask
    for (row, token, label, _), weight in zip(units, weights, strict=True):
        at_tokens[row][:, token] = label, weight
    return [_example(s, *of_tokens) for s, of_tokens in zip(solutions, at_tokens, strict=True)]


def has_answer(ends: Sequence[int], tokens: int) -> bool:
    """Whether the last token is about the answer: no step ends there, as it does where room did."""
    return not ends or ends[-1] != tokens - 1


def answer_values(ends: Sequence[Sequence[int]], values: Sequence[np.ndarray]) -> np.ndarray:
    """[N] values of the answers: those at the last tokens, and 0 without an answer.

    Args:
      ends: of each solution's steps.
      values: at each solution's tokens.
    """
    pairs = zip(ends, values, strict=True)
    return np.asarray([value[-1] if has_answer(end, len(value)) else 0.0 for end, value in pairs])


def question_numbers(solutions: Sequence[Solution]) -> np.ndarray:
    """[N] a number for each question; solutions of one question have the same prompt."""
    numbers: dict[tuple[int, ...], int] = {}
    return np.asarray([numbers.setdefault(tuple(s.prompt), len(numbers)) for s in solutions])


def _example(solution: Solution, labels: np.ndarray, mask: np.ndarray) -> Example:
    """Puts a prompt without loss before the completion."""
    silent = np.zeros(len(solution.prompt), np.float32)
    return {
        "tokens": np.asarray([*solution.prompt, *solution.tokens], np.int32),
        "labels": np.concatenate([silent, labels]).astype(np.float32),
        "mask": np.concatenate([silent, mask]),
    }


def reward_model(policy: StoredModel, key: jax.Array) -> StoredModel:
    """The policy's trunk with a scalar head that starts at zero."""
    return policy.with_shape(key, output="scalar")


def train_reward_model(
    policy: StoredModel,
    examples: Sequence[Example],
    settings: TrainSettings,
    *,
    seed: int,
    mesh: Mesh,
    workdir: Path,
    name: str,
) -> StoredModel:
    """Fine-tunes the policy's trunk and a new head on `examples`; resumable."""
    start = reward_model(policy, jax.random.key(seed))
    params = fit(
        start.model,
        start.params,
        binary_loss,
        examples,
        settings,
        seed=seed,
        mesh=mesh,
        workdir=workdir,
        name=name,
    )
    return StoredModel(start.model, params, policy.tokenizer)


def score(
    stored: StoredModel,
    solutions: Sequence[Solution],
    batch_size: int | None = None,
    buckets: int = 2,
) -> list[np.ndarray]:
    """σ(score) at every completion token of each solution: N arrays [T_n] in [0, 1]."""
    whole = [[*s.prompt, *s.tokens] for s in solutions]
    values = at_tokens(
        _values, stored.model, stored.params, whole, "score solutions", batch_size, buckets
    )
    return [value[len(s.prompt) :] for value, s in zip(values, solutions, strict=True)]


def _values(model: Transformer, params, tokens):
    return jax.nn.sigmoid(model.apply({"params": params}, tokens))
