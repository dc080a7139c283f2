import dataclasses
import json

import chex
import jax
import numpy as np
import pytest

from qdcjax.data.tokenizers import load_tokenizer
from qdcjax.loading import Loaded
from qdcjax.models.transformer import Transformer
from qdcjax.training.sharding import MeshConfig, init_on_mesh, make_mesh
from qdcjax.training.store import SHAPE_FILE, StoredModel, load_model, save_model


def test_a_stored_model_comes_back_whole(policy, tmp_path):
    save_model(tmp_path, StoredModel(policy.model, policy.params, policy.tokenizer))
    stored = load_model(tmp_path)
    assert stored.model.config == policy.model.config
    chex.assert_trees_all_equal(jax.device_get(stored.params), jax.device_get(policy.params))
    text = "Ann has <<12*3=36>>36 eggs.\n#### 36"
    assert stored.tokenizer.encode(text) == policy.tokenizer.encode(text)


def test_no_model_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}: {SHAPE_FILE} is missing"):
        load_model(tmp_path)


@pytest.mark.parametrize(("vocab_size", "written"), [(100, 100), (400, 340), (340, 400)])
def test_a_tokenizer_of_another_model_is_refused(
    tokenizer, policy, random_params, tmp_path, vocab_size, written
):
    """Too few rows for the tokeniser; a shape file that says more or fewer rows than there are."""
    config = dataclasses.replace(policy.model.config, vocab_size=vocab_size, layers=1)
    params = random_params(Transformer(config))
    save_model(tmp_path, StoredModel(Transformer(config), params, tokenizer))
    shape = json.loads((tmp_path / SHAPE_FILE).read_text())
    (tmp_path / SHAPE_FILE).write_text(json.dumps({**shape, "vocab_size": written}))
    with pytest.raises(ValueError, match="do not match") as caught:
        load_model(tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert f"{tokenizer.vocab_size} tokens, {vocab_size} embedding rows" in message
    assert f"vocab_size={written}" in message


def test_a_model_that_was_cut_in_writing_is_no_model(policy, tmp_path):
    save_model(tmp_path, StoredModel(policy.model, policy.params, policy.tokenizer))
    (tmp_path / SHAPE_FILE).unlink()  # it is written last
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path)


MARK = "[BAD]"


@pytest.mark.parametrize("tied", [True, False])
def test_one_more_token_begins_as_the_mean_of_the_others(
    tokenizer, policy, random_params, tmp_path, tied
):
    config = dataclasses.replace(
        policy.model.config, vocab_size=tokenizer.vocab_size, layers=1, tied=tied
    )
    old = StoredModel(Transformer(config), random_params(Transformer(config)), tokenizer)
    new = old.with_token(MARK)
    known = tokenizer.vocab_size
    assert new.tokenizer.vocab_size == new.model.config.vocab_size == known + 1
    assert new.tokenizer.encode(f"so {MARK} 3")[-3:].count(known) == 1
    rows = new.params["embed"]["embedding"]
    np.testing.assert_allclose(rows[known], np.mean(rows[:known], 0), atol=1e-6)

    tokens = np.asarray([[tokenizer.bos_id, *tokenizer.encode("Ann has 3 eggs.")]])
    before, after = (m.model.apply({"params": m.params}, tokens) for m in (old, new))
    np.testing.assert_allclose(after[..., :known], before, atol=1e-5)
    np.testing.assert_allclose(after[..., known], before.mean(-1), atol=1e-4)

    save_model(tmp_path, new)
    back = load_model(tmp_path)
    assert back.tokenizer.encode(MARK) == new.tokenizer.encode(MARK)
    assert back.with_token(MARK) is back, "it has the token"


def test_a_spare_row_becomes_the_token_s(tokenizer, policy, random_params):
    spare = tokenizer.vocab_size + 7
    config = dataclasses.replace(policy.model.config, vocab_size=spare, layers=1)
    new = StoredModel(Transformer(config), random_params(Transformer(config)), tokenizer)
    new = new.with_token(MARK)
    assert new.model.config.vocab_size == spare
    rows = np.asarray(new.params["embed"]["embedding"])
    assert len(rows) == spare
    np.testing.assert_allclose(rows[-1], rows[: tokenizer.vocab_size].mean(0), atol=1e-6)


def test_a_mesh_that_cuts_the_vocabulary_gets_rows_that_it_divides(tokenizer, policy):
    mesh = make_mesh(MeshConfig(data=-1, tensor=2))
    known = tokenizer.vocab_size - tokenizer.vocab_size % 2
    config = dataclasses.replace(policy.model.config, vocab_size=known + 2, layers=1)
    params = init_on_mesh(Transformer(config), jax.random.key(0), mesh)
    old = StoredModel(Transformer(config), params, tokenizer)
    for number in range(3):
        old = old.with_token(f"[{number}]")
    assert old.model.config.vocab_size % 2 == 0
    assert old.model.config.vocab_size - old.tokenizer.vocab_size in (0, 1)
    assert old.params["embed"]["embedding"].sharding.spec[0] == "tensor"


@pytest.mark.parity
@pytest.mark.parametrize("tied", [True, False])
def test_transformers_reads_the_grown_embedding(tokenizer, policy, random_params, tmp_path, tied):
    """What a refiner exports: the same logits, the new token's own among them, where it is read."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    config = dataclasses.replace(
        policy.model.config, vocab_size=tokenizer.vocab_size, layers=1, tied=tied
    )
    old = StoredModel(Transformer(config), random_params(Transformer(config)), tokenizer)
    new = old.with_token(MARK)
    Loaded(new.model, new.params, new.tokenizer, new.model.config, tmp_path).export(tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert theirs.config.vocab_size == tokenizer.vocab_size + 1
    assert theirs.config.tie_word_embeddings == tied
    text = load_tokenizer(tmp_path).encode(f"Ann has {MARK} 3 eggs.")
    assert text.count(tokenizer.vocab_size) == 1
    tokens = np.asarray([[tokenizer.bos_id, *text]])
    with torch.no_grad():
        found = theirs(torch.tensor(tokens)).logits.numpy()
    np.testing.assert_allclose(found, new.model.apply({"params": new.params}, tokens), atol=2e-4)
