"""Steps of a solution: lines of text, and where they end among the tokens.

The answer line (`#### N`) is not a step; a value at the last token is about the answer.
"""

import dataclasses
from collections.abc import Sequence

from qdcjax.data.tokenizers import Tokenizer

ANSWER_MARKER = "####"


@dataclasses.dataclass(frozen=True)
class Steps:
    """The L steps of one completion.

    Attributes:
      texts: L lines.
      ends: L positions among the completion's tokens: that of each step's last token, its
        separator. Token 0 is the first of the completion.
    """

    texts: tuple[str, ...]
    ends: tuple[int, ...]


def lines_of_steps(solution: str) -> list[str]:
    """The lines of a solution that have text and are not the answer's."""
    lines = (line.strip() for line in solution.splitlines())
    return [line for line in lines if line and not line.startswith(ANSWER_MARKER)]


def separator_tokens(tokenizer: Tokenizer) -> frozenset[int]:
    """Ids of the tokens that end a line."""
    return frozenset(
        token for token in range(tokenizer.vocab_size) if "\n" in tokenizer.decode([token])
    )


def segment(
    tokens: Sequence[int], tokenizer: Tokenizer, separators: frozenset[int], marker: str = ""
) -> Steps:
    """Cuts a completion at its line ends; blank lines and the answer line are no steps.

    A last line without a line end counts as no step: nothing can follow from it. A `marker` that
    was forced before every line is no part of it.
    """
    texts, ends, begin = [], [], 0
    for position, token in enumerate(tokens):
        if int(token) not in separators:
            continue
        line = tokenizer.decode(list(tokens[begin : position + 1])).strip()
        line = line.removeprefix(marker.strip()).strip()
        begin = position + 1
        if line.startswith(ANSWER_MARKER):
            break
        if line:
            texts.append(line)
            ends.append(position)
    return Steps(tuple(texts), tuple(ends))
