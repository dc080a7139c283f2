"""Compiles a config's training step and sampler for a pod that is not here; says what they ask.

pip install -e '.[tpu]'
python -m qdcjax.main --config=configs/sft.py:llama2_7b --compile_only --topology=v5e:16x16
"""

import dataclasses
import functools
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
from jax.experimental import topologies
from jax.sharding import Mesh

from qdcjax.decoding import engine
from qdcjax.decoding.engine import SamplingSettings
from qdcjax.decoding.programs import CHUNK
from qdcjax.experiments.running import from_config
from qdcjax.experiments.stages import language_models
from qdcjax.experiments.stages.fine_tuning import own_shape
from qdcjax.experiments.stages.policies import file_shape
from qdcjax.experiments.stages.scaling_members import sizes_of
from qdcjax.models import pretrained
from qdcjax.models.config import TransformerConfig
from qdcjax.models.transformer import Transformer, count_params, param_shapes
from qdcjax.rl.policy_gradient import OF_CRITIC, ValueLoss, policy_loss
from qdcjax.training import program, sharding
from qdcjax.training.fit import TrainSettings, lower_update
from qdcjax.training.losses import language_model_loss
from qdcjax.training.members import lower_members
from qdcjax.training.step import LossFn
from qdcjax.training.utilisation import peak_flops, step_flops

# libtpu asks the machine for its TPU unless it is told of one; any will do to compile for others.
ENVIRONMENT = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_HOST_BOUNDS": "1,1,1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "TPU_STDERR_LOG_LEVEL": "3",
    "TPU_MIN_LOG_LEVEL": "3",
}
CORES_AS_ONE = {"v4": {"chip_config_name": "megacore"}}  # as a v4 chip's two cores run on a pod
GIB = 2**30
LANGUAGE = "language_training"  # section of members, each on a device of its own


def run(config: Mapping[str, Any], topology: str) -> None:
    """Prints parameters, memory, FLOPs, collectives and the least time of each program.

    Args:
      config: of a study with a policy: `policy`, `sft` or `students`, `evaluation`, `mesh`, and the
        sections of on-line learning where it learns by reward. Of refinement: of the run that it
        goes on from, and its own `refiner`. Of scaling laws: `language` and `language_training`.
      topology: such as `v5e:16x16`, kind of chip and shape of the pod.

    Raises:
      ValueError: a study without a student, an unknown topology, a mesh that does not fit it, or a
        program that does not.
    """
    refines, config = config.get("refiner"), config.get("sorm", config)
    learning = next((name for name in ("sft", "students", LANGUAGE) if name in config), None)
    if "policy" not in config or learning is None:
        raise ValueError(f"compile_only: {config['study']} trains no student to compile for")
    devices = pod(topology)
    mesh = from_config.mesh(config["mesh"], devices)
    axes = " × ".join(f"{name} {size}" for name, size in mesh.shape.items())
    print(f"{topology}: {len(devices)} × {devices[0].device_kind}, mesh {axes}")
    works = (
        _members(config, mesh)
        if learning == LANGUAGE
        else _student(config, learning, refines, mesh)
    )
    too_large = [work.name for work in works if not _tell(work, devices)]
    if too_large:
        raise ValueError(f"does not fit {topology}: {', '.join(too_large)}")


def _policy(config: Mapping[str, Any]) -> TransformerConfig:
    """The policy's shape; nothing is downloaded for it."""
    name = config["policy"]["pretrained"]
    path = pretrained.find_here(name) if name else None
    if path is not None:
        return file_shape(config, path)
    if name:
        print(f"{name} is not read: the shape is that of the config's own fields")
    return own_shape(config, config["tokenizer"]["vocab_size"])


