"""What models of a study begin as."""

import jax
import numpy as np
import pytest

from qdcjax.experiments.stages import fine_tuning
from qdcjax.models.config import TransformerConfig
from qdcjax.models.transformer import Transformer, init_params
from qdcjax.training.sharding import MeshConfig, make_mesh
from qdcjax.training.store import StoredModel, save_model
from qdcjax.workdir import StageChangedError, Workdir

SHAPE = {"layers": 1, "width": 16, "heads": 1, "kv_heads": 1, "head_width": 16, "mlp_width": 16}
MESH = make_mesh(MeshConfig(1), jax.devices()[:1])


def config_of(pretrained: str | None) -> dict:
    policy = SHAPE | {"pretrained": pretrained, "lora": {"rank": 0}, "max_length": 64}
    return {"study": "x", "policy": policy}


def save(folder, tokenizer, seed):
    model = Transformer(TransformerConfig(vocab_size=tokenizer.vocab_size, **SHAPE))
    save_model(folder, StoredModel(model, init_params(model, jax.random.key(seed)), tokenizer))


def leaves(policy):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(policy.params)]


def alike(one, other):
    return all((a == b).all() for a, b in zip(leaves(one), leaves(other), strict=True))


def test_models_begin_as_the_pretrained_one_whatever_their_seed(tmp_path, tokenizer):
    save(tmp_path / "base", tokenizer, 7)
    config = config_of(str(tmp_path / "base"))
    workdir = Workdir(tmp_path / "run", config)
    start = fine_tuning.start_of(config, workdir, MESH, lambda: pytest.fail("it has its own"))
    assert start.stage == "pretrained" and start.place == tmp_path / "base"
    assert start.model.config.width == 16
    assert start.tokenizer.encode("Tom has 3 pens.") == tokenizer.encode("Tom has 3 pens.")
    first, second = (start.policy(config, seed, MESH) for seed in (0, 1))
    assert alike(first, second)
    expected = init_params(start.model, jax.random.key(7))
    assert alike(first, StoredModel(start.model, expected, tokenizer))

    save(tmp_path / "base", tokenizer, 8)
    (tmp_path / "base" / "note.json").write_text("{}")
    with pytest.raises(StageChangedError, match="base has been made anew"):
        fine_tuning.start_of(config, workdir, MESH, lambda: tokenizer)


def test_without_one_they_begin_from_nothing_each_with_its_seed(tmp_path, tokenizer):
    config = config_of(None)
    start = fine_tuning.start_of(config, Workdir(tmp_path, config), MESH, lambda: tokenizer)
    assert (start.stage, start.place, start.tokenizer) == ("tokenizer", None, tokenizer)
    assert start.model.config.max_length == 64
    policies = [start.policy(config, seed, MESH) for seed in (0, 0, 1)]
    assert alike(*policies[:2]) and not alike(*policies[1:])
