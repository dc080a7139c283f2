import dataclasses

import chex
import jax
import numpy as np
import pytest

from qdcjax.models import lora
from qdcjax.models.config import Lora, TransformerConfig
from qdcjax.models.transformer import Transformer
from qdcjax.reporting.metrics import read_metrics
from qdcjax.training import fit as fit_module
from qdcjax.training import losses, sharding
from qdcjax.training.fit import TrainSettings, fit
from qdcjax.training.losses import language_model_loss
from qdcjax.training.optimizer import OptimizerConfig

MODEL = Transformer(
    TransformerConfig(
        vocab_size=64, layers=1, width=32, heads=4, kv_heads=2, head_width=8, mlp_width=64
    )
)
SETTINGS = TrainSettings(
    steps=10,
    batch_size=4,
    optimizer=OptimizerConfig(1e-2),
    log_every=5,
    checkpoint_every=4,
)


@pytest.fixture(scope="module")
def start(random_params):
    return random_params(MODEL)


@pytest.fixture(scope="module")
def examples():
    """Counting sequences: each token is the one before plus one; a third are twice as long."""
    rng = np.random.default_rng(0)
    lengths = [*rng.integers(5, 33, 16), *rng.integers(40, 60, 8)]
    rows = [(np.arange(n) + rng.integers(64)) % 64 for n in lengths]
    return [
        {"tokens": row.astype(np.int32), "mask": (np.arange(len(row)) > 0).astype(np.float32)}
        for row in rows
    ]


@pytest.fixture(scope="module")
def run(devices, start, examples):
    mesh = sharding.make_mesh(sharding.MeshConfig(2, 1, 1), devices[:2])

    def run(workdir, settings=SETTINGS, model=MODEL, params=start, **options):
        params = jax.tree.map(lambda x: x.copy(), params)
        options = {"seed": 5, "mesh": mesh, "workdir": workdir, "name": "student", **options}
        return fit(model, params, language_model_loss, examples, settings, **options)

    return run


def test_a_killed_fit_ends_as_the_unbroken_one_and_compiles_once_a_bucket(
    run, tmp_path, monkeypatch, count_calls
):
    calls = count_calls(monkeypatch, losses.optax, "softmax_cross_entropy_with_integer_labels")
    whole = jax.device_get(run(tmp_path / "whole"))
    assert calls.total() == SETTINGS.buckets == 2
    records = read_metrics(tmp_path / "whole/metrics.jsonl", "student")
    assert [record["step"] for record in records] == [5, 10]
    assert records[1]["loss"] < records[0]["loss"] - 0.1

    make_batches = fit_module.make_batches

    def cut_short(*args, **kwargs):
        batches = make_batches(*args, **kwargs)

        class Cut:
            def __getitem__(self, step):
                if step == 6:
                    raise KeyboardInterrupt
                return batches[step]

        return Cut()

    monkeypatch.setattr(fit_module, "make_batches", cut_short)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed")
    monkeypatch.undo()
    chex.assert_trees_all_equal(jax.device_get(run(tmp_path / "killed")), whole)


def test_a_batch_that_does_not_divide_is_named_in_one_line(run, tmp_path):
    with pytest.raises(ValueError, match=r"batch_size=4 must be a multiple of .* = 6"):
        run(tmp_path, TrainSettings(1, 4, OptimizerConfig(1e-2), microbatches=3))


def test_only_an_adapter_is_trained_on_any_mesh(run, start, devices, tmp_path):
    model, params = lora.attach(MODEL, start, Lora(2), jax.random.key(0))
    mesh = sharding.make_mesh(sharding.MeshConfig(2, 2, 2), devices)
    settings = dataclasses.replace(SETTINGS, steps=3, buckets=1)
    whole = jax.device_get(run(tmp_path / "two", settings, model, params))
    trained = jax.device_get(run(tmp_path / "eight", settings, model, params, mesh=mesh))
    same = jax.tree.map(np.array_equal, trained, jax.device_get(params))
    assert jax.tree.all(jax.tree.map(lambda moved, s: moved != s, lora.trainable(params), same))
    chex.assert_trees_all_close(trained, whole, atol=1e-5)


def test_scanned_packed_and_chunked_on_eight_devices_as_on_one(
    run, random_params, devices, tmp_path
):
    """Six layers in one loop, computed again in the backward pass, logits by eights, rows of 64."""
    model = Transformer(
        dataclasses.replace(MODEL.config, layers=6, remat="full", logit_chunk=8, width=16)
    )
    settings = TrainSettings(3, 8, OptimizerConfig(1e-2, eps=1e-2), pack=64, log_every=1)
    found = {}
    for name, shape in {"one": (1, 1, 1), "eight": (2, 2, 2)}.items():
        mesh = sharding.make_mesh(sharding.MeshConfig(*shape), devices[: np.prod(shape)])
        params = random_params(model)
        found[name] = jax.device_get(run(tmp_path / name, settings, model, params, mesh=mesh))
        records = read_metrics(tmp_path / name / "metrics.jsonl", "student")
        found[name, "losses"] = [record["loss"] for record in records]
    np.testing.assert_allclose(found["eight", "losses"], found["one", "losses"], atol=1e-5)
    chex.assert_trees_all_close(found["eight"], found["one"], atol=1e-5)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), found["one"], random_params(model))
    assert min(jax.tree.leaves(moved)) > 1e-4
