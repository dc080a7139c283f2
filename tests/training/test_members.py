"""Many trainings in one program: each member is the same training alone."""

import dataclasses
import functools
import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qdcjax.data.batches import make_batches
from qdcjax.data.packing import pack
from qdcjax.models.config import TransformerConfig
from qdcjax.models.transformer import Transformer, init_params
from qdcjax.reporting.metrics import read_metrics
from qdcjax.training import members as members_module
from qdcjax.training.fit import TrainSettings, fit
from qdcjax.training.loop import NonFiniteUpdateError
from qdcjax.training.losses import language_model_loss
from qdcjax.training.members import (
    HeldOut,
    SubsetBatches,
    fit_members,
    make_program,
    map_members,
    pad_members,
)
from qdcjax.training.optimizer import OptimizerConfig
from qdcjax.training.sharding import MeshConfig, make_mesh

MODEL = Transformer(
    TransformerConfig(
        vocab_size=64, layers=1, width=32, heads=4, kv_heads=2, head_width=8, mlp_width=64
    )
)
INIT = functools.partial(init_params, MODEL)
SETTINGS = TrainSettings(6, 4, OptimizerConfig(1e-2), pack=64, log_every=3, checkpoint_every=2)
SEEDS = (3, 4, 3)


def counting(seed: int) -> list[dict]:
    """Examples in which each token is the one before plus `seed + 1`; two fit into a row."""
    begins = np.random.default_rng(seed).integers(64, size=12)
    rows = [(begin + (seed + 1) * np.arange(32)) % 64 for begin in begins]
    mask = (np.arange(32) > 0).astype(np.float32)
    return [{"tokens": row.astype(np.int32), "mask": mask} for row in rows]


EXAMPLES = [counting(seed) for seed in range(3)]
PARTS = list(zip(EXAMPLES, SEEDS, strict=True))


@pytest.mark.parametrize("at_once", [1, 2, 9])
def test_members_in_one_program_are_those_of_vmap(devices, at_once):
    """The last of five stays alone where two go together, or is made again for the last device."""

    def one(key, scale):
        x = jax.random.normal(key, (3,)) * scale
        return {"w": x}, jnp.cumsum(x)

    scales = np.arange(5, dtype=np.float32)
    keys = jax.vmap(jax.random.key)(np.arange(5))
    expected = jax.vmap(one)(keys, scales)
    for mesh in (None, make_mesh(MeshConfig(2, 2), devices[:4])):
        seeds, padded = pad_members((np.arange(5), scales), mesh)
        assert len(seeds) == (8 if mesh else 5)
        run = jax.jit(map_members(lambda seed, s: one(jax.random.key(seed), s), at_once, mesh))
        found = jax.tree.map(lambda x: x[:5], run(seeds, padded))
        chex.assert_trees_all_close(found, expected, atol=1e-6)


@pytest.fixture(scope="module")
def train():
    def train(workdir, at_once=1, mesh=None):
        batches = [make_batches(pack(of, SETTINGS.pack), 4, seed) for of, seed in PARTS]
        return fit_members(
            make_program(
                functools.partial(init_params, MODEL), language_model_loss(MODEL), SETTINGS
            ),
            members_module.MemberBatches(batches),
            SETTINGS,
            seeds=SEEDS,
            at_once=at_once,
            mesh=mesh or make_mesh(MeshConfig(1), jax.devices()[:1]),
            workdir=workdir,
            name="members",
        )

    return train


