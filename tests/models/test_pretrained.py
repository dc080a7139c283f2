"""Safetensors folders without torch: what we export comes back, and bad ones are told."""

import dataclasses
import json
import tracemalloc

import huggingface_hub
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from huggingface_hub.utils import filter_repo_objects

from qdcjax.models import families, pretrained, tensor_table
from qdcjax.models.config import RopeScaling, TransformerConfig
from qdcjax.models.safetensors_files import FILE_NAME, INDEX_NAME
from qdcjax.models.transformer import Transformer
from qdcjax.training.sharding import MeshConfig, make_mesh, param_shardings

TINY = TransformerConfig(
    vocab_size=64,
    layers=2,
    width=32,
    heads=4,
    kv_heads=2,
    head_width=8,
    mlp_width=48,
    tied=False,
    rope_scaling=RopeScaling(8.0, 1.0, 4.0, 32),
)
SHARD = 8_000  # bytes, for several files


@pytest.fixture
def exported(tmp_path, random_params):
    params = random_params(Transformer(TINY))
    pretrained.export(tmp_path, TINY, params, shard_bytes=SHARD)
    return tmp_path, params


def index_of(folder):
    return json.loads((folder / INDEX_NAME).read_text())["weight_map"]


def change_tensor(folder, name, change):
    """`change(tensors of the file that holds the name)`, in place."""
    path = folder / index_of(folder)[name]
    tensors = safetensors.numpy.load_file(path)
    change(tensors)
    safetensors.numpy.save_file(tensors, path)


def test_shards_are_small_and_come_back(exported):
    folder, params = exported
    files = sorted(folder.glob("model-*.safetensors"))
    assert len(files) > 3 and not (folder / FILE_NAME).exists()
    assert all(path.stat().st_size < 2 * SHARD for path in files)
    assert pretrained.read_config(folder) == TINY
    assert jax.tree.all(jax.tree.map(jnp.array_equal, pretrained.read_params(folder), params))


def test_half_precision_is_read_as_float32(exported):
    folder, params = exported
    name = "model.layers.1.mlp.up_proj.weight"
    change_tensor(folder, name, lambda t: t.update({name: t[name].astype(ml_dtypes.bfloat16)}))
    read = pretrained.read_params(folder)["layers"]["mlp"]["up"]["kernel"]
    right = params["layers"]["mlp"]["up"]["kernel"]
    assert read.dtype == jnp.float32
    assert jnp.array_equal(read[0], right[0]) and not jnp.array_equal(read[1], right[1])
    np.testing.assert_allclose(read, right, rtol=2**-8)


@pytest.mark.parametrize("shape", [(8, 1, 1), (1, 8, 1), (2, 2, 2)])
def test_tensors_go_straight_into_the_callers_shardings(exported, devices, shape):
    folder, params = exported
    shardings = param_shardings(Transformer(TINY), make_mesh(MeshConfig(*shape)))
    read = pretrained.read_params(folder, shardings)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, read, params))
    same = jax.tree.map(lambda x, s: x.sharding.is_equivalent_to(s, x.ndim), read, shardings)
    assert jax.tree.all(same)


@pytest.mark.parametrize("shape", [None, (2, 2, 2)], ids=["a file, a device", "shards, 8 devices"])
def test_the_host_holds_about_one_tensor(tmp_path, random_params, devices, shape):
    config = TransformerConfig(
        vocab_size=256, layers=16, width=128, heads=4, kv_heads=4, head_width=32, mlp_width=512
    )
    params = random_params(Transformer(config))
    whole = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    pretrained.export(tmp_path, config, params, shard_bytes=whole // 4 if shape else whole)
    assert len(list(tmp_path.glob("*.safetensors"))) == (5 if shape else 1)
    shardings = shape and param_shardings(
        Transformer(config), make_mesh(MeshConfig(*shape), devices)
    )
    pretrained.read_params(tmp_path, shardings)  # compiles
    largest = 4 * 512 * 128
    tracemalloc.start()
    pretrained.read_params(tmp_path, shardings)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert largest < peak < 5 * largest < whole / 6


def test_names_without_the_first_part(tmp_path, random_params):
    """As in the files of GPT-2 on the hub."""
    config = families.read_config(
        {
            "model_type": "gpt2",
            "vocab_size": 50,
            "n_embd": 16,
            "n_layer": 2,
            "n_head": 2,
            "n_positions": 32,
            "layer_norm_epsilon": 1e-5,
            "activation_function": "gelu_new",
            "tie_word_embeddings": True,
        }
    )
    params = random_params(Transformer(config))
    pretrained.export(tmp_path, config, params)
    tensors = safetensors.numpy.load_file(tmp_path / FILE_NAME)
    short = {name.removeprefix("transformer."): x for name, x in tensors.items()}
    short["h.0.attn.bias"] = np.ones((1, 1, 32, 32), np.float32)  # a mask that older files hold
    safetensors.numpy.save_file(short, tmp_path / FILE_NAME)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, pretrained.read_params(tmp_path), params))


