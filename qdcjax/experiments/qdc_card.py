"""The QDC card of text sets: their quality, diversity and complexity (arXiv 2412.02980).

Any sets of prompts and responses, side by side at one size.
"""

from collections.abc import Mapping
from typing import Any

from jax.sharding import Mesh

from qdcjax.experiments.findings.qdc_card import find
from qdcjax.experiments.reports import qdc_card as card
from qdcjax.experiments.running import from_config, publish
from qdcjax.experiments.stages import text_samples, text_sets
from qdcjax.experiments.stages.policies import find_policy
from qdcjax.workdir import Workdir


def run(config: Mapping[str, Any], workdir: Workdir) -> dict[str, float]:
    """Reads the sets and describes them; returns the summary."""
    mesh = from_config.mesh(config["mesh"])
    settings = check(config, mesh)

    # 1. Whole sets are counted, and a sample of each is kept.
    sets = {
        name: text_sets.read(config, workdir, name, source, settings)
        for name, source in text_sets.sources_of(config).items()
    }

    # 2. What can be told of each sample, and where it lies.
    policy = text_samples.policy_of(config, workdir, mesh)
    samples = {
        name: text_samples.described(workdir, name, of, policy)[:] for name, of in sets.items()
    }
    embeddings = text_samples.embeddings(workdir, sets, settings, policy)

    found = find(sets, samples, embeddings, settings)
    return publish.publish(
        workdir,
        lambda: card.report(workdir, found, samples, settings),
        publish.flat(found.results),
    )


def check(config: Mapping[str, Any], mesh: Mesh) -> text_sets.CardSettings:
    """The settings of the card.

    Raises:
      ValueError, OSError: one line that names the field or the file.
    """
    settings = from_config.make(text_sets.CardSettings, config["card"], "card")
    text_sets.check_sources(config)
    if not 1 <= config["against"]["n"] <= 100 or config["against"]["count"] < 2:
        raise ValueError("against.n must be from 1 to 100 words, and against.count at least 2")
    if config["checkpoint"]:
        find_policy(config["checkpoint"], config["model"])
    elif settings.embedding == "policy":
        raise ValueError("card.embedding=policy needs a policy: --config.checkpoint=…")
    return settings
