"""Refining drafts: pairs to learn from, where a draft goes wrong, and what a refiner reads.

GLoRe (arXiv 2402.10963, steps 5–7). A global refiner p(y | x, d) reads a question x and a draft d.
A local one p(y | x, d, e) also reads the token `[BAD]` before the first bad line e of the draft,
and goes on after the lines before that:

    global   x  d                   ⏎  y
    local    x  d₁ … [BAD] d_e …    ⏎  d₁ … d_{e−1}  y

where ⏎ is the end token and the loss is on y alone. A draft of L steps has the lines 0 … L − 1, and
line L is what follows: the answer.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from qdcjax.data.batches import Example
from qdcjax.data.tokenizers import Tokenizer
from qdcjax.decoding.forced import going_on
from qdcjax.reasoning.reward_models import Solution, has_answer

BAD = "[BAD]"
NOWHERE = -1  # the line of a pair in which no error is marked

Tokens = tuple[int, ...]
# (problem's id, the ids that a solution begins with) → different right ways to go on from there.
Continuations = Mapping[tuple[str, Tokens], Sequence[Tokens]]


@dataclasses.dataclass(frozen=True)
class PairSettings:
    """What refiners learn from.

    Attributes:
      per_draft: targets of one wrong draft, at most.
      validation_questions: questions whose pairs are kept for the validation loss.
    """

    per_draft: int
    validation_questions: int

    def __post_init__(self):
        for name, least in {"per_draft": 1, "validation_questions": 0}.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)} must be at least {least}")


@dataclasses.dataclass(frozen=True)
class Pair:
    """A wrong draft and something right to write after it.

    Attributes:
      problem: its id.
      line: the first bad one, or `NOWHERE` for a global refiner.
      context: ids of the draft as the refiner reads it, end token included.
      kept: ids of the lines that a local refiner goes on from.
      target: ids to learn, without an end token.
    """

    problem: str
    line: int
    context: Tokens
    kept: Tokens
    target: Tokens


def first_bad_line(labels: Sequence[int]) -> int:
    """The first step whose label is 0; without one, the answer's line."""
    return next((line for line, label in enumerate(labels) if not label), len(labels))


def locate(ends: Sequence[int], values: Sequence[float], threshold: float) -> int:
    """The line in which a reward model sees the first error of a draft.

    That is the first one whose value, at its last token, is under the threshold; where there is
    none, the one of the least value, for a refiner must begin somewhere.

    Args:
      ends: L positions of the steps' last tokens.
      values: at each token of the draft.
      threshold: of a good line.
    """
    last = [*ends, len(values) - 1] if has_answer(ends, len(values)) else ends
    of_lines = np.asarray([values[end] for end in last])
    under = np.flatnonzero(of_lines < threshold)
    return int(under[0]) if len(under) else int(np.argmin(of_lines))


def refiner_reads(
    tokenizer: Tokenizer, tokens: Sequence[int], ends: Sequence[int], line: int = NOWHERE
) -> tuple[Tokens, Tokens]:
    """(context, kept): what stands between question and refinement, and how that begins.

    Args:
      tokenizer: the refiner's, which has the token `[BAD]`.
      tokens: ids of the draft.
      ends: L positions of its steps' last tokens.
      line: the bad one, 0 … L; `NOWHERE` for a global refiner.
    """
    draft = without_end(tokenizer, tokens)
    if line == NOWHERE:
        return (*draft, tokenizer.eos_id), ()
    begin = ends[line - 1] + 1 if line else 0
    kept, rest = draft[:begin], draft[begin:]
    return (*kept, *going_on(tokenizer, BAD), *rest, tokenizer.eos_id), kept


def without_end(tokenizer: Tokenizer, tokens: Sequence[int]) -> Tokens:
    """The ids of a completion without its end token, which one that was cut short lacks."""
    return tuple(tokens[:-1] if tokens and tokens[-1] == tokenizer.eos_id else tokens)


def right_continuations(
    tokenizer: Tokenizer,
    problems: Sequence[str],
    drafts: Sequence[Solution],
    verified: Mapping[str, Sequence],
) -> dict[tuple[str, Tokens], list[Tokens]]:
    """What led to a right answer from each prefix, the empty one included.

    From the empty one these are the right drafts, and each verified prefix with its right
    completions. Completions that ignore the last step of their prefix do not count.

    Args:
      tokenizer: the student's.
      problems: id of each draft's.
      drafts: what the student sampled.
      verified: columns of `rollouts.verify`.
    """
    found: dict[tuple[str, Tokens], dict[Tokens, None]] = {}
    for problem, draft in zip(problems, drafts, strict=True):
        if draft.correct:
            tokens = without_end(tokenizer, draft.tokens)
            found.setdefault((problem, ()), {})[tokens] = None
    names = ("problem_id", "prefix", "completions", "correct", "consistent")
    for problem, prefix, texts, correct, consistent in zip(
        *(verified[name][:] for name in names), strict=True
    ):
        good = [t for t, *ok in zip(texts, correct, consistent, strict=True) if all(ok)]
        for text in dict.fromkeys(good):
            tokens = tuple(going_on(tokenizer, text))
            found.setdefault((problem, tuple(prefix)), {})[tokens] = None
            found.setdefault((problem, ()), {})[(*prefix, *tokens)] = None
    return {where: list(tokens) for where, tokens in found.items()}


def make_pairs(
    tokenizer: Tokenizer,
    problems: Sequence[str],
    drafts: Sequence[Solution],
    right: Continuations,
    local: bool,
    per_draft: int,
    seed: int,
) -> list[Pair]:
    """Each question's different wrong drafts, each with some of what is right to write after it.

    For a global refiner that is a right solution of the question; for a local one, a right way to
    go on before the draft's first bad line.

    Args:
      tokenizer: the refiner's.
      problems: id of each draft's.
      drafts: what the student sampled, with step labels for a local refiner.
      right: from `right_continuations`.
      local: for which of the two.
      per_draft: targets of each, at most; drawn by `seed`.
    """
    pairs, seen = [], set()
    for row, (problem, draft) in enumerate(zip(problems, drafts, strict=True)):
        unit = problem, tuple(draft.tokens)
        if draft.correct or unit in seen:
            continue
        seen.add(unit)
        line = first_bad_line(draft.labels) if local else NOWHERE
        context, kept = refiner_reads(tokenizer, draft.tokens, draft.ends, line)
        targets = right.get((problem, kept), ())
        order = np.random.default_rng([seed, row]).permutation(len(targets))
        pairs += [Pair(problem, line, context, kept, targets[n]) for n in order[:per_draft]]
    return pairs


def refiner_example(tokenizer: Tokenizer, prompt: Sequence[int], pair: Pair) -> Example:
    """Question, draft and kept lines without loss; target and end token with it."""
    read = [*prompt, *pair.context, *pair.kept]
    learned = [*pair.target, tokenizer.eos_id]
    return {
        "tokens": np.asarray([*read, *learned], np.int32),
        "mask": np.repeat(np.float32([0, 1]), [len(read), len(learned)]),
    }
