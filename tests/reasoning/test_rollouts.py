"""Tables of sampled solutions and of verified prefixes, against what was sampled."""

from fractions import Fraction

import jax
import numpy as np
import pytest

from qdcjax.data.examples import encode_prompts, prompt_text
from qdcjax.decoding import Samples, SamplingSettings, stream
from qdcjax.reasoning import rollouts
from qdcjax.reasoning.rollouts import (
    Attempt,
    Prefix,
    prefixes_of,
    sample_attempts,
    sample_solutions,
    verify,
)
from qdcjax.tasks import answers
from qdcjax.tasks.problem import Problem
from qdcjax.training.store import StoredModel

BOXES = Problem("p/0", "How many eggs are in 12 boxes of 3?", "36")
SUM = Problem("p/1", "What is 5 and 4?", "9")


class Graded:
    """A task whose steps cannot be checked."""

    def is_correct(self, problem: Problem, completion: str) -> bool:
        return answers.is_correct(completion, problem.answer)


class Checked(Graded):
    """One whose steps are valid up to the first with a 99."""

    def step_truth(self, problem: Problem, steps) -> list[bool]:
        return np.logical_and.accumulate(["99" not in step for step in steps]).tolist()


@pytest.fixture
def stored(policy) -> StoredModel:
    return StoredModel(policy.model, policy.params, policy.tokenizer)


@pytest.fixture
def said(monkeypatch, stored):
    """`said(texts)`: the sampler says these, K of each prompt; gives the prompts that it got.

    A text that ends in an ellipsis is one that the room cut. The last prompts finish first.
    """

    def say(texts):
        asked = []

        def sample(model, params, prompts, settings, key, tokenizer, description, finished):
            asked.append(prompts)
            ids = [
                [tokenizer.encode(t.removesuffix("…")) + [tokenizer.eos_id] * (t[-1:] != "…")
                 for t in of_prompt]
                for of_prompt in texts
            ]  # fmt: skip
            lengths = np.asarray([[len(tokens) for tokens in of_prompt] for of_prompt in ids])
            tokens = np.zeros((*lengths.shape, lengths.max() + 3), int)
            for n, of_prompt in enumerate(ids):
                for k, row in enumerate(of_prompt):
                    tokens[n, k, : len(row)] = row
            cut = np.asarray([[text.endswith("…") for text in row] for row in texts])
            zeros = np.zeros(tokens.shape)
            samples = Samples(tokens, lengths, zeros, zeros, zeros, cut)
            for n in reversed(range(len(texts))):
                finished(np.asarray([n]), samples)
            return samples

        monkeypatch.setattr(rollouts, "sample", sample)
        return asked

    return say


def solutions(stored, task, problems, texts, said, **settings):
    said(texts)
    settings = SamplingSettings(samples=len(texts[0]), **settings)
    return sample_solutions(stored, task, problems, settings, jax.random.key(0), "sample")


def test_answers_that_are_no_numbers_are_the_task_s_alone(stored, said):
    class Last:
        def is_correct(self, problem: Problem, completion: str) -> bool:
            return completion.split("\n")[-1] == problem.answer

    lists = Problem("p/2", "Sort 2 and 1.", "[1,2]")
    table = solutions(stored, Last(), [lists], [["it is\n[1,2]", "[2,1]", "[1,2]…"]], said)
    assert table["correct"] == table["flexible"] == [True, False, False]
    assert table["flagged"] == table["error"] == [False] * 3


def test_a_row_a_solution_with_what_graders_say_of_it(stored, said):
    right = "<<12*3=36>>36 eggs\n#### 36"
    table = solutions(
        stored,
        Checked(),
        [BOXES, SUM],
        [[right, "<<12*3=99>>99\nso 36"], ["It is <<4+5=9>>9.\n#### 9…", "#### 8\n#### 9"]],
        said,
    )
    assert table["problem_id"] == ["p/0", "p/0", "p/1", "p/1"]
    assert table["sample"] == [0, 1, 0, 1]
    assert table["text"][0] == right
    assert table["correct"] == [True, False, False, False]
    assert table["flexible"] == [True, True, False, True], "a cut text is never right"
    assert table["truncated"] == [False, False, True, False]
    assert table["flagged"] == [False, False, False, True]
    assert table["error"] == [False] * 4
    assert table["steps"] == [["<<12*3=36>>36 eggs"], ["<<12*3=99>>99"], ["It is <<4+5=9>>9."], []]
    assert table["truth"] == [[True], [False], [True], []]
    eos = stored.tokenizer.eos_id
    assert [tokens.count(eos) for tokens in table["tokens"]] == [1, 1, 0, 1]
    for tokens, ends, steps in zip(table["tokens"], table["ends"], table["steps"], strict=True):
        for end, step in zip(ends, steps, strict=True):
            assert stored.tokenizer.decode(tokens[: end + 1]).endswith(f"{step}\n")


def test_a_number_too_long_to_read_is_an_error(stored, said):
    long = "#### " + "9" * (answers.MAX_NUMBER_LENGTH + 1)
    table = solutions(stored, Graded(), [SUM], [[long, "#### 9"]], said)
    assert table["error"] == [True, False] and table["correct"] == [False, True]


