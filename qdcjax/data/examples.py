"""Problems and solutions → token examples with masks."""

from collections.abc import Sequence

import numpy as np

from qdcjax.data.batches import Example
from qdcjax.data.tokenizers import Tokenizer
from qdcjax.tasks.problem import Problem


def prompt_text(question: str) -> str:
    """The text that a policy is given; the solution starts on the next line."""
    return f"{question}\n"


def encode_prompts(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Begin token and text of each; `texts` are `prompt_text`, perhaps with first steps."""
    return [[tokenizer.bos_id, *ids] for ids in tokenizer.encode_many(texts)]


def question_prompts(tokenizer: Tokenizer, problems: Sequence[Problem]) -> dict[str, list[int]]:
    """Problem's id → ids of its prompt."""
    asked = encode_prompts(tokenizer, [prompt_text(problem.question) for problem in problems])
    return dict(zip((problem.id for problem in problems), asked, strict=True))


def completion_examples(
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    completions: Sequence[str],
    max_length: int,
    learn_prompts: bool = False,
) -> list[Example]:
    """Begin, prompt, completion, end; the mask is 1 on the completion and its end token.

    Prompt and completion are tokenised apart, as they are when a policy samples: the ids trained
    on are the ids sampled.

    Args:
      tokenizer, prompts, completions: texts and what turns them into ids.
      max_length: tokens of an example, at most.
      learn_prompts: whether the mask is 1 on the prompt too, as in pretraining; never on the begin
        token, which nothing predicts.

    Raises:
      ValueError: an example longer than `max_length` tokens; it names the prompt.
    """
    examples = []
    rows = zip(encode_prompts(tokenizer, prompts), tokenizer.encode_many(completions), strict=True)
    for row, (prompt, completion) in enumerate(rows):
        tokens = np.asarray([*prompt, *completion, tokenizer.eos_id], np.int32)
        if len(tokens) > max_length:
            raise ValueError(
                f"an example has {len(tokens)} tokens and max_length={max_length}: "
                f"{prompts[row][:60]!r}"
            )
        mask = np.arange(len(tokens)) >= (1 if learn_prompts else len(prompt))
        examples.append({"tokens": tokens, "mask": mask.astype(np.float32)})
    return examples
