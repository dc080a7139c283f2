import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qdcjax.data.batches import pad_and_stack
from qdcjax.data.examples import encode_prompts, prompt_text
from qdcjax.decoding import Prompts, SamplingSettings, generate, sample
from qdcjax.reasoning.reward_models import reward_model
from qdcjax.rl import rewards
from qdcjax.rl.experience import experience, figures
from qdcjax.rl.log_probs import completion_log_probs, completion_values
from qdcjax.rl.on_chip import (
    Hyperparameters,
    is_right,
    make_train,
    questions_of,
    train_members,
)
from qdcjax.rl.policy_gradient import PolicyGradient, PolicyLoss, ValueLoss
from qdcjax.tasks.answers import is_correct
from qdcjax.tasks.problem import Problem
from qdcjax.training.optimizer import OptimizerConfig, make_optimizer
from qdcjax.training.sharding import MeshConfig, make_mesh
from qdcjax.training.step import init_state, make_update
from qdcjax.training.store import StoredModel

K, MANY, T, RATE = 4, 16, 40, 3e-3
OPTIMIZER = OptimizerConfig(RATE, schedule="constant", eps=1e-5)
RLOO = PolicyGradient("rloo", iterations=1, questions=4, kl=0.1)
PROBLEMS = [
    Problem("p/0", "How many eggs are in 12 boxes of 3?", "99", "<<12*3=99>>99 eggs\n#### 99"),
    Problem("p/1", "What is 5 and 4?", "7", "5+4 = <<5+4=7>>7\n#### 7"),
    Problem("p/2", "Say a word.", "5", "#### 5"),
    Problem("p/3", "What is 4 and 5?", "8", "It is <<4+5=8>>8 in all.\n#### 8"),
]


@pytest.fixture(scope="module")
def questions(tokenizer):
    return questions_of(tokenizer, PROBLEMS)


@pytest.fixture(scope="module")
def decoding(tokenizer):
    return generate.Decoding(K, T, 1.0, stop_tokens=(tokenizer.eos_id,))


def hyper(kl=0.1, rate=RATE) -> Hyperparameters:
    return Hyperparameters(jnp.float32(rate), jnp.float32(kl))


def trained(policy, questions, decoding, settings, batch_size=8):
    return make_train(
        policy.model, policy.params, questions, settings, decoding, OPTIMIZER, batch_size
    )


COMPLETIONS = [
    "<<12*3=99>>99 eggs\n#### 99",
    "#### 99",
    "#### 9",
    "#### 999",
    "99",
    "",
    "it is #### 99",
    "#### 99\n",
    "#### 99\nno",
    "#### 5\n#### 99",
    "#### 99\n#### 99",
    "####",
    "How many eggs are in 12 boxes of 3?\n99",
    " ".join(map(str, range(10))),
]


def test_what_is_right_on_the_device_is_right_for_the_grader(tokenizer, questions):
    """And the plain answer line is right, alone or after steps."""
    rows = [[*tokenizer.encode(text), tokenizer.eos_id] for text in COMPLETIONS]
    rows.append(tokenizer.encode(COMPLETIONS[0]))  # cut before its end
    longest = max(map(len, rows))
    tokens = jnp.asarray([[[*row, *[0] * (longest - len(row))] for row in rows]])
    lengths = jnp.asarray([[len(row) for row in rows]])
    found = np.asarray(is_right(questions, jnp.asarray([0]), tokens, lengths))[0]
    graded = [is_correct(text, "99") for text in COMPLETIONS] + [False]
    assert found[:2].all() and not (found & ~np.asarray(graded)).any()
    assert found.sum() == 2


def test_the_device_grades_a_policy_s_samples_as_the_host_does(policy, questions):
    prompts = Prompts(
        encode_prompts(policy.tokenizer, [prompt_text(p.question) for p in PROBLEMS]), np.arange(4)
    )
    settings = SamplingSettings(samples=32, max_new_tokens=T, temperature=1.0)
    args = (policy.model, policy.params, prompts, settings, jax.random.key(1), policy.tokenizer)
    found = sample(*args)
    rows = jnp.arange(len(PROBLEMS))
    device = is_right(questions, rows, jnp.asarray(found.tokens), jnp.asarray(found.lengths))
    host = [
        [
            not found.truncated[n, k]
            and is_correct(
                policy.tokenizer.decode(found.tokens[n, k, : found.lengths[n, k]]), p.answer
            )
            for k in range(32)
        ]
        for n, p in enumerate(PROBLEMS)
    ]
    host, device = np.asarray(host), np.asarray(device)
    assert not (device & ~host).any() and 0.1 < host.mean() < 0.9
    assert (device == host).mean() > 0.95


