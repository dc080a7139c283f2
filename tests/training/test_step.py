from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from qdcjax.models.config import TransformerConfig
from qdcjax.models.transformer import Transformer
from qdcjax.training import losses, sharding
from qdcjax.training.losses import language_model_loss, token_log_probs
from qdcjax.training.optimizer import OptimizerConfig, make_optimizer
from qdcjax.training.step import TrainState, compile_update, init_state, make_update

EOS = 2
MODEL = Transformer(
    TransformerConfig(
        vocab_size=64, layers=1, width=32, heads=4, kv_heads=2, head_width=8, mlp_width=64
    )
)
KEY = jax.random.key(7)


@pytest.fixture(scope="module")
def params(random_params):
    return jax.tree.map(np.asarray, random_params(MODEL))


def ragged_batch(pad: int = 0, width: int = 16) -> dict[str, np.ndarray]:
    """Eight rows of 3 to 16 tokens; the mask leaves out a prompt of two tokens and the padding."""
    rng = np.random.default_rng(0)
    batch = {"tokens": np.full((8, width), pad, np.int32), "mask": np.zeros((8, width), np.float32)}
    for row, length in enumerate([16, 3, 9, 5, 12, 4, 7, 14]):
        batch["tokens"][row, :length] = [*rng.integers(3, 64, length - 1), EOS]
        batch["mask"][row, 2:length] = 1
    return batch


# A toy problem for what has nothing to do with transformers.
def toy_loss(params, batch, key):
    noise = jax.random.normal(key)
    error = batch["x"] @ params["w"] - batch["y"]
    return jnp.sum(batch["weights"] * error**2), {"noise": noise}


def toy_batch(rows: int = 4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        "x": rng.normal(size=(rows, 3)).astype(np.float32),
        "y": rng.normal(size=rows).astype(np.float32),
        "mask": np.ones(rows, np.float32),
    }


def toy_state(optimizer) -> TrainState:
    return init_state({"w": jnp.asarray([0.3, -0.2, 0.1])}, optimizer)


def test_the_key_of_a_step_is_folded_from_its_number():
    optimizer = optax.sgd(0.1)
    whole = jax.jit(make_update(toy_loss, optimizer))
    halves = jax.jit(make_update(toy_loss, optimizer, microbatches=2))
    state = toy_state(optimizer)
    for step in range(3):
        of_step = jax.random.fold_in(KEY, step)
        of_parts = [jax.random.normal(jax.random.fold_in(of_step, m)) for m in range(2)]
        _, metrics = halves(state, toy_batch(), KEY)
        np.testing.assert_allclose(metrics["noise"], sum(of_parts), rtol=1e-6)
        state, metrics = whole(state, toy_batch(), KEY)
        np.testing.assert_allclose(metrics["noise"], jax.random.normal(of_step), rtol=1e-6)
    assert int(state.step) == 3


def test_one_step_of_descent_by_hand():
    optimizer, batch = optax.sgd(0.1), toy_batch()
    batch["mask"][1] = 0
    state, metrics = jax.jit(make_update(toy_loss, optimizer))(toy_state(optimizer), batch, KEY)
    w = np.asarray([0.3, -0.2, 0.1])
    error = (batch["x"] @ w - batch["y"]) * batch["mask"]
    gradient = 2 * error @ batch["x"] / 3
    np.testing.assert_allclose(metrics["loss"], np.sum(error**2) / 3, rtol=1e-5)
    np.testing.assert_allclose(metrics["gradient_norm"], np.linalg.norm(gradient), rtol=1e-5)
    np.testing.assert_allclose(state.params["w"], w - 0.1 * gradient, rtol=1e-5)
    assert metrics["elements"] == 3 and bool(metrics["finite"])


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])  # 1e30: the loss overflows to infinity
@pytest.mark.parametrize("microbatches", [1, 2])
def test_a_non_finite_update_leaves_the_state_bit_equal(bad, microbatches):
    optimizer = make_optimizer(OptimizerConfig(0.1, weight_decay=0.1), steps=10)
    update = jax.jit(make_update(toy_loss, optimizer, microbatches))
    before, _ = update(toy_state(optimizer), toy_batch(), KEY)
    batch = toy_batch()
    batch["y"][2] = bad
    after, metrics = update(before, batch, KEY)
    assert not bool(metrics["finite"])
    chex.assert_trees_all_equal(after.params, before.params)
    chex.assert_trees_all_equal(after.opt_state, before.opt_state)
    assert int(after.step) == int(before.step) + 1
    moved, metrics = update(after, toy_batch(), KEY)
    assert bool(metrics["finite"]) and (moved.params["w"] != before.params["w"]).all()


def test_an_empty_mask_gives_zero_and_not_nan():
    batch = {**toy_batch(), "mask": np.zeros(4, np.float32)}
    optimizer = optax.sgd(0.1)
    state, metrics = jax.jit(make_update(toy_loss, optimizer))(toy_state(optimizer), batch, KEY)
    assert metrics["loss"] == 0 and metrics["elements"] == 0 and bool(metrics["finite"])
    np.testing.assert_array_equal(state.params["w"], toy_state(optimizer).params["w"])


@pytest.fixture(scope="module")
def gradient():
    """(params, batch) → (gradient, metrics) of the language model's loss, read off an SGD step."""
    compiled = {}

    def gradient(params, batch, microbatches=1):
        optimizer = optax.sgd(1.0)
        if microbatches not in compiled:
            compiled[microbatches] = jax.jit(
                make_update(language_model_loss(MODEL), optimizer, microbatches)
            )
        state, metrics = compiled[microbatches](init_state(params, optimizer), batch, KEY)
        return jax.tree.map(lambda old, new: old - np.asarray(new), params, state.params), metrics

    return gradient


