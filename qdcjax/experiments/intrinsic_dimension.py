"""The intrinsic dimension of language models' hidden states (2411.06646, section on language).

How it depends on layer, position, width and training, with estimators and metrics side by side.
"""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from qdcjax.data.tokenizers import Tokenizer
from qdcjax.experiments.findings.intrinsic_dimension import find
from qdcjax.experiments.reports import intrinsic_dimension as dimension_report
from qdcjax.experiments.running import from_config, publish
from qdcjax.experiments.stages import corpora, fine_tuning
from qdcjax.experiments.stages.dimensions import DimensionSettings, likelihoods, points_at
from qdcjax.experiments.stages.layer_dimensions import Measured, over_layers, over_positions
from qdcjax.experiments.stages.policies import find_policy, load_policy, mark_source
from qdcjax.models.transformer import Transformer
from qdcjax.training.sharding import init_on_mesh
from qdcjax.training.store import StoredModel, load_model
from qdcjax.workdir import Workdir

FIELDS = ("seeds", "corpora", "tokenizer", "language", "policy", "models", "pretrain", "dimension")


def run(config: Mapping[str, Any], workdir: Workdir) -> dict[str, float]:
    """Trains or loads the policies and measures them; returns the summary."""
    mesh = from_config.mesh(config["mesh"])
    settings = check(config, mesh)
    predictions = from_config.predictions(config["predictions"])
    publish.fix_predictions(workdir)

    # 1. Policies, and held-out text as their tokens.
    if config["checkpoint"]:
        measured, after = given_policy(config, workdir, mesh)
    else:
        measured, after = own_policies(config, workdir, settings, mesh)

    # 2. Dimensions in every layer, and between positions in the last one.
    layers = over_layers(workdir, measured, settings, config["layers"], after)
    positions = over_positions(workdir, measured, settings, config["positions"], after)

    found = find(list(layers), list(positions), predictions)
    return publish.publish(
        workdir,
        lambda: dimension_report.report(workdir, found, settings),
        publish.flat(found.results),
        found.verdicts,
    )


def check(config: Mapping[str, Any], mesh: Mesh) -> DimensionSettings:
    """The settings of the measures.

    Raises:
      ValueError: one line that names the field.
    """
    settings = from_config.make(DimensionSettings, config["dimension"], "dimension")
    positions = list(config["positions"])
    if len(positions) < 2 or positions != sorted(set(positions)) or positions[0] < 0:
        raise ValueError(f"positions={positions} must be two or more, rising from 0 or above")
    longest = max(settings.prefix, positions[-1])
    if longest >= config["policy"]["max_length"]:
        raise ValueError(
            f"policy.max_length={config['policy']['max_length']} must be over {longest}"
        )
    for name, fields in config["corpora"].items():
        corpora.corpus_of(fields, name, 0)
    if len(config["corpora"]) != 1:
        raise ValueError(f"corpora: {len(config['corpora'])} are named, and one is measured")
    if not config["checkpoint"]:
        from_config.training(config, "pretrain", mesh)
        for name in config["models"]:
            model_of(config, name, vocab_size=1)
    return settings


def held_out_and_train(
    config: Mapping[str, Any], workdir: Workdir, tokenizer: Tokenizer, after: str
) -> corpora.Documents:
    """The corpus as a tokeniser's ids."""
    (name,) = config["corpora"]
    of = config["language"]
    train = 0 if config["checkpoint"] else of["sizes"][-1]
    return corpora.read_corpus(config, workdir, name, tokenizer, train, of["held_out"], after)


def given_policy(
    config: Mapping[str, Any], workdir: Workdir, mesh: Mesh
) -> tuple[list[Measured], list[str]]:
    """The policy `config.checkpoint`, with places drawn anew for each seed."""
    source = find_policy(config["checkpoint"], config["model"])
    policy = load_policy(config, source, mesh)
    mark_source(workdir, source)
    documents = held_out_and_train(config, workdir, policy.tokenizer, "policy")
    measured = [Measured("policy", seed, policy, documents.held_out) for seed in config["seeds"]]
    return measured, [f"corpus-{name}" for name in config["corpora"]]


def own_policies(
    config: Mapping[str, Any], workdir: Workdir, settings: DimensionSettings, mesh: Mesh
) -> tuple[list[Measured], list[str]]:
    """Stages `<model>-<seed>`: a language model of each shape and seed."""
    tokenizer = corpora.train_tokenizer(config, workdir)
    documents = held_out_and_train(config, workdir, tokenizer, "tokenizer")
    rows = corpora.rows_of(documents.train, tokenizer, config["language"]["context"])
    examples = [{name: of[row] for name, of in rows.items()} for row in range(len(rows["tokens"]))]
    training = from_config.training(config, "pretrain", mesh)
    measured, stages = [], []
    for name, seed in itertools.product(config["models"], config["seeds"]):
        stage = f"{name}-{seed}"

        def make(folder: Path, name=name, seed=seed, stage=stage) -> None:
            model = model_of(config, name, tokenizer.vocab_size)
            start = StoredModel(model, init_on_mesh(model, jax.random.key(seed), mesh), tokenizer)
            fine_tuning.fine_tune(
                config,
                start,
                examples,
                training,
                seed=seed,
                workdir=workdir,
                name=stage,
                folder=folder,
                base="",
                validation=lambda policy: over_training(policy, documents.held_out, settings),
            )

        folder = workdir.stage(stage, FIELDS, [f"corpus-{of}" for of in config["corpora"]], make)
        measured.append(Measured(name, seed, load_model(folder, mesh), documents.held_out))
        stages.append(stage)
    return measured, stages


def model_of(config: Mapping[str, Any], name: str, vocab_size: int) -> Transformer:
    """The model `models.<name>`."""
    policy = {**config["policy"], **config["models"][name]}
    return Transformer(fine_tuning.own_shape({"policy": policy}, vocab_size))


def over_training(policy: StoredModel, documents, settings: DimensionSettings):
    """Parameters → the dimension of the last layer, for the log: `dimension_<metric>`."""
    layer = policy.model.config.layers

    def evaluate(params) -> dict[str, float]:
        now = StoredModel(policy.model, params, policy.tokenizer)
        (points,) = points_at(now, documents, settings, [layer], "states")
        return {
            f"dimension_{row['metric']}": row["dimension"] for row in likelihoods(points, settings)
        }

    return evaluate
