"""Generators under the Wasserstein-1 loss on manifolds (arXiv 2302.13183).

Networks learn to make the points of a distribution on a manifold from n of them; what they make is
held against fresh points by exact transport, beside the floor that sampling alone sets.
"""

from collections.abc import Mapping
from typing import Any

from jax.sharding import Mesh

from qdcjax.experiments.findings import generator as findings
from qdcjax.experiments.reports import generator as generator_report
from qdcjax.experiments.running import from_config, publish
from qdcjax.experiments.stages import generators, point_cases, point_members
from qdcjax.tasks.densities import Digits
from qdcjax.workdir import Workdir


def run(config: Mapping[str, Any], workdir: Workdir) -> dict[str, float]:
    """All programs; returns the summary."""
    mesh = from_config.mesh(config["mesh"])
    check(config, mesh)
    predictions = from_config.predictions(config["predictions"])
    publish.fix_predictions(workdir)

    # 1. Everything of one shape learns in one program.
    programs = point_cases.plan(config)
    for shape, members in programs.items():
        generators.learn(config, workdir, shape, members, mesh)
    point_members.keep(config, workdir, programs, findings.MAIN, generators.model_of)

    # 2. Held-out points, and what fresh samples of as many points are apart.
    rows = [
        row
        for shape, members in programs.items()
        for row in generators.distances(config, workdir, shape, members)
    ]
    floors = list(generators.floors(config, workdir, programs))
    dimensions = {case: point_cases.dimension_of(config, case) for case in config["cases"]}
    found = findings.find(rows, floors, config["cases"], dimensions, config["base"], predictions)
    return publish.publish(
        workdir,
        lambda: generator_report.report(workdir, found, programs),
        publish.flat(found.results),
        found.verdicts,
    )


def check(config: Mapping[str, Any], mesh: Mesh) -> None:
    """Raises ValueError, one line that names the field, for what no stage could do."""
    for shape, members in point_cases.plan(config).items():
        generators.program_of(config, shape, mesh)
        for member in members:
            distribution = generators.distribution_of(config, member.case)
            if isinstance(distribution, Digits):
                distribution.draw(member.size, 0, held_out=False)
                distribution.draw(generators.tested(config, member.size), 0)
    point_cases.check_base(config, findings.MAIN)
    if config["floor"]["pairs"] < 2:
        raise ValueError(f"floor.pairs={config['floor']['pairs']} must be at least 2")
