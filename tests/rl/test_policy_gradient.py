"""What an advantage is in PPO, RLOO and GRPO, and the losses against their definitions."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest

from qdcjax.models.config import TransformerConfig
from qdcjax.models.transformer import Transformer
from qdcjax.rl.policy_gradient import (
    PolicyGradient,
    PolicyLoss,
    SharedValueLoss,
    ValueLoss,
    advantages_and_returns,
    chances_before,
    shared_values_before,
    values_before,
)
from qdcjax.training import sharding
from qdcjax.training.step import compile_update, init_state, make_update

# ---- advantages and returns ----

# Two questions with two completions; the second has a forced token at 1.
MASK = jnp.asarray([[1, 1, 1, 0, 0], [1, 0, 1, 1, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]], float)
SCORES = jnp.asarray([[0, 0, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [1, 0, 0, 0, 0]], float)
LATER = jnp.asarray([[3, 1, 2, 0, 0], [-1, 9, 2, 0, 9], [1, 1, 1, 1, -2], [4, 9, 9, 9, 9]], float)
LOG_PROBS = jnp.full((4, 5), -1.5)
REFERENCE = LOG_PROBS - LATER / 8  # k1 is in eighths, which add without rounding
NOTHING = jnp.zeros((4, 5))


def settings(algorithm, **changes) -> PolicyGradient:
    return PolicyGradient(algorithm, iterations=1, questions=2, **changes)


def found(settings, kl=0.5, rewards=SCORES, values=NOTHING, samples=2):
    arrays = (rewards, MASK, LOG_PROBS, REFERENCE, values)
    return advantages_and_returns(settings, samples, *arrays, kl)


def white(x, mask=MASK):
    """By numpy, over the actions alone."""
    chosen = np.asarray(x)[np.asarray(mask) > 0]
    return mask * (x - chosen.mean()) / chosen.std(ddof=1)


def test_a_return_is_the_score_less_the_later_divergence():
    """With gamma = lambda = 1 and V = 0, at every token and exactly."""
    advantages, returns = found(settings("ppo", lam=1.0))
    charged = 0.5 * LATER / 8 * MASK
    expected = (SCORES - charged)[:, ::-1].cumsum(axis=1)[:, ::-1] * MASK
    np.testing.assert_array_equal(returns, expected)
    assert returns[0].tolist() == [1 - 6 / 16, 1 - 3 / 16, 1 - 2 / 16, 0, 0]
    np.testing.assert_allclose(advantages, white(expected), atol=1e-5)


def test_gae_by_hand_with_returns_that_are_not_whitened():
    """delta = (0 + .5·2 − 1, 4 − 2), A = (0 + .5·.25·2, 2), and R = A + V."""
    one = jnp.ones((1, 2))
    rewards, values = jnp.asarray([[0.0, 4]]), jnp.asarray([[1.0, 2]])
    ppo = settings("ppo", gamma=0.5, lam=0.25)
    advantages, returns = advantages_and_returns(ppo, 1, rewards, one, one, one, values, 0.5)
    np.testing.assert_allclose(returns, [[1.25, 4]])
    np.testing.assert_allclose(advantages, white(jnp.asarray([[0.25, 2]]), one), rtol=1e-5)


def test_ppo_s_advantages_are_what_its_critic_did_not_expect():
    values = jnp.round(8 * jax.random.normal(jax.random.key(0), (4, 5))) / 8
    advantages, returns = found(settings("ppo", lam=1.0), values=values)
    np.testing.assert_allclose(returns, found(settings("ppo", lam=1.0))[1], atol=1e-6)
    np.testing.assert_allclose(advantages, white(returns - values * MASK), atol=1e-5)


# Scores less half of the divergence of a completion's actions, in sixteenths.
TOTALS = np.asarray([[16 - 6, 0 - 1], [16 - 2, 16 - 4]]) / 16


@pytest.mark.parametrize("algorithm", ["rloo", "grpo"])
def test_rloo_and_grpo_by_hand(algorithm):
    """One number for all actions of a completion, and 0 for what is no action.

    The second question's rewards are equal: GRPO would scale what their divergences differ by.
    """
    advantages, returns = found(settings(algorithm))
    half = (TOTALS[:, 0] - TOTALS[:, 1]) / 2  # of two, the deviation is √2 of it
    of_group = 2 * half if algorithm == "rloo" else np.asarray([np.sqrt(0.5), 0])
    expected = np.stack([of_group, -of_group], axis=1).reshape(4, 1) * MASK
    np.testing.assert_allclose(advantages, expected, atol=1e-5)
    assert not np.any(returns)


@pytest.mark.parametrize("algorithm", ["ppo", "rloo", "grpo"])
def test_divergence_in_the_loss_is_not_in_the_reward(algorithm):
    in_loss = found(settings(algorithm, kl_in="loss"))
    chex.assert_trees_all_equal(in_loss, found(settings(algorithm), kl=0.0))
    assert np.any(in_loss[0] != found(settings(algorithm))[0])


@pytest.mark.parametrize("algorithm", ["rloo", "grpo"])
def test_values_are_read_by_ppo_alone(algorithm):
    expected = found(settings(algorithm))
    chex.assert_trees_all_equal(found(settings(algorithm), values=NOTHING + 7), expected)


@pytest.mark.parametrize("algorithm", ["rloo", "grpo"])
def test_dead_groups_and_lone_samples_give_exactly_nothing(algorithm):
    advantages, _ = found(settings(algorithm), kl=0.0)
    assert np.all(advantages[2:] == 0) and np.all((advantages[:2] != 0) == (MASK[:2] > 0))
    assert np.all(found(settings(algorithm), samples=1)[0] == 0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"algorithm": "dpo"}, "algorithm='dpo' must be one of ppo, rloo, grpo"),
        (
            {"reward": "orm"},
            "reward='orm' must be one of sparse, dense, orm_sparse, orm_dense, task",
        ),
        ({"kl_in": "policy"}, "kl_in='policy' must be one of reward, loss"),
        ({"truncated": "cut"}, "truncated='cut' must be one of zero, penalty, masked"),
        ({"normalise": "groups"}, "normalise='groups' must be one of tokens, sequences"),
        ({"iterations": 0}, "iterations=0 must be at least 1"),
        ({"questions": 0}, "questions=0 must be at least 1"),
        ({"epochs": 0}, "epochs=0 must be at least 1"),
        ({"kl": -0.1}, "kl=-0.1 must be at least 0"),
        ({"penalty": -1.0}, "penalty=-1.0 must be at least 0"),
        ({"kl_horizon": 0}, "kl_horizon=0 must be at least 1"),
        ({"lam": 1.5}, "lam=1.5 must be at most 1"),
        ({"dual_clip": 0.5}, "dual_clip=0.5 must be above 1, or 0 for none"),
        ({"critic": "orm"}, "critic='orm' must be one of policy, reward_model, shared"),
        (
            {"critic_warmup": 9, "iterations": 9},
            "critic_warmup=9 must leave some of the 9 iterations to the policy",
        ),
        (
            {"algorithm": "rloo", "critic_warmup": 1, "iterations": 2},
            "critic_warmup=1: rloo has no critic",
        ),
        ({"kl_target": 6.0, "kl_in": "loss"}, "kl_target=6.0 adapts the reward: set kl_in=reward"),
    ],
)
def test_settings_out_of_range_are_named_in_one_line(monkeypatch, changes, words):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as in a user's run
    with pytest.raises(ValueError, match=f"^{words}$"):
        PolicyGradient(**{"algorithm": "ppo", "iterations": 1, "questions": 1, **changes})


# ---- losses ----

CONFIG = TransformerConfig(
    vocab_size=16, layers=1, width=16, heads=2, kv_heads=1, head_width=8, mlp_width=16
)
MODEL, CRITIC = Transformer(CONFIG), Transformer(dataclasses.replace(CONFIG, output="scalar"))
SHARED = Transformer(dataclasses.replace(CONFIG, value_head=True))
LENGTHS, PROMPT, WIDTH, END = (16, 3, 9, 5, 12, 4, 7, 14), 2, 16, 2
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def params(random_params):
    found = {model: random_params(model) for model in (MODEL, CRITIC, SHARED)}
    return found | {SHARED: found[SHARED] | found[MODEL]}


@functools.partial(jax.jit, static_argnames="temperature")
def full_log_probs(params, tokens, temperature):
    """log softmax over the vocabulary at every position, and of it each token's own, [B, T]."""
    logits = MODEL.apply({"params": params}, tokens) / temperature
    everything = logits - jnp.log(jnp.exp(logits).sum(axis=-1, keepdims=True))
    own = jnp.take_along_axis(everything[:, :-1], tokens[:, 1:, None], axis=-1)[..., 0]
    return jnp.pad(own, ((0, 0), (1, 0)))


