"""What a solution earns and at which token; and that nobody earns an answer without having one."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdcjax.models.config import TransformerConfig
from qdcjax.models.transformer import Transformer
from qdcjax.reasoning.steps import segment, separator_tokens
from qdcjax.rl.rewards import CREDIT, by_model, by_task, dense, sparse
from qdcjax.tasks.problem import Problem
from qdcjax.tasks.word_problems import Dials, WordProblems
from qdcjax.training.store import StoredModel

# Its equations have the values 12, 2 and again 12.
REFERENCE = "<<2*6=12>>12\n<<14-12=2>>2\n<<6*2=12>>12\n#### 12"
PROBLEM = Problem("p", "How many apples?", "12", REFERENCE)
TASK = WordProblems(Dials())


@pytest.fixture(scope="module")
def columns(tokenizer):
    """`columns(problem, *texts)`: the table that the sampler makes of these completions.

    A text that ends in an ellipsis is one that the room cut.
    """
    separators = separator_tokens(tokenizer)

    def columns(problem, *texts):
        names = ("problem_id", "tokens", "correct", "truncated", "steps", "ends")
        table = {name: [] for name in names}
        for text in texts:
            truncated = text.endswith("…")
            ids = tokenizer.encode(text.removesuffix("…")) + [tokenizer.eos_id] * (not truncated)
            said, steps = tokenizer.decode(ids), segment(ids, tokenizer, separators)
            right = not truncated and TASK.is_correct(problem, said)
            row = (problem.id, ids, right, truncated, list(steps.texts), list(steps.ends))
            for values, value in zip(table.values(), row, strict=True):
                values.append(value)
        return table

    return columns


def earned(rewards, table) -> list[dict[str | int, float]]:
    """Where each solution's rewards are: at the end of step i, or at its `last` token."""
    found = []
    for reward, tokens, ends in zip(rewards, table["tokens"], table["ends"], strict=True):
        assert reward.shape == (len(tokens),) and reward.dtype == np.float32
        names = {end: step for step, end in enumerate(ends)} | {len(tokens) - 1: "last"}
        found.append({names[t]: pytest.approx(reward[t]) for t in np.flatnonzero(reward)})
    return found


def test_a_right_answer_earns_one_at_its_last_token(columns):
    table = columns(PROBLEM, "<<2*6=12>>12\n#### 12", "#### 12", "#### 2", "12", "#### 12…")
    assert earned(sparse(table), table) == [{"last": 1}, {"last": 1}, {}, {}, {}]


def test_each_value_of_the_reference_earns_its_share_at_its_step_s_end(columns):
    table = columns(
        PROBLEM,
        "Hm.\n<<2*6=12>>12\nSo <<5-3=2>>2\n#### 12",
        "<<3*4=12>>12\n#### 2",
        "<<2+2=4>>4\n#### 7",
        "<<6+6=12>>, <<1+1=2>>\n#### 7",
    )
    assert earned(dense(table, {"p": PROBLEM}), table) == [
        {1: 0.25, 2: 0.25, "last": 1},
        {0: 0.25},
        {},
        {0: 0.5},
    ]


def test_a_value_is_paid_once_and_a_false_equation_not_at_all(columns):
    table = columns(
        PROBLEM,
        "<<6+6=12>>12\n<<3*4=12>>12\n<<2*6=12>>12\n#### 7",
        "<<5+5=12>>12\n<<12=2>>2\n#### 7",
        "<<5+5=12>>12\n<<6+6=12>>12\n#### 7",
        "There are 12, less 2.\n#### 7",
    )
    assert earned(dense(table, {"p": PROBLEM}), table) == [{0: 0.25}, {}, {1: 0.25}, {}]


def test_a_false_equation_of_the_reference_is_nothing_to_reach(columns):
    problem = Problem("p", "?", "12", "<<1+1=3>>3\n<<6+6=12>>12\n#### 12")
    table = columns(problem, "<<1+2=3>>3\n<<3+9=12>>12\n#### 3")
    assert earned(dense(table, {"p": problem}), table) == [{1: CREDIT}]


