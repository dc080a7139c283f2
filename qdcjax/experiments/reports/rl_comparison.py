"""The report of the comparison: every algorithm from every start, and how each learned."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from qdcjax.experiments.findings.rl_comparison import DENSE, EXPERTS, SMOOTH, Comparison
from qdcjax.experiments.findings.rl_comparison_runs import GREEDY, OF_LAST, by_kind, ways_to_answer
from qdcjax.experiments.running import publish
from qdcjax.measures.intervals import Interval
from qdcjax.measures.predictions import Verdict
from qdcjax.reporting import figures
from qdcjax.reporting.page import HeadlineRow, Plate, Report, Section, Table
from qdcjax.workdir import Workdir

Results = Mapping[str, float | Interval]


def report(
    workdir: Workdir,
    comparison: Comparison,
    reranked: Sequence[str],
    results: Results,
    verdicts: Sequence[Verdict],
) -> Report:
    """The whole page.

    Args:
      workdir: of the comparison.
      comparison: its runs.
      reranked: policies of the main start that have reward models of their own.
      results: name → figure, as for the summary.
      verdicts: on the predictions.
    """
    start, size = comparison.main_start, comparison.sizes[0]
    sections = [accuracy_section(workdir, comparison, results), curves_section(workdir, comparison)]
    if reranked:
        sections.insert(1, answers_section(workdir, comparison, reranked, results))
    headline = [
        HeadlineRow(
            f"{words(kind[2])}: greedy accuracy gained",
            results[f"{'_'.join(kind)}_{GREEDY}_gain"],
            "points",
            f"from the start {start}, paired by question",
        )
        for kind in by_kind(comparison.runs)
        if kind[:2] == (size, start)
    ]
    return Report(
        title="Learning to reason by reward",
        description="Expert iteration, PPO, RLOO, GRPO and return-conditioned RL from the same "
        "starting points. Each run has its own page in the folder members.",
        run=publish.run_facts(workdir),
        headline=headline,
        verdicts=verdicts,
        sections=sections,
    )


def accuracy_section(workdir: Workdir, comparison: Comparison, results: Results) -> Section:
    """Every start and algorithm, before and after."""
    most, plates = comparison.most, []
    kinds = list(by_kind(comparison.runs))
    for figure, label in {GREEDY: "greedy", f"pass_at_{most}": f"pass@{most}"}.items():
        for size in comparison.sizes:
            starts = list(dict.fromkeys(k[1] for k in kinds if k[0] == size))
            algorithms = list(dict.fromkeys(k[2] for k in kinds if k[0] == size and k[2] != DENSE))
            before = [results[f"{size}_{s}_{algorithms[0]}_{figure}_before"] for s in starts]
            bars = {"before": before} | {
                words(a): [results.get(f"{size}_{s}_{a}_{figure}_after", math.nan) for s in starts]
                for a in algorithms
            }
            drawn = figures.grouped_bars(
                starts, bars, "starting point", f"right, {label}", baseline="before"
            )
            path = workdir.path / "figures" / f"{figure}_{size}.png"
            caption = f"{label}, {size} model, before and after each algorithm (sparse rewards)."
            plates.append(Plate(figures.save(drawn, path), caption))
    shown = (GREEDY, f"maj_at_{most}", f"pass_at_{most}")
    columns = ["size", "start", "algorithm", "rollouts", "gradient steps"]
    columns += [f"{name}, {when}" for name in ("greedy", f"maj@{most}", f"pass@{most}")
                for when in ("before", "after")]  # fmt: skip
    columns += ["KL from the start, nats a solution", "different solutions a question"]
    rows = []
    for kind in kinds:
        name = "_".join(kind)
        rows.append(
            [*kind[:2], words(kind[2])]
            + [f"{results[f'{name}_{of}']:,.0f}" for of in ("rollouts", "gradient_steps")]
            + [results[f"{name}_{of}_{when}"] for of in shown for when in ("before", "after")]
            + [results.get(f"{name}_{of}") for of in OF_LAST]
        )
    units = [*[""] * 5, *["%"] * 6, "", ""]
    return Section("Accuracy", "", plates, [Table(columns, rows, "Every run.", units)])


def answers_section(
    workdir: Workdir, comparison: Comparison, reranked: Sequence[str], results: Results
) -> Section:
    """Policies of the main start, asked in several ways: R8."""
    ways = ways_to_answer(comparison.most)
    found = {words(of): [results[f"reranked_{of}_{way}"] for way in ways] for of in reranked}
    figure = figures.grouped_bars(list(ways.values()), found, "way to answer", "right")
    path = figures.save(figure, workdir.path / "figures" / "ways_to_answer.png")
    text = (
        f"From the start {comparison.main_start}. For rerank@{comparison.most} each policy has an "
        "outcome reward model that learned from its own solutions of validation questions; "
        f"pass@{comparison.most} is what a perfect one would give."
    )
    columns, rows = ["policy", *ways.values()], [[name, *of] for name, of in found.items()]
    table = Table(columns, rows, "Every policy.", ["", *["%"] * len(ways)])
    return Section("Ways to answer", text, [Plate(path, "Share of questions right.")], [table])


def curves_section(workdir: Workdir, comparison: Comparison) -> Section:
    """Accuracy of the newest rollouts, against rollouts and against gradient steps."""
    panels: dict[str, dict[str, figures.Series]] = {}
    by_steps: dict[str, dict[str, figures.Series]] = {}
    for (size, start, algorithm), same in by_kind(comparison.runs).items():
        rollouts, accuracy = same[0].curve[0], np.mean([run.curve[1] for run in same], axis=0)
        steps = rollouts / rollouts[-1] * same[0].of_last("gradient_steps").value
        for found, x in ((panels, rollouts), (by_steps, steps)):
            panel = found.setdefault(f"right rollouts, {size}, {start}", {})
            smooth = 1 if algorithm == EXPERTS else SMOOTH
            panel[words(algorithm)] = figures.Series(x, accuracy, smooth=smooth)
    plates = []
    for name, found in {"rollouts": panels, "gradient steps": by_steps}.items():
        path = workdir.path / "figures" / f"curves_{name.replace(' ', '_')}.png"
        figures.save(figures.lines(found, f"{name} so far"), path)
        plates.append(Plate(path, f"Accuracy at temperature 1 against {name}."))
    text = (
        "Training questions are new when they are first sampled. A point of expert iteration is a "
        "round: its rollouts are those of the policy before it. Means over seeds; the lines "
        f"of other algorithms are smoothed over {SMOOTH} points, in front of faint raw ones."
    )
    return Section("Sample complexity", text, plates)


def words(algorithm: str) -> str:
    """How a reader calls an algorithm."""
    known = {"ppo": "PPO", "ppo_dense": "PPO, dense reward", "rloo": "RLOO", "grpo": "GRPO"}
    known |= {"rcrl": "return-conditioned RL"}
    return known.get(algorithm, algorithm.replace("_", " "))