def test_each_member_is_the_same_training_alone(train, devices, tmp_path):
    alone = [
        fit(
            MODEL,
            init_params(MODEL, jax.random.key(seed)),
            language_model_loss,
            examples,
            SETTINGS,
            seed=seed,
            mesh=make_mesh(MeshConfig(1), jax.devices()[:1]),
            workdir=tmp_path / f"alone-{number}",
            name="student",
        )
        for number, (seed, examples) in enumerate(zip(SEEDS, EXAMPLES, strict=True))
    ]
    alone = jax.device_get(alone)
    found = {
        "in turn": train(tmp_path / "in-turn"),
        "under vmap": train(tmp_path / "vmap", at_once=3),
        "on two devices": train(tmp_path / "two", 2, make_mesh(MeshConfig(2), devices[:2])),
    }
    for how, members in found.items():
        assert len(members) == 3, how
        chex.assert_trees_all_close(members, alone, atol=1e-4)
    differ = jax.tree.map(lambda a, b: np.abs(a - b).max(), alone[0], alone[2])
    assert max(jax.tree.leaves(differ)) > 1e-2, "one seed, other data"
    records = [
        read_metrics(tmp_path / f"alone-{number}" / "metrics.jsonl", "student")
        for number in range(3)
    ]
    together = read_metrics(tmp_path / "in-turn" / "metrics.jsonl", "members")
    assert [record["step"] for record in together] == [3, 6]
    for at, record in enumerate(together):
        mean = np.mean([own[at]["loss"] for own in records])
        assert record["loss"] == pytest.approx(mean, abs=1e-4)


def test_killed_members_end_as_the_unbroken_ones(train, tmp_path, monkeypatch):
    whole = train(tmp_path / "whole")

    class Cut(members_module.MemberBatches):
        def __getitem__(self, step):
            if step == 4:
                raise KeyboardInterrupt
            return super().__getitem__(step)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(members_module, "MemberBatches", Cut)
        train(tmp_path / "killed")
    chex.assert_trees_all_equal(train(tmp_path / "killed"), whole)


def test_members_are_evaluated_on_their_own_data(devices, tmp_path):
    """The last evaluation is that of the parameters which the training gives."""
    data = {name: np.stack([rows[0][name] for rows in map(pack_all, EXAMPLES)]) for name in FIELDS}
    batches = SubsetBatches(
        {name: np.stack([row[name] for row in pack_all(EXAMPLES[0])]) for name in FIELDS},
        [(0, 2), (0, 6), (3, 6)],
        batch_size=4,
        seeds=SEEDS,
    )
    loss = language_model_loss(MODEL)

    def metric(params, row):
        batch = {name: x[None] for name, x in row.items()}
        weights = batch["mask"] / batch["mask"].sum()
        return loss(params, {**batch, "weights": weights}, jax.random.key(0))[0]

    params = fit_members(
        make_program(INIT, loss, SETTINGS),
        batches,
        dataclasses.replace(SETTINGS, evaluate_every=2),
        seeds=SEEDS,
        at_once=2,
        mesh=make_mesh(MeshConfig(2), devices[:2]),
        workdir=tmp_path,
        name="members",
        held_out=HeldOut("validation_loss", metric, data),
    )
    records = read_metrics(tmp_path / "metrics.jsonl", "members")
    evaluated = [record for record in records if "validation_loss/0" in record]
    assert [record["step"] for record in evaluated] == [2, 4, 6]
    for m in range(3):
        expected = jax.jit(metric)(params[m], {name: x[m] for name, x in data.items()})
        assert evaluated[-1][f"validation_loss/{m}"] == pytest.approx(float(expected), rel=1e-5)
    assert "validation_loss/3" not in evaluated[0], "the copy for the second device"


def test_members_begin_where_they_are_told(devices, tmp_path):
    def loss_fn(params, batch, key):
        return jnp.sum(batch["weights"]) * params["w"] ** 2, {}

    settings = TrainSettings(1, 4, OptimizerConfig(0.1, warmup=0.0))
    one = make_program(lambda key: {"w": jnp.zeros(())}, loss_fn, settings, lambda p, b: {"w": b})
    found = fit_members(
        one,
        members_module.MemberBatches([[{"mask": np.ones(4, np.float32)}]] * 3),
        settings,
        seeds=SEEDS,
        at_once=2,
        mesh=make_mesh(MeshConfig(2), devices[:2]),
        workdir=tmp_path,
        name="members",
        begin=np.asarray([1.0, -2.0, 3.0], np.float32),
    )
    np.testing.assert_allclose([params["w"] for params in found], [0.9, -1.9, 2.9], atol=1e-6)


