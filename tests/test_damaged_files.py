"""Damage to the files of a stored model or a resume point is told in one line, or harmless."""

import json
import os
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
import runs

import qdcjax
from qdcjax.training.checkpoints import open_checkpointer
from qdcjax.training.store import StoredModel, load_model, save_model

pytestmark = pytest.mark.slow


def test_load_names_the_models_that_are_there():
    with pytest.raises(FileNotFoundError, match=r"no model 'teacher' .*: orm-0, orm-1, .*student"):
        qdcjax.load(runs.finished("sorm"), model="teacher")


def test_load_from_nowhere(tmp_path):
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(FileNotFoundError, match=f"no model 'student' in {path}.* none"):
            qdcjax.load(path)


@pytest.fixture
def stored(tmp_path, policy) -> Path:
    save_model(tmp_path / "model", StoredModel(policy.model, policy.params, policy.tokenizer))
    return tmp_path / "model"


@pytest.mark.parametrize("left", [0.0, 0.5, None], ids=["empty", "cut", "deleted"])
def test_damage_to_any_file_of_a_stored_model_is_told_or_harmless(tmp_path, stored, left, policy):
    """Whatever file is damaged: a clear error, or the very parameters that were saved."""
    files = [p.relative_to(stored) for p in sorted(stored.rglob("*")) if p.is_file()]
    assert len(files) > 6
    for number, name in enumerate(files):
        copy = tmp_path / str(number)
        shutil.copytree(stored, copy)
        damage(copy / name, left)
        if name.name == "model.json" and left is None:
            with pytest.raises(FileNotFoundError, match=r"model\.json is missing"):
                load_model(copy)
        elif left is not None and not (stored / name).stat().st_size:
            assert_equal(load_model(copy).params, policy.params)
        else:
            with pytest.raises(ValueError, match=str(copy)) as told:
                load_model(copy)
            assert "\n" not in str(told.value)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # both from Orbax's other reads
@pytest.mark.parametrize("left", [0.0, 0.5], ids=["empty", "cut"])
def test_damage_to_any_file_of_a_resume_point_is_told_or_harmless(tmp_path, left):
    state = {"step": jnp.asarray(4), "params": {"kernel": jnp.arange(40_000.0).reshape(200, 200)}}
    with open_checkpointer(tmp_path / "whole", 1) as saver:
        saver.save_pytree(4, state)
    files = [p for p in sorted((tmp_path / "whole").rglob("*")) if p.is_file()]
    told = []
    for number, file in enumerate(files):
        copy = tmp_path / str(number)
        shutil.copytree(tmp_path / "whole", copy)
        damage(copy / file.relative_to(tmp_path / "whole"), left)
        with open_checkpointer(copy, 1) as saver:
            try:
                found = saver.load_pytree(saver.latest, state)
            except ValueError as error:
                told.append(str(error))
                assert str(copy / "4") in str(error) and "\n" not in str(error)
            else:
                assert_equal(found, state)
    assert len(told) >= 2


def damage(file: Path, left: float | None) -> None:
    """Cuts a file down to a share of its size; deletes it where `left` is None."""
    if left is None:
        file.unlink()
    else:
        os.truncate(file, int(file.stat().st_size * left))


def assert_equal(ours, theirs) -> None:
    assert jax.tree.all(jax.tree.map(jnp.array_equal, ours, theirs))


def test_models_saved_without_marks_still_load(stored, policy):
    """Runs of before the marks were written."""
    shape = json.loads((stored / "model.json").read_text())
    del shape["files"]
    (stored / "model.json").write_text(json.dumps(shape))
    assert_equal(load_model(stored).params, policy.params)
