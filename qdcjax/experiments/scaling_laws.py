"""Scaling laws on intrinsically low-dimensional data (Havrilla and Liao 2024, arXiv 2411.06646).

Loss against data and parameters: of a regression on manifolds whose dimension is known, and of
language models, whose dimension is measured in their hidden states.
"""

import itertools
from collections.abc import Mapping
from typing import Any

from jax.sharding import Mesh

from qdcjax.data.tables import columns
from qdcjax.experiments.findings.scaling_laws import find
from qdcjax.experiments.reports import scaling_laws as scaling_report
from qdcjax.experiments.running import from_config, publish
from qdcjax.experiments.stages import corpora, language_models, regression
from qdcjax.experiments.stages.dimensions import DimensionSettings, likelihoods, points_at
from qdcjax.experiments.stages.scaling_members import BASE
from qdcjax.training.store import load_model
from qdcjax.workdir import Workdir


def run(config: Mapping[str, Any], workdir: Workdir) -> dict[str, float]:
    """Both parts; returns the summary."""
    mesh = from_config.mesh(config["mesh"])
    check(config, mesh)
    predictions = from_config.predictions(config["predictions"])
    publish.fix_predictions(workdir)

    # 1. Regression on manifolds.
    losses = {"regression": regression.regress(config, workdir, mesh)}

    # 2. Language models, each of a part of its corpus.
    tokenizer = corpora.train_tokenizer(config, workdir)
    documents = {
        name: corpora.read_corpus(
            config,
            workdir,
            name,
            tokenizer,
            config["language"]["sizes"][-1],
            config["language"]["held_out"],
        )
        for name in config["corpora"]
    }
    losses["language"] = language_models.train(config, workdir, documents, tokenizer, mesh)

    # 3. The dimension of what they make of held-out text.
    dimensions = measure(config, workdir, documents, mesh)

    known = {
        name: regression.manifold_of(fields, name).dimension
        for name, fields in config["regression"]["manifolds"].items()
    }
    found = find(losses["regression"], losses["language"], known, dimensions, predictions)
    return publish.publish(
        workdir,
        lambda: scaling_report.report(workdir, found),
        publish.flat(found.results),
        found.verdicts,
    )


def check(config: Mapping[str, Any], mesh: Mesh) -> None:
    """Raises ValueError, one line that names the field, for what no stage could do."""
    of = config["regression"]
    for width, name in regression.programs(config):
        regression.model_of(config, name, width)
        regression.targets_of(config, width)
    for section in ("regression_training", "language_training"):
        from_config.training(config, section, mesh)
    for section, models in (
        ("regression", of["models"]),
        ("language", config["language"]["models"]),
    ):
        sizes = config[section]["sizes"]
        if BASE not in models:
            raise ValueError(f"{section}.models has no {BASE!r}, which learns every size")
        if len(sizes) < 3 or list(sizes) != sorted(set(sizes)):
            raise ValueError(f"{section}.sizes={tuple(sizes)} must be three or more, rising")
    context = config["language"]["context"]
    if config["language"]["sizes"][0] < context or config["language"]["held_out"] < context:
        raise ValueError(f"language.context={context} must be at most the least size and held_out")
    for name, fields in config["corpora"].items():
        corpora.corpus_of(fields, name, 0)
    dimension_settings(config)


def dimension_settings(config: Mapping[str, Any]) -> DimensionSettings:
    """The settings in `config.dimension`."""
    settings = from_config.make(DimensionSettings, config["dimension"], "dimension")
    if settings.prefix >= config["policy"]["max_length"]:
        raise ValueError(
            f"dimension.prefix={settings.prefix} must be under "
            f"policy.max_length={config['policy']['max_length']}"
        )
    return settings


def measure(
    config: Mapping[str, Any],
    workdir: Workdir,
    documents: Mapping[str, corpora.Documents],
    mesh: Mesh,
) -> list[dict[str, Any]]:
    """Table `dimensions`: of the last layer of each base model that learned all of its corpus."""
    settings = dimension_settings(config)

    def make(part: tuple[str, int]) -> dict[str, list]:
        corpus, seed = part
        policy = load_model(language_models.folder_of(workdir, BASE, corpus, seed), mesh)
        layer = policy.model.config.layers
        held_out = documents[corpus].held_out
        points = points_at(policy, held_out, settings, [layer], f"states {corpus}-{seed}")[0]
        rows = [{"data": corpus, "seed": seed, **row} for row in likelihoods(points, settings)]
        return columns(rows)

    parts = list(itertools.product(documents, config["seeds"]))
    after = [language_models.stage_of(BASE)]
    return list(workdir.table("dimensions", ["dimension"], after, lambda: parts, make))