def pod(topology: str) -> list:
    """The devices of a pod, described by libtpu.

    Raises:
      ImportError: libtpu is not installed.
      ValueError: it knows no such topology, or the speeds of its chips are not known here.
    """
    os.environ |= {name: os.environ.get(name, value) for name, value in ENVIRONMENT.items()}
    jax.config.update("jax_platforms", "cpu")  # what little is computed is computed here
    jax.config.update("jax_enable_compilation_cache", False)  # no device here could read it back
    options = CORES_AS_ONE.get(topology.partition(":")[0], {})
    try:
        found = topologies.get_topology_desc(topology, platform="tpu", **options)
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"topology={topology!r}: {reason}") from error
    except RuntimeError as error:
        raise ImportError("--compile_only needs libtpu: pip install -e '.[tpu]'") from error
    kind = found.devices[0].device_kind
    if peak_flops(kind) is None or program.chip(kind) is None:
        known = ", ".join(program.CHIPS)
        raise ValueError(
            f"topology={topology!r}: the speeds of a {kind} are not known, but {known}"
        )
    return list(found.devices)


@dataclasses.dataclass(frozen=True)
class Work:
    """A program to compile, and what it computes.

    Attributes:
      name: for the reader.
      lower: lowers it for the pod.
      flops: that it needs on all devices together.
      again: FLOPs executed for each one needed; more than 1 where the backward pass recomputes.
      reads: (program) → bytes that a device's memory moves at least.
      items: tokens that it processes or makes.
    """

    name: str
    lower: Callable[[], jax.stages.Lowered]
    flops: float
    again: float
    reads: Callable[[program.Program], float]
    items: int


def _student(
    config: Mapping[str, Any], learning: str, refines: Mapping[str, Any] | None, mesh: Mesh
) -> list[Work]:
    """The programs of a policy that is trained and sampled from."""
    model = Transformer(_policy(config))
    training = from_config.training(config, learning, mesh)
    sampling = from_config.sampling(config, "evaluation")
    print(f"policy: {count_params(param_shapes(model)):,} parameters, {_shape(model.config)}")
    works = [_training("training step", model, language_model_loss, training, mesh)]
    if refines:
        refiner = from_config.training({"refiner": refines}, "refiner", mesh)
        works.append(_training("refiner's step", model, language_model_loss, refiner, mesh))
    return [*works, *_online(config, model, mesh), *_sampling(model, sampling, mesh)]