@pytest.fixture(scope="module")
def learned(policy, questions, decoding):
    """History of a run of forty iterations, each one step of all its rollouts."""
    settings = dataclasses.replace(RLOO, iterations=40)
    many = dataclasses.replace(decoding, samples=MANY)
    train = jax.jit(trained(policy, questions, many, settings, 4 * MANY))
    return jax.device_get(train(jax.random.key(2), hyper(kl=0.01))[1])


def test_rloo_learns_what_is_rewarded(learned):
    accuracy = learned["accuracy"]
    assert accuracy[-5:].mean() > accuracy[:5].mean() + 0.15, accuracy
    assert abs(learned["kl"][0]) < 1e-5 < learned["kl"][-1]


def at_model_scale(policy, questions, settings, longest: int, kl: float):
    """Yields iterations as a run at model scale makes them: rollouts in a table, one step of all.

    The questions are drawn as on the chip, and so are the samples' keys.
    """
    order_key, sample_key = jax.random.split(jax.random.fold_in(jax.random.key(2), 0))
    prompts = {
        problem.id: ids
        for problem, ids in zip(
            PROBLEMS,
            encode_prompts(policy.tokenizer, [prompt_text(p.question) for p in PROBLEMS]),
            strict=True,
        )
    }
    start = StoredModel(policy.model, policy.params, policy.tokenizer)
    critic = reward_model(start, jax.random.key(0))
    optimizer = make_optimizer(OPTIMIZER, 1)
    learn = jax.jit(make_update(PolicyLoss(0.2, 0.2, 0.0, 1.0)(policy.model), optimizer))
    learn_values = jax.jit(make_update(ValueLoss(settings.value_clip)(critic.model), optimizer))
    states = [init_state(params, optimizer) for params in (policy.params, critic.params)]
    for number in range(settings.iterations):
        rows = np.asarray(jax.random.permutation(jax.random.fold_in(order_key, number), 4))
        made = sample(
            policy.model,
            states[0].params,
            Prompts([prompts[PROBLEMS[row].id] for row in rows], rows.astype(np.uint32)),
            SamplingSettings(samples=MANY, max_new_tokens=longest),
            jax.random.fold_in(sample_key, number),
            policy.tokenizer,
        )
        right = is_right(
            questions, jnp.asarray(rows), *map(jnp.asarray, (made.tokens, made.lengths))
        )
        at = [(n, k) for n in range(4) for k in range(MANY)]
        table = {
            name: [getattr(made, name)[n, k, : made.lengths[n, k]] for n, k in at]
            for name in ("tokens", "sampled", "log_probs")
        }
        table["problem_id"] = [PROBLEMS[rows[n]].id for n, _ in at]
        table["truncated"] = [bool(made.truncated[n, k]) for n, k in at]
        table["correct"] = [bool(right[n, k]) for n, k in at]
        table["rewards"] = rewards.sparse(table)
        texts = [prompts[name] for name in table["problem_id"]], table["tokens"]
        table["reference"] = completion_log_probs(start, *texts, 1.0)
        if settings.algorithm == "ppo":
            table["values"] = completion_values(critic.model, states[1].params, *texts)
        of_policy, of_critic, found = experience(table, prompts, settings, MANY, longest, kl)
        states[0], of_step = learn(states[0], pad_and_stack(of_policy, 96), jax.random.key(2))
        if settings.algorithm == "ppo":
            states[1], _ = learn_values(states[1], pad_and_stack(of_critic, 96), jax.random.key(2))
        watched = figures(table, settings, MANY, longest)
        yield watched | found | {name: float(x) for name, x in of_step.items()}


SAME = ("accuracy", "tokens", "truncated", "dead_groups", "kl", "entropy", "loss")


