"""What a policy, or a critic, thinks of completions that it or another policy wrote.

N prompts with a completion each → N arrays, a number for each token of the completion.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np

from qdcjax.models.transformer import Transformer
from qdcjax.rl.policy_gradient import values_before
from qdcjax.training.forward import at_tokens
from qdcjax.training.losses import token_log_probs
from qdcjax.training.store import StoredModel


def completion_log_probs(
    policy: StoredModel,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    temperature: float,
    **options,
) -> list[np.ndarray]:
    """log π(token | prompt and the tokens before it) under softmax(logits / temperature).

    Args:
      policy: π.
      prompts, completions: ids.
      temperature: that the completions were sampled at; 0, the most likely tokens, counts as 1.
      options: of `training.forward.at_tokens`.
    """
    whole = [[*p, *c] for p, c in zip(prompts, completions, strict=True)]
    found = at_tokens(
        _log_probs,
        policy.model,
        policy.params,
        whole,
        "score solutions",
        settings=(temperature or 1.0,),
        **options,
    )
    return [values[len(prompt) :] for values, prompt in zip(found, prompts, strict=True)]


def completion_values(
    model: Transformer,
    params,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    values: Callable = values_before,
    **options,
) -> list[np.ndarray]:
    """A critic's V of the text before each token.

    Args:
      model, params: of the critic.
      prompts, completions, options: as for `completion_log_probs`.
      values: how it tells V, of `policy_gradient`: `values_before` or one like it.
    """
    whole = [[*p, *c] for p, c in zip(prompts, completions, strict=True)]
    found = at_tokens(values, model, params, whole, "score by the critic", **options)
    return [values[len(prompt) :] for values, prompt in zip(found, prompts, strict=True)]


def _log_probs(model: Transformer, params, tokens, temperature: float):
    return jnp.pad(token_log_probs(model, params, tokens, temperature), ((0, 0), (1, 0)))
