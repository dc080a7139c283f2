"""Policies that learn examples: the student of reference solutions, and what goes on from one."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from qdcjax.data.batches import Example, bucket_lengths, pad_and_stack
from qdcjax.data.examples import completion_examples, prompt_text
from qdcjax.data.tokenizers import Tokenizer, train_sentencepiece
from qdcjax.experiments.running import from_config
from qdcjax.experiments.stages.policies import find_policy, load_policy, mark_source
from qdcjax.models import lora, pretrained
from qdcjax.models.config import Lora, TransformerConfig
from qdcjax.models.transformer import Transformer
from qdcjax.tasks.problem import Problem
from qdcjax.tasks.word_problems import demonstrations
from qdcjax.training.fit import TrainSettings, fit
from qdcjax.training.losses import language_model_loss
from qdcjax.training.processes import is_writer, to_host
from qdcjax.training.sharding import (
    init_on_mesh,
    mesh_of,
    on_mesh,
    spread,
    whole_rows,
)
from qdcjax.training.store import StoredModel, load_model, save_model
from qdcjax.workdir import Workdir

STUDENT_FIELDS = ("seed", "task", "misconceptions", "tokenizer", "policy", "sft")
Validation = Callable[[Any], dict[str, float]]  # parameters → metrics


def train_student(config: Mapping[str, Any], workdir: Workdir) -> StoredModel:
    """Stage `student`: a policy fine-tuned on the reference solutions of the train split."""
    task = from_config.task(config["task"], config["seed"])
    mesh = from_config.mesh(config["mesh"])
    settings = from_config.training(config, "sft", mesh)
    after = []
    if config["policy"]["pretrained"]:
        mark_source(workdir, pretrained.find(config["policy"]["pretrained"]), name="pretrained")
        after = ["pretrained"]

    def make(folder: Path) -> None:
        problems = demonstrations(
            task.problems("train", config["sft"]["questions"] or None),
            from_config.misconceptions(config),
        )
        start = starting_policy(config, problems, mesh)
        fine_tune(
            config,
            start,
            reference_examples(start, problems),
            settings,
            seed=config["seed"],
            workdir=workdir,
            name="student",
            folder=folder,
            base=config["policy"]["pretrained"] or "",
            validation=lambda policy: validation_of(
                policy,
                reference_examples(
                    policy, task.problems("validation", config["sft"]["validation_questions"])
                ),
                mesh,
            ),
        )

    return load_model(workdir.stage("student", STUDENT_FIELDS, after, make), mesh)


def starting_point(
    config: Mapping[str, Any], workdir: Workdir, mesh: Mesh
) -> tuple[StoredModel, Path, str]:
    """The policy that a study goes on from, where it lies, and the stage that stands for it.

    That is another run's, if `config.checkpoint` is given, and a student trained here otherwise.
    """
    if not config["checkpoint"]:
        return train_student(config, workdir), workdir.path / "stages" / "student", "student"
    source = find_policy(config["checkpoint"], config["model"])
    mark_source(workdir, source)
    return load_policy(config, source, mesh), source, "policy"


def own_student(config: Mapping[str, Any], workdir: Workdir, mesh: Mesh) -> StoredModel:
    """Stage `student`: trained here, or a copy of the policy of another run that is given."""
    policy, _, stage = starting_point(config, workdir, mesh)
    if stage == "student":
        return policy
    made = workdir.stage("student", [], [stage], lambda folder: save_model(folder, policy))
    return load_model(made, mesh)


def fine_tune(
    config: Mapping[str, Any],
    start: StoredModel,
    examples: Sequence[Example],
    settings: TrainSettings,
    *,
    seed: int,
    workdir: Workdir,
    name: str,
    folder: Path,
    base: str,
    validation: Callable[[StoredModel], Validation | None] = lambda policy: None,
) -> None:
    """Trains a policy on examples and saves it in `folder`; resumable.

    With `policy.lora.rank` only an adapter is trained: it is exported and merged.

    Args:
      config: of the study.
      start: the policy to begin from, on the mesh to train on; its memory is given away.
      examples, settings, seed: as for `training.fit.fit`.
      workdir, name: of the run and the stage.
      folder: of the stage.
      base: where the start lies, for the adapter's files.
      validation: makes the function from parameters to metrics for the policy that is trained.
    """
    start = with_adapter(config, start)
    params = fit(
        start.model,
        start.params,
        language_model_loss,
        examples,
        settings,
        seed=seed,
        mesh=mesh_of(start.params),
        workdir=workdir.path,
        name=name,
        evaluate=validation(start),
    )
    model = start.model
    if model.config.lora is not None:
        adapter = to_host(lora.leaves(params))
        if is_writer():
            lora.export(folder / "adapter", model, adapter, base)
        model, params = lora.merge(model, params)
    save_model(folder, StoredModel(model, params, start.tokenizer))


def starting_policy(
    config: Mapping[str, Any], problems: Sequence[Problem], mesh: Mesh
) -> StoredModel:
    """A pretrained model, or a fresh one with a tokeniser trained on the problems' text.

    Pretrained is what `pretrained.find` finds, and a stage of another run.
    """
    if config["policy"]["pretrained"]:
        return load_policy(config, pretrained.find(config["policy"]["pretrained"]), mesh)
    texts = [f"{prompt_text(p.question)}{p.solution}" for p in problems]
    tokenizer = train_sentencepiece(texts, config["tokenizer"]["vocab_size"])
    model = Transformer(own_shape(config, tokenizer.vocab_size))
    params = init_on_mesh(model, jax.random.key(config["seed"]), mesh)
    return StoredModel(model, params, tokenizer)


@dataclasses.dataclass(frozen=True)
class Start:
    """What models of a study begin as, when many of them do.

    Attributes:
      model, tokenizer: of all.
      stage: that stands for it: `pretrained`, or that of the tokeniser.
      place: of a pretrained model's files; none where models begin from nothing.
    """

    model: Transformer
    tokenizer: Tokenizer
    stage: str
    place: Path | None

    def policy(self, config: Mapping[str, Any], seed: int, mesh: Mesh) -> StoredModel:
        """The pretrained model, or a fresh one."""
        if self.place:
            return load_policy(config, self.place, mesh)
        params = init_on_mesh(self.model, jax.random.key(seed), mesh)
        return StoredModel(self.model, params, self.tokenizer)


def start_of(
    config: Mapping[str, Any], workdir: Workdir, mesh: Mesh, own_tokenizer: Callable[[], Tokenizer]
) -> Start:
    """The model `policy.pretrained`, or a fresh one of the config's shape.

    Args:
      config, workdir, mesh: of the run.
      own_tokenizer: makes stage `tokenizer`, where there is none of a pretrained model.
    """
    if config["policy"]["pretrained"]:
        place = pretrained.find(config["policy"]["pretrained"])
        mark_source(workdir, place, name="pretrained")
        policy = load_policy(config, place, mesh)
        return Start(policy.model, policy.tokenizer, "pretrained", place)
    tokenizer = own_tokenizer()
    model = Transformer(own_shape(config, tokenizer.vocab_size))
    return Start(model, tokenizer, "tokenizer", None)


def own_shape(config: Mapping[str, Any], vocab_size: int) -> TransformerConfig:
    """The shape that the config's own fields give."""
    policy = {k: v for k, v in config["policy"].items() if k not in ("pretrained", "lora")}
    return TransformerConfig(vocab_size=vocab_size, **policy)


