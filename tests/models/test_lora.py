"""Adapters: nothing at first, trained alone, merged without a difference, loaded by peft."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from qdcjax.models import lora, pretrained
from qdcjax.models.config import PROJECTIONS, Lora, TransformerConfig
from qdcjax.models.transformer import Transformer
from qdcjax.training.losses import language_model_loss, train_only
from qdcjax.training.step import init_state, make_update

TINY = TransformerConfig(
    vocab_size=96, layers=2, width=32, heads=4, kv_heads=2, head_width=8, mlp_width=48
)
ALL = Lora(4, 8.0, PROJECTIONS)
TOKENS = jnp.asarray(np.random.default_rng(0).integers(0, 96, (3, 12)))


@pytest.fixture(scope="module")
def base(random_params):
    model = Transformer(TINY)
    return model, random_params(model)


def with_trained_adapter(model, params, adapter=ALL):
    """The adapted model, with adapter leaves as if trained."""
    adapted, params = lora.attach(model, params, adapter, jax.random.key(1))
    rng = np.random.default_rng(2)

    def leaf(is_adapter, x):
        return jnp.asarray(rng.normal(0, 0.3, x.shape), jnp.float32) if is_adapter else x

    return adapted, jax.tree.map(leaf, lora.trainable(params), params)


def logits(model, params):
    return jax.jit(model.apply)({"params": params}, TOKENS)


def test_an_attached_adapter_changes_nothing_and_has_every_target(base):
    model, params = base
    adapted, with_it = lora.attach(model, params, ALL, jax.random.key(0))
    assert jnp.array_equal(logits(model, params), logits(adapted, with_it))
    leaves = jax.tree_util.tree_leaves_with_path(lora.trainable(with_it))
    names = {path[-2].key for path, is_adapter in leaves if is_adapter}
    assert names == set(PROJECTIONS)
    a = with_it["layers"]["attention"]["out"]["lora_a"]
    assert a.shape == (2, 4, 8, 4) and abs(float(a.std()) - 32**-0.5) < 0.03
    assert with_it["layers"]["mlp"]["down"]["lora_b"].shape == (2, 4, 32)


def test_merged_is_the_same_function(base):
    model, params = base
    adapted, trained = with_trained_adapter(model, params)
    merged, plain = lora.merge(adapted, trained)
    assert merged == model and jax.tree.structure(plain) == jax.tree.structure(params)
    before, after = logits(adapted, trained), logits(merged, plain)
    assert float(jnp.abs(before - logits(model, params)).max()) > 0.1
    np.testing.assert_allclose(before, after, atol=1e-4)


def test_only_the_adapter_is_trained_and_only_it_has_moments(base):
    model, params = base
    adapted, start = lora.attach(model, params, Lora(2, targets=("query", "up")), jax.random.key(0))
    trainable = lora.trainable(start)
    optimizer = optax.masked(optax.adam(1e-2), trainable)
    update = jax.jit(make_update(train_only(trainable, language_model_loss(adapted)), optimizer))
    state = init_state(start, optimizer)
    batch = {"tokens": TOKENS, "mask": jnp.ones(TOKENS.shape)}
    for _ in range(3):
        state, metrics = update(state, batch, jax.random.key(0))
    same = jax.tree.map(jnp.array_equal, state.params, start)
    assert jax.tree.all(jax.tree.map(lambda is_adapter, s: is_adapter != s, trainable, same))
    moments = sum(x.size for x in jax.tree.leaves(state.opt_state))
    ours = sum(
        x.size
        for x, t in zip(jax.tree.leaves(start), jax.tree.leaves(trainable), strict=False)
        if t
    )
    assert moments == 2 * ours + 1 and float(metrics["gradient_norm"]) > 0


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"rank": 0}, "lora.rank=0 must be at least 1"),
        ({"rank": 2, "targets": ("q_proj",)}, "lora.targets: 'q_proj' must be one of query, key"),
    ],
)
def test_a_bad_adapter_is_told_in_one_line(fields, words):
    with pytest.raises(ValueError) as caught:
        Lora(**fields)
    assert words in str(caught.value) and "\n" not in str(caught.value)


GPT2 = dataclasses.replace(
    TINY, kv_heads=4, positions="learned", norm="layer", bias="all", mlp="gelu_tanh", max_length=64
)


def test_a_part_of_a_fused_product_has_no_adapter(random_params):
    model = Transformer(GPT2)
    with pytest.raises(ValueError, match="query is a part of a larger product in gpt2"):
        lora.attach(model, random_params(model), Lora(2, targets=("query",)), jax.random.key(0))


@pytest.mark.parity
@pytest.mark.parametrize(
    ("config", "targets"),
    [(TINY, PROJECTIONS), (GPT2, ("out", "up", "down"))],
    ids=["llama", "gpt2"],
)
def test_peft_loads_what_we_export(config, targets, tmp_path, random_params):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    peft = pytest.importorskip("peft")
    model = Transformer(config)
    params = random_params(model)
    adapted, trained = with_trained_adapter(model, params, Lora(4, 8.0, targets))
    pretrained.export(tmp_path / "base", config, params)
    lora.export(tmp_path / "adapter", adapted, trained, str(tmp_path / "base"))
    base = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "base", attn_implementation="eager", dtype=torch.float32
    )
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    with torch.no_grad():
        expected = theirs(torch.tensor(np.asarray(TOKENS))).logits.numpy()
    assert np.abs(expected - logits(model, params)).max() > 0.1
    np.testing.assert_allclose(logits(adapted, trained), expected, atol=1e-4)