@pytest.fixture(scope="module")
def batch(params):
    """Eight ragged rows that begin with a prompt, forced tokens within, ratios of about 1 ± .5."""
    rng = np.random.default_rng(0)
    tokens, mask = np.zeros((8, WIDTH), np.int32), np.zeros((8, WIDTH), np.float32)
    for row, length in enumerate(LENGTHS):
        tokens[row, :length] = [*rng.integers(3, 16, length - 1), END]
        mask[row, PROMPT:length] = 1
    mask[0, 5:8] = mask[4, 3] = 0
    now = full_log_probs(params[MODEL], jnp.asarray(tokens), 1.0)
    noise = rng.normal(size=(4, 8, WIDTH)).astype(np.float32)
    columns = {
        "advantages": noise[0],
        "old_log_probs": now + 0.4 * noise[1],
        "reference": now + 0.4 * noise[2],
        "old_values": 0.3 * noise[3],
        "returns": noise[0],
        "warm": np.zeros((8, WIDTH), np.float32),
    }
    return {"tokens": tokens, "mask": mask} | {
        name: np.asarray(values * mask) for name, values in columns.items()
    }


LOSSES = {
    "policy": (PolicyLoss(0.2, 0.3, 0.1, 1.0), MODEL),
    "value": (ValueLoss(0.2), CRITIC),
    "shared": (PolicyLoss(0.2, 0.3, 0.1, 1.0, beside=SharedValueLoss(0.2, 0.5)), SHARED),
}