def test_without_equations_in_the_reference_the_dense_reward_is_the_sparse_one(columns):
    problem = Problem("p", "?", "12")
    table = columns(problem, "<<6+6=12>>12\n#### 12", "<<6+6=12>>12\n#### 13")
    assert earned(dense(table, {"p": problem}), table) == [{"last": 1}, {}]


def test_a_cut_solution_earns_nothing(columns):
    table = columns(PROBLEM, "<<2*6=12>>12\n#### 12…", "<<2*6=12>>12\n<<4/2=2>>2\n…")
    assert not np.concatenate(dense(table, {"p": PROBLEM})).any()


def test_a_number_that_is_not_computed_earns_nothing(columns):
    """Else a list of `<<n=n>>` would earn the whole credit."""
    table = columns(PROBLEM, "\n".join(f"<<{n}={n}>>{n}" for n in range(100)), "<<12=12>>12\nno")
    assert not np.concatenate(dense(table, {"p": PROBLEM})).any()


# ---- what has earned an answer for nothing elsewhere ----

GENERATED = TASK.problems("train", 4)
LISTED = [str(number) for number in range(100)]
TRICKS = {
    "nothing": "",
    "blank": " \n\n ",
    "punctuation": "#### .,$%-/",
    "numbers": " ".join(LISTED),
    "numbers, line by line": "\n".join(LISTED),
    "numbers after a marker": "#### " + " ".join(LISTED),
    "numbers after markers": "\n".join(f"#### {number}" for number in LISTED),
    "markers": "#### " * 50,
    "markers, line by line": "####\n" * 50,
    "markers, then nothing": "#### {answer}\n####",
    "a guess before": "#### {answer} or {wrong}",
    "two guesses": "#### {wrong}\n#### {answer}",
    "two guesses, the right one first": "#### {answer}\n#### {wrong}",
    "no marker": "The answer is {answer}.",
    "a shorter marker": "### {answer}",
    "the next line": "####\n{answer}",
    "the question": "{question}",
    "the question after a marker": "#### {question}",
    "the answer in the question": "{question} The answer is {answer}.\n#### the answer",
    "larger": "#### {answer}000000",
    "a word that makes it larger": "#### {answer} million",
    "a power": "#### {answer}**1",
    "nested powers": "<<9**9**9**9={answer}>>{answer}\n#### 9**9**9**9",
    "a huge number": "#### " + "9" * 100_000,
    "a huge number that ends in it": "#### " + "0" * 100_000 + "{answer}",
    "a huge equation": "<<" + "9*" * 10_000 + "9={answer}>>{answer}\n####",
    "parentheses": "<<" + "(" * 10_000 + ")" * 10_000 + "={answer}>>{answer}\n####",
    "infinity": "#### inf\n#### nan\n#### 1e400",
    "other digits": "#### ٣\n#### ²",
    "every equation": "\n".join(f"<<{number}={number}>>{number}" for number in LISTED) + "\n####",
    "the steps alone": "{steps}",
    "the steps again and again": "{steps}\n" * 5 + "#### {wrong}",
    "the solution, cut": "{solution}…",
}


@pytest.mark.parametrize("trick", TRICKS)
def test_no_trick_earns_an_answer(columns, trick):
    for problem in GENERATED:
        steps, _, _ = problem.solution.rpartition("\n####")
        text = TRICKS[trick].format(
            answer=problem.answer,
            wrong=int(problem.answer) + 1,
            question=problem.question,
            steps=steps,
            solution=problem.solution,
        )
        table = columns(problem, text)
        assert not table["correct"][0] and len(table["tokens"][0])
        assert not np.any(sparse(table)[0])
        assert 0 <= dense(table, {problem.id: problem})[0].sum() <= CREDIT + 1e-6


def test_the_reference_earns_all_that_there_is(columns):
    for problem in GENERATED:
        table = columns(problem, problem.solution)
        assert sparse(table)[0].sum() == 1
        assert dense(table, {problem.id: problem})[0].sum() == pytest.approx(1 + CREDIT)


