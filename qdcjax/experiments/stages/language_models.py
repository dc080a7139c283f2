"""Language models of several corpora: losses against data and parameters, and the models."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
from jax.sharding import Mesh

from qdcjax.data.tokenizers import Tokenizer
from qdcjax.experiments.running import from_config
from qdcjax.experiments.stages import fine_tuning
from qdcjax.experiments.stages.corpora import Documents, rows_of
from qdcjax.experiments.stages.scaling_members import Member, learn, sizes_of, together
from qdcjax.files import write_part
from qdcjax.models.transformer import Transformer
from qdcjax.training.losses import language_model_loss
from qdcjax.training.store import StoredModel, save_model
from qdcjax.workdir import Workdir

FIELDS = ("seeds", "corpora", "tokenizer", "policy", "language", "language_training")
LOSSES = "losses"


def model_of(config: Mapping[str, Any], name: str, vocab_size: int) -> Transformer:
    """The model `language.models.<name>`."""
    policy = {**config["policy"], **config["language"]["models"][name]}
    return Transformer(fine_tuning.own_shape({"policy": policy}, vocab_size))


def stage_of(model: str) -> str:
    """The stage of the language models of one shape."""
    return f"language-{model}"


def folder_of(workdir: Workdir, model: str, corpus: str, seed: int) -> Path:
    """Where the model of all of a corpus lies."""
    return workdir.path / "stages" / stage_of(model) / f"{corpus}-{seed}"


def train(
    config: Mapping[str, Any],
    workdir: Workdir,
    documents: Mapping[str, Documents],
    tokenizer: Tokenizer,
    mesh: Mesh,
) -> list[dict[str, Any]]:
    """Rows of `scaling_members.learn` of all models, each with its `model`; sizes are tokens."""
    return [
        {**row, "model": name}
        for name in config["language"]["models"]
        for row in losses_of(config, workdir, name, documents, tokenizer, mesh)
    ]


def losses_of(
    config: Mapping[str, Any],
    workdir: Workdir,
    name: str,
    documents: Mapping[str, Documents],
    tokenizer: Tokenizer,
    mesh: Mesh,
) -> datasets.Dataset:
    """Stage `language-<model>`: every corpus, size and seed, in one program.

    It keeps the losses, and the models of all of a corpus.
    """
    of, stage = config["language"], stage_of(name)
    context = of["context"]
    counts = [size // context for size in sizes_of(of, name)]
    model = model_of(config, name, tokenizer.vocab_size)
    settings = from_config.training(config, "language_training", mesh)

    def make(folder: Path) -> None:
        train = {name: rows_of(of.train, tokenizer, context) for name, of in documents.items()}
        held_out = {
            name: rows_of(texts.held_out, tokenizer, context, of["held_out"] // context)
            for name, texts in documents.items()
        }
        every = itertools.product(documents, counts, config["seeds"])
        members = [Member(*member) for member in every]
        params, table = learn(
            model,
            language_model_loss,
            members,
            together(members, lambda member: member.data, train, held_out),
            settings,
            at_once=config["members_at_once"],
            mesh=mesh,
            workdir=workdir,
            name=stage,
        )
        for member, learned in zip(members, params, strict=True):
            if member.size == counts[-1]:
                place = folder / f"{member.data}-{member.seed}"
                save_model(place, StoredModel(model, learned, tokenizer))
        table["size"] = [count * context for count in table["size"]]
        write_part(folder / LOSSES, table)

    after = ["tokenizer", *(f"corpus-{corpus}" for corpus in documents)]
    return datasets.load_from_disk(workdir.stage(stage, FIELDS, after, make) / LOSSES)