@pytest.fixture(scope="module")
def gradient(params):
    """(loss, batch) → (gradient, metrics), read off a step of descent of its model."""
    compiled = {}

    def gradient(loss, batch, microbatches=1, model=None):
        make, own = LOSSES.get(loss, (loss, MODEL))
        model, optimizer = model or own, optax.sgd(1.0)
        at = loss, microbatches, model
        if at not in compiled:
            compiled[at] = jax.jit(make_update(make(model), optimizer, microbatches))
        start = params[own]
        state, metrics = compiled[at](init_state(start, optimizer), batch, KEY)
        return jax.tree.map(jnp.subtract, start, state.params), metrics

    return gradient


def assert_same(actual, expected):
    chex.assert_trees_all_close(actual, expected, atol=1e-5, rtol=1e-5)


@pytest.fixture(scope="module")
def whole(gradient, batch):
    """Of both losses, what the batch gives as it is."""
    found = {loss: gradient(loss, batch) for loss in LOSSES}
    assert all(metrics["gradient_norm"] > 0.1 for _, metrics in found.values())
    assert 0.1 < found["policy"][1]["clip_fraction"] < 0.9
    return found


@functools.partial(jax.jit, static_argnames="loss")
@functools.partial(jax.value_and_grad, has_aux=True)
def defined(params, batch, loss: PolicyLoss):
    """The policy's loss and its metrics, as they are written, and the gradient."""
    new = full_log_probs(params, batch["tokens"], loss.temperature)
    old, A, weights = batch["old_log_probs"], batch["advantages"], batch["mask"]
    weights = weights / weights.sum()
    ratio = jnp.exp(new - old)
    clipped = jnp.clip(ratio, 1 - loss.clip_low, 1 + loss.clip_high)
    surrogate = jnp.minimum(ratio * A, clipped * A)
    d = batch["reference"] - new
    divergence = jnp.exp(d) - d - 1
    metrics = {
        "clip_fraction": clipped * A < ratio * A,
        "update_kl": jnp.exp(new - old) - (new - old) - 1,
        "reference_kl": divergence,
    }
    sums = {name: jnp.sum(weights * value) for name, value in metrics.items()}
    return jnp.sum(weights * (loss.kl * divergence - surrogate)), sums