PIECES = ["<<2*6=12>>", "<<9+3=12>>", "<<4-2=2>>", "<<1+1=12>>", "\n", "\n#### 12", "#### 2", "12"]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_credit_is_never_over_a_half_and_an_answer_is_one_or_nothing(columns, text):
    table = columns(PROBLEM, text)
    (answer,), (all_of_it,) = sparse(table), dense(table, {"p": PROBLEM})
    assert answer.sum() == float(TASK.is_correct(PROBLEM, text))
    credit = all_of_it - answer
    assert credit.min() >= 0 and credit.sum() <= CREDIT + 1e-6
    assert set(np.flatnonzero(credit)) <= set(table["ends"][0])


# ---- rewards of a task ----


def test_a_task_s_own_reward_lies_at_the_last_token_of_what_is_whole():
    table = {
        "problem_id": ["p", "q", "p", "p"],
        "text": ["four", "four", "", "four"],
        "tokens": [[5, 6, 2], [2], [7, 2], [5, 6, 7]],
        "truncated": [False, False, False, True],
    }
    problems = {"p": Problem("p", "?", "8"), "q": Problem("q", "?", "-16")}
    task = SimpleNamespace(reward=lambda problem, text: len(text) / int(problem.answer))
    found = by_task(table, problems, task)
    assert [reward.tolist() for reward in found] == [[0, 0, 0.5], [-0.25], [0, 0], [0, 0, 0]]
    assert {reward.dtype for reward in found} == {np.dtype(np.float32)}


def test_a_task_does_not_reward_what_the_room_cut():
    """Nor is it asked to."""
    table = {"problem_id": ["p"], "text": ["four"], "tokens": [[5]], "truncated": [True]}
    (found,) = by_task(table, {"p": PROBLEM}, None)
    assert found.tolist() == [0]


# ---- rewards of a model ----

PROMPTS = {"p": [1, 7, 8], "q": [1, 9]}
CUT = {
    "problem_id": ["p", "q", "p", "q", "p"],
    "tokens": [[11, 10, 12, 13, 10, 14, 2], [11, 10, 3, 4], [11, 12, 10], [14, 2], [5, 10, 6, 2]],
    "ends": [[1, 4], [1], [2], [], [1]],
    "correct": [True, False, False, True, False],
    "truncated": [False, True, False, False, False],
}


@pytest.fixture(scope="module")
def scalar(random_params) -> StoredModel:
    config = TransformerConfig(
        vocab_size=16,
        layers=1,
        width=8,
        heads=2,
        kv_heads=1,
        head_width=4,
        mlp_width=8,
        output="scalar",
    )
    model = Transformer(config)
    return StoredModel(model, random_params(model), None)


@pytest.fixture(scope="module")
def values(scalar) -> list[np.ndarray]:
    """σ(score) at every token of each completion, row by row."""
    probabilities = jax.jit(
        lambda row: jax.nn.sigmoid(scalar.model.apply({"params": scalar.params}, row[None])[0])
    )
    found = []
    for problem, tokens in zip(CUT["problem_id"], CUT["tokens"], strict=True):
        begin, end = len(PROMPTS[problem]), len(PROMPTS[problem]) + len(tokens)
        row = jnp.zeros(10, int).at[:end].set(jnp.asarray([*PROMPTS[problem], *tokens]))
        found.append(np.asarray(probabilities(row))[begin:end])
    assert np.ptp(np.concatenate(found)) > 0.05
    return found


@pytest.mark.parametrize("every_step", [False, True])
def test_a_model_s_values_lie_on_the_answer_and_on_the_steps_ends(scalar, values, every_step):
    """The second is cut within a step; the third stops at a step's end and has no answer."""
    found = by_model(CUT, PROMPTS, scalar, every_step)
    answers = [6, None, None, 1, 3]
    columns = (found, values, answers, CUT["ends"], CUT["truncated"])
    for reward, value, answer, ends, truncated in zip(*columns, strict=True):
        paid = [answer] * (answer is not None) + (ends if every_step and not truncated else [])
        expected = np.zeros_like(value)
        expected[paid] = value[paid]
        np.testing.assert_allclose(reward, expected, atol=1e-5)


def test_a_solution_cut_after_its_answer_line_earns_nothing(scalar):
    table = {name: [column[0]] for name, column in CUT.items()}
    whole, cut = (
        by_model({**table, "truncated": [truncated]}, PROMPTS, scalar, True)[0]
        for truncated in (False, True)
    )
    assert whole[-1] > 0 and not cut.any()
