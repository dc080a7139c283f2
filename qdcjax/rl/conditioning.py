"""Return-conditioned RL: a label before each line says how good it is (arXiv 2403.04642).

Off-line, on right and wrong solutions alike: p(line | question, lines so far, label). At test time
every line is asked to be good.
"""

from collections.abc import Sequence

import numpy as np

from qdcjax.data.batches import Example
from qdcjax.data.tokenizers import Tokenizer
from qdcjax.decoding.forced import going_on

GOOD, BAD = "[GOOD] ", "[BAD] "


def line_labels(
    ends: Sequence[int], values: Sequence[float], tokens: int, threshold: float
) -> list[bool]:
    """Whether each line is good: its value at the line's last token reaches the threshold.

    Args:
      ends: positions of the steps' last tokens; what follows the last one is a line too.
      values: a reward model's, at each token.
      tokens: of the completion.
      threshold: of a good line.
    """
    last = [*ends, tokens - 1] if not ends or ends[-1] < tokens - 1 else ends
    return [bool(values[end] >= threshold) for end in last]


def marked_example(
    tokenizer: Tokenizer,
    prompt: Sequence[int],
    tokens: Sequence[int],
    sampled: Sequence[bool],
    ends: Sequence[int],
    good: Sequence[bool],
) -> Example:
    """A solution with a label before each of its lines; labels and forced tokens carry no loss.

    Args:
      tokenizer: the policy's.
      prompt, tokens: ids of question and completion.
      sampled: which tokens of the completion the policy chose.
      ends: positions of the steps' last tokens.
      good: of each line, from `line_labels`.
    """
    ids, mask, begin = list(prompt), [0.0] * len(prompt), 0
    for line, is_good in enumerate(good):
        end = ends[line] + 1 if line < len(ends) else len(tokens)
        text = GOOD if is_good else BAD
        label = going_on(tokenizer, text) if line else tokenizer.encode(text)
        ids += [*label, *tokens[begin:end]]
        mask += [*([0.0] * len(label)), *sampled[begin:end]]
        begin = end
    return {"tokens": np.asarray(ids, np.int32), "mask": np.asarray(mask, np.float32)}
