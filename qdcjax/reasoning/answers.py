"""Reading and grading final answers: the public names of `qdcjax.tasks.answers`."""

from qdcjax.tasks.answers import (
    Grade,
    count_markers,
    extract_answer,
    extract_flexible,
    extract_vote,
    gold_answer,
    grade,
    is_correct,
    is_correct_flexible,
    is_number,
    normalise,
)

__all__ = [
    "Grade",
    "count_markers",
    "extract_answer",
    "extract_flexible",
    "extract_vote",
    "gold_answer",
    "grade",
    "is_correct",
    "is_correct_flexible",
    "is_number",
    "normalise",
]
