"""Programs for pods that are not here; libtpu compiles them on any machine."""

import re
from pathlib import Path

import pytest
import runs

from configs import scaling_laws
from qdcjax.compile_only import _members
from qdcjax.training.sharding import MeshConfig, make_mesh

pytestmark = pytest.mark.parity
NOWHERE = Path("no-such-folder")


@pytest.fixture(autouse=True)
def libtpu():
    pytest.importorskip("libtpu")


def compile_for(topology: str, *options: str, config: str = "configs/sft.py:smoke", check=True):
    done = runs.run(
        config,
        NOWHERE,
        "--compile_only",
        f"--topology={topology}",
        *options,
        launch=runs.PYTHON,
        check=check,
    )
    assert not (runs.ROOT / NOWHERE).exists(), "nothing is run"
    return done


def test_both_programs_are_told_about():
    done = compile_for("v5e:2x2", "--config.mesh.fsdp=2")
    assert not done.stderr, "libtpu itself is silent"
    assert "4 × TPU v5 lite, mesh data 2 × fsdp 2 × tensor 1" in done.stdout
    parameters, *_ = re.findall(r"([\d,]+) parameters", done.stdout)
    assert int(parameters.replace(",", "")) > 20_000
    for program in (
        "training step, 16 × 512 tokens",
        "reading 8 prompts of 448 tokens",
        "sampling, 96 samples × 16 tokens",
    ):
        told = done.stdout.partition(program)[2]
        assert re.search(r"fits: \d+\.\d\d GiB a chip", told), done.stdout
        assert re.search(r"at least [\d,]+ ms", told)
    assert "all-gather" in done.stdout and "all-reduce" in done.stdout


def test_the_updates_of_policy_and_critic_are_compiled_too():
    done = compile_for("v5e:2x2", "--config.mesh.fsdp=2", config="configs/ppo.py:smoke")
    for name in ("training step", "policy's update", "critic's update"):
        told = done.stdout.partition(f"{name}, 16 × 512 tokens")[2]
        assert re.search(r"^  fits: \d+\.\d\d GiB a chip", told.strip("\n")), done.stdout


def test_students_of_the_noise_study_are_compiled():
    done = compile_for("v5e:2x2", config="configs/noise.py:smoke")
    assert "training step, 4 × 64 tokens" in done.stdout and "sampling, " in done.stdout


def test_language_models_of_the_scaling_study_are_compiled_each_on_a_chip():
    done = compile_for("v5e:2x2", config="configs/scaling_laws.py:smoke")
    for name, members in (("base", 9), ("slim", 3)):
        told = done.stdout.partition(f"{name}, {members} members, each 4 × 64 tokens")[2]
        assert re.search(r"^  fits: \d+\.\d\d GiB a chip", told.strip("\n")), done.stdout
    received = re.findall(r"([\d.]+) GB received a chip", done.stdout)
    assert set(received) <= {"0.00"}, "members share nothing but what is logged of them"


def test_members_that_are_made_again_on_spare_chips_are_work_for_nothing(devices):
    mesh = make_mesh(MeshConfig(4), devices[:4])
    base, slim = _members(scaling_laws.get_config("smoke").to_dict(), mesh)
    assert (base.again, slim.again) == (pytest.approx(12 / 9), pytest.approx(4 / 3))
    assert base.flops / 9 > slim.flops / 3 > 0


def test_a_critic_on_the_policy_s_trunk_is_part_of_its_update():
    shared = ("--config.mesh.fsdp=2", "--config.policy_gradient.critic=shared")
    done = compile_for("v5e:2x2", *shared, config="configs/ppo.py:smoke")
    assert "policy's update" in done.stdout and "critic's update" not in done.stdout


def test_what_does_not_fit_is_told():
    small = ("--config.mesh.fsdp=4", "--config.mesh.tensor=1")
    done = compile_for("v5e:2x2", *small, config="configs/sft.py:llama2_7b", check=False)
    assert done.returncode == 1
    assert re.search(r"does not fit: .*\(\d+\.\d+G\) exceeds .*\(15\.75G\)", done.stdout)
    assert "error: does not fit v5e:2x2: training step" in done.stderr


def test_a_study_without_a_student_is_told():
    done = compile_for("v5e:2x2", config="configs/pretrain.py:smoke", check=False)
    assert "compile_only: pretrain trains no student to compile for" in runs.the_error(done)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("v9:2x2",), "topology='v9:2x2'"),
        (("v5e:3x5",), "topology='v5e:3x5'"),
        (("v3:2x2",), "topology='v3:2x2': the speeds of a TPU v3 are not known"),
        (("v4:4x4x4", "--config.mesh.fsdp=2"), "cannot be laid on a pod of 4 × 4 × 4 chips"),
        (("v5e:2x2", "--config.mesh.fsdp=3"), "does not fit 4 devices"),
        (("v5e:2x2", "--config.mesh.tensor=4"), "mesh.tensor=4 does not divide"),
    ],
)
def test_bad_input_ends_in_one_line(options, words):
    done = compile_for(*options, check=False)
    assert done.returncode == 1 and words in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
