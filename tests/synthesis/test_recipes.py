"""Recipes: what each part of an algorithm is, and what is left without it."""

import dataclasses

import pytest

from configs import qdc_algorithms as config_of
from qdcjax.synthesis.operations import FROM_NOTHING
from qdcjax.synthesis.recipes import Recipe

RECIPES = {name: Recipe(**fields) for name, fields in config_of.RECIPES.items()}
EVERYTHING = Recipe(
    parents="elites",
    count=2,
    operations=("like", "deeper", "write"),
    explore=0.2,
    target=True,
    accept=("valid", "right", "better"),
    memory="replace",
    select="qdit",
    keep=0.3,
)


def changes(before: Recipe, after: Recipe) -> dict:
    """Field → its value after, of those that differ."""
    old, new = dataclasses.asdict(before), dataclasses.asdict(after)
    return {name: value for name, value in new.items() if value != old[name]}


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("parents", {"parents": "none", "operations": FROM_NOTHING}),
        ("like", {"operations": ("deeper", "write")}),
        ("deeper", {"operations": ("like", "write")}),
        ("write", {"operations": ("like", "deeper")}),
        ("target", {"target": False}),
        ("right", {"accept": ("valid", "better")}),
        ("better", {"accept": ("valid", "right")}),
        ("qdit", {"select": "none"}),
    ],
)
def test_a_part_that_is_taken_out_is_all_that_changes(part, expected):
    without = dataclasses.replace(EVERYTHING, without=part)
    assert changes(EVERYTHING, without.used) == expected
    assert without.parts() == EVERYTHING.parts(), "what can be taken out is not what is left"


def test_parts_are_all_that_an_algorithm_has_beyond_validity():
    assert EVERYTHING.parts() == (
        "parents", "like", "deeper", "write", "target", "right", "better", "qdit"
    )  # fmt: skip
    assert {name: recipe.parts() for name, recipe in RECIPES.items()} == {
        "temperature": (),
        "rejection": ("parents", "right"),
        "self_instruct": ("parents", "new"),
        "evol_instruct": ("parents", "deeper", "other", "evolved"),
        "metamath": ("parents", "rephrase", "solve", "backward", "matches"),
        "deita": ("deita",),
        "qdit": ("qdit",),
        "quality_search": ("parents", "right"),
        "map_elites": ("parents", "like", "deeper", "other", "target", "better"),
    }


@pytest.mark.parametrize("name", RECIPES)
def test_every_part_of_the_study_s_recipes_can_be_taken_out(name):
    recipe = RECIPES[name]
    assert recipe.used == recipe
    for part in recipe.parts():
        used = dataclasses.replace(recipe, without=part).used
        assert used != recipe and used.without == "" and used.used == used
        assert "valid" in used.accept


def test_recipes_that_differ_in_what_they_select_have_the_same_candidates():
    assert RECIPES["deita"].generating == RECIPES["qdit"].generating == Recipe()
    fewer = dataclasses.replace(RECIPES["qdit"], keep=0.1)
    assert fewer != RECIPES["qdit"] and fewer.generating == RECIPES["qdit"].generating
    for part in EVERYTHING.parts():
        without = dataclasses.replace(EVERYTHING, without=part)
        assert (without.generating == EVERYTHING.generating) == (part == "qdit")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"parents": "all"}, "parents='all' must be one of none, seeds, pool, best, elites"),
        ({"operations": ("write", "sing")}, "operations='sing' must be one of write, like, .*"),
        ({"accept": ("valid", "nice")}, "accept='nice' must be one of valid, right, .*"),
        ({"memory": "forget"}, "memory='forget' must be one of accumulate, replace"),
        ({"select": "all"}, "select='all' must be one of none, deita, qdit"),
        ({"without": "target"}, "without='target' must be one of none, since it has no parts"),
        ({"target": True, "without": "right"}, "without='right' must be one of target"),
        ({"without": "write"}, "without='write' must be one of none, since it has no parts"),
        ({"operations": ()}, "operations is empty: nothing would be made"),
        ({"operations": ("write", "like")}, "operations=write, like need parents, and parents .*"),
        ({"count": 0}, "count=0 must be at least 1"),
        ({"explore": 1.1}, "explore=1.1 must be in 0…1"),
        ({"explore": -0.1}, "explore=-0.1 must be in 0…1"),
        ({"keep": 2.0}, "keep=2.0 must be in 0…1"),
        ({"keep": float("nan")}, "keep=nan must be in 0…1"),
    ],
)
def test_a_wrong_field_is_named_in_one_line(fields, words):
    with pytest.raises(ValueError, match=f"^{words}$"):
        Recipe(**fields)


@pytest.mark.parametrize("accept", [("new",), ("matches", "valid")])
def test_what_is_valid_is_asked_before_anything_else(accept):
    with pytest.raises(ValueError, match=r"^accept=.*valid"):
        Recipe(accept=accept)
    assert Recipe(accept=()).used.accept == (), "everything"