def _members(config: Mapping[str, Any], mesh: Mesh) -> list[Work]:
    """The training steps of language models of each shape, each model on a device."""
    settings, of = from_config.training(config, LANGUAGE, mesh), config["language"]
    rows, length, works = settings.batch_size, of["context"], []
    for name in of["models"]:
        model = language_models.model_of(config, name, config["tokenizer"]["vocab_size"])
        count = len(config["corpora"]) * len(sizes_of(of, name)) * len(config["seeds"])
        made = -(-count // mesh.size) * mesh.size  # the last one again, where chips are left
        parameters = count_params(param_shapes(model))
        print(f"{name}: {parameters:,} parameters, {_shape(model.config)}")
        works.append(
            Work(
                name=f"training step of {name}, {count} members, each {rows} × {length} tokens",
                lower=functools.partial(
                    lower_members,
                    model,
                    language_model_loss,
                    settings,
                    mesh,
                    length,
                    count=count,
                    at_once=config["members_at_once"],
                ),
                flops=count * step_flops(model.config, rows, length),
                again=made / count * (4 / 3 if model.config.remat == "full" else 1.0),
                reads=lambda found: 2.0 * found.arguments,
                items=count * rows * length,
            )
        )
    return works


def _online(config: Mapping[str, Any], model: Transformer, mesh: Mesh) -> Iterator[Work]:
    """Updates of a policy and of its critic."""
    if "policy_gradient" not in config:
        return
    s = from_config.algorithm(config, "policy_gradient")
    loss = policy_loss(s, config["rollouts"]["temperature"], s.kl)
    policy = Transformer(dataclasses.replace(model.config, value_head=s.shares_trunk))
    settings = from_config.online_training(config, "learn", mesh)
    yield _training("policy's update", policy, loss, settings, mesh, loss.fields)
    if s.algorithm == "ppo" and not s.shares_trunk:
        critic = Transformer(dataclasses.replace(model.config, output="scalar"))
        settings = from_config.online_training(config, "critic", mesh)
        loss = ValueLoss(s.value_clip)
        yield _training("critic's update", critic, loss, settings, mesh, OF_CRITIC)


def _training(
    name: str,
    model: Transformer,
    loss: Callable[[Transformer], LossFn],
    settings: TrainSettings,
    mesh: Mesh,
    fields: Sequence[str] = (),
) -> Work:
    rows, length = settings.batch_size, settings.pack or model.config.max_length

    def state_and_weights(found: program.Program) -> float:
        """The state read and written, and each gathered weight written and read."""
        gathered = found.collectives.get("all-gather", program.NONE).bytes
        return 2.0 * (found.arguments + gathered)

    return Work(
        name=f"{name}, {rows} × {length} tokens",
        lower=lambda: lower_update(model, loss, settings, mesh, length, fields),
        flops=step_flops(model.config, rows, length),
        again=4 / 3 if model.config.remat == "full" else 1.0,
        reads=state_and_weights,
        items=rows * length,
    )


def _sampling(model: Transformer, settings: SamplingSettings, mesh: Mesh) -> list[Work]:
    """Reading a share of the prompts, while the others' samples are held, and making tokens."""
    prompt = model.config.max_length - settings.max_new_tokens
    size = sharding.whole_rows(settings.batch_size // settings.samples, mesh)
    entering, samples = sharding.whole_rows(size // engine.REFILLS, mesh), size * settings.samples
    lowered = functools.cache(lambda: engine.lower(model, settings, mesh, prompt))
    return [
        Work(
            name=f"reading {entering} prompts of {prompt} tokens, {samples} samples held",
            lower=lambda: lowered()[0],
            flops=step_flops(model.config, entering, prompt) / 3,  # no backward pass
            again=1.0,
            reads=lambda found: float(found.arguments),
            items=entering * prompt,
        ),
        Work(
            name=f"sampling, {samples} samples × {CHUNK} tokens, after prompts of {prompt}",
            lower=lambda: lowered()[1],
            flops=step_flops(model.config, samples * CHUNK, 1) / 3,
            again=1.0,
            reads=lambda found: float(CHUNK * found.arguments),  # weights and cache, every token
            items=samples * CHUNK,
        ),
    ]


def _tell(work: Work, devices: list) -> bool:
    """Compiles a program and prints what it asks of a chip; whether it fits."""
    began = time.perf_counter()
    print(f"\n{work.name}")
    try:
        compiled = work.lower().compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        needs = re.search(r"the total memory.*?HBM \([^)]*\)", str(error))
        print(f"  does not fit: {needs[0] if needs else str(error).splitlines()[0]}")
        return False
    seconds = time.perf_counter() - began
    kind = devices[0].device_kind
    found = program.describe(compiled, len(devices))
    print(
        f"  fits: {found.memory / GIB:.2f} GiB a chip: arguments {found.arguments / GIB:.2f}, "
        f"temporaries {found.temporaries / GIB:.2f}, outputs {found.outputs / GIB:.2f}, "
        f"code {found.code / GIB:.2f}"
    )
    print(f"  {work.flops:.3g} FLOPs in all")
    for name, these in found.collectives.items():
        print(f"  {these.count} × {name}: {these.bytes / 1e9:.2f} GB received a chip")
    peak, chip = peak_flops(kind), program.chip(kind)
    least = program.floors(
        work.again * work.flops / len(devices),
        work.reads(found),
        sum(these.bytes for these in found.collectives.values()),
        peak,
        chip,
    )
    slowest = max(least.values())
    terms = ", ".join(f"{name} {value * 1e3:,.0f} ms" for name, value in least.items())
    print(
        f"  at least {slowest * 1e3:,.0f} ms ({terms}): at most "
        f"{work.items / slowest:,.0f} tokens/s, "
        f"MFU {work.flops / len(devices) / slowest / peak:.0%}"
    )
    print(f"  compiled in {seconds:.0f} s")
    return True


def _shape(c: TransformerConfig) -> str:
    return f"{c.layers} layers × {c.width}, {c.heads} heads, MLP {c.mlp_width}, {c.dtype}"
