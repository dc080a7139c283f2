"""Students that learn together: who shares a program, who shares a student."""

import jax
import numpy as np
import pytest

from configs import qdc_dials as config_of
from qdcjax.experiments.running import from_config
from qdcjax.experiments.stages.member_students import learn_students
from qdcjax.models.config import TransformerConfig
from qdcjax.models.transformer import Transformer, init_params
from qdcjax.reporting.metrics import METRICS_FILE, logged_parts, read_metrics
from qdcjax.training.fit import fit
from qdcjax.training.losses import language_model_loss
from qdcjax.training.sharding import MeshConfig, make_mesh
from qdcjax.training.store import load_model
from qdcjax.workdir import Workdir

MESH = make_mesh(MeshConfig(1), jax.devices()[:1])
SHAPE = {"layers": 1, "width": 16, "heads": 1, "kv_heads": 1, "head_width": 16, "mlp_width": 16}
MODEL = Transformer(TransformerConfig(vocab_size=340, **SHAPE))
FIELDS = config_of.get_config("smoke").to_dict() | {"members_at_once": 2}
FIELDS["students"] |= {"steps": 2, "log_every": 1, "checkpoint_every": 2, "pack": 64}
SETTINGS = from_config.training(FIELDS, "students", MESH)


def examples_of(member):
    """`again` is `long` once more; of `short` the ends are not learned."""
    learned = np.arange(40) < (16 if member[0] == "short" else 40)
    rows = np.random.default_rng(0).integers(0, 64, (6, 40)).astype(np.int32)
    return [{"tokens": row, "mask": learned.astype(np.float32)} for row in rows]


def learn(workdir, members, tokenizer):
    return learn_students(
        FIELDS, workdir, "students", [], [], members, examples_of, MODEL, tokenizer, SETTINGS, MESH
    )


def leaves(folder):
    return jax.tree.leaves(load_model(folder, MESH).params)


@pytest.fixture(scope="module")
def run(tmp_path_factory, tokenizer):
    workdir = Workdir(tmp_path_factory.mktemp("run"), FIELDS)
    members = [("short", 0), ("long", 0), ("again", 0), ("long", 1)]
    return workdir, learn(workdir, members, tokenizer)


def test_those_that_would_learn_the_same_share_a_student(run):
    workdir, students = run
    long, again, other = (leaves(students[of]) for of in (("long", 0), ("again", 0), ("long", 1)))
    for a, b in zip(long, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(long, other, strict=True)), "a seed of its own"
    records = read_metrics(workdir.path / METRICS_FILE, "students/rows-of-40")
    learned = 40 * SETTINGS.batch_size  # a row has one example
    assert [record["elements"] for record in records] == [2 * learned] * 2, "two students learn"


def test_shorter_rows_have_a_program_of_their_own_and_teach_the_same(run, tmp_path):
    workdir, students = run
    parts = logged_parts(workdir.path / METRICS_FILE, "students")
    assert parts == ["students/rows-of-40", "students/rows-of-16"]
    for member in (("short", 0), ("long", 1)):
        start = init_params(MODEL, jax.random.key(member[1]))
        alone = fit(
            MODEL, start, language_model_loss, examples_of(member), SETTINGS, seed=member[1],
            mesh=MESH, workdir=tmp_path / member[0], name="alone",
        )  # fmt: skip
        for a, b in zip(leaves(students[member]), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_what_a_stage_logged_goes_with_it(run, tokenizer):
    workdir, _ = run
    again = Workdir(workdir.path, FIELDS, redo="students")
    learn(again, [("short", 0)], tokenizer)
    assert logged_parts(workdir.path / METRICS_FILE, "students") == ["students/rows-of-16"]
