"""Accuracies of the noise study's cells, what noise left of the traces, and the verdicts N1–N7."""

import dataclasses
from collections.abc import Mapping, Sequence

import datasets
import numpy as np

from qdcjax.experiments.stages.noise_data import CLEAN, Cells, Copies, right_steps
from qdcjax.measures.intervals import NOT_MEASURED, Interval, bootstrap, over_replicates
from qdcjax.measures.predictions import Prediction, Verdict, judge
from qdcjax.tasks.traced_integers import Noise

MEDIAN = "median"  # an odd one builds no integer, so that dynamic noise spares its trace
STEPS_OF = 300  # documents that the share of right steps is measured on


@dataclasses.dataclass(frozen=True)
class Answers:
    """How often students are right.

    Attributes:
      cells: operation → name → cell.
      right: (operation, way, cell) → [S, N] the share of right answers to each question of a seed.
        Prompted, the cell is a context, and questions are the first of those.
      questions: operation → [S][N] names of the questions.
    """

    cells: Mapping[str, Cells]
    right: Mapping[tuple[str, str, str], np.ndarray]
    questions: Mapping[str, Sequence[Sequence[str]]]

    @property
    def operations(self) -> list[str]:
        """In the order of the config."""
        return list(self.questions)

    def accuracy(self, operation: str, way: str, cell: str) -> Interval:
        """Share of right answers; Student's interval is cut to what a share can be."""
        return self.contrast({(way, cell): 1.0}, [operation]).within(0, 1)

    def contrast(
        self, weights: Mapping[tuple[str, str], float], operations: Sequence[str]
    ) -> Interval:
        """Σ weight · accuracy, of (way, cell); the mean over operations that have all of them.

        Paired by question within a seed, over the first questions, which all were asked; over
        several seeds Student's interval. Undetermined where there is no such operation.
        """
        asked = [name for name in operations if all((name, *of) in self.right for of in weights)]
        if not asked:
            return NOT_MEASURED
        count = min(self.right[name, *of].shape[1] for name in asked for of in weights)
        seeds = []
        for seed in range(len(self.questions[asked[0]])):
            values = [
                sum(weight * self.right[name, *of][seed, :count] for of, weight in weights.items())
                for name in asked
            ]
            clusters = [q for name in asked for q in self.questions[name][seed][:count]]
            seeds.append(bootstrap(np.concatenate(values), clusters))
        return over_replicates(seeds)


@dataclasses.dataclass(frozen=True)
class Findings:
    """What the study found; `reports.noise` draws it.

    Attributes:
      results: name → number or estimate; the summary.
      verdicts: one a prediction.
      answers: how often students are right.
      contexts: of the prompts → the noise of their examples; empty without prompting.
    """

    results: Mapping[str, float | Interval]
    verdicts: Sequence[Verdict]
    answers: Answers
    contexts: Mapping[str, Noise]


def find(
    seeds: Sequence[int],
    cells: Mapping[str, Cells],
    copies: Mapping[str, Mapping[int, Copies]],
    answers: Mapping[tuple[str, str], datasets.Dataset],
    predictions: Mapping[str, Prediction],
    contexts: Mapping[str, Noise],
) -> Findings:
    """Measures everything after the last answer.

    Args:
      seeds: of the config.
      cells: operation → name → cell.
      copies: operation → seed → training problems.
      answers: (operation, way) → table of answers; the way is greedy, sampled or prompted.
      predictions: name → claim.
      contexts: see `Findings`.
    """
    found = answers_of(seeds, cells, answers)
    results: dict[str, float | Interval] = {
        f"{operation}_{cell}_{way}_accuracy": found.accuracy(operation, way, cell)
        for operation, way, cell in found.right
    }
    for operation, (name, cell) in ((o, of) for o in copies for of in cells[o].items()):
        if cell.kind != "none":
            of = copies[operation][seeds[0]]
            clean, noised = (of.responses[noise][:STEPS_OF] for noise in (CLEAN, cell.noise))
            results[f"{operation}_{name}_right_steps"] = right_steps(clean, noised)
            results[f"{operation}_{name}_right_answers"] = of.survived[cell.noise]
    statistics = prediction_statistics(found)
    verdicts = [judge(prediction, statistics[name]) for name, prediction in predictions.items()]
    results |= {f"{v.prediction.name}_statistic": v.estimate for v in verdicts}
    return Findings(results, verdicts, found, contexts)


def answers_of(
    seeds: Sequence[int],
    cells: Mapping[str, Cells],
    answers: Mapping[tuple[str, str], datasets.Dataset],
) -> Answers:
    """The tables as arrays."""
    right, questions = {}, {}
    for (operation, way), table in answers.items():
        columns = (np.asarray(table[name][:]) for name in ("cell", "seed", "problem_id", "correct"))
        of_cell, of_seed, names, correct = columns
        for cell in dict.fromkeys(of_cell.tolist()):
            rows = [(of_cell == cell) & (of_seed == seed) for seed in seeds]
            asked = [list(dict.fromkeys(names[of].tolist())) for of in rows]
            questions.setdefault(operation, asked)
            right[operation, way, cell] = np.stack(
                [
                    correct[of].astype(float).reshape(len(own), -1).mean(axis=1)
                    for of, own in zip(rows, asked, strict=True)
                ]
            )
    return Answers(cells, right, questions)


def prediction_statistics(found: Answers) -> dict[str, Interval]:
    """The statistic of each prediction; all are linear in accuracies, means over operations."""
    computing = [name for name in found.operations if name != MEDIAN]

    def greedy(operations: Sequence[str] = found.operations, **weights: float) -> Interval:
        return found.contrast({("greedy", cell): w for cell, w in weights.items()}, operations)

    def over_sampling(*cells: str, minus: str = "") -> Interval:
        """How far greedy answers are ahead of sampled ones, less that at another cell."""
        of_cell = dict.fromkeys(cells, 1 / len(cells)) | ({minus: -1.0} if minus else {})
        ahead = {("greedy", cell): weight for cell, weight in of_cell.items()}
        ahead |= {("sampled", cell): -weight for cell, weight in of_cell.items()}
        return found.contrast(ahead, found.operations)

    return {
        "N1": greedy(clean=1, answer=-1),
        "N2_little": greedy(clean=1, character50=-1),
        "N2_cliff": greedy(character50=1, character100=-1),
        "N3": greedy(line90=1, clean=-0.5, answer=-0.5),
        "N4_static": greedy(computing, character50=1, dynamic10=-1),
        "N4_median": greedy([MEDIAN], clean=1, dynamic10=-1),
        "N5_greedy": over_sampling("character50", "dynamic10", "line90"),
        "N5_noise": over_sampling("character50", minus="clean"),
        "N5_size": greedy(character50=1, clean=-1, character50_small=-1, clean_small=1),
        "N6_static": greedy(computing, without_dynamic=1, without_static=-1),
        "N6_random": greedy(computing, without_dynamic=1, without_random=-1),
        "N7": found.contrast(
            {
                ("prompted", "clean"): 1.0,
                ("prompted", "character30_80"): -1.0,
                ("greedy", "clean"): -1.0,
                ("greedy", "character50"): 1.0,
            },
            found.operations,
        ),
    }
