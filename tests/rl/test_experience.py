"""Four rollouts by hand → what they teach, and what a reader of the round sees."""

import jax
import numpy as np
import pytest

from qdcjax.rl.experience import experience, figures
from qdcjax.rl.policy_gradient import PolicyGradient

END, PAD = 2, 0
# The end token and the padding's id stand in prompts and completions too.
PROMPTS = {"p": [1, END, 7], "q": [1, PAD]}
# The second has a forced token; the last two are of another question, and the third was cut.
TABLE = {
    "problem_id": ["p", "p", "q", "q"],
    "tokens": [[5, 6, END], [7, PAD, 8, END], [9, 9], [END]],
    "sampled": [[True] * 3, [True, False, True, True], [True, True], [True]],
    "log_probs": [[-1, -0.5, -2], [-1, 0, -0.25, -1], [-2, -2], [-3]],
    "reference": [[-1, -1, -3], [-2, -9, -0.25, -0.5], [-4, -1], [-2]],
    "rewards": [[0, 0, 1], [0.25, 0, 0, 0], [0, 0], [0]],
    "values": [[0.5, 0.25, 0], [1, 9, 0, 0.5], [0.25, 0.5], [0]],
    "correct": [True, False, False, False],
    "truncated": [False, False, True, False],
}
LONGEST = 5


def settings(algorithm="ppo", **changes) -> PolicyGradient:
    return PolicyGradient(algorithm, iterations=1, questions=2, **{"kl": 0.0, **changes})


def learned(settings, samples=2, kl=0.0, **columns):
    return experience(TABLE | columns, PROMPTS, settings, samples, LONGEST, kl)


def column(examples, name) -> list[list[float]]:
    """What is said of the completions' tokens; the prompts' part must be there, and zero."""
    found = []
    for example, problem in zip(examples, TABLE["problem_id"], strict=True):
        prompt, completion = np.split(example[name], [len(PROMPTS[problem])])
        assert not prompt.any() and example[name].dtype == np.float32
        found.append(completion.tolist())
    return found


ALL = [[1, 1, 1], [1, 0, 1, 1], [1, 1], [1]]
NO_VALUES = {"values": [[0.0] * len(tokens) for tokens in TABLE["tokens"]]}


def test_figures_by_hand():
    found = figures(TABLE, settings(), 2, LONGEST)
    assert found == {
        "reward": pytest.approx(1.25 / 4),
        "accuracy": 0.25,
        "kl": pytest.approx((1.5 + 0.5 + 1 - 1) / 4),
        "entropy": pytest.approx((3.5 + 2.25 + 4 + 3) / 9),
        "tokens": 2.5,
        "truncated": 0.25,
        "dead_groups": 0.5,
    }
    assert all(type(value) is float for value in found.values())


def test_the_reward_has_the_penalty_of_truncation():
    """One of four is cut, in a group whose rewards were equal."""
    found = figures(TABLE, settings(truncated="penalty", penalty=0.5), 2, LONGEST)
    assert found["reward"] == pytest.approx((1.25 - 0.5) / 4)
    assert found["dead_groups"] == 0


def test_a_forced_token_is_in_no_figure():
    forced = [[-1, -0.5, -2], [-1, -50, -0.25, -1], [-2, -2], [-3]]
    assert figures(TABLE | {"log_probs": forced}, settings(), 2, LONGEST) == figures(
        TABLE, settings(), 2, LONGEST
    )


def test_a_group_is_dead_by_its_rewards_wherever_they_lie():
    rewards = [[0.25, 0, 0.25], [0, 0, 0.5, 0], [0, 1], [0]]
    assert figures(TABLE | {"rewards": rewards}, settings(), 2, LONGEST)["dead_groups"] == 0.5
    assert figures(TABLE | {"rewards": rewards}, settings(), 4, LONGEST)["dead_groups"] == 0
    assert figures(TABLE, settings(), 1, LONGEST)["dead_groups"] == 1


def test_an_example_is_the_ids_that_were_sampled_after_their_prompt():
    for examples in learned(settings())[:2]:
        assert [example["tokens"].tolist() for example in examples] == [
            [1, END, 7, 5, 6, END],
            [1, END, 7, 7, PAD, 8, END],
            [1, PAD, 9, 9],
            [1, PAD, END],
        ]
        assert column(examples, "mask") == ALL
        assert {example["tokens"].dtype for example in examples} == {np.dtype(np.int32)}


def test_old_log_probs_reference_and_values_stand_at_their_tokens():
    policy, critic, _ = learned(settings())
    assert policy[0].keys() == {"tokens", "mask", "advantages", "old_log_probs", "reference"}
    assert critic[0].keys() == {"tokens", "mask", "old_values", "returns"}
    assert column(policy, "old_log_probs") == TABLE["log_probs"]
    assert column(policy, "reference") == TABLE["reference"]
    assert column(critic, "old_values") == TABLE["values"]


def test_a_return_is_the_score_less_the_later_divergence():
    """With gamma = lambda = 1 and V = 0, exactly; a forced token is passed over."""
    _, critic, _ = learned(settings(lam=1.0), kl=0.5, **NO_VALUES)
    assert column(critic, "returns") == [[0.25, 0.25, 0.5], [0, 0, 0.25, 0.25], [-0.5, 0.5], [0.5]]


def test_advantages_of_ppo_are_white_over_the_actions_of_the_iteration():
    policy, _, _ = learned(settings(lam=1.0), **NO_VALUES)
    plain = np.asarray([1, 1, 1, 0.25, 0, 0, 0, 0, 0])  # of the nine actions
    white = (plain - plain.mean()) / plain.std(ddof=1)
    found = np.concatenate(column(policy, "advantages"))
    np.testing.assert_allclose(np.delete(found, 4), white, rtol=1e-5)
    assert found[4] == 0