def test_an_update_that_is_not_finite_tells_the_rows_of_all_members(tmp_path):
    def loss_fn(params, batch, key):
        return jnp.sum(batch["weights"]) * params["w"] ** 2, {}

    settings = TrainSettings(1, 2, OptimizerConfig(0.1))
    one = make_program(lambda key: {"w": jnp.zeros(())}, loss_fn, settings, lambda p, b: {"w": b})
    data = {"mask": np.ones(6, np.float32)}
    with pytest.raises(NonFiniteUpdateError, match="stage members, step 0: loss nan"):
        fit_members(
            one,
            SubsetBatches(data, [(0, 2), (4, 6)], batch_size=2, seeds=(0, 1)),
            settings,
            seeds=(0, 1),
            at_once=1,
            mesh=make_mesh(MeshConfig(1), jax.devices()[:1]),
            workdir=tmp_path,
            name="members",
            begin=np.asarray([1.0, np.nan], np.float32),
        )
    assert json.loads((tmp_path / "nonfinite.json").read_text())["ids"] == [0, 1, 4, 5]


def test_random_numbers_of_a_step_are_of_the_member_s_seed(devices, tmp_path):
    """As `fit` would have it: the key of a run is that of its seed, at the start and at a step."""

    def loss_fn(params, batch, key):
        noise = jax.random.normal(key, batch["weights"].shape)
        return jnp.sum(batch["weights"] * (noise - params["w"]) ** 2), {}

    settings = TrainSettings(3, 4, OptimizerConfig(0.1))
    one = make_program(lambda key: {"w": jax.random.normal(key)}, loss_fn, settings)
    batch = {"mask": np.ones(4, np.float32)}
    found = fit_members(
        one,
        members_module.MemberBatches([[batch] * 3] * 3),
        settings,
        seeds=SEEDS,
        at_once=2,
        mesh=make_mesh(MeshConfig(2), devices[:2]),
        workdir=tmp_path,
        name="members",
    )
    for seed, params in zip(SEEDS, found, strict=True):
        state = one.start(jax.random.key(seed), None)
        for _ in range(3):
            state, _ = jax.jit(one.update)(state, batch, jax.random.key(seed))
        assert float(params["w"]) == pytest.approx(float(state.params["w"]), abs=1e-6)


FIELDS = ("tokens", "mask", "segment_ids", "positions")


def pack_all(examples: list[dict]) -> list[dict]:
    return pack(examples, SETTINGS.pack)


def test_rows_of_a_part_come_once_an_epoch_in_an_order_of_the_seed():
    data = {"x": np.arange(50) * 10}
    batches = SubsetBatches(data, [(0, 6), (20, 50), (20, 50)], 4, seeds=(0, 0, 1))
    steps = [batches[step] for step in range(15)]
    rows = np.stack([step["index"] for step in steps], axis=1)  # [M, steps, B]
    np.testing.assert_array_equal(np.stack([s["x"] for s in steps], axis=1), 10 * rows)
    small, large, other = rows.reshape(3, -1)
    for epoch in small.reshape(10, 6):
        assert sorted(epoch) == list(range(6))
    for epoch in (*large.reshape(2, 30), *other.reshape(2, 30)):
        assert sorted(epoch) == list(range(20, 50))
    orders = {tuple(epoch) for epoch in (*large.reshape(2, 30), *other.reshape(2, 30))}
    assert len(orders) == 4, "each epoch and each seed has an order of its own"
    again = SubsetBatches(data, [(0, 6), (20, 50), (20, 50)], 4, seeds=(0, 0, 1))
    np.testing.assert_array_equal(again[13]["index"], steps[13]["index"])


def test_a_part_without_rows_is_told():
    with pytest.raises(ValueError, match="rows 3 to 3 are no part of the data"):
        SubsetBatches({"x": np.arange(9)}, [(0, 9), (3, 3)], 4, seeds=(0, 1))
