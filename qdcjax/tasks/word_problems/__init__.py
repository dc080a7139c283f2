"""Generated grade-school word problems with exactly checkable steps."""

from qdcjax.tasks.word_problems.generator import (
    IN_DISTRIBUTION_SPLITS,
    SPLITS,
    Dials,
    WordProblems,
)
from qdcjax.tasks.word_problems.library import (
    DEFAULT_HELD_OUT,
    DEFAULT_TEMPLATES,
    HELD_OUT_TEMPLATES,
    TEMPLATES,
)
from qdcjax.tasks.word_problems.misconceptions import Misconceptions, demonstrations

__all__ = [
    "DEFAULT_HELD_OUT",
    "DEFAULT_TEMPLATES",
    "HELD_OUT_TEMPLATES",
    "IN_DISTRIBUTION_SPLITS",
    "SPLITS",
    "TEMPLATES",
    "Dials",
    "Misconceptions",
    "WordProblems",
    "demonstrations",
]
