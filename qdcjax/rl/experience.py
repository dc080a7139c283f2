"""A table of rollouts → examples that a policy and a critic learn from, and figures of the round.

Rows are question by question, K each. Beside the columns of `rollouts.sample_solutions` the table
has one number a token in `sampled`, `log_probs`, `rewards`, `reference` (log π_start) and, with a
critic, `values` (V before the token).
"""

import functools
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from qdcjax.data.batches import Example
from qdcjax.rl.advantages import dead_groups, on_last_action
from qdcjax.rl.losses import explained_variance, k1
from qdcjax.rl.policy_gradient import (
    PolicyGradient,
    advantages_and_returns,
    token_weights,
)

OF_TOKENS = ("sampled", "log_probs", "rewards", "reference", "values")


def figures(
    table: Mapping[str, Sequence], settings: PolicyGradient, samples: int, longest: int
) -> dict[str, float]:
    """What to watch: reward, accuracy, distance, entropy, length, cut ends, dead groups.

    `reward` has the penalty of truncation in it, `kl` is the mean over completions of
    Σ_t log π − log π_start, `entropy` of −log π over tokens, and `dead_groups` the share of
    questions whose samples all have one reward.

    Args:
      table, settings, samples, longest: as for `experience`.
    """
    padded = _padded(table, longest)
    mask = padded["sampled"]
    totals = _rewards(table, padded, settings).sum(axis=1)
    divergence = k1(padded["log_probs"], padded["reference"]) * mask
    found = {
        "reward": totals.mean(),
        "accuracy": np.mean(table["correct"]),
        "kl": divergence.sum(axis=1).mean(),
        "entropy": -(padded["log_probs"] * mask).sum() / jnp.maximum(mask.sum(), 1),
        "tokens": np.mean([len(tokens) for tokens in table["tokens"]]),
        "truncated": np.mean(table["truncated"]),
        "dead_groups": dead_groups(totals.reshape(-1, samples)).mean(),
    }
    return {name: float(value) for name, value in found.items()}


def experience(
    table: Mapping[str, Sequence],
    prompts: Mapping[str, Sequence[int]],
    settings: PolicyGradient,
    samples: int,
    longest: int,
    kl: float,
) -> tuple[list[Example], list[Example], dict[str, float]]:
    """Examples of the policy and of the critic, and the critic's figures.

    Args:
      table: N rollouts.
      prompts: question → ids.
      settings: the algorithm.
      samples: K.
      longest: T, room for the tokens of every completion of the run.
      kl: beta now.
    """
    padded = _padded(table, longest)
    mask = padded["sampled"]
    if settings.truncated == "masked":
        mask = mask * (1 - jnp.asarray(table["truncated"], jnp.float32)[:, None])
    advantages, returns = _compiled(
        settings,
        samples,
        _rewards(table, padded, settings),
        mask,
        *(padded[name] for name in ("log_probs", "reference", "values")),
        kl,
    )
    variance = explained_variance(padded["values"], returns, mask)
    of_token = {
        "mask": token_weights(settings, mask),
        "advantages": advantages,
        "old_log_probs": padded["log_probs"],
        "reference": padded["reference"],
    }
    of_critic = {"mask": mask, "old_values": padded["values"], "returns": returns}
    asked = [prompts[problem] for problem in table["problem_id"]]
    policy, critic = (_examples(asked, table["tokens"], of) for of in (of_token, of_critic))
    return policy, critic, {"explained_variance": float(variance)}


def _rewards(table: Mapping[str, Sequence], padded: Mapping[str, jax.Array], settings):
    """[N, T] rewards, less the penalty of truncation on the last actions."""
    if settings.truncated != "penalty":
        return padded["rewards"]
    truncated = jnp.asarray(table["truncated"], jnp.float32)
    return padded["rewards"] - on_last_action(settings.penalty * truncated, padded["sampled"])


@functools.partial(jax.jit, static_argnums=(0, 1))
def _compiled(settings: PolicyGradient, samples: int, *arrays):
    return advantages_and_returns(settings, samples, *arrays)


def _padded(table: Mapping[str, Sequence], longest: int) -> dict[str, jax.Array]:
    """Numbers of tokens as [N, T] arrays, zero past each completion; those without a column too."""
    found = {}
    for name in OF_TOKENS:
        rows = np.zeros((len(table["tokens"]), longest), np.float32)
        for row, values in zip(rows, table[name] if name in _columns(table) else (), strict=False):
            row[: len(values)] = values
        found[name] = jnp.asarray(rows)
    return found


def _columns(table) -> Sequence[str]:
    return getattr(table, "column_names", None) or list(table)


def _examples(
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    of_token: Mapping[str, jax.Array],
) -> list[Example]:
    """Prompt and completion as one sequence; what is said of tokens is 0 on the prompt."""
    columns = {name: np.asarray(values) for name, values in of_token.items()}
    examples = []
    for row, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        silent = np.zeros(len(prompt), np.float32)
        examples.append(
            {"tokens": np.asarray([*prompt, *completion], np.int32)}
            | {
                name: np.concatenate([silent, values[row, : len(completion)]])
                for name, values in columns.items()
            }
        )
    return examples
