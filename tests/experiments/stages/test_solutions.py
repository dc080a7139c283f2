"""Rows of a table of solutions as policies learn them and as reward models see them."""

import datasets
import numpy as np
import pytest

from qdcjax.data.examples import prompt_text
from qdcjax.experiments.stages.solutions import as_solutions, solution_examples
from qdcjax.reasoning.reward_models import Solution
from qdcjax.tasks.problem import Problem
from qdcjax.training.store import StoredModel

PROBLEMS = [Problem("p", "What is 5 and 4?", "9"), Problem("q", "Say a word.", "no")]


@pytest.fixture(scope="module")
def reader(tokenizer):
    """What the rows are read for; of a policy nothing but its tokeniser is asked."""
    return StoredModel(None, None, tokenizer)


@pytest.fixture(scope="module")
def prompts(tokenizer):
    return {p.id: [tokenizer.bos_id, *tokenizer.encode(prompt_text(p.question))] for p in PROBLEMS}


@pytest.fixture(scope="module")
def letters(tokenizer):
    """`eggs`, sampled letter by letter, and the end token."""
    pieces = [tokenizer.encode(f"x{letter}")[-1] for letter in "eggs"]
    assert tokenizer.decode(pieces) == "eggs" and len(pieces) == 4
    assert pieces != tokenizer.encode("eggs"), "it is one of several ways to write the word"
    return [*pieces, tokenizer.eos_id]


@pytest.fixture(scope="module")
def parts(tokenizer):
    """What a policy wrote of a sum, what the calculator put in, and what the policy went on."""
    return [tokenizer.encode(text) for text in ("<<5+4=", "9>>", "9\n#### 9")]


@pytest.fixture(scope="module")
def table(letters, parts, tokenizer):
    """Rows of both problems, the first one's in two places."""
    before, forced, after = parts
    sums = [*before, *forced, *after]
    by_policy = [True] * len(before) + [False] * len(forced) + [True] * len(after)
    return datasets.Dataset.from_dict(
        {
            "problem_id": ["p", "q", "p"],
            "tokens": [letters, [tokenizer.eos_id], sums],
            "sampled": [[True] * 5, [True], by_policy],
            "ends": [[2, 4], [], [len(sums) - 1]],
            "correct": [False, False, True],
        }
    )


def test_an_example_is_the_prompt_s_ids_and_the_sampled_ones(reader, table, prompts, letters):
    """Also where the completion's text would be written in other ids."""
    found = solution_examples(reader, PROBLEMS, table)
    assert [example["tokens"].tolist() for example in found] == [
        [*prompts["p"], *letters],
        [*prompts["q"], letters[-1]],
        [*prompts["p"], *table["tokens"][2]],
    ]
    assert {example["tokens"].dtype for example in found} == {np.dtype(np.int32)}


def test_prompts_and_forced_tokens_carry_no_loss(reader, table, prompts, parts):
    first, second, third = (
        example["mask"] for example in solution_examples(reader, PROBLEMS, table)
    )
    of_p, of_q = (len(prompts[name]) for name in "pq")
    assert first.tolist() == [0] * of_p + [1] * 5
    assert second.tolist() == [0] * of_q + [1]
    before, forced, after = map(len, parts)
    assert third.tolist() == [0] * of_p + [1] * before + [0] * forced + [1] * after
    assert {mask.dtype for mask in (first, second, third)} == {np.dtype(np.float32)}


def test_the_order_of_the_problems_does_not_matter(reader, table):
    found, other = (solution_examples(reader, of, table) for of in (PROBLEMS, PROBLEMS[::-1]))
    for one, another in zip(found, other, strict=True):
        assert one["tokens"].tolist() == another["tokens"].tolist()
    assert as_solutions(reader, PROBLEMS, table) == as_solutions(reader, PROBLEMS[::-1], table)


def test_a_reward_model_sees_the_same_ids_the_ends_and_whether_it_is_right(
    reader, table, prompts, letters
):
    first, second, third = as_solutions(reader, PROBLEMS, table)
    assert first == Solution(prompts["p"], letters, [2, 4], False)
    assert second == Solution(prompts["q"], letters[-1:], [], False)
    sums = table["tokens"][2]
    assert third == Solution(prompts["p"], sums, [len(sums) - 1], True)
    assert not any(row.labels for row in (first, second, third))
