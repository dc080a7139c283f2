"""Sampled solutions to look through, step by step, with what each model thought of each step."""

import dataclasses
import math
from collections.abc import Mapping, Sequence


@dataclasses.dataclass(frozen=True)
class StepView:
    """A line of a solution.

    Attributes:
      text: the line as the policy wrote it.
      truth: whether it and all before it are right; None where that is not known, and for the
        answer line, which is not a step.
      scores: model → probability that all is right so far; a model may be absent.
    """

    text: str
    truth: bool | None
    scores: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class RefinementView:
    """Another solution of the same question that was made from the first.

    Attributes:
      name: what made it.
      answer: the final answer that was given.
      correct: whether it is right.
      steps: its lines in order, without scores.
      kept: how many of them it took over from the first.
      score: of the model that picks one of them.
      chosen: whether that picked this one.
    """

    name: str
    answer: str
    correct: bool
    steps: Sequence[StepView]
    kept: int
    score: float
    chosen: bool


@dataclasses.dataclass(frozen=True)
class SolutionView:
    """A solution with its steps.

    Attributes:
      question: the problem.
      reference: the reference solution or answer.
      answer: the final answer that was given.
      correct: whether it is right.
      depth: operations that the problem needs.
      group: the split or kind of solution, e.g. `test` or `refined`; empty for none.
      steps: its lines in order.
      marked: index of the line that refinements were told is wrong; None for none.
      refinements: made from it, shown beside it.
      score, chosen: as of a refinement, where there are some.
      outcome: what came of it, in a word that a reader can filter by.
    """

    question: str
    reference: str
    answer: str
    correct: bool
    depth: int
    steps: Sequence[StepView]
    group: str = ""
    marked: int | None = None
    refinements: Sequence[RefinementView] = ()
    score: float = math.nan
    chosen: bool = False
    outcome: str = ""


@dataclasses.dataclass(frozen=True)
class SolutionBrowser:
    """Solutions and the models that scored their steps.

    Attributes:
      solutions: what to look through; some hundreds at most.
      thresholds: model → the score below which it calls a step wrong. Its order is the columns'.
      text: a sentence on how the solutions were chosen.
    """

    solutions: Sequence[SolutionView]
    thresholds: Mapping[str, float]
    text: str = ""

    def __post_init__(self):
        names = {name for s in self.solutions for step in s.steps for name in step.scores}
        if unknown := sorted(names - self.thresholds.keys()):
            raise ValueError(f"scores of {unknown[0]!r}, which has no threshold: add one for it")


def first_error(steps: Sequence[StepView]) -> int | None:
    """Index of the first step that is known to be wrong."""
    return next((i for i, step in enumerate(steps) if step.truth is False), None)


def first_flagged(steps: Sequence[StepView], model: str, threshold: float) -> int | None:
    """Index of the first step that the model scores under its threshold.

    Where some truths are known, only those steps count: the answer line is not a step.
    """
    known = any(step.truth is not None for step in steps)
    for index, step in enumerate(steps):
        counts = step.truth is not None or not known
        if counts and step.scores.get(model, math.nan) < threshold:
            return index
    return None


def browser_data(browser: SolutionBrowser) -> dict:
    """What the page's script needs, ready for JSON; a non-finite score becomes null.

    For each solution: `error`, index of the true first error; `flags`, the index that each model
    flags first; `missed`, whether a model passes the first error; `alarms`, whether it flags a
    step that is right; `disagree`, whether the models' flags differ.
    """
    models = [{"name": name, "threshold": t} for name, t in browser.thresholds.items()]
    return {
        "models": models,
        "solutions": [_solution(s, browser.thresholds) for s in browser.solutions],
    }


def _solution(solution: SolutionView, thresholds: Mapping[str, float]) -> dict:
    steps = solution.steps
    error = first_error(steps)
    flags = [first_flagged(steps, name, threshold) for name, threshold in thresholds.items()]
    known = any(step.truth is not None for step in steps)
    return {
        "question": solution.question,
        "reference": solution.reference,
        "answer": solution.answer,
        "correct": bool(solution.correct),
        "depth": int(solution.depth),
        "group": solution.group,
        "error": error,
        "flags": flags,
        "missed": [error is not None and (flag is None or flag > error) for flag in flags],
        "alarms": [
            known and flag is not None and (error is None or flag < error) for flag in flags
        ],
        "disagree": len(set(flags)) > 1,
        "steps": [_step(step, thresholds) for step in steps],
        "marked": solution.marked,
        "score": _number(solution.score),
        "chosen": bool(solution.chosen),
        "outcome": solution.outcome,
        "refinements": [_refinement(of) for of in solution.refinements],
    }


def _refinement(refinement: RefinementView) -> dict:
    steps = [_step(step, {}) for step in refinement.steps]
    return {
        "name": refinement.name,
        "answer": refinement.answer,
        "correct": bool(refinement.correct),
        "error": first_error(refinement.steps),
        "flags": [],
        "kept": int(refinement.kept),
        "score": _number(refinement.score),
        "chosen": bool(refinement.chosen),
        "steps": steps,
    }


def _number(score: float) -> float | None:
    return round(float(score), 4) if math.isfinite(score) else None


def _step(step: StepView, thresholds: Mapping[str, float]) -> dict:
    scores = [_number(step.scores.get(name, math.nan)) for name in thresholds]
    return {
        "text": step.text,
        "truth": None if step.truth is None else bool(step.truth),
        "scores": scores,
    }
