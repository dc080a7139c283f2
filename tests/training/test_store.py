import dataclasses
import json

import chex
import jax
import pytest

from qdcjax.models.transformer import Transformer
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