HEAD = "lm_head.weight"  # the last one to be read
DOWN = "model.layers.0.mlp.down_proj.weight"
# What is done to the folder → words of the one line.
DAMAGES = {
    "config is gone": (lambda f: (f / "config.json").unlink(), ("config.json is missing",)),
    "config is cut": (lambda f: (f / "config.json").write_text('{"a'), ("config.json", "JSON")),
    "config is a list": (lambda f: (f / "config.json").write_text("[1]"), ("config.json", "JSON")),
    "unknown architecture": (
        lambda f: change_config(f, model_type="mamba"),
        ("model_type='mamba'", "llama", "qwen3"),
    ),
    "no architecture": (lambda f: change_config(f, model_type=None), ("model_type=None", "llama")),
    "a field is missing": (
        lambda f: change_config(f, hidden_size=None),
        ("config.json: hidden_size is missing",),
    ),
    "another activation": (
        lambda f: change_config(f, hidden_act="relu"),
        ("hidden_act='relu'", "'silu'"),
    ),
    "other rotary positions": (
        lambda f: change_config(f, rope_parameters={"rope_type": "yarn"}),
        ("rope_type='yarn'", "llama3"),
    ),
    "another family": (
        lambda f: change_config(
            f, model_type="gpt_neox", layer_norm_eps=1e-5, hidden_act="gelu", rope_parameters=None
        ),
        ("gpt_neox.embed_in.weight", "missing"),
    ),
    "a shape of another model": (
        lambda f: change_config(f, intermediate_size=40),
        ("_proj.weight has shape", "must have (40, 32)"),
    ),
    "no tensors": (
        lambda f: [path.unlink() for path in f.glob("model*")],
        (FILE_NAME, INDEX_NAME),
    ),
    "a shard is gone": (lambda f: (f / index_of(f)[DOWN]).unlink(), ("-of-", "is missing")),
    "a shard is cut": (
        lambda f: (f / index_of(f)[DOWN]).write_bytes(b"\x00" * 20),
        ("-of-", "cannot be read"),
    ),
    "the index is cut": (lambda f: (f / INDEX_NAME).write_text("{"), (INDEX_NAME, "no index")),
    "the index is a list": (
        lambda f: (f / INDEX_NAME).write_text('{"weight_map": ["model-00001-of-00002"]}'),
        (INDEX_NAME, "no index"),
    ),
    "a shard without its tensor": (
        lambda f: change_tensor(f, DOWN, lambda tensors: tensors.pop(DOWN)),
        (INDEX_NAME, DOWN, "does not"),
    ),
    "a tensor of the wrong shape": (
        lambda f: change_tensor(f, DOWN, lambda tensors: tensors.update({DOWN: tensors[DOWN].T})),
        (DOWN, "has shape (48, 32)", "must have (32, 48)"),
    ),
    "a tensor of the wrong shape at the end": (
        lambda f: change_tensor(f, HEAD, lambda tensors: tensors.update({HEAD: tensors[HEAD].T})),
        (HEAD, "has shape (32, 64)", "must have (64, 32)"),
    ),
    "a type that numpy lacks": (
        lambda f: change_tensor(
            f, HEAD, lambda t: t.update({HEAD: t[HEAD].astype(ml_dtypes.float8_e4m3fn)})
        ),
        (HEAD, "F8_E4M3", "F32, F16, BF16"),
    ),
    "whole numbers": (
        lambda f: change_tensor(f, HEAD, lambda t: t.update({HEAD: t[HEAD].astype(np.int8)})),
        (HEAD, "I8", "F32"),
    ),
    "an unknown tensor": (
        lambda f: add_to_index(f, "model.layers.0.mlp.router.weight"),
        ("no place for tensor model.layers.0.mlp.router.weight",),
    ),
}


