"""The intrinsic dimension of language models' hidden states (2411.06646, section on language).

How it depends on layer, position, width and training, with estimators and metrics side by side.
"""

import dataclasses
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
from qdcjax.experiments.stages.dimensions import (
    DimensionSettings,
    likelihoods,
    passages_of,
    places_in,
    points_at,
)
from qdcjax.experiments.stages.layer_dimensions import (
    Measured,
    over_layers,
    over_positions,
    over_settings,
)
from qdcjax.experiments.stages.policies import find_policy, load_policy, mark_source, token_texts
from qdcjax.measures.intrinsic_dimension import check_mle
from qdcjax.models.transformer import Transformer
from qdcjax.training.fit import TrainSettings
from qdcjax.training.sharding import init_on_mesh
from qdcjax.training.store import StoredModel, load_model
from qdcjax.workdir import Workdir

FIELDS = ("seeds", "corpora", "tokenizer", "language", "policy", "models", "pretrain", "rate_width")
FIELDS += ("dimension",)


def run(config: Mapping[str, Any], workdir: Workdir) -> dict[str, float]:
    """Trains or loads the policies and measures them; returns the summary."""
    mesh = from_config.mesh(config["mesh"])
    settings = check(config, mesh)
    predictions = from_config.predictions(config["predictions"])
    publish.fix_predictions(workdir)

    # 1. Policies, and held-out text as their tokens.
    if config["checkpoint"]:
        measured, after = given_policies(config, workdir, settings, mesh)
    else:
        measured, after = own_policies(config, workdir, settings, mesh)

    # 2. Dimensions in every layer; in the last one between positions, and the widest policy's with
    #    other settings.
    layers = over_layers(workdir, measured, settings, config["layers"], after)
    positions = over_positions(workdir, measured, settings, config["positions"], after)
    widest = [of for of in measured if of.name == measured[-1].name]
    others = over_settings(workdir, widest, settings, config["sensitivity"], after)

    found = find(list(layers), list(positions), list(others), predictions)
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
    sensitivity = config["sensitivity"]
    for name, values in sensitivity.items():
        if not values or list(values) != sorted(set(values)):
            raise ValueError(f"sensitivity.{name}={tuple(values)} must be one or more, rising")
    check_mle(sensitivity["ks"][0], settings.aggregate)
    if sensitivity["ks"][-1] >= sensitivity["batches"][0]:
        raise ValueError(
            f"sensitivity.ks={tuple(sensitivity['ks'])} must be under the least of the batches, "
            f"{sensitivity['batches'][0]:,}"
        )
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
        if config["rate_width"] < 1:
            raise ValueError(f"rate_width={config['rate_width']} must be at least 1")
        for name in config["models"]:
            model_of(config, name, vocab_size=1)
            training_of(config, name, mesh)
    return settings


def read_documents(
    config: Mapping[str, Any],
    workdir: Workdir,
    settings: DimensionSettings,
    tokenizer: Tokenizer,
    after: str,
) -> corpora.Documents:
    """The corpus as a tokeniser's ids; raises ValueError where it is too short to be measured."""
    (name,) = config["corpora"]
    of = config["language"]
    train = 0 if config["checkpoint"] else of["sizes"][-1]
    found = corpora.read_corpus(config, workdir, name, tokenizer, train, of["held_out"], after)
    passages = passages_of(found.held_out, settings)
    for places in itertools.pairwise(config["positions"]):
        places_in(passages, settings, places)
    there, most = places_in(passages, settings)[1].size, config["sensitivity"]["batches"][-1]
    if there < most:
        raise ValueError(f"sensitivity.batches: {most:,} points, and the text has {there:,} places")
    return found


def given_policies(
    config: Mapping[str, Any], workdir: Workdir, settings: DimensionSettings, mesh: Mesh
) -> tuple[list[Measured], list[str]]:
    """The policies `config.checkpoint`, narrow ones first, with places drawn anew for each seed.

    Raises:
      ValueError: they read text as different tokens, or are named alike.
    """
    names = config["checkpoint"].split(",")
    sources = {Path(name).name: find_policy(name, config["model"]) for name in names}
    if len(sources) < len(names):
        raise ValueError(f"checkpoint={config['checkpoint']}: two policies have the same name")
    loaded = {name: load_policy(config, source, mesh) for name, source in sources.items()}
    policies = dict(sorted(loaded.items(), key=lambda item: item[1].model.config.width))
    first, *others = policies
    for other in others:
        if token_texts(policies[other]) != token_texts(policies[first]):
            raise ValueError(
                f"checkpoint: {first} and {other} have different tokenisers, so that their states "
                "are of different tokens: measure each in a run of its own"
            )
    mark_source(workdir, *sources.values())
    documents = read_documents(config, workdir, settings, policies[first].tokenizer, "policy")
    measured = [
        Measured(name, seed, policy, documents.held_out)
        for name, policy in policies.items()
        for seed in config["seeds"]
    ]
    return measured, [f"corpus-{name}" for name in config["corpora"]]


def own_policies(
    config: Mapping[str, Any], workdir: Workdir, settings: DimensionSettings, mesh: Mesh
) -> tuple[list[Measured], list[str]]:
    """Stages `<model>-<seed>`: a language model of each shape and seed, narrow ones first."""
    tokenizer = corpora.train_tokenizer(config, workdir)
    documents = read_documents(config, workdir, settings, tokenizer, "tokenizer")
    rows = corpora.rows_of(documents.train, tokenizer, config["language"]["context"])
    examples = [{name: of[row] for name, of in rows.items()} for row in range(len(rows["tokens"]))]
    measured, stages = [], []
    models = sorted(config["models"], key=lambda name: config["models"][name]["width"])
    for name, seed in itertools.product(models, config["seeds"]):
        stage = f"{name}-{seed}"

        def make(folder: Path, name=name, seed=seed, stage=stage) -> None:
            model = model_of(config, name, tokenizer.vocab_size)
            start = StoredModel(model, init_on_mesh(model, jax.random.key(seed), mesh), tokenizer)
            fine_tuning.fine_tune(
                config,
                start,
                examples,
                training_of(config, name, mesh),
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


def training_of(config: Mapping[str, Any], name: str, mesh: Mesh) -> TrainSettings:
    """`config.pretrain`, with a rate that falls as 1 / width above `config.rate_width`.

    As Adam's does for hidden layers in Yang et al. 2021, "Tensor Programs V": at one rate the
    widest models learn worst.
    """
    settings = from_config.training(config, "pretrain", mesh)
    share = min(1.0, config["rate_width"] / config["models"][name]["width"])
    rate = share * settings.optimizer.learning_rate
    optimizer = dataclasses.replace(settings.optimizer, learning_rate=rate)
    return dataclasses.replace(settings, optimizer=optimizer)


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
