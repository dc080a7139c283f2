"""Fields to go through: how they are read, what the members are called, means over seeds."""

import copy
import math
import re

import pytest

from qdcjax.experiments.sweep import (
    axes_of,
    by_setting,
    changed,
    combinations,
    has_own_questions,
    name_of,
    verdicts_by_setting,
)
from qdcjax.measures.intervals import Interval, over_replicates, over_runs
from qdcjax.measures.predictions import Prediction, judge

CONFIG = {
    "study": "toy",
    "seed": 0,
    "learn": {"steps": 5, "optimizer": {"learning_rate": 1e-3}},
    "critic": {"optimizer": {"learning_rate": 1e-3}},
    "kl": 0.05,
    "whiten": True,
    "splits": ["test"],
    "widths": [8, 9],
    "checkpoint": None,
}
RATES = ("learn.optimizer.learning_rate", "critic.optimizer.learning_rate")


@pytest.mark.parametrize(
    ("asked", "axes"),
    [
        ("seed=3", {"seed": [3]}),
        ("seed=0:4", {"seed": [0, 1, 2, 3]}),
        ("seed=-2:1", {"seed": [-2, -1, 0]}),
        ("seed=7,2,5", {"seed": [7, 2, 5]}),
        ("kl=0,.05,1e-3", {"kl": [0.0, 0.05, 0.001]}),
        ("whiten=true,False", {"whiten": [True, False]}),
        ("study=ppo,rloo", {"study": ["ppo", "rloo"]}),
        ("study=a:b", {"study": ["a:b"]}),
        (f"{RATES[0]}=1e-4,3e-4", {RATES[0]: [1e-4, 3e-4]}),
        (" learn.steps=1,2 ; seed=0:2; ", {"learn.steps": [1, 2], "seed": [0, 1]}),
    ],
)
def test_values_have_their_field_s_type(asked, axes):
    found = axes_of(asked, CONFIG)
    assert found == axes and list(found) == list(axes)
    types = {field: [type(value) for value in values] for field, values in found.items()}
    assert types == {field: [type(value) for value in of] for field, of in axes.items()}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("steps=1,2", "sweep: steps is no field of the config"),
        ("learn.rate=1", "sweep: learn.rate is no field of the config"),
        ("seed.more=1", "sweep: seed.more is no field of the config"),
        ("learn=1", "sweep: learn is a dict, and no number, word or switch"),
        ("widths=1", "sweep: widths is a list, and no number, word or switch"),
        ("checkpoint=runs", "sweep: checkpoint is a NoneType, and no number, word or switch"),
        ("seed=1;kl=0;seed=2", "sweep: seed is there twice"),
        ("", "sweep is empty: give field=value,value;…"),
        (" ; ;", "sweep is empty: give field=value,value;…"),
        ("seed", "sweep='seed': give field=value,value or field=first:end"),
        ("kl=0;seed=", "sweep='seed=': give field=value,value or field=first:end"),
        ("seed=1,two", "sweep: seed=1,two has a value that is no int"),
        ("seed=1.5", "sweep: seed=1.5 has a value that is no int"),
        ("seed=1,", "sweep: seed=1, has a value that is no int"),
        ("seed=:3", "sweep: seed=:3 has a value that is no int"),
        ("seed=0:2,5", "sweep: seed=0:2,5 has a value that is no int"),
        ("kl=0:2", "sweep: kl=0:2 has a value that is no float"),
        ("kl=low", "sweep: kl=low has a value that is no float"),
        ("whiten=yes", "sweep: whiten=yes has a value that is no bool"),
        ("seed=1,2,01", "sweep: seed=1,2,01 must be different values, at least one"),
        ("kl=.1,0.10", "sweep: kl=.1,0.10 must be different values, at least one"),
        ("seed=3:3", "sweep: seed=3:3 must be different values, at least one"),
    ],
)
def test_what_is_asked_wrongly_is_named_in_one_line(asked, words):
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        axes_of(asked, CONFIG)


def test_combinations_are_all_and_the_last_axis_changes_first():
    found = combinations({"kl": [0.0, 0.1], "seed": [5, 6, 7]})
    assert found == [{"kl": kl, "seed": seed} for kl in (0.0, 0.1) for seed in (5, 6, 7)]
    assert list(found[0]) == ["kl", "seed"]


def test_a_changed_config_has_its_values_and_the_original_stays():
    before = copy.deepcopy(CONFIG)
    found = changed(CONFIG, {RATES[0]: 0.5, "seed": 3})
    assert found == {
        **before,
        "seed": 3,
        "learn": {"steps": 5, "optimizer": {"learning_rate": 0.5}},
    }
    found["critic"]["optimizer"]["learning_rate"] = 9
    found["splits"].append("train")
    assert before == CONFIG


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"seed": 3}, "seed=3"),
        ({"policy_gradient.kl": 0.05, "learn.steps": 5, "seed": 0}, "kl=0.05,steps=5,seed=0"),
        ({RATES[0]: 1e-4, RATES[1]: 0.01, "seed": 0}, f"{RATES[0]}=0.0001,{RATES[1]}=0.01,seed=0"),
        ({RATES[0]: 1e-4, "seed": 0}, "learning_rate=0.0001,seed=0"),
        ({"task.seed": 1, "seed": 2}, "task.seed=1,seed=2"),
        ({"whiten": True}, "whiten=True"),
        ({}, "all"),
    ],
)
def test_a_member_goes_by_last_words_where_they_tell_fields_apart(settings, name):
    assert name_of(settings) == name


