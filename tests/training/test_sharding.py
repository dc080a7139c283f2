import chex
import jax
import numpy as np
import pytest

from configs import sft
from qdcjax.models.config import TransformerConfig
from qdcjax.models.transformer import Transformer, count_params, init_params, param_shapes
from qdcjax.training import sharding
from qdcjax.training.program import describe

MODEL = Transformer(
    TransformerConfig(
        vocab_size=64, layers=1, width=32, heads=4, kv_heads=2, head_width=8, mlp_width=48
    )
)


@pytest.fixture
def make_mesh(devices):
    return lambda *shape: sharding.make_mesh(sharding.MeshConfig(*shape), devices)


@pytest.mark.parametrize("shape", [(8, 1, 1), (1, 8, 1), (2, 2, 2)])
def test_parameters_are_the_same_numbers_on_any_mesh(make_mesh, shape):
    mesh, key = make_mesh(*shape), jax.random.key(3)
    params = sharding.init_on_mesh(MODEL, key, mesh)
    chex.assert_trees_all_close(params, init_params(MODEL, key), rtol=1e-6, atol=0)
    assert sharding.mesh_of(params) == mesh
    kernel = params["layers"]["mlp"]["up"]["kernel"]
    assert kernel.addressable_shards[0].data.shape == (1, 32 // shape[1], 48 // shape[2])


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((2, 1, 4), "mesh.tensor=4 does not divide the model's kv_heads=2"),
        ((-1, 1, 8), "mesh.tensor=8 does not divide the model's .*heads="),
    ],
)
def test_a_mesh_that_does_not_divide_the_model_is_named(make_mesh, shape, words):
    with pytest.raises(ValueError, match=words):
        sharding.init_on_mesh(MODEL, jax.random.key(0), make_mesh(*shape))


def test_layers_pass_on_rows_where_parameters_are_cut_by_width(make_mesh):
    """Fully sharded parameters move, the rows of the batch stay: 8 rows on 8 devices."""
    mesh = make_mesh(1, 8, 1)
    shardings = sharding.param_shardings(MODEL, mesh)

    def hidden(params, tokens):
        return MODEL.apply({"params": params}, tokens, method="hidden")[0]

    tokens = jax.ShapeDtypeStruct((8, 512), np.int32)
    compiled = (
        jax.jit(
            sharding.on_mesh(hidden, mesh), in_shardings=(shardings, sharding.batch_sharding(mesh))
        )
        .lower(param_shapes(MODEL), tokens)
        .compile()
    )
    assert "fsdp" in np.ravel(compiled.output_shardings.spec[0])
    moved = sum(these.bytes for these in describe(compiled, 8).collectives.values())
    assert 0 < moved < 4 * count_params(param_shapes(MODEL))  # bytes of all parameters


def test_part_i_of_a_batch_holds_every_nth_row_from_i(make_mesh):
    mesh = make_mesh(2, 2, 2)
    batch = {"tokens": np.arange(24).reshape(12, 2), "mask": np.arange(12)}
    placed = sharding.put_batch(batch, mesh)
    for name, values in batch.items():
        shards = {shard.index[0].start: shard.data for shard in placed[name].addressable_shards}
        assert len(shards) == 4
        for part, start in enumerate(sorted(shards)):
            np.testing.assert_array_equal(shards[start], values[part::4])


def test_rows_are_spread_and_their_number_made_whole(make_mesh):
    mesh = make_mesh(4, 1, 2)
    assert [sharding.whole_rows(rows, mesh) for rows in (0, 1, 4, 5)] == [4, 4, 4, 8]
    array = np.arange(24).reshape(8, 3)
    placed = sharding.spread(array, mesh)
    np.testing.assert_array_equal(placed, array)
    assert placed.addressable_shards[0].data.shape == (2, 3)


class Chip:
    """A TPU of a pod, as far as `jax.make_mesh` looks at one."""

    platform, process_index, slice_index, core_on_chip = "tpu", 0, 0, 0

    def __init__(self, device_kind, coords):
        self.device_kind, self.coords = device_kind, coords


PODS = [("TPU v4", (4, 4, 4)), ("TPU v5 lite", (16, 16, 1))]


def pod(kind, shape):
    return [Chip(kind, coords) for coords in np.ndindex(*shape)]


def test_a_mesh_that_a_pod_s_network_cannot_form_is_named():
    words = "data=2, fsdp=8, tensor=4 cannot be laid on a pod of 4 × 4 × 4 chips"
    with pytest.raises(ValueError, match=words) as caught:
        sharding.make_mesh(sharding.MeshConfig(-1, 8, 4), pod(*PODS[0]))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("preset", ["llama2_7b", "llama2_13b"])
@pytest.mark.parametrize(("kind", "shape"), PODS)
def test_the_meshes_of_large_presets_suit_their_pods(preset, kind, shape):
    config = sft.get_config(preset)
    mesh = sharding.make_mesh(sharding.MeshConfig(**config.mesh), pod(kind, shape))
    assert mesh.size == np.prod(shape)
    assert config.sft.batch_size % sharding.row_parts(mesh) == 0
    policy = {k: v for k, v in config.policy.items() if k not in ("pretrained", "lora")}
    model = Transformer(TransformerConfig(vocab_size=config.tokenizer.vocab_size, **policy))
    sharding.param_shardings(model, mesh)  # raises where the mesh does not divide an axis