def with_adapter(config: Mapping[str, Any], policy: StoredModel) -> StoredModel:
    """The policy with a low-rank adapter to train, where `policy.lora.rank` is not 0."""
    fields = config["policy"]["lora"]
    if not fields["rank"]:
        return policy
    adapter = Lora(**fields | {"targets": tuple(fields["targets"])})
    key = from_config.key(config, "adapter")
    model, params = lora.attach(policy.model, policy.params, adapter, key)
    return StoredModel(model, params, policy.tokenizer)


def reference_examples(policy: StoredModel, problems: Sequence[Problem]) -> list[Example]:
    """The problems' own solutions, to be learned by heart."""
    return completion_examples(
        policy.tokenizer,
        [prompt_text(problem.question) for problem in problems],
        [problem.solution for problem in problems],
        policy.model.config.max_length,
    )


def validation_of(
    policy: StoredModel, examples: Sequence[Example], mesh: Mesh
) -> Validation | None:
    """Parameters → loss and token accuracy on examples; nothing where there are none.

    The width is a bucket's, as a training batch's is: `policy.logit_chunk` then has a factor in
    common with it.
    """
    if not examples:
        return None
    (width,) = bucket_lengths([len(example["tokens"]) for example in examples], 1)
    batch = pad_and_stack(examples, width)
    batch["weights"] = batch["mask"] / np.sum(batch["mask"])
    missing = whole_rows(len(examples), mesh) - len(examples)
    rows = {
        name: spread(np.pad(values, ((0, missing), (0, 0))), mesh) for name, values in batch.items()
    }
    loss_fn = jax.jit(on_mesh(language_model_loss(policy.model), mesh))

    def evaluate_loss(params) -> dict[str, float]:
        loss, metrics = loss_fn(params, rows, jax.random.key(0))
        return {"validation_loss": float(loss)} | {
            f"validation_{name}": float(value) for name, value in metrics.items()
        }

    return evaluate_loss
