import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from qdcjax.training.optimizer import OptimizerConfig, learning_rate, make_optimizer


def test_cosine_rises_then_falls_to_its_end():
    rate = learning_rate(OptimizerConfig(0.2, warmup=0.1, final=0.1), steps=100)
    assert [float(rate(step)) for step in (0, 5, 10, 55, 100)] == pytest.approx(
        [0, 0.1, 0.2, 0.02 + 0.18 / 2, 0.02]
    )


def test_constant_stays_after_warmup():
    rate = learning_rate(OptimizerConfig(0.2, warmup=0.1, schedule="constant"), steps=100)
    assert [float(rate(step)) for step in (0, 5, 10, 90, 500)] == pytest.approx(
        [0, 0.1, 0.2, 0.2, 0.2]
    )


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
@pytest.mark.parametrize(("warmup", "steps"), [(0.0, 10), (0.05, 9), (0.05, 1)])
def test_without_a_step_of_warmup_the_first_has_the_peak(schedule, warmup, steps):
    rate = learning_rate(OptimizerConfig(0.2, warmup=warmup, schedule=schedule), steps)
    assert float(rate(0)) == pytest.approx(0.2)
    assert float(rate(steps)) == pytest.approx(0.2 if schedule == "constant" else 0.0, abs=1e-9)


def test_a_run_that_is_all_warmup_has_a_schedule():
    rate = learning_rate(OptimizerConfig(0.2, warmup=1.0), steps=4)
    assert [float(rate(step)) for step in range(5)] == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])


def test_decay_reaches_matrices_and_no_norm_or_bias():
    params = {
        "embed": {"embedding": jnp.ones((2, 2))},
        "layers": {"mlp": {"up": {"kernel": jnp.ones((1, 2, 2))}}, "norm": {"scale": jnp.ones(2)}},
        "critic": {"kernel_0": jnp.ones((2, 2)), "bias_0": jnp.ones(2)},
        "score": {"kernel": jnp.ones((2, 1)), "bias": jnp.ones(1)},
    }
    config = OptimizerConfig(0.5, warmup=0.0, schedule="constant", weight_decay=0.1)
    optimizer = make_optimizer(config, steps=10)

    zeros = optax.tree.zeros_like(params)
    updates, _ = jax.jit(optimizer.update)(zeros, optimizer.init(params), params)
    decayed = -0.5 * 0.1
    assert updates["layers"]["norm"]["scale"].tolist() == [0, 0]
    assert updates["score"]["bias"].tolist() == [0]
    assert updates["critic"]["bias_0"].tolist() == [0, 0]
    for kernel in (
        updates["embed"]["embedding"],
        updates["layers"]["mlp"]["up"]["kernel"],
        updates["critic"]["kernel_0"],
        updates["score"]["kernel"],
    ):
        np.testing.assert_allclose(kernel, decayed, rtol=1e-6)


def test_the_gradient_is_clipped_by_its_global_norm():
    config = OptimizerConfig(1.0, warmup=0.0, schedule="constant", clip=0.5, eps=1e3)
    optimizer = make_optimizer(config, steps=10)
    params = {"a": {"kernel": jnp.zeros(1)}, "b": {"kernel": jnp.zeros(1)}}
    grads = {"a": {"kernel": jnp.asarray([3.0])}, "b": {"kernel": jnp.asarray([4.0])}}
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    # With eps far above the gradient, Adam's step is rate · gradient / eps.
    actual = [float(-updates[name]["kernel"][0] * 1e3) for name in "ab"]
    assert actual == pytest.approx([0.3, 0.4], rel=1e-2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schedule": "linear"}, "schedule='linear' must be cosine or constant"),
        ({"learning_rate": 0.0}, "learning_rate=0.0 must be above 0"),
        ({"clip": 0.0}, "clip=0.0 must be above 0"),
        ({"warmup": 2.0}, "warmup=2.0 must be within 0…1"),
        ({"b2": 1.5}, "b2=1.5 must be within 0…1"),
        ({"weight_decay": -0.1}, "weight_decay=-0.1 must be at least 0"),
    ],
)
def test_a_bad_config_is_named_in_one_line(changes, words):
    with pytest.raises(ValueError) as caught:
        OptimizerConfig(**{"learning_rate": 0.1, **changes})
    assert str(caught.value) == words
