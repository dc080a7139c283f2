import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from qdcjax.training import program
from qdcjax.training.utilisation import peak_flops

TPU = """
HloModule jit_update, is_scheduled=true

%condition.1 (state: (s32[], bf16[4,8])) -> pred[] {
  %bound = s32[]{:T(128)} constant(32)
  %state = (s32[]{:T(128)}, bf16[4,8]{1,0}) parameter(0)
  %step = s32[]{:T(128)} get-tuple-element(%state), index=0
  ROOT %lt = pred[]{:T(512)} compare(%step, %bound), direction=LT
}

%start.1 (p: bf16[1,8]) -> bf16[4,8] {
  %p = bf16[1,8]{1,0} parameter(0)
  ROOT %gathered = bf16[4,8]{1,0:T(8,128)} all-gather(%p), channel_id=3, replica_groups=[2,4]<=[8]
}

%done.1 (p: bf16[1,8]) -> bf16[4,8] {
  %p = bf16[1,8]{1,0} parameter(0)
  ROOT %gathered = bf16[4,8]{1,0:T(8,128)} all-gather(%p), channel_id=3, replica_groups=[2,4]<=[8]
}

%all-reduce-scatter.7 (p: f32[8,2]) -> f32[4,2] {
  %p = f32[8,2]{1,0} parameter(0)
  %sum = f32[8,2]{1,0} all-reduce(%p), channel_id=9, replica_groups={{0,1},{2,3}}, to_apply=%add
  ROOT %part = f32[4,2]{1,0} dynamic-slice(%sum, %p)
}

%add (a: f32[], b: f32[]) -> f32[] {
  ROOT %sum = f32[] add(%a, %b)
}

%body.1 (state: (s32[], bf16[4,8])) -> (s32[], bf16[4,8]) {
  %begun = bf16[4,8]{1,0} fusion(%x), kind=kCustom, calls=%start.1
  %ended = bf16[4,8]{1,0} fusion(%begun), kind=kCustom, calls=%done.1
  %grads = f32[4,2]{1,0} fusion(%y), kind=kCustom, calls=%all-reduce-scatter.7
}

ENTRY %main.1 (x: bf16[4,8]) -> bf16[4,8] {
  %loop = (s32[], bf16[4,8]) while(%init), condition=%condition.1, body=%body.1
  %norm = (f32[2]{0}, f32[]) all-reduce(%a, %b), replica_groups=mesh['a'=2,'b'=4] {'a'}
  %moved = f32[16]{0} collective-permute(%c), channel_id=12, source_target_pairs={{0,1},{1,0}}
}
"""


def test_loops_count_as_often_as_they_run_and_a_split_collective_once():
    found = program.collectives(TPU, devices=8)
    assert found["all-gather"] == program.Collectives(32, 32 * (4 * 8 * 2) * 3 / 4)
    assert found["reduce-scatter"] == program.Collectives(32, 32 * (4 * 2 * 4) * 1)
    assert found["all-reduce"] == program.Collectives(1, 2 * (2 + 1) * 4 * 1 / 2)
    assert found["collective-permute"] == program.Collectives(1, 64)
    assert "all-to-all" not in found


@pytest.fixture
def mesh(devices):
    return Mesh(np.asarray(devices), ("rows",))


def test_a_program_of_this_machine(mesh):
    """Five sums of 6 × 4 floats over eight devices, in a scan."""

    @functools.partial(
        jax.shard_map, mesh=mesh, in_specs=PartitionSpec("rows"), out_specs=PartitionSpec()
    )
    def summed(x):
        return jax.lax.scan(
            lambda s, _: (jax.lax.psum(s * 1.5 + x, "rows"), None),
            jnp.zeros((6, 4)),
            None,
            length=5,
        )[0]

    x = jax.ShapeDtypeStruct(
        (48, 4), jnp.float32, sharding=NamedSharding(mesh, PartitionSpec("rows"))
    )
    found = program.describe(jax.jit(summed).lower(x).compile(), 8)
    assert found.collectives == {"all-reduce": program.Collectives(5, 5 * 2 * 7 / 8 * 96)}
    assert found.arguments == 96 and found.outputs == 96
    assert found.memory == sum((found.arguments, found.temporaries, found.outputs, found.code))


def test_the_floor_of_a_step_s_time():
    chip = program.chip("TPU v5 lite")
    found = program.floors(197e12, 819e9, 100e9, 197e12, chip)
    assert found == {"products": 1.0, "memory": 1.0, "interconnect": 0.5}


def test_a_chip_that_is_not_known_has_no_speeds():
    assert program.chip("TPU v3") is None and peak_flops("TPU v3") is None
    assert all(peak_flops(name) for name in program.CHIPS)