def change_config(folder, **changes):
    fields = json.loads((folder / "config.json").read_text()) | changes
    kept = {name: value for name, value in fields.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(kept))


def add_to_index(folder, name):
    change_tensor(folder, DOWN, lambda tensors: tensors.update({name: np.zeros(3, np.float32)}))
    index = index_of(folder)
    (folder / INDEX_NAME).write_text(json.dumps({"weight_map": index | {name: index[DOWN]}}))


def too_early(*_):
    pytest.fail("a parameter is made before all tensors are checked")


@pytest.mark.parametrize("name", DAMAGES)
def test_a_bad_folder_is_told_in_one_line(exported, name, monkeypatch):
    folder, _ = exported
    damage, words = DAMAGES[name]
    damage(folder)
    monkeypatch.setattr(tensor_table, "_place", too_early)
    monkeypatch.setattr(tensor_table, "_zeros", too_early)
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        pretrained.read_config(folder)
        pretrained.read_params(folder)
    line = str(caught.value)
    assert "\n" not in line and str(folder) in line
    assert all(word in line for word in words), line


def test_an_export_takes_the_place_of_an_older_one(exported):
    folder, params = exported
    doubled = jax.tree.map(lambda x: 2 * x, params)
    for shard_bytes in (10**9, SHARD, 10**9):
        pretrained.export(folder, TINY, doubled, shard_bytes=shard_bytes)
        assert (folder / FILE_NAME).exists() != (folder / INDEX_NAME).exists()
        found = pretrained.read_params(folder)
        assert jax.tree.all(jax.tree.map(np.array_equal, found, doubled))


def test_the_way_of_computing_is_not_exported(exported):
    """A model in bfloat16, with remat and chunks of logits, is the same model on disk."""
    folder, params = exported
    before = json.loads((folder / "config.json").read_text())
    arithmetic = {"dtype": "bfloat16", "remat": "dots", "logit_chunk": 4}
    pretrained.export(folder, dataclasses.replace(TINY, **arithmetic), params)
    assert json.loads((folder / "config.json").read_text()) == before


def test_what_no_family_has_is_not_exported(tmp_path, random_params):
    for config, word in (
        (TransformerConfig(**{**vars(TINY), "output": "scalar"}), "output"),
        (TransformerConfig(**{**vars(TINY), "bias": "all"}), "bias"),
        (TransformerConfig(**{**vars(TINY), "qk_norm": True, "window": 8}), "window"),
    ):
        with pytest.raises(ValueError, match=word):
            pretrained.export(tmp_path / "out", config, None)
    assert not (tmp_path / "out").exists()


def test_a_hub_id_is_downloaded_once_and_read(exported, monkeypatch):
    """Weights that are there twice, in two formats, come once."""
    folder, params = exported
    hub = {
        *("config.json", "tokenizer.json", "tokenizer.model", "model.safetensors"),
        *("model-00001-of-00002.safetensors", "model.safetensors.index.json"),
        *("consolidated.safetensors", "consolidated-00001.safetensors", "original/params.json"),
        *("original/model.safetensors", "pytorch_model.bin", "README.md"),
    }
    asked = {}

    def snapshot_download(name, allow_patterns, ignore_patterns):
        asked[name] = set(
            filter_repo_objects(hub, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns)
        )
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    path = pretrained.find("some-owner/some-model")
    assert list(asked) == ["some-owner/some-model"]
    assert asked["some-owner/some-model"] == {
        *("config.json", "tokenizer.json", "tokenizer.model", "model.safetensors"),
        *("model-00001-of-00002.safetensors", "model.safetensors.index.json"),
    }
    assert pretrained.read_config(path) == TINY
    assert jax.tree.all(jax.tree.map(jnp.array_equal, pretrained.read_params(path), params))


def test_a_name_that_is_nothing(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("runs/none/such", "some-owner/no-such-model"):
        with pytest.raises(FileNotFoundError, match=rf"policy\.pretrained={name}: no folder") as e:
            pretrained.find(name)
        assert "\n" not in str(e.value)
