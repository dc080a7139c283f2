"""Drafts of test questions, where models see their errors, and what refiners make of them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import numpy as np

from qdcjax.experiments.running import from_config
from qdcjax.experiments.stages import policy_evaluation
from qdcjax.experiments.stages.solutions import as_solutions, value_table
from qdcjax.reasoning.refinement import NOWHERE, first_bad_line, locate, refiner_reads
from qdcjax.reasoning.reward_models import answer_values
from qdcjax.reasoning.rollouts import Attempt, parts_of_attempts, sample_attempts
from qdcjax.tasks.problem import Problem, Task
from qdcjax.training.store import StoredModel
from qdcjax.workdir import Workdir

DRAFT, GLOBAL, LOCAL, SAMPLES = "draft", "global", "local", "samples"
TRUTH = "truth"  # where the exact check says that an error is
# What tells where an error is, and scores answers (the first) → its stage in the run. The last one
# learned from the exact truth of steps.
STAGES = {"orm": "orm-0", "sorm": "sorm-0", "exact": "exact_sorm"}
Columns = Mapping[str, Sequence[Any]]


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One solution of each of N questions.

    Attributes:
      columns: of `rollouts.sample_solutions`, N rows.
      scores: [N] the outcome reward model's values of the answers.
    """

    columns: Columns
    scores: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """[N] whether each answer is right."""
        return np.asarray(self.columns["correct"], bool)


@dataclasses.dataclass(frozen=True)
class Refined:
    """What was found on the test questions of one split.

    Attributes:
      questions: N of them.
      draft: the student's greedy solutions.
      globally: refinements by the global refiner.
      locally: what locates the error (`sorm`, `orm`, `exact`, `truth`) → refinements from there.
      lines: the same → [N] the line that it marks.
      values: reward model → N arrays of values, one at every token of the draft.
      samples: K solutions of each question by the student, question by question.
      sample_values: reward model → N · K arrays of values, one at every token of a sample.
      threshold: of a good step.
    """

    questions: Sequence[Problem]
    draft: Candidate
    globally: Candidate
    locally: Mapping[str, Candidate]
    lines: Mapping[str, np.ndarray]
    values: Mapping[str, Sequence[np.ndarray]]
    samples: datasets.Dataset
    sample_values: Mapping[str, Sequence[np.ndarray]]
    threshold: float


def refine(
    config: Mapping[str, Any],
    workdir: Workdir,
    task: Task,
    split: str,
    student: StoredModel,
    locators: Mapping[str, StoredModel],
    refiners: Mapping[str, StoredModel],
) -> Refined:
    """All of it for a split; the same refinement is asked for once, whoever marks that line.

    Args:
      config: of the run of reward models, whose questions, sampling and threshold these are.
      workdir: of this run, with the tables `greedy-<split>` and `samples-<split>`.
      task, split: of the questions.
      student: that wrote the drafts.
      locators: `orm`, `sorm` and perhaps `exact` → a reward model; `orm` scores answers too.
      refiners: `global` and `local` → a policy.
    """
    questions = policy_evaluation.test_problems(config, task, split)
    greedy, samples = (workdir.read_table(f"{kind}-{split}") for kind in ("greedy", "samples"))
    written = {
        of: as_solutions(student, questions, table)
        for of, table in {DRAFT: greedy, SAMPLES: samples}.items()
    }
    found = value_table(
        workdir,
        f"values-{split}",
        [],
        [f"greedy-{split}", f"samples-{split}", *(STAGES[name] for name in locators)],
        {f"{name} {of}": (locators[name], written[of]) for name in locators for of in written},
    )
    values, sample_values = (
        {name: found[f"{name} {of}"] for name in locators} for of in (DRAFT, SAMPLES)
    )
    threshold = config["reward"]["threshold"]
    lines = marked_lines(greedy, values, threshold)

    everywhere = [(n, NOWHERE) for n in range(len(questions))]
    somewhere = sorted({(n, int(line)) for of in lines.values() for n, line in enumerate(of)})
    tables = {
        kind: refinements(
            config, workdir, task, f"{kind}-{split}", refiners[kind], questions, greedy, which
        )
        for kind, which in {GLOBAL: everywhere, LOCAL: somewhere}.items()
    }
    by_orm = value_table(
        workdir,
        f"scores-{split}",
        [],
        [STAGES["orm"], *(f"{kind}-{split}" for kind in tables)],
        {
            kind: (locators["orm"], as_solutions(student, questions, table))
            for kind, table in tables.items()
        },
    )
    answers = {kind: answer_values(tables[kind]["ends"][:], by_orm[kind]) for kind in tables}
    place = {which: row for row, which in enumerate(somewhere)}
    rows = {name: [place[n, int(line)] for n, line in enumerate(of)] for name, of in lines.items()}
    return Refined(
        questions,
        Candidate(greedy[:], answer_values(greedy["ends"][:], values["orm"])),
        Candidate(tables[GLOBAL][:], answers[GLOBAL]),
        {
            name: Candidate(tables[LOCAL].select(of)[:], answers[LOCAL][of])
            for name, of in rows.items()
        },
        lines,
        values,
        samples,
        sample_values,
        threshold,
    )


def marked_lines(
    greedy: datasets.Dataset, values: Mapping[str, Sequence[np.ndarray]], threshold: float
) -> dict[str, np.ndarray]:
    """Reward model, or `truth` where steps are checked exactly → [N] the first bad line."""
    ends, truth = greedy["ends"][:], greedy["truth"][:]
    lines = {
        name: np.asarray([locate(*of, threshold) for of in zip(ends, of_tokens, strict=True)])
        for name, of_tokens in values.items()
    }
    if any(truth):
        lines[TRUTH] = np.asarray([first_bad_line(of) for of in truth])
    return lines


def refinements(
    config: Mapping[str, Any],
    workdir: Workdir,
    task: Task,
    name: str,
    refiner: StoredModel,
    questions: Sequence[Problem],
    greedy: datasets.Dataset,
    which: Sequence[tuple[int, int]],
) -> datasets.Dataset:
    """Table `name`: a greedy refinement of each draft and line of `which`."""
    settings = from_config.sampling(config, "evaluation", samples=1, temperature=0.0)
    tokens, ends = greedy["tokens"][:], greedy["ends"][:]
    attempts = [
        Attempt(questions[n], *refiner_reads(refiner.tokenizer, tokens[n], ends[n], line))
        for n, line in which
    ]
    return workdir.table(
        name,
        [],
        [f"{name.partition('-')[0]}_refiner", f"greedy-{name.partition('-')[2]}"],
        lambda: parts_of_attempts(refiner, attempts, settings),
        lambda part: sample_attempts(
            refiner, task, *part, from_config.key(config, "evaluation"), name
        ),
    )