@pytest.mark.parametrize(("temperature", "chunk"), [(0.6, 0), (0.6, 4), (1.3, 4)])
def test_the_policy_s_loss_is_its_definition(gradient, params, batch, temperature, chunk):
    loss = PolicyLoss(0.2, 0.3, 0.1, temperature)
    model = Transformer(dataclasses.replace(CONFIG, logit_chunk=chunk))
    (value, sums), slope = defined(params[MODEL], batch, loss=loss)
    found, metrics = gradient(loss, batch, model=model)
    assert_same(found, slope)
    assert_same({name: metrics[name] for name in sums}, sums)
    assert float(metrics["loss"]) == pytest.approx(float(value), rel=1e-5)


def test_on_policy_the_step_is_that_of_reinforce(gradient, params, batch):
    now = full_log_probs(params[MODEL], batch["tokens"], 1.0)
    weights = batch["mask"] / batch["mask"].sum()

    @jax.jit
    @jax.grad
    def reinforce(params):
        log_probs = full_log_probs(params, batch["tokens"], 1.0)
        return -jnp.sum(weights * batch["advantages"] * log_probs)

    found, metrics = gradient(PolicyLoss(0.2, 0.2, 0.0, 1.0), batch | {"old_log_probs": now})
    assert_same(found, reinforce(params[MODEL]))
    assert metrics["clip_fraction"] == 0 and abs(metrics["update_kl"]) < 1e-6
    mean = np.sum(weights * batch["advantages"])
    assert float(metrics["loss"]) == pytest.approx(-mean, abs=1e-5)
    assert metrics["reference_kl"] > 0.01, "it is told even where the loss has no part of it"


def test_the_value_s_loss_is_its_definition(params, batch, whole):
    values = jax.jit(functools.partial(values_before, CRITIC))(params[CRITIC], batch["tokens"])
    old, returns = batch["old_values"], batch["returns"]
    near = np.clip(values, old - 0.2, old + 0.2)
    squares = np.maximum((values - returns) ** 2, (near - returns) ** 2) / 2
    expected = np.sum(batch["mask"] * squares) / batch["mask"].sum()
    assert float(whole["value"][1]["loss"]) == pytest.approx(expected, rel=1e-5)


def test_a_token_s_value_is_told_by_the_state_before_it(params, batch):
    tokens = jnp.asarray(batch["tokens"][:1])
    values_of = jax.jit(functools.partial(values_before, CRITIC, params[CRITIC]))
    values, states = values_of(tokens), jax.jit(CRITIC.apply)({"params": params[CRITIC]}, tokens)
    assert values.shape == tokens.shape and values[0, 0] == 0
    np.testing.assert_allclose(values[:, 1:], states[:, :-1], atol=1e-6)
    for t in (2, 7, 15):
        other = values_of(tokens.at[0, t].set(1 + tokens[0, t] % 15))
        np.testing.assert_allclose(other[0, : t + 1], values[0, : t + 1], atol=1e-6)
        assert t == 15 or np.abs(other[0, t + 1 :] - values[0, t + 1 :]).min() > 1e-5


def test_a_shared_trunk_learns_from_both_losses(params, batch, whole):
    """The policy's own gradient, and half of that of the value's squared error."""

    @jax.jit
    @jax.grad
    def of_values(params):
        values = shared_values_before(SHARED, params, batch["tokens"])
        old, returns = batch["old_values"], batch["returns"]
        near = jnp.clip(values, old - 0.2, old + 0.2)
        squares = jnp.maximum((values - returns) ** 2, (near - returns) ** 2) / 2
        return 0.5 * jnp.sum(batch["mask"] * squares) / batch["mask"].sum()

    of_values = of_values(params[SHARED])
    found, metrics = whole["shared"]
    for name in params[MODEL]:
        sums = jax.tree.map(jnp.add, of_values[name], whole["policy"][0][name])
        assert_same(found[name], sums)
    assert_same(found["value"], of_values["value"])
    assert metrics["value_loss"] > 0.01


