"""Grading what was made: questions are read back into problems, and solutions held against them.

No model judges: the graph of quantities that the question's text has decides.
"""

from collections.abc import Collection

from qdcjax.measures.quality import process_correctness
from qdcjax.reasoning.steps import lines_of_steps
from qdcjax.synthesis.samples import Made
from qdcjax.tasks.answers import is_correct
from qdcjax.tasks.problem import Problem
from qdcjax.tasks.word_problems import graph
from qdcjax.tasks.word_problems.backward import is_backward, parse_backward
from qdcjax.tasks.word_problems.generator import split_of
from qdcjax.tasks.word_problems.parsing import UnreadableQuestion, parse_question

LEAK = "of a test"
CUT = "cut short"


def verified(
    id: str,
    round: int,
    operation: str,
    parents: tuple[str, ...],
    target: int,
    question: str,
    solution: str,
    *,
    held_out: Collection[str] = (),
    cut: bool = False,
) -> Made:
    """The record of a candidate.

    A question is invalid with the reason of `parsing.UnreadableQuestion`, when its text was
    `cut short`, and when it is `of a test`: of a template that is held out, or with the numbers of
    a problem of the test split. No test asks a backward question, so that its numbers are free.

    Args:
      id, round, operation, parents, target, question, solution: of the record.
      held_out: templates that students are tested on.
      cut: whether the room ended before the text did.
    """
    lineage = (id, round, operation, parents, target, question, solution)
    if cut:
        return Made(*lineage, CUT, "", "", 0, False, 0.0)
    backward = is_backward(question)
    try:
        problem = parse_backward(question) if backward else parse_question(question)
    except UnreadableQuestion as error:
        return Made(*lineage, error.reason, "", "", 0, False, 0.0)
    if problem.meta["template"] in held_out or (not backward and has_test_numbers(problem)):
        return Made(*lineage, LEAK, "", "", 0, False, 0.0)
    truth = graph.step_truth(problem.meta, lines_of_steps(solution))
    process = float(process_correctness([truth])[0]) if truth else 0.0
    template, steps = problem.meta["template"], problem.meta["depth"]
    right = is_correct(solution, problem.answer)
    return Made(*lineage, "", problem.answer, template, steps, right, process)


def has_test_numbers(problem: Problem) -> bool:
    """Whether the problem is one of the test split, but for names and nouns."""
    givens = list(problem.meta["givens"].values())
    return split_of(problem.meta["template"], problem.meta["depth"], givens) == "test"
