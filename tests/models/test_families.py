"""Every family: a small random model of `transformers` in, the same model out again."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qdcjax.decoding import Prompts, SamplingSettings, sample
from qdcjax.models import pretrained
from qdcjax.models.transformer import Transformer

LLAMA = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "vocab_size": 96,
}
NEOX = {key: value for key, value in LLAMA.items() if key != "num_key_value_heads"}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, "vocab_size": 96}
STRETCHED = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
# Name → class of the config, its fields.
MODELS = {
    "llama": ("LlamaConfig", LLAMA),
    "llama tied": ("LlamaConfig", LLAMA | {"tie_word_embeddings": True, "head_dim": 16}),
    "llama 3": ("LlamaConfig", LLAMA | {"rope_parameters": STRETCHED}),
    "mistral": ("MistralConfig", LLAMA | {"sliding_window": 9}),
    "qwen2": ("Qwen2Config", LLAMA),
    "qwen3": ("Qwen3Config", LLAMA | {"head_dim": 12}),
    "gpt_neox": ("GPTNeoXConfig", NEOX),
    "gpt_neox in turn": (
        "GPTNeoXConfig",
        NEOX | {"use_parallel_residual": False, "rotary_pct": 1.0, "hidden_act": "gelu_new"},
    ),
    "gpt2": ("GPT2Config", GPT2),
    "gpt2 untied": ("GPT2Config", GPT2 | {"tie_word_embeddings": False, "n_inner": 40}),
}
LENGTHS = (24, 17, 5)
NEW = 32

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module", params=MODELS, ids=lambda name: name.replace(" ", "-"))
def theirs(request, tmp_path_factory):
    """A random model of `transformers` in float32, and the folder it was saved to."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    kind, fields = MODELS[request.param]
    config = getattr(transformers, kind)(**fields, attn_implementation="eager")
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval().float()
    with torch.no_grad():
        for name, weight in model.named_parameters():  # also what starts at zero or one
            scale = 0.3 if weight.ndim > 1 else 0.2
            weight.copy_((1.0 if "norm" in name or "ln_" in name else 0.0) * (weight.ndim == 1)
                         + scale * torch.randn_like(weight))  # fmt: skip
    folder = tmp_path_factory.mktemp("theirs")
    model.save_pretrained(folder, max_shard_size="20KB")
    return model, folder


@pytest.fixture(scope="module")
def ours(theirs):
    _, folder = theirs
    config = pretrained.read_config(folder)
    return Transformer(config), pretrained.read_params(folder)


@pytest.fixture(scope="module")
def prompts():
    rng = np.random.default_rng(0)
    return [rng.integers(3, 96, length).tolist() for length in LENGTHS]


def their_logits(model, prompts):
    torch = pytest.importorskip("torch")
    with torch.no_grad():
        return [model(torch.tensor([prompt])).logits[0].numpy() for prompt in prompts]


def our_logits(model, params, prompts):
    width = max(map(len, prompts))
    tokens = jnp.asarray([[*prompt, *[0] * (width - len(prompt))] for prompt in prompts])
    logits = jax.jit(model.apply)({"params": params}, tokens)
    return [np.asarray(row)[: len(p)] for row, p in zip(logits, prompts, strict=True)]


def test_logits_are_theirs(theirs, ours, prompts):
    expected = their_logits(theirs[0], prompts)
    for row, right in zip(our_logits(*ours, prompts), expected, strict=True):
        assert np.abs(right).max() > 1, "a model whose logits say nothing tests nothing"
        np.testing.assert_allclose(row, right, atol=1e-4)


class Never:
    """A tokeniser that has no end token."""

    vocab_size, bos_id, eos_id, pad_id = 96, 96, 96, 0


def test_the_greedy_continuation_is_theirs(theirs, ours, prompts):
    torch = pytest.importorskip("torch")
    model, params = ours
    settings = SamplingSettings(samples=1, temperature=0.0, max_new_tokens=NEW)
    streams = np.arange(len(prompts), dtype=np.uint32)
    found = sample(model, params, Prompts(prompts, streams), settings, jax.random.key(0), Never())
    for n, prompt in enumerate(prompts):
        tokens = list(prompt)
        for _ in range(NEW):
            with torch.no_grad():
                tokens.append(int(theirs[0](torch.tensor([tokens])).logits[0, -1].argmax()))
        assert found.tokens[n, 0].tolist() == tokens[len(prompt) :]


@pytest.mark.parametrize("shard_bytes", [10**9, 20_000], ids=["one file", "shards"])
def test_they_load_what_we_export(theirs, ours, prompts, tmp_path, shard_bytes):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    model, params = ours
    pretrained.export(tmp_path, model.config, params, shard_bytes=shard_bytes)
    assert (tmp_path / "model.safetensors").exists() == (shard_bytes == 10**9)
    again, found = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, attn_implementation="eager", output_loading_info=True, dtype=torch.float32
    )
    assert not found["missing_keys"] and not found["unexpected_keys"]
    assert type(again) is type(theirs[0])
    for p, q in zip(their_logits(theirs[0], prompts), their_logits(again, prompts), strict=True):
        p, q = (jax.nn.log_softmax(jnp.asarray(x, jnp.float32)) for x in (p, q))
        assert float(jnp.sum(jnp.exp(p) * (p - q), axis=-1).max()) < 1e-6


def test_what_we_export_comes_back(ours, tmp_path):
    model, params = ours
    pretrained.export(tmp_path, model.config, params)
    assert json.loads((tmp_path / "config.json").read_text())["vocab_size"] == 96
    assert pretrained.read_config(tmp_path) == model.config
    assert jax.tree.all(jax.tree.map(jnp.array_equal, pretrained.read_params(tmp_path), params))