def test_the_loss_is_the_mean_over_all_tokens_of_the_step(gradient, params):
    batch = ragged_batch()
    _, metrics = gradient(params, batch)
    log_probs = jax.jit(partial(token_log_probs, MODEL))(params, batch["tokens"])
    total = -np.sum(batch["mask"][:, 1:] * np.asarray(log_probs))
    assert metrics["elements"] == batch["mask"].sum() == 54
    assert float(metrics["loss"]) == pytest.approx(total / 54, rel=1e-5)


@pytest.mark.parametrize("microbatches", [2, 8])
def test_microbatches_of_ragged_rows_give_the_gradient_of_the_whole(gradient, params, microbatches):
    whole, metrics = gradient(params, ragged_batch())
    parts, metrics_of_parts = gradient(params, ragged_batch(), microbatches)
    assert metrics["gradient_norm"] > 0.1
    chex.assert_trees_all_close(parts, whole, atol=1e-5, rtol=0)
    chex.assert_trees_all_close(metrics_of_parts, metrics, atol=1e-5, rtol=1e-5)


def test_padding_counts_for_nothing(gradient, params):
    expected, metrics = gradient(params, ragged_batch())
    for batch in (ragged_batch(pad=EOS), ragged_batch(width=116)):
        other, other_metrics = gradient(params, batch)
        chex.assert_trees_all_close(other, expected, atol=1e-5, rtol=0)
        chex.assert_trees_all_close(other_metrics, metrics, atol=1e-5, rtol=1e-5)


def three_steps(params, mesh_config=None, microbatches=1):
    """Losses and parameters of three AdamW steps, on one device or over a mesh."""
    # A large eps keeps Adam smooth where gradients are about zero; it would amplify rounding.
    optimizer = make_optimizer(OptimizerConfig(3e-2, eps=1e-2, weight_decay=0.1), steps=10)
    update = make_update(language_model_loss(MODEL), optimizer, microbatches)
    state, put = init_state(jax.tree.map(jnp.asarray, params), optimizer), jax.device_put
    if mesh_config is None:
        update = compile_update(update)
    else:
        mesh = sharding.make_mesh(mesh_config, jax.devices()[:8])
        shardings = sharding.state_shardings(
            params, sharding.param_shardings(MODEL, mesh), optimizer, mesh
        )
        by_batch = sharding.batch_sharding(mesh)
        update = sharding.on_mesh(update, mesh)
        update = compile_update(update, shardings, by_batch, sharding.replicated(mesh))
        state = jax.device_put(jax.device_get(state), shardings)
        put = lambda batch: sharding.put_batch(batch, mesh)  # noqa: E731
    trace = []
    for _ in range(3):
        state, metrics = update(state, put(ragged_batch()), KEY)
        trace.append(float(metrics["loss"]))
    return trace, jax.device_get(state.params), state


@pytest.fixture(scope="module")
def on_one_device(params):
    return three_steps(params)[:2]


@pytest.mark.parametrize(
    ("shape", "microbatches"), [((8, 1, 1), 1), ((1, 8, 1), 1), ((2, 2, 2), 2)]
)
def test_eight_devices_give_what_one_gives_and_compile_once(
    devices, params, on_one_device, count_calls, monkeypatch, shape, microbatches
):
    calls = count_calls(monkeypatch, losses.optax, "softmax_cross_entropy_with_integer_labels")
    trace, after, state = three_steps(params, sharding.MeshConfig(*shape), microbatches)
    assert trace[0] - trace[-1] > 0.1, "three steps should learn something"
    np.testing.assert_allclose(trace, on_one_device[0], atol=1e-5)
    chex.assert_trees_all_close(after, on_one_device[1], atol=1e-5, rtol=0)
    # With microbatches the loss is traced twice a compilation: for its shapes and for its value.
    assert calls.total() <= (1 if microbatches == 1 else 2)

    cut = {"data": 1, "fsdp": shape[1], "tensor": shape[2]}
    kernel = state.params["layers"]["mlp"]["up"]["kernel"]
    moment = state.opt_state[1][0].mu["layers"]["mlp"]["up"]["kernel"]
    for array in (kernel, moment):
        held = array.addressable_shards[0].data.shape
        assert held == (1, 32 // cut["fsdp"], 64 // cut["tensor"])


def test_the_old_state_is_given_away(params):
    optimizer = optax.sgd(0.1)
    update = compile_update(make_update(toy_loss, optimizer))
    state = toy_state(optimizer)
    update(state, toy_batch(), KEY)
    assert state.params["w"].is_deleted()


@pytest.mark.parametrize("shape", [(3, 1, 1), (-1, 3, 1), (-1, -1, 1), (0, 1, 8)])
def test_a_mesh_that_does_not_fit_is_named_in_one_line(devices, shape):
    with pytest.raises(ValueError, match=r"mesh data=.* does not fit 8 devices") as caught:
        sharding.make_mesh(sharding.MeshConfig(*shape), devices)
    assert "\n" not in str(caught.value)


def test_minus_one_takes_the_devices_that_are_left(devices):
    mesh = sharding.make_mesh(sharding.MeshConfig(-1, 2, 2), devices)
    assert dict(mesh.shape) == {"data": 2, "fsdp": 2, "tensor": 2}
