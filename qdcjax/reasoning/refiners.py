"""The models of GLoRe at work on one question: draft, where it is wrong, refinements, choice."""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np

from qdcjax.data.examples import encode_prompts, prompt_text
from qdcjax.decoding import Prompts, SamplingSettings, sample, stream
from qdcjax.reasoning.refinement import NOWHERE, locate, refiner_reads
from qdcjax.reasoning.reward_models import Solution, answer_values, score
from qdcjax.reasoning.steps import segment, separator_tokens
from qdcjax.training.store import StoredModel

NAMES = ("draft", "global", "local")


@dataclasses.dataclass(frozen=True)
class Refinement:
    """A draft, what became of it, and which of them was picked.

    Attributes:
      candidates: `draft`, `global` and `local` → a solution.
      scores: the same → the outcome reward model's value of its answer.
      choice: which is picked: the one of the largest value, the draft where values are equal.
      step_values: the stepwise reward model's values at the ends of the draft's steps, and at its
        last token.
      marked: index of the line of the draft that it marks as the first bad one.
    """

    candidates: dict[str, str]
    scores: dict[str, float]
    choice: str
    step_values: list[float]
    marked: int

    @property
    def solution(self) -> str:
        """The candidate that is picked."""
        return self.candidates[self.choice]


@dataclasses.dataclass(frozen=True)
class Refiners:
    """All models that it takes, each with the token `[BAD]`, which a refiner could write.

    Attributes:
      student: writes drafts.
      sorm: says where a draft is wrong.
      global_refiner, local_refiner: write refinements.
      orm: picks.
    """

    student: StoredModel
    sorm: StoredModel
    orm: StoredModel
    global_refiner: StoredModel
    local_refiner: StoredModel

    def refine(
        self, question: str, threshold: float, max_new_tokens: int, calculator: bool
    ) -> Refinement:
        """Everything greedy, so that a question always gets the same.

        Args:
          question: a text.
          threshold: a line of the draft whose value is under it is bad.
          max_new_tokens: of each solution, at most.
          calculator: whether the results of `<<…=` are written for the policies.

        Raises:
          ValueError: the question leaves no room for a refinement.
        """
        tokenizer = self.student.tokenizer
        (prompt,) = encode_prompts(tokenizer, [prompt_text(question)])
        separators = separator_tokens(tokenizer)

        def solve(policy: StoredModel, context: Sequence[int], kept: Sequence[int]) -> Solution:
            reads = [*prompt, *context, *kept]
            room = min(max_new_tokens, policy.model.config.max_length - len(reads))
            if room < 1:
                raise ValueError(
                    f"question and draft of {len(reads)} tokens leave no room in max_length="
                    f"{policy.model.config.max_length}"
                )
            settings = SamplingSettings(
                temperature=0.0, max_new_tokens=room, calculator=calculator, buckets=1
            )
            prompts = Prompts([reads], [stream(question, *context, *kept)])
            found = sample(
                policy.model, policy.params, prompts, settings, jax.random.key(0), policy.tokenizer
            )
            tokens = [*kept, *found.tokens[0, 0, : found.lengths[0, 0]].tolist()]
            return Solution(prompt, tokens, segment(tokens, tokenizer, separators).ends, False)

        draft = solve(self.student, (), ())
        (values,) = score(self.sorm, [draft], batch_size=1)
        marked = locate(draft.ends, values, threshold)
        solutions = [draft]
        for refiner, line in ((self.global_refiner, NOWHERE), (self.local_refiner, marked)):
            reads = refiner_reads(refiner.tokenizer, draft.tokens, draft.ends, line)
            solutions.append(solve(refiner, *reads))
        of_tokens = score(self.orm, solutions, batch_size=len(solutions))
        scores = answer_values([solution.ends for solution in solutions], of_tokens)
        texts = [tokenizer.decode(solution.tokens) for solution in solutions]
        return Refinement(
            dict(zip(NAMES, texts, strict=True)),
            dict(zip(NAMES, scores.tolist(), strict=True)),
            NAMES[int(np.argmax(scores))],
            [*values[list(draft.ends)].tolist(), float(values[-1])],
            marked,
        )
