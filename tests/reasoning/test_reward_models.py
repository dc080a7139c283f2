"""What a reward model learns at which token, and that scoring is a plain forward pass."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdcjax.data.batches import pad_and_stack
from qdcjax.reasoning.reward_models import (
    Solution,
    answer_values,
    orm_examples,
    reward_model,
    score,
    sorm_examples,
)
from qdcjax.training.losses import binary_loss
from qdcjax.training.step import init_state, make_update
from qdcjax.training.store import StoredModel

PROMPT = (1, 7, 8)
# Two steps that end at tokens 2 and 4; tokens 5 and 6 are the answer and the end token.
TOKENS, ENDS = (11, 12, 10, 13, 10, 14, 2), (2, 4)


def solution(correct: bool, labels=(1, 0), tokens=TOKENS, ends=ENDS, prompt=PROMPT) -> Solution:
    return Solution(prompt, tokens, ends, correct, labels)


def gradients(examples) -> np.ndarray:
    """d loss / d score at every token of a batch, [B, T], with scores that are not zero."""
    width = max(len(example["tokens"]) for example in examples)
    batch = pad_and_stack(examples, width)
    weights = batch["mask"] / batch["mask"].sum()
    scores = jnp.linspace(-2, 2, weights.size).reshape(weights.shape)

    class Scores:
        """Stands in for a model: its parameters are the scores themselves."""

        @staticmethod
        def apply(variables, *_, **__):
            return variables["params"]

    loss = binary_loss(Scores())
    return np.asarray(jax.grad(lambda s: loss(s, {**batch, "weights": weights}, None)[0])(scores))


def positions(example) -> list[int]:
    return np.flatnonzero(example["mask"]).tolist()


def test_sorm_labels_sit_on_each_step_s_separator_and_on_the_last_token():
    right, wrong = sorm_examples([solution(True, (1, 1)), solution(False, (0, 0))])
    offset = len(PROMPT)
    assert positions(right) == positions(wrong) == [offset + 2, offset + 4, offset + 6]
    assert right["labels"][positions(right)].tolist() == [1, 1, 1]
    assert wrong["labels"][positions(wrong)].tolist() == [0, 0, 0]
    assert right["tokens"].tolist() == [*PROMPT, *TOKENS]
    assert right["tokens"][positions(right)[:2]].tolist() == [10, 10]


def test_orm_labels_are_the_answer_s_at_every_completion_token():
    right, wrong = orm_examples([solution(True), solution(False)])
    for example, label in ((right, 1), (wrong, 0)):
        assert positions(example) == list(range(len(PROMPT), len(PROMPT) + len(TOKENS)))
        assert set(example["labels"][positions(example)].tolist()) == {label}


@pytest.mark.parametrize("make", [orm_examples, sorm_examples])
def test_other_positions_give_no_gradient(make):
    examples = make([solution(True, (1, 1)), solution(False, (0, 0), (*TOKENS, 9, 9))])
    found = gradients(examples)
    mask = pad_and_stack(examples, found.shape[1])["mask"]
    assert np.all(found[mask == 0] == 0), "exactly zero at prompt, padding and between steps"
    assert np.all(found[mask > 0] != 0)


@pytest.mark.parametrize("at", [0, 1])
def test_a_step_s_gradient_does_not_depend_on_other_steps_labels(at):
    """Labels flow into the loss at their own token only; what the model reads has none."""
    for other in (0, 1):
        labels = [1, 1]
        labels[1 - at] = other
        examples = sorm_examples([solution(True, labels)], balanced=False)
        assert set(examples[0]) == {"tokens", "labels", "mask"}
        assert examples[0]["tokens"].tolist() == [*PROMPT, *TOKENS]
        here = gradients(examples)[0, len(PROMPT) + ENDS[at]]
        there = gradients(examples)[0, len(PROMPT) + ENDS[1 - at]]
        if other == 0:
            first = here, there
    assert here == first[0] and there != first[1]


def test_the_answer_s_label_is_not_the_last_step_s():
    examples = sorm_examples([solution(False, (1, 1))], balanced=False)
    assert examples[0]["labels"][-1] == 0 and examples[0]["labels"][len(PROMPT) + 4] == 1


CUT = TOKENS[: ENDS[-1] + 1]  # the room ended with the second step


def test_a_solution_cut_at_a_separator_keeps_the_step_s_label_and_has_no_answer():
    (example,) = sorm_examples([solution(False, (1, 1), CUT)], balanced=False)
    assert positions(example) == [len(PROMPT) + end for end in ENDS]
    assert example["labels"][positions(example)].tolist() == [1, 1]


def test_a_solution_cut_at_a_separator_has_no_say_among_the_answers():
    """The one right and the one wrong answer weigh 1; a third, cut one would halve the wrong."""
    solutions = [solution(True, (1, 1)), solution(False, (1, 0)), solution(False, (1, 0), CUT)]
    right, wrong, cut = sorm_examples([
        Solution((1, n), s.tokens, s.ends, s.correct, s.labels) for n, s in enumerate(solutions)
    ])  # fmt: skip
    assert right["mask"][-1] == wrong["mask"][-1] == 1
    assert cut["mask"][-1] == pytest.approx(0.5), "as a second step, one of two that are wrong"


def test_the_value_of_an_answer_is_the_last_token_s_where_there_is_an_answer():
    values = [np.linspace(0.1, 0.7, 7), np.linspace(0.1, 0.5, 5), np.asarray([0.2, 0.9])]
    solutions = [solution(True), solution(False, (1, 1), CUT), Solution(PROMPT, (14, 2), (), True)]
    ends = [solution.ends for solution in solutions]
    np.testing.assert_allclose(answer_values(ends, values), [0.7, 0, 0.9])


@pytest.mark.parametrize("make", [orm_examples, sorm_examples])
def test_each_question_has_the_same_say_within_a_class(make):
    """Three right samples of one question weigh what one of another does, at every length."""
    many, one, wrong = (1, 7, 8), (1, 7, 9), (1, 5, 5)
    drawn = [solution(True, (1, 1), prompt=many)] * 3 + [
        solution(True, (1, 1), prompt=one),
        solution(False, (0, 0), prompt=wrong),
        solution(False, (0, 0), prompt=one),
    ]
    masks = np.stack([example["mask"] for example in make(drawn)])
    at = np.flatnonzero(masks[0])
    assert len(at) >= 3
    np.testing.assert_allclose(masks[:, at].T, [[1 / 3, 1 / 3, 1 / 3, 1, 1, 1]] * len(at))


SOLUTIONS = st.lists(
    st.tuples(st.booleans(), st.lists(st.integers(0, 1), max_size=4)), min_size=1, max_size=12
)


def of_lengths(drawn) -> list[Solution]:
    """Solutions with a step of two tokens for each label, an answer and an end token."""
    return [
        solution(
            correct,
            sorted(labels, reverse=True),
            tuple([11, 10] * len(labels) + [14, 2]),
            tuple(range(1, 2 * len(labels), 2)),
        )
        for correct, labels in drawn
    ]


@given(SOLUTIONS)
def test_sorm_masks_balance_each_prefix_length_and_the_answers(drawn):
    solutions = of_lengths(drawn)
    examples = sorm_examples(solutions)
    for step in [*range(4), -1]:
        mass = {0: 0.0, 1: 0.0}
        for one, example in zip(solutions, examples, strict=True):
            if step < len(one.ends):
                at = len(PROMPT) + one.ends[step] if step >= 0 else -1
                mass[int(example["labels"][at])] += float(example["mask"][at])
        assert mass[0] == pytest.approx(mass[1], rel=1e-5)


@given(SOLUTIONS)
def test_orm_masks_balance_each_number_of_steps(drawn):
    """One weight for all tokens of a step, and right ones weigh what wrong ones do."""
    solutions = of_lengths(drawn)
    examples = orm_examples(solutions)
    for step in range(5):
        mass = {0: 0.0, 1: 0.0}
        for one, example in zip(solutions, examples, strict=True):
            if step <= len(one.ends):
                tokens = example["mask"][len(PROMPT) + 2 * step :][:2]
                assert tokens[0] == tokens[1]
                mass[int(one.correct)] += float(tokens[0])
        assert mass[0] == pytest.approx(mass[1], rel=1e-5)


def test_unbalanced_labels_all_weigh_one():
    for example in sorm_examples([solution(True, (1, 1)), solution(True, (1, 0))], balanced=False):
        assert set(example["mask"].tolist()) == {0.0, 1.0}


def test_a_solution_without_steps():
    """Only its answer can be learnt, and scored."""
    bare = Solution(PROMPT, (14, 2), (), True)
    other = Solution(PROMPT, (14, 2), (), False)
    assert positions(sorm_examples([bare, other])[0]) == [len(PROMPT) + 1]
    assert positions(orm_examples([bare, other])[0]) == [len(PROMPT), len(PROMPT) + 1]


@pytest.fixture(scope="module")
def rewards(policy) -> StoredModel:
    """A reward model from the shared policy, with a head that is not zero."""
    stored = StoredModel(policy.model, policy.params, policy.tokenizer)
    model = reward_model(stored, jax.random.key(0))
    head = {"kernel": jax.random.normal(jax.random.key(1), (32, 1)), "bias": jnp.full(1, 0.3)}
    return StoredModel(model.model, {**model.params, "score": head}, model.tokenizer)


@pytest.fixture(scope="module")
def scored() -> list[Solution]:
    rng = np.random.default_rng(0)
    return [
        Solution(PROMPT, rng.integers(4, 300, size).tolist(), (), True)
        for size in (1, 5, 40, 90, 3, 70, 33)
    ]


def test_a_fresh_reward_model_is_the_policy_with_an_even_guess(policy):
    stored = StoredModel(policy.model, policy.params, policy.tokenizer)
    fresh = reward_model(stored, jax.random.key(0))
    assert fresh.model.config.output == "scalar"
    assert jax.tree.all(
        jax.tree.map(jnp.array_equal, fresh.params["layers"], policy.params["layers"])
    )
    values = score(fresh, [solution(True)])
    np.testing.assert_array_equal(values[0], np.full(len(TOKENS), 0.5, np.float32))


@pytest.mark.parametrize(("batch_size", "buckets"), [(1, 1), (2, 3), (64, 2)])
def test_scores_are_those_of_a_forward_pass_alone(rewards, scored, batch_size, buckets):
    found = score(rewards, scored, batch_size, buckets)
    assert len(found) == len(scored)
    for one, values in zip(scored, found, strict=True):
        tokens = jnp.asarray([[*one.prompt, *one.tokens]])
        alone = jax.nn.sigmoid(rewards.model.apply({"params": rewards.params}, tokens))[0]
        assert values.shape == (len(one.tokens),)
        np.testing.assert_allclose(values, alone[len(one.prompt) :], atol=1e-5)
        assert np.all((values >= 0) & (values <= 1)) and (len(values) == 1 or np.ptp(values) > 0)


def test_a_value_does_not_see_what_comes_later(rewards):
    whole = Solution(PROMPT, (11, 12, 10, 13, 10, 14, 2), (), True)
    begun = Solution(PROMPT, (11, 12, 10), (), True)
    long, short = score(rewards, [whole, begun])
    np.testing.assert_allclose(long[:3], short, atol=1e-5)


def test_training_separates_right_from_wrong_steps(rewards):
    """Twenty updates on two solutions that differ in their second step."""
    good, bad = (11, 12, 10, 13, 10, 14, 2), (11, 12, 10, 200, 10, 14, 2)
    solutions = [solution(True, (1, 1), good), solution(False, (1, 0), bad)]
    examples = sorm_examples(solutions, balanced=False)
    batch = pad_and_stack(examples, 16)
    optimizer = optax.adam(1e-2)
    update = jax.jit(make_update(binary_loss(rewards.model), optimizer))
    state = init_state(rewards.params, optimizer)
    for _ in range(20):
        state, _ = update(state, batch, jax.random.key(0))
    trained = StoredModel(rewards.model, state.params, rewards.tokenizer)
    right, wrong = score(trained, solutions)
    assert right[4] > 0.9 > 0.1 > wrong[4], "the second step's separator"
    assert right[2] == pytest.approx(wrong[2], abs=1e-5), "the first step is the same"
    assert right[6] > 0.9 > 0.1 > wrong[6], "the answer"