def test_members_of_a_sweep_have_different_names():
    axes = {RATES[0]: [1e-4, 2e-4], RATES[1]: [1e-4, 2e-4], "seed": [0, 1]}
    assert len({name_of(of) for of in combinations(axes)}) == 8


def summaries(axes, **figures) -> dict[str, dict]:
    """Member → its summary; the n-th member has the n-th value of each figure."""
    members = enumerate(combinations(axes))
    return {name_of(of): {name: row[n] for name, row in figures.items()} for n, of in members}


def test_a_setting_s_figures_are_means_over_its_seeds():
    """s = √.02 of .4 and .6; t(.975, 1) = 12.7062, so that the half-width is 1.27062."""
    axes = {"kl": [0.0, 0.5], "seed": [0, 1]}
    found = by_setting(combinations(axes), summaries(axes, reward=[0.4, 0.6, 2, 2]), over_runs)
    assert found.keys() == {"kl=0.0", "kl=0.5"}
    assert found["kl=0.0"].keys() == {"reward"}
    reward = found["kl=0.0"]["reward"]
    ends = (0.5 - 1.27062, 0.5, 0.5 + 1.27062)
    assert (reward.low, reward.value, reward.high) == pytest.approx(ends, rel=1e-5)
    assert found["kl=0.5"]["reward"].value == found["kl=0.5"]["reward"].high == 2


def test_the_runs_own_intervals_count_and_are_no_figures():
    axes = {"seed": [0, 1]}
    of = summaries(axes, reward=[2, 2], reward_low=[1, 1], reward_high=[5, 5])
    (setting, figures), *others = by_setting(combinations(axes), of, over_runs).items()
    assert setting == "all" and not others and figures.keys() == {"reward"}
    found = figures["reward"]
    assert (found.low, found.value, found.high) == pytest.approx((1, 2, 5))
    found = by_setting(combinations(axes), of, over_replicates)["all"]["reward"]
    assert (found.low, found.value, found.high) == (2, 2, 2), "each run had its own questions"


def test_without_several_seeds_a_setting_keeps_its_run_s_figures():
    axes = {"kl": [0.0, 0.5]}
    of = summaries(axes, reward=[2, 3], reward_low=[1, 2.5])
    found = by_setting(combinations(axes), of, over_runs)
    assert found["kl=0.0"]["reward"].value == 2 and found["kl=0.0"]["reward"].low == 1
    assert found["kl=0.5"]["reward"].value == 3 and found["kl=0.5"]["reward"].low == 2.5


@pytest.mark.parametrize("row", [[math.nan, 2], [1, math.nan], [math.inf, 2]])
def test_a_figure_that_a_seed_could_not_determine_is_left_out(row):
    axes = {"seed": [0, 1]}
    of = summaries(axes, reward=[1, 2], variance=row)
    assert by_setting(combinations(axes), of, over_runs)["all"].keys() == {"reward"}


def test_a_figure_that_a_seed_lacks_is_left_out():
    axes = {"seed": [0, 1, 2]}
    of = summaries(axes, reward=[1, 2, 3], kl=[1, 2, 3])
    del of["seed=1"]["kl"]
    assert by_setting(combinations(axes), of, over_runs)["all"].keys() == {"reward"}


def told(*values: float) -> dict:
    """Member → its verdicts on two claims, for the seeds 0, 1, …; the second is never known."""
    claims = Prediction("P", "more is better", 0.1), Prediction("Q", "less is", 0.1, "below")
    return {
        f"seed={seed}": [
            judge(claims[0], Interval(value, value - 1, value + 1)),
            judge(claims[1], Interval(value if seed else math.nan, 0, 0)),
        ]
        for seed, value in enumerate(values)
    }


def test_predictions_are_judged_by_the_means_over_seeds():
    """t(.975, 2) = 4.30265 and s = .1: the half-width is .24842 about .5."""
    settings = combinations({"seed": [0, 1, 2]})
    first, second = verdicts_by_setting(settings, told(0.4, 0.5, 0.6), over_replicates)
    ends = (0.5 - 0.24842, 0.5, 0.5 + 0.24842)
    found = first.estimate
    assert (found.low, found.value, found.high) == pytest.approx(ends, abs=1e-4)
    assert (first.prediction.name, first.outcome) == ("P", "holds")
    assert second.outcome == "undecided" and math.isnan(second.estimate.value)


def test_several_settings_have_their_own_verdicts():
    settings = combinations({"kl": [0.0, 0.5], "seed": [0]})
    members = dict(zip(map(name_of, settings), told(0.2, 2.0).values(), strict=True))
    found = verdicts_by_setting(settings, members, over_runs)
    names = [verdict.prediction.name for verdict in found]
    assert names == ["kl=0.0: P", "kl=0.0: Q", "kl=0.5: P", "kl=0.5: Q"]
    assert [verdict.outcome for verdict in found[::2]] == ["undecided", "holds"]
    assert verdicts_by_setting(settings, {}, over_runs) == []


@pytest.mark.parametrize(
    ("config", "own"),
    [
        ({"task": {"name": "word_problems"}, "checkpoint": "runs/other"}, True),
        ({"task": {"name": "gsm8k"}}, False),
        ({"sorm": {"task": {"name": "word_problems"}}, "checkpoint": None}, True),
        ({"sorm": {"task": {"name": "word_problems"}}, "checkpoint": "runs/sorm"}, False),
        ({"learn": {"steps": 1}}, False),
    ],
)
def test_whose_questions_are_drawn_by_the_seed(config, own):
    assert has_own_questions(config) == own