def test_an_iteration_is_that_of_a_run_at_model_scale(policy, questions, learned):
    (found,) = at_model_scale(policy, questions, RLOO, T, 0.01)
    assert 0 < found["accuracy"] < 1
    for name in SAME:
        assert learned[name][0] == pytest.approx(found[name], abs=1e-6), name
    assert learned["gradient_norm"][0] == pytest.approx(found["gradient_norm"], rel=1e-3)


def test_ppo_s_iterations_are_those_of_a_run_at_model_scale(policy, questions, decoding):
    """Three, so that both have learned (the first step warms up); cut completions are masked."""
    settings = dataclasses.replace(RLOO, algorithm="ppo", iterations=3, truncated="masked")
    few = dataclasses.replace(decoding, samples=MANY, max_new_tokens=24)
    train = jax.jit(trained(policy, questions, few, settings, 4 * MANY))
    rates = dataclasses.replace(hyper(kl=0.05), critic_learning_rate=jnp.float32(RATE))
    history = jax.device_get(train(jax.random.key(2), rates)[1])
    for number, found in enumerate(at_model_scale(policy, questions, settings, 24, 0.05)):
        assert 0 < found["accuracy"] < 1 and 0.05 < found["truncated"] < 0.95
        for name in (*SAME, "explained_variance", "gradient_norm"):
            assert history[name][number] == pytest.approx(found[name], rel=1e-3, abs=1e-5), name
    assert abs(history["kl"][2]) > 1e-4 and abs(history["explained_variance"][2]) > 1e-4


def test_members_cut_over_devices_equal_the_same_runs_alone(policy, questions, decoding, devices):
    """PPO, seven members on eight devices, that differ in seed, rates and weight."""
    settings = dataclasses.replace(RLOO, algorithm="ppo", iterations=2, epochs=2, questions=2)
    train = trained(policy, questions, decoding, settings)
    seeds = np.arange(7, dtype=np.uint32) // 2
    rates = np.where(np.arange(7) % 2, 1e-2, RATE).astype(np.float32)
    kls = np.linspace(0, 0.3, 7, dtype=np.float32)
    members = train_members(train, 1, make_mesh(MeshConfig(data=4, fsdp=2), devices))
    params, history = members(seeds, Hyperparameters(rates, kls, 2 * rates))
    assert len(history["loss"]) == 7 and np.all(history["finite"] == 1)
    alone = jax.jit(train)
    for at in (0, 3, 6):
        one = Hyperparameters(*map(jnp.float32, (rates[at], kls[at], 2 * rates[at])))
        own, own_history = alone(jax.random.key(seeds[at]), one)
        for name in ("accuracy", "tokens", "truncated"):
            np.testing.assert_array_equal(history[name][at], own_history[name])
        for ours, theirs in zip(jax.tree.leaves(params), jax.tree.leaves(own), strict=True):
            np.testing.assert_allclose(ours[at], theirs, atol=1e-4)
        for name in ("loss", "gradient_norm"):
            np.testing.assert_allclose(history[name][at][0], own_history[name][0], atol=1e-5)
    moved = [float(np.abs(x[0] - x[1]).max()) for x in jax.tree.leaves(params)]
    assert max(moved) > 1e-3, "another rate and weight give another policy"


def test_a_run_that_diverges_says_so(policy, questions, decoding):
    train = jax.jit(trained(policy, questions, decoding, dataclasses.replace(RLOO, iterations=2)))
    history = train(jax.random.key(0), hyper(rate=1e30))[1]
    assert history["finite"].min() < 1
    assert "explained_variance" not in history, "there is no critic"


@pytest.mark.parametrize(
    ("changes", "batch_size", "words"),
    [
        ({}, 5, "batch_size=5"),
        ({"reward": "dense"}, 8, "reward=dense"),
        ({"truncated": "penalty"}, 8, "truncated=penalty"),
        ({"critic": "shared"}, 8, "critic=shared"),
        ({"critic_warmup": 1, "iterations": 2}, 8, "critic_warmup=1"),
        ({"kl_target": 1.0}, 8, "kl_target=1.0"),
    ],
)
def test_what_cannot_be_done_on_the_chip_is_told(
    policy, questions, decoding, changes, batch_size, words
):
    with pytest.raises(ValueError, match=words):
        trained(policy, questions, decoding, dataclasses.replace(RLOO, **changes), batch_size)