def test_advantages_of_rloo_by_hand():
    """Totals 1 and .25 of one question; those of the other are equal."""
    policy, critic, _ = learned(settings("rloo"))
    expected = [[0.75] * 3, [-0.75, 0, -0.75, -0.75], [0, 0], [0]]
    assert column(policy, "advantages") == expected
    assert not np.any(np.concatenate(column(critic, "returns")))


def test_a_cut_completion_earns_nothing_or_pays_or_is_left_out():
    options = {"lam": 1.0, "penalty": 0.5}
    policy, critic, _ = learned(settings(**options), **NO_VALUES)
    assert column(critic, "returns")[2] == [0, 0] and column(policy, "mask") == ALL

    policy, critic, _ = learned(settings(truncated="penalty", **options), **NO_VALUES)
    assert column(critic, "returns") == [[1, 1, 1], [0.25, 0, 0, 0], [-0.5, -0.5], [0]]
    assert column(policy, "mask") == column(critic, "mask") == ALL

    left = [*ALL[:2], [0, 0], ALL[3]]
    policy, critic, _ = learned(settings(truncated="masked", **options), **NO_VALUES)
    assert column(policy, "mask") == column(critic, "mask") == left
    plain = np.asarray([1, 1, 1, 0.25, 0, 0, 0])  # the mean and deviation are without it
    white = (plain - plain.mean()) / plain.std(ddof=1)
    found = np.concatenate(column(policy, "advantages"))
    np.testing.assert_allclose(np.delete(found, [4, 7, 8]), white, rtol=1e-5)


def test_a_penalty_lies_on_the_last_action():
    """Where the room ended within a calculator's result, that is before the last token."""
    two = {name: [[0.0, 0.0]] * 2 for name in ("rewards", "values")}
    table = {
        "problem_id": ["p"] * 2,
        "tokens": [[5, 6]] * 2,
        "sampled": [[True, True], [True, False]],
        "log_probs": [[-1.0, -1.0], [-1.0, 0.0]],
        "reference": [[-1.0, -1.0]] * 2,
        "correct": [False] * 2,
        "truncated": [True] * 2,
        **two,
    }
    pays = settings(lam=1.0, truncated="penalty", penalty=0.5)
    _, critic, _ = experience(table, {"p": [1]}, pays, 2, 4, 0.0)
    assert [example["returns"][1:].tolist() for example in critic] == [[-0.5, -0.5], [-0.5, 0]]


def test_a_penalty_counts_in_a_question_s_baseline():
    policy, _, _ = learned(settings("rloo", truncated="penalty", penalty=0.5))
    assert column(policy, "advantages")[2:] == [[-0.5, -0.5], [0.5]]


def test_by_sequences_each_completion_weighs_one_and_each_of_its_actions_the_same():
    policy, critic, _ = learned(settings("grpo", normalise="sequences"))
    expected = [[1 / 3] * 3, [1 / 3, 0, 1 / 3, 1 / 3], [0.5, 0.5], [1]]
    for row, want in zip(column(policy, "mask"), expected, strict=True):
        np.testing.assert_allclose(row, want, rtol=1e-6)
    assert column(critic, "mask") == ALL
    policy, _, _ = learned(settings("grpo", normalise="sequences", truncated="masked"))
    assert column(policy, "mask")[2] == [0, 0]


def test_explained_variance_is_of_the_actions_returns():
    _, critic, found = learned(settings(lam=1.0))
    actions = np.concatenate(ALL) > 0
    returns, values = (
        np.concatenate(column(critic, n))[actions] for n in ("returns", "old_values")
    )
    np.testing.assert_allclose(returns, [1, 1, 1, 0.25, 0, 0, 0, 0, 0], atol=1e-6)
    assert found == {
        "explained_variance": pytest.approx(1 - np.var(returns - values) / np.var(returns))
    }


@pytest.mark.parametrize("algorithm", ["ppo", "rloo", "grpo"])
@pytest.mark.parametrize("truncated", ["zero", "masked"])
def test_one_sample_a_question_gives_no_nan(algorithm, truncated):
    cut = {"truncated": [True] * 4}
    policy, critic, found = learned(settings(algorithm, truncated=truncated), 1, kl=0.1, **cut)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((policy, critic, found)))
    if algorithm != "ppo":
        assert not np.any(np.concatenate(column(policy, "advantages")))


@pytest.mark.parametrize("algorithm", ["rloo", "grpo"])
def test_without_a_critic_no_values_are_asked_for(algorithm):
    without = {name: column for name, column in TABLE.items() if name != "values"}
    policy, _, found = experience(without, PROMPTS, settings(algorithm), 2, LONGEST, 0.0)
    whole, _, _ = learned(settings(algorithm))
    assert column(policy, "advantages") == column(whole, "advantages")
    assert found == {"explained_variance": 0}
    assert figures(without, settings(), 2, LONGEST) == figures(TABLE, settings(), 2, LONGEST)


def test_the_room_s_size_changes_nothing():
    narrow, wide = (
        experience(TABLE, PROMPTS, settings(), 2, longest, 0.25) for longest in (4, 104)
    )
    for one, other in zip(jax.tree.leaves(narrow), jax.tree.leaves(wide), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert figures(TABLE, settings(), 2, 4) == pytest.approx(
        figures(TABLE, settings(), 2, 104), rel=1e-6
    )
