import gc
import re
import shutil

import chex
import jax
import numpy as np
import pytest
from jax.sharding import SingleDeviceSharding

from qdcjax.models.config import TransformerConfig
from qdcjax.models.transformer import Transformer
from qdcjax.training import sharding
from qdcjax.training.checkpoints import KEPT, load_params, open_checkpointer, save_params

MODEL = Transformer(
    TransformerConfig(
        vocab_size=64, layers=2, width=32, heads=4, kv_heads=2, head_width=8, mlp_width=64
    )
)


@pytest.fixture(scope="module")
def params(random_params):
    return random_params(MODEL)


@pytest.fixture(scope="module")
def shardings(devices):
    mesh = sharding.make_mesh(sharding.MeshConfig(2, 2, 2), devices)
    return sharding.param_shardings(MODEL, mesh)


@pytest.fixture(scope="module")
def from_eight(params, shardings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("eight") / "params"
    save_params(folder, jax.device_put(jax.device_get(params), shardings))
    return folder


def test_saved_on_eight_devices_read_on_one(from_eight, params):
    loaded = load_params(from_eight)
    chex.assert_trees_all_equal(jax.device_get(loaded), jax.device_get(params))
    alone = SingleDeviceSharding(jax.devices()[0])
    assert all(leaf.sharding == alone for leaf in jax.tree.leaves(loaded))


def test_saved_on_one_device_read_on_eight(tmp_path, params, shardings):
    save_params(tmp_path / "params", params)
    loaded = load_params(tmp_path / "params", shardings)
    chex.assert_trees_all_equal(jax.device_get(loaded), jax.device_get(params))
    kernel = loaded["layers"]["mlp"]["up"]["kernel"]
    assert kernel.sharding == shardings["layers"]["mlp"]["up"]["kernel"]
    assert kernel.addressable_shards[0].data.shape == (2, 16, 32)


def damage(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def files_of(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def assert_names_the_folder(error, folder):
    message = str(error)
    assert "\n" not in message and len(message) < 400 + len(str(folder))
    assert re.match(f"checkpoint {re.escape(str(folder))} cannot be read", message)


# Orbax leaves its reads of the other arrays unfinished, and each is reported when collected.
@pytest.mark.filterwarnings("ignore")
def test_a_file_cut_in_half_is_an_error_or_does_not_matter(from_eight, params, tmp_path):
    refused = 0
    for number, name in enumerate(files_of(from_eight)):
        folder = tmp_path / str(number)
        shutil.copytree(from_eight, folder)
        damage(folder / name)
        try:
            loaded = load_params(folder)
        except ValueError as error:
            assert_names_the_folder(error, folder)
            refused += 1
        else:
            chex.assert_trees_all_equal(jax.device_get(loaded), jax.device_get(params))
    gc.collect()
    assert refused >= 2


def test_every_file_of_data_is_needed(from_eight, tmp_path):
    data = [name for name in files_of(from_eight) if "d" in name.parts]
    largest = max(data, key=lambda name: (from_eight / name).stat().st_size)
    folder = tmp_path / "copy"
    shutil.copytree(from_eight, folder)
    (folder / largest).unlink()
    with pytest.raises(ValueError) as caught:
        load_params(folder)
    assert_names_the_folder(caught.value, folder)


@pytest.mark.parametrize("kind", ["missing", "empty", "foreign"])
def test_what_is_no_checkpoint_is_named_in_one_line(tmp_path, kind):
    folder = tmp_path / "params"
    if kind != "missing":
        folder.mkdir()
    if kind == "foreign":
        (folder / "weights.bin").write_bytes(b"1234")
    with pytest.raises(ValueError) as caught:
        load_params(folder)
    assert_names_the_folder(caught.value, folder)


def test_a_checkpointer_keeps_the_last_ones_and_clears_half_saves(tmp_path):
    folder = tmp_path / "run"
    with open_checkpointer(folder, every=2) as saver:
        for step in range(1, 10):
            saver.save_pytree_async(step, {"w": np.full(3, step)})
    kept = sorted(int(path.name) for path in folder.iterdir())
    assert kept == [8 - 2 * n for n in reversed(range(KEPT))]
    half = folder / "10.orbax-checkpoint-tmp"
    shutil.copytree(folder / "8", half)
    with open_checkpointer(folder, every=2) as saver:
        assert saver.latest.step == 8
        restored = saver.load_pytree(saver.latest, {"w": np.zeros(3, int)})
    assert restored["w"].tolist() == [8, 8, 8]
    assert not half.exists()
