"""Bad input ends in one clear line that names the field or file, and overwrites nothing.

All runs of this file are started together, as many at a time as there are cores.
"""

import concurrent.futures
import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import runs
import safetensors.numpy

from qdcjax.data.sentencepiece_tokenizer import train_sentencepiece
from qdcjax.models.pretrained import export
from qdcjax.training.store import load_model

SFT, SORM, EVALUATE, PPO, EXPERT = (
    f"configs/{study}.py:smoke" for study in ("sft", "sorm", "evaluate", "ppo", "expert_iteration")
)
REFINEMENT = "configs/refinement.py:smoke"
NOISE = "configs/noise.py:smoke"
SCALING, DIMENSION = "configs/scaling_laws.py:smoke", "configs/intrinsic_dimension.py:smoke"
CHARTS, GENERATOR = "configs/chart_autoencoder.py:smoke", "configs/generator.py:smoke"
ALGORITHMS = "configs/qdc_algorithms.py:smoke"
Arguments = tuple[str, Path, Sequence[str]]  # config, workdir, options
OF_A_START = ("command", "git_revision", "seconds")  # what a run that starts writes anew
DEVICES = {"a batch that the mesh does not divide": 3}  # where a case needs more than one

pytestmark = pytest.mark.slow


def fresh(*options: str, config: str | None = SFT) -> Callable[[Path], Arguments]:
    return lambda folder: (config, folder / "run", options)


def on_copy(
    study: str, *options: str, config: str = "", damage=None
) -> Callable[[Path], Arguments]:
    """A run in a copy of a finished workdir, after `damage(copy)`."""

    def make(folder: Path) -> Arguments:
        workdir = folder / "run"
        shutil.copytree(runs.finished(study), workdir)
        if damage:
            damage(workdir)
        return config or f"configs/{study}.py:smoke", workdir, options

    return make


def evaluation(*options: str, damage=None) -> Callable[[Path], Arguments]:
    """An evaluation of a copy of the sorm run, after `damage(copy)`."""

    def make(folder: Path) -> Arguments:
        source = folder / "sorm"
        shutil.copytree(runs.finished("sorm"), source)
        if damage:
            damage(source)
        return EVALUATE, folder / "run", (f"--config.checkpoint={source}", *options)

    return make


def refinement_of(study: str, folder: Path) -> Arguments:
    """A run of refinement that goes on from a finished one."""
    return REFINEMENT, folder / "run", (f"--config.checkpoint={runs.finished(study)}",)


def own_config(folder: Path, change: str) -> Arguments:
    """The sft smoke study with a line of the user's own."""
    file = folder / "own.py"
    file.write_text(
        "from configs import sft\n"
        "from ml_collections import ConfigDict\n\n"
        "def get_config(preset=''):\n"
        "    config = sft.get_config('smoke')\n"
        f"    {change}\n"
        "    return config\n"
    )
    return str(file), folder / "run", ()


def gsm8k(folder: Path, data: bytes | None = None) -> Arguments:
    """The sft smoke study on GSM8K's files in a folder, which may not be there."""
    if data is not None:
        (folder / "data").mkdir()
        for split in ("train", "test"):
            (folder / "data" / f"{split}.jsonl").write_bytes(data)
    task = {"name": "gsm8k", "data": f"{folder}/data"}
    return own_config(folder, f"config.task = ConfigDict({task})")


def pretrained(damage: Callable[[Path], None]) -> Callable[[Path], Arguments]:
    """A run that starts from another run's exported student, after `damage(export)`."""

    def make(folder: Path) -> Arguments:
        source = folder / "export"
        shutil.copytree(exported(), source)
        damage(source)
        return SFT, folder / "run", (f"--config.policy.pretrained={source}",)

    return make


@functools.cache
def exported() -> Path:
    """The student of the sft run, as a folder of `transformers` with two shards."""
    folder = runs.HOME / "export"
    student = load_model(runs.finished("sft") / "stages" / "student")
    export(folder, student.model.config, student.params, shard_bytes=100_000)
    student.tokenizer.save(folder)
    assert len(list(folder.glob("model-*-of-*.safetensors"))) > 1
    return folder


def with_fields(**fields) -> Callable[[Path], None]:
    """Changes fields of an export's config.json."""

    def damage(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | fields))

    return damage


