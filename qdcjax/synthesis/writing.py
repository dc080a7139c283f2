"""Completions of a writer's prompts."""

import random
from collections.abc import Sequence

import jax
import numpy as np

from qdcjax.data.examples import encode_prompts
from qdcjax.decoding import Prompts, SamplingSettings, sample, shared_shapes, stream
from qdcjax.synthesis.operations import END, Demonstrations
from qdcjax.synthesis.pipeline import Proposal
from qdcjax.training.store import StoredModel


def complete(
    writer: StoredModel,
    proposals: Sequence[Proposal],
    settings: SamplingSettings,
    key: jax.Array,
    description: str,
    before: Sequence[str] = (),
) -> list[tuple[str, bool]]:
    """The text of each proposal's completion, and whether the room ended before it did.

    Args:
      writer: of the texts.
      proposals: what it is asked for.
      settings, key, description: of the sampling.
      before: of each proposal, demonstrations that come before its prompt; none by default.

    Raises:
      ValueError: a prompt leaves no room for a text.
    """
    contexts = before or [""] * len(proposals)
    texts = [f"{context}{of.prompt}" for context, of in zip(contexts, proposals, strict=True)]
    tokens = encode_prompts(writer.tokenizer, texts)
    most = writer.model.config.max_length - settings.max_new_tokens
    if (longest := max(len(ids) for ids in tokens)) > most:
        raise ValueError(
            f"a prompt of {longest} tokens leaves no room for max_new_tokens="
            f"{settings.max_new_tokens} in max_length={writer.model.config.max_length}"
        )
    prompts = Prompts(tokens, np.array([stream(of.id) for of in proposals], np.uint32))
    settings = shared_shapes(settings, [len(ids) for ids in tokens])
    found = sample(
        writer.model, writer.params, prompts, settings, key, writer.tokenizer, description
    )
    return [
        (
            writer.tokenizer.decode(found.tokens[row, 0, : found.lengths[row, 0]].tolist()),
            bool(found.truncated[row, 0]),
        )
        for row in range(len(proposals))
    ]


def shots(
    demonstrations: Demonstrations, proposals: Sequence[Proposal], count: int, seed: str
) -> list[str]:
    """Of each proposal, `count` demonstrations of its operation, for a pretrained writer.

    Raises:
      ValueError: an operation without any.
    """
    found = []
    for asked in proposals:
        rng = random.Random(f"{seed}/{asked.id}")
        pairs = [demonstrations(asked.operation, rng) for _ in range(count)]
        if None in pairs:
            raise ValueError(f"no problem that is known can be the outcome of {asked.operation}")
        found.append("".join(f"{given}{completion}{END}" for given, completion in pairs))
    return found