def test_while_it_warms_up_a_value_head_learns_alone(gradient, params, batch):
    found, metrics = gradient("shared", batch | {"warm": np.ones((8, WIDTH), np.float32)})
    for name in params[MODEL]:
        assert all(np.all(leaf == 0) for leaf in jax.tree.leaves(found[name])), name
    assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(found["value"]))
    assert metrics["loss"] == pytest.approx(0.5 * float(metrics["value_loss"]))


def test_a_reward_model_s_value_is_the_chance_that_it_gives(params, batch):
    tokens = jnp.asarray(batch["tokens"][:2])
    scores = CRITIC.apply({"params": params[CRITIC]}, tokens)
    found = chances_before(CRITIC, params[CRITIC], tokens)
    np.testing.assert_allclose(found[:, 1:], jax.nn.sigmoid(scores[:, :-1]), atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_hundred_columns_of_padding_change_nothing(gradient, batch, whole, loss):
    wide = {name: np.pad(values, ((0, 0), (0, 100))) for name, values in batch.items()}
    assert_same(gradient(loss, wide), whole[loss])


@pytest.mark.parametrize("loss", LOSSES)
def test_padding_may_be_the_end_token(gradient, batch, whole, loss):
    past = np.arange(WIDTH) >= np.asarray(LENGTHS)[:, None]
    tokens = np.where(past, END, batch["tokens"])
    assert (tokens != batch["tokens"]).any()
    assert_same(gradient(loss, batch | {"tokens": tokens}), whole[loss])


@pytest.mark.parametrize("loss", LOSSES)
def test_what_is_no_action_carries_no_loss(gradient, batch, whole, loss):
    """Prompts, forced tokens, padding: whatever else is said of them."""
    other = {
        name: np.where(batch["mask"] > 0, values, 3.0).astype(np.float32)
        for name, values in batch.items()
        if name not in ("tokens", "mask", "warm")
    }
    assert_same(gradient(loss, batch | other), whole[loss])


@pytest.mark.parametrize(("loss", "microbatches"), [("policy", 2), ("policy", 8), ("value", 2)])
def test_microbatches_of_ragged_rows_give_the_gradient_of_the_whole(
    gradient, batch, whole, loss, microbatches
):
    assert_same(gradient(loss, batch, microbatches), whole[loss])


def test_eight_devices_give_the_gradient_of_one(devices, params, batch, whole):
    mesh, optimizer = sharding.make_mesh(sharding.MeshConfig(2, 4, 1), devices), optax.sgd(1.0)
    start = params[MODEL]
    placed = sharding.param_shardings(MODEL, mesh)
    shardings = sharding.state_shardings(start, placed, optimizer, mesh)
    update = sharding.on_mesh(make_update(LOSSES["policy"][0](MODEL), optimizer), mesh)
    by_rows = sharding.batch_sharding(mesh)
    update = compile_update(update, shardings, by_rows, sharding.replicated(mesh))
    state = jax.device_put(jax.device_get(init_state(start, optimizer)), shardings)
    state, metrics = update(state, sharding.put_batch(batch, mesh), KEY)
    found = jax.tree.map(lambda old, new: old - np.asarray(new), start, state.params)
    assert_same((found, jax.device_get(metrics)), whole["policy"])


def test_by_sequences_the_loss_is_a_mean_of_means(gradient, params, batch):
    """On-policy it is −A, here one number a row: short rows weigh what long ones do."""
    of_row = np.arange(1.0, 9)[:, None]
    now = full_log_probs(params[MODEL], batch["tokens"], 1.0)
    batch = batch | {"advantages": (of_row * batch["mask"]).astype(np.float32)}
    batch |= {"old_log_probs": np.asarray(now)}
    mask, loss = batch["mask"], PolicyLoss(0.2, 0.2, 0.0, 1.0)
    rows = mask / mask.sum(axis=1, keepdims=True)
    for weights, mean in ((mask, np.sum(of_row * mask) / mask.sum()), (rows, of_row.mean())):
        _, metrics = gradient(loss, batch | {"mask": weights})
        assert float(metrics["loss"]) == pytest.approx(-mean, rel=1e-5)
    by_rows = batch | {"mask": rows}
    assert_same(gradient("policy", by_rows, 2), gradient("policy", by_rows))
