"""Chart autoencoders on noisy manifolds (Liu, Havrilla, Lai and Liao 2023, arXiv 2303.09863).

Networks that are trained on pairs of noisy and clean points of a manifold denoise fresh ones: with
charts, whose latent dimension is the manifold's own, and without.
"""

from collections.abc import Mapping
from typing import Any

from qdcjax.experiments.findings import chart_autoencoder as findings
from qdcjax.experiments.reports import chart_autoencoder as chart_report
from qdcjax.experiments.running import from_config, publish
from qdcjax.experiments.stages import charts, point_cases, point_members
from qdcjax.workdir import Workdir


def run(config: Mapping[str, Any], workdir: Workdir) -> dict[str, float]:
    """All programs; returns the summary."""
    mesh = from_config.mesh(config["mesh"])
    check(config)
    predictions = from_config.predictions(config["predictions"])
    publish.fix_predictions(workdir)

    # 1. Everything of one shape learns in one program.
    programs = point_cases.plan(config)
    for shape, members in programs.items():
        charts.learn(config, workdir, shape, members, mesh)
    point_members.keep(config, workdir, programs, findings.CHARTS, charts.model_of)

    # 2. Fresh noisy points.
    rows = [
        row
        for shape, members in programs.items()
        for row in charts.errors(config, workdir, shape, members)
    ]
    dimensions = {case: point_cases.dimension_of(config, case) for case in config["cases"]}
    found = findings.find(rows, config["cases"], dimensions, config["base"], predictions)
    return publish.publish(
        workdir,
        lambda: chart_report.report(workdir, found, programs),
        publish.flat(found.results),
        found.verdicts,
    )


def check(config: Mapping[str, Any]) -> None:
    """Raises ValueError, one line that names the field, for what no stage could do."""
    for shape, members in point_cases.plan(config).items():
        most = charts.model_of(config, shape).config.charts
        how = point_cases.learning_of(config, shape, charts.Learning)
        if how.start == "farthest" and min(of.size for of in members) < most:
            raise ValueError(
                f"models.{shape.model}.charts={most} begin around as many points: a case has fewer"
            )
        for member in members:
            charts.task_of(config, member.case, member.seed)
    point_cases.check_base(config, findings.CHARTS)
    if config["tested"] < 2:
        raise ValueError(f"tested={config['tested']} must be at least 2")