def with_tensor(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    """Changes one tensor of an export."""

    def damage(folder: Path) -> None:
        index = json.loads((folder / "model.safetensors.index.json").read_text())
        file = folder / index["weight_map"][name]
        tensors = safetensors.numpy.load_file(file)
        safetensors.numpy.save_file(tensors | {name: change(tensors[name])}, file)

    return damage


def cut(pattern: str) -> Callable[[Path], None]:
    """Cuts the biggest file that matches in half."""

    def damage(workdir: Path) -> None:
        file = max(
            (p for p in workdir.glob(pattern) if p.is_file()), key=lambda p: p.stat().st_size
        )
        os.truncate(file, file.stat().st_size // 2)

    return damage


def write(name: str, text: str | bytes) -> Callable[[Path], None]:
    data = text if isinstance(text, bytes) else text.encode()
    return lambda workdir: (workdir / name).write_bytes(data)


def other_tokenizer(workdir: Path) -> None:
    """As many tokens as the run's own, and other ones."""
    ours = load_model(workdir / "stages" / "student").tokenizer
    texts = [f"{word}{word} {word}ling zebra quux" for word in ("vex", "jolt", "waxy", "fjord")]
    theirs = train_sentencepiece(texts * 50, ours.vocab_size)
    theirs.save(workdir / "stages" / "student" / "tokenizer")


@functools.cache
def interrupted() -> Path:
    """An sft run that was killed after its first resume point."""
    workdir = runs.HOME / "interrupted"
    resume_point = (workdir / "checkpoints" / "student" / "75").exists
    runs.strike(SFT, workdir, resume_point, signal.SIGKILL)
    return workdir


def resume_point_cut(folder: Path) -> Arguments:
    workdir = folder / "run"
    shutil.copytree(interrupted(), workdir)
    newest = max((workdir / "checkpoints" / "student").iterdir(), key=lambda path: int(path.name))
    cut(f"checkpoints/student/{newest.name}/**/d/*")(workdir)
    return SFT, workdir, ()


DOWN = "model.layers.1.mlp.down_proj.weight"

# What is wrong → the run, and words of its one line of error.
CASES: dict[str, tuple[Callable[[Path], Arguments], tuple[str, ...]]] = {
    # The command line.
    "unknown field": (fresh("--config.sft.stepz=3"), ("no such config field: 'stepz' Did",)),
    "number expected": (fresh("--config.seed=abc"), ("--config.seed=abc", "int")),
    "unknown preset": (fresh(config="configs/sft.py:huge"), ("preset='huge'", "smoke")),
    "no config file": (fresh(config="configs/nope.py"), ("configs/nope.py",)),
    "config left out": (fresh(config=None), ("--config is missing", "configs/sorm.py")),
    "config left empty": (fresh(config=""), ("config file", "empty")),
    "unknown flag": (fresh("--workdirr=x"), ("workdirr",)),
    "no flag": (fresh("smoke"), ("'smoke'", "--")),
    "batch and microbatches": (
        fresh("--config.sft.microbatches=3"),
        ("batch_size=16", "microbatches", "= 3"),
    ),
    "a batch that the mesh does not divide": (
        fresh("--config.mesh.fsdp=3"),
        ("batch_size=16", "data × fsdp", "= 3"),
    ),
    "mesh of a finished run": (
        on_copy("sft", "--config.mesh.tensor=3"),
        ("tensor=3", "1 devices"),
    ),
    "unknown task": (fresh("--config.task.name=chess"), ("task.name='chess'", "word_problems")),
    "no data": (
        lambda folder: gsm8k(folder),
        ("/data'", "no such folder", "train.jsonl"),
    ),
    "data is cut": (
        lambda folder: gsm8k(folder, b'{"question": "What is 1 + 1?", "ans'),
        ("/data/test.jsonl, line 1", "cut short"),
    ),
    "a misspelt field of one's own": (
        lambda folder: own_config(folder, "config.evaluation.topk = 5"),
        ("evaluation.topk is no field", "top_k"),
    ),
    "training sequence too long": (
        fresh("--config.policy.max_length=40"),
        ("max_length=40", "tokens"),
    ),
    "prompt too long": (
        fresh("--config.sft.steps=1", "--config.evaluation.max_new_tokens=500"),
        ("max_new_tokens=500", "max_length=512"),
    ),
    # Pretrained models.
    "another family": (
        pretrained(with_fields(model_type="gpt_neox", layer_norm_eps=1e-5, hidden_act="gelu")),
        ("/export", "tensor gpt_neox.embed_in.weight is missing"),
    ),
    "unknown architecture": (
        pretrained(with_fields(model_type="mamba")),
        ("/export/config.json", "model_type='mamba'", "llama"),
    ),
    "a shard is missing": (
        pretrained(lambda folder: next(folder.glob("model-00002-*")).unlink()),
        ("/export/model-00002-of-", "is missing"),
    ),
    "an index without shards": (
        pretrained(write("model.safetensors.index.json", '{"weight_map": ["model.safetensors"]}')),
        ("/export/model.safetensors.index.json", "no index"),
    ),
    "a tensor of the wrong shape": (
        pretrained(with_tensor(DOWN, lambda x: x[:, :-1].copy())),
        (f"{DOWN} has shape (32, 95)", "must have (32, 96)"),
    ),
    "a tensor of a type that numpy lacks": (
        pretrained(with_tensor(DOWN, lambda x: x.astype(ml_dtypes.float8_e4m3fn))),
        (DOWN, "F8_E4M3", "BF16"),
    ),
    "no draft has a step": (
        fresh("--config.sft.steps=1", "--config.drafts.max_new_tokens=1", config=SORM),
        ("none of the 96 drafts has a step", "sft.steps"),
    ),
    # Reinforcement learning.
    "unknown algorithm": (
        fresh("--config.policy_gradient.algorithm=dqn", config=PPO),
        ("algorithm='dqn'", "ppo, rloo, grpo"),
    ),
    "rollouts that batches do not divide": (
        fresh("--config.critic.batch_size=7", config=PPO),
        ("critic.batch_size=7", "32 rollouts"),
    ),
    "an adaptive weight in the loss": (
        fresh(
            "--config.policy_gradient.kl_target=1.0",
            "--config.policy_gradient.kl_in=loss",
            config=PPO,
        ),
        ("kl_target=1.0", "kl_in=reward"),
    ),
    "too few questions": (
        fresh("--config.rollouts.questions=4", config=PPO),
        ("policy_gradient.questions=8", "there are 4"),
    ),
    "a reward without its model": (
        fresh("--config.policy_gradient.reward=orm_dense", config=PPO),
        ("reward=orm_dense", "reward_model=orm-0"),
    ),
    "a critic's algorithm without one": (
        fresh("--config.policy_gradient.algorithm=ppo", config="configs/rloo.py:smoke"),
        ("algorithm=ppo", "configs/ppo.py"),
    ),
    "an adapter alone": (
        fresh("--config.policy.lora.rank=2", config=PPO),
        ("policy.lora.rank=2", "set it to 0"),
    ),
    "unknown start of a round": (
        fresh("--config.expert_iteration.init_from=first", config=EXPERT),
        ("init_from='first'", "start or last"),
    ),
    "nothing right to learn from": (
        fresh("--config.sft.steps=1", "--config.evaluation.questions=2", config=EXPERT),
        ("none of the 96 rollouts has a right answer",),
    ),
    # The workdir.
    "workdir is a file": (
        on_copy("sft", damage=lambda d: (shutil.rmtree(d), d.touch())),
        ("/run",),
    ),
    "another field of many stages": (
        on_copy("sorm", "--config.reward.steps=7"),
        ("reward.steps=20", "says 7", "--redo=orm-0,orm-1,sorm-0,sorm-1,unb"),
    ),
    "another study": (on_copy("sorm", config=SFT), ("study=sorm", "study=sft", "--workdir")),
    "unknown stage to redo": (on_copy("sft", "--redo=teacher"), ("redo='teacher'", "student")),
    "config.json is cut": (
        on_copy("sft", damage=write("config.json", '{"config": {')),
        ("config.json is not JSON",),
    ),
    "stage.json is cut": (
        on_copy("sft", damage=cut("stages/student/stage.json")),
        ("student/stage.json is not JSON", "delete it"),
    ),
    "table is cut": (
        on_copy("sft", damage=cut("stages/greedy-test/**/*.arrow")),
        ("stage greedy-test", "--redo=greedy-test"),
    ),
    "resume point is cut": (resume_point_cut, ("checkpoints/student/", "cannot be read")),
    # Another run's models.
    "no such run": (
        fresh("--config.checkpoint=runs/no-such-run", config=EVALUATE),
        ("runs/no-such-run", "student"),
    ),
    "no stages": (
        evaluation(damage=lambda d: (shutil.rmtree(d / "stages"), (d / "stages").mkdir())),
        ("sorm/stages/student", "model.json"),
    ),
    "evaluated parameters are cut": (
        evaluation(damage=cut("stages/student/params/**/*")),
        ("stages/student/params cannot be read", "bytes"),
    ),
    "another tokeniser": (
        evaluation(damage=other_tokenizer),
        ("tokeniser and checkpoint", "student do not match"),
    ),
    "refinement of nothing": (
        fresh("--config.checkpoint=nowhere", config=REFINEMENT),
        ("checkpoint=nowhere", "no run of configs/sorm.py"),
    ),
    "refinement of another study": (
        lambda folder: fresh(f"--config.checkpoint={runs.finished('sft')}", config=REFINEMENT)(
            folder
        ),
        ("/sft: a run of study=sft, and not of sorm",),
    ),
    "integers without digits": (
        fresh("--config.operations.add.longest=0", config=NOISE),
        ("task.shortest=1 and longest=0 must be at least 1",),
    ),
    "noise above one": (
        fresh("--config.cells.dynamic10.level=1.5", config=NOISE),
        ("cells.dynamic10.noise level=1.5 must be between 0 and 1",),
    ),
    "fewer problems than asked for": (
        fresh("--config.evaluation.questions=600", config=NOISE),
        ("test of add has no 600 different problems",),
    ),
    "a folder without text": (
        lambda folder: fresh(
            "--config.corpora.text.kind=files",
            f"--config.corpora.text.source={folder}",
            config=DIMENSION,
        )(folder),
        ("no text in files that end in .txt, .md, .py",),
    ),
    "fewer points than a batch": (
        fresh("--config.dimension.batch=50000", config=DIMENSION),
        ("dimension.batch=50,000:", "passages have 8 tokens"),
    ),
    "fewer points than another batch": (
        fresh("--config.sensitivity.batches=(100,50000)", config=DIMENSION),
        ("sensitivity.batches: 50,000 points, and the text has",),
    ),
    "neighbours of no batch": (
        fresh("--config.sensitivity.ks=(10,100)", config=DIMENSION),
        ("sensitivity.ks=(10, 100) must be under the least of the batches, 100",),
    ),
    "policies of two tokenisers": (
        lambda folder: fresh(
            f"--config.checkpoint={runs.finished('sft')},"
            f"{runs.finished('intrinsic_dimension')}/stages/width16-0",
            config=DIMENSION,
        )(folder),
        ("have different tokenisers, so that their states are of different tokens",),
    ),
    "fewer points than neighbours": (
        fresh("--config.dimension.k=100", config=DIMENSION),
        ("dimension.k=100 must be under batch=100",),
    ),
    "more dimensions than coordinates": (
        fresh("--config.regression.widths=(6,)", config=SCALING),
        ("D=6 must be at least 9, that the manifold lies in",),
    ),
    "noise as far as the reach": (
        fresh("--config.cases.sphere2.normal=1.0", config=CHARTS),
        ("cases.sphere2.normal=1.0 must be under the reach of Sphere(dimension=2), 1",),
    ),
    "fewer charts than one": (
        fresh("--config.models.charts.charts=0", config=CHARTS),
        ("models.charts.charts=0 must be at least 1",),
    ),
    "more latent dimensions than ambient ones": (
        fresh("--config.models.plain_wide.extra=9", config=CHARTS),
        ("models.plain_wide.latent=11 must be at most ambient=10",),
    ),
    "an operation on no parents": (
        fresh("--config.recipes.rejection.parents=none", config=ALGORITHMS),
        ("recipes.rejection.operations=solve need parents, and parents is none",),
    ),
    "an ablation of no algorithm": (
        fresh("--config.ablations=('metamath',)", config=ALGORITHMS),
        ("ablations: 'metamath' is none of map_elites, rejection, temperature",),
    ),
    "a part that a recipe has not": (
        fresh("--config.recipes.map_elites.without=right", config=ALGORITHMS),
        ("recipes.map_elites.without='right' must be one of", "target", "better"),
    ),
    "a given writer without examples": (
        fresh("--config.checkpoint=smollm2", config=ALGORITHMS),
        ("writing.shots=0: a given writer has to be shown what it is asked for",),
    ),
    "more templates than there are": (
        fresh("--config.source.templates=99", config=ALGORITHMS),
        ("source.templates=99 must be from 1 to 44",),
    ),
    "a single round of self-training": (
        fresh("--config.rounds=1", config="configs/self_improvement.py:smoke"),
        ("rounds=1 must be at least 2",),
    ),
    "a base that is no case": (
        fresh("--config.base=sphere9", config=CHARTS),
        ("base='sphere9' must be one of", "sphere2"),
    ),
    "no latent dimension": (
        fresh("--config.models.sinkhorn_below.extra=-3", config=GENERATOR),
        ("models.sinkhorn_below.extra: no latent dimension is left on sphere3",),
    ),
    "a batch that critic steps do not divide": (
        fresh("--config.adversarial.batch_size=41", config=GENERATOR),
        ("adversarial.batch_size=41 must be a multiple of models.critic_penalty.critic_steps=5",),
    ),
    "sizes that fall": (
        fresh("--config.language.sizes=(4096,2048,8192)", config=SCALING),
        ("language.sizes=(4096, 2048, 8192) must be three or more, rising",),
    ),
    "a corpus of no kind": (
        fresh("--config.corpora.sums.kind=web", config=SCALING),
        ("corpora.sums.kind='web' must be one of standard_library",),
    ),
    "reward model as policy": (evaluation("--config.model=orm-0"), ("orm-0", "reward model")),
    "policy as reward model": (
        evaluation("--config.reward_model=student"),
        ("student", "policy", "reward_model"),
    ),
    "another model in a finished evaluation": (
        lambda folder: on_copy(
            "evaluate", f"--config.checkpoint={runs.finished('sorm')}", "--config.model=sorm-0"
        )(folder),
        ("model=student", "says sorm-0", "--redo="),
    ),
}


def contents(folder: Path) -> dict[str, str]:
    """File → hash; config.json and stage.json without what a run that starts may write there."""
    found = runs.hashes(folder)
    for name in found:
        if name.endswith(("config.json", "stage.json")):
            with contextlib.suppress(ValueError, AttributeError):
                record = json.loads((folder / name).read_text())
                record = {k: v for k, v in record.items() if k not in OF_A_START}
                found[name] = json.dumps(record)
    return found


@functools.cache
def outcomes() -> dict[str, tuple[subprocess.CompletedProcess, Path, dict[str, str]]]:
    """Case → what came of it, its folder, and the hashes of the folder's files before."""

    def run(name: str):
        folder = Path(tempfile.mkdtemp(dir=runs.HOME))
        config, workdir, options = CASES[name][0](folder)
        before = contents(folder)
        devices = DEVICES.get(name, 1)
        done = runs.run(config, workdir, *options, devices=devices, check=False)
        return done, folder, before

    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        # What the cases share comes first: no two threads may make one run.
        shared = [pool.submit(runs.finished, "evaluate"), pool.submit(runs.finished, "sft")]
        for future in [*shared, pool.submit(interrupted)]:
            future.result()
        exported()
        return dict(zip(CASES, pool.map(run, CASES), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_one_line_of_error_and_nothing_overwritten(name):
    done, folder, before = outcomes()[name]
    line = runs.the_error(done)
    for word in CASES[name][1]:
        assert word in line, line
    after = contents(folder)
    assert {file: after.get(file) for file in before} == before


# The command line, and what the config's sections say.
EARLY = [
    *list(CASES)[:8],
    "batch and microbatches",
    "a batch that the mesh does not divide",
    "unknown task",
    "a misspelt field of one's own",
]


@pytest.mark.parametrize("name", EARLY)
def test_a_bad_command_line_or_config_makes_no_workdir(name):
    done, folder, _ = outcomes()[name]
    assert done.stderr.count("\n") == 1, done.stderr
    assert not (folder / "run").exists()


def test_the_traceback_is_kept_beside_the_run():
    _, folder, _ = outcomes()["table is cut"]
    assert "Traceback" in (folder / "run" / "error.log").read_text()
