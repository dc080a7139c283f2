"""Problems made from others by what their texts say: with fewer steps, in other words."""

import random

from qdcjax.tasks.problem import Problem
from qdcjax.tasks.word_problems.library import TEMPLATES
from qdcjax.tasks.word_problems.parsing import columns_of, id_of, read
from qdcjax.tasks.word_problems.rendering import Layout, Row, layout


def shorter(problem: Problem, depth: int) -> Problem:
    """The problem that ends after `depth` of its steps, with the same numbers and nouns.

    Raises:
      UnreadableQuestion: its question is none of a template.
      ValueError: its story cannot end there.
    """
    text, row = read(problem.question)
    template = TEMPLATES[text.template]
    if depth not in template.depths or depth >= text.depth:
        raise ValueError(f"depth={depth}: a story of {text.depth} steps cannot end there")
    less = layout(template, depth)
    values = dict(zip(columns_of(text), row, strict=True))
    return _problem(less, [values[name] for name in columns_of(less)], problem)


def rephrased(problem: Problem, rng: random.Random) -> Problem:
    """The problem of the same numbers with other names and nouns.

    Raises:
      UnreadableQuestion: its question is none of a template.
    """
    text, row = read(problem.question)
    numbers = row[: len(row) - len(text.noun_slots)]
    return _problem(text, [*numbers, *text.choose_nouns(rng)], problem)


def _problem(text: Layout, row: Row, of: Problem) -> Problem:
    question = text.question(row, [], random.Random(0))  # without distractors nothing is drawn
    return text.problem(row, question, id_of(question, of.split), of.split)