def test_samples_are_counted_from_the_first_one_asked_for(stored, said):
    table = solutions(stored, Graded(), [SUM], [["#### 9", "#### 8"]], said, first_sample=6)
    assert table["sample"] == [6, 7] and table["truth"] == [[], []]


def test_a_solution_begins_with_what_was_kept_and_not_with_its_context(stored, said):
    tokenizer = stored.tokenizer
    kept = "<<5*1=5>>5\n"
    context, begun = (tuple(tokenizer.encode(text)) for text in ("#### 8", kept))
    asked = said([["<<5+4=9>>9\n#### 9"], ["#### 36"]])
    attempts = [Attempt(SUM, context, begun), Attempt(BOXES)]
    table = sample_attempts(
        stored, Checked(), attempts, SamplingSettings(samples=1), jax.random.key(0), ""
    )
    assert table["text"] == [kept + "<<5+4=9>>9\n#### 9", "#### 36"]
    assert table["correct"] == [True, True]
    assert table["steps"] == [["<<5*1=5>>5", "<<5+4=9>>9"], []]
    assert table["truth"] == [[True, True], []]
    prompts = encode_prompts(tokenizer, [prompt_text(p.question) for p in (SUM, BOXES)])
    assert list(asked[0].tokens[0]) == [*prompts[0], *context, *begun]
    assert list(asked[0].tokens[1]) == prompts[1]
    assert asked[0].streams[0] == stream(SUM.id, *context, *begun)
    assert asked[0].streams[1] == stream(BOXES.id), "as for a question alone"


def draft(problem: str, tokens, steps, ends, truth) -> dict:
    return {"problem_id": problem, "tokens": tokens, "steps": steps, "ends": ends, "truth": truth}


def table(rows) -> dict:
    return {name: [row[name] for row in rows] for name in rows[0]}


def test_prefixes_are_distinct_and_in_order_of_appearance():
    drafts = table([
        draft("p/0", [5, 10, 6, 10, 2], ["a", "b"], [1, 3], [True, False]),
        draft("p/0", [5, 10, 7, 10, 2], ["a", "c"], [1, 3], [True, True]),
        draft("p/1", [5, 10, 2], ["a"], [1], []),
        draft("p/1", [9, 2], [], [], []),
    ])  # fmt: skip
    assert prefixes_of(drafts, {"p/0": BOXES, "p/1": SUM}) == [
        Prefix(BOXES, (5, 10), "a", 1, True),
        Prefix(BOXES, (5, 10, 6, 10), "b", 2, False),
        Prefix(BOXES, (5, 10, 7, 10), "c", 2, True),
        Prefix(SUM, (5, 10), "a", 1, None),  # the same tokens, of another question
    ]


def test_verified_prefixes_are_asked_with_their_question_and_graded(stored, said):
    ids = tuple(stored.tokenizer.encode("<<4+5=9>>9\n"))
    prefixes = [Prefix(SUM, ids, "<<4+5=9>>9", 1, True), Prefix(BOXES, (5, 6), "think", 1, None)]
    texts = [["#### 9", "<<5+4=9>>9\n#### 8", "#### 9…"], ["#### 36", "#### 3", "36"]]
    asked = said(texts)
    found = verify(stored, Graded(), prefixes, SamplingSettings(samples=3), jax.random.key(0))
    question = encode_prompts(stored.tokenizer, [prompt_text(SUM.question)])[0]
    assert asked[0].tokens[0] == [*question, *ids]
    assert asked[0].streams == [stream("p/1", *ids), stream("p/0", 5, 6)]
    assert found["problem_id"] == ["p/1", "p/0"] and found["prefix"] == [list(ids), [5, 6]]
    assert found["step"] == ["<<4+5=9>>9", "think"] and found["length"] == [1, 1]
    assert found["truth"] == [True, None]
    assert found["completions"] == [["#### 9", "<<5+4=9>>9\n#### 8", "#### 9"], texts[1]]
    assert found["correct"] == [[True, False, False], [True, False, False]]
    assert found["consistent"] == [[True, False, True], [True, True, True]]
    assert answers.extract_answer(found["completions"][0][0]) == Fraction(9)


def test_parts_hold_all_rows_in_order_and_share_their_shapes(stored, monkeypatch):
    monkeypatch.setattr(rollouts, "PART", 6)
    problems = [Problem(f"p/{n}", "How many eggs? " * (1 + 4 * (n == 4)), "1") for n in range(5)]
    settings = SamplingSettings(samples=2, buckets=1)
    parts = rollouts.parts_of_problems(stored, problems, settings)
    assert [[p.id for p in part] for part, _ in parts] == [["p/0", "p/1", "p/2"], ["p/3", "p/4"]]
    (shared,) = {settings for _, settings in parts}
    longest = max(len(ids) for ids in encode_prompts(stored.tokenizer, [problems[4].question]))
    assert shared.samples == 2 and longest <= shared.widths[-1] < longest + 32

    prefixes = [Prefix(p, (5,) * n, "", 1, None) for n, p in enumerate(problems)]
    parts = rollouts.parts_of_prefixes(stored, prefixes, settings)
    assert [prefix for part, _ in parts for prefix in part] == prefixes
    assert parts[0][1].widths[-1] >= longest + 4
