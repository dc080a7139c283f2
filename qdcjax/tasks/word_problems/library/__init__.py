"""The library of templates, by theme."""

from qdcjax.tasks.word_problems.library import food, measures, money, people, short, travel, work
from qdcjax.tasks.word_problems.library.short import DEFAULT_HELD_OUT, DEFAULT_TEMPLATES
from qdcjax.tasks.word_problems.template import Template

TEMPLATES: dict[str, Template] = {
    template.name: template
    for theme in (short, money, food, travel, work, people, measures)
    for template in theme.TEMPLATES
}

# Held out by default when the whole library is used: the four of the default study and
# four of other themes.
HELD_OUT_TEMPLATES = (
    *DEFAULT_HELD_OUT,
    "skateboard_savings",
    "picnic_sandwiches",
    "cutting_ribbon",
    "class_teams",
)

__all__ = ["DEFAULT_HELD_OUT", "DEFAULT_TEMPLATES", "HELD_OUT_TEMPLATES", "TEMPLATES"]
