"""Training sets that differ in one dial alone, and tests that share nothing with them."""

import itertools

import numpy as np
import pytest

from configs import qdc_dials as config_of
from qdcjax.experiments.stages import dials
from qdcjax.experiments.stages.dials import DialSet, exams_of, pairs_of, training_set
from qdcjax.tasks import answers

CONFIG = config_of.get_config().to_dict()
SETS = {name: DialSet(**fields) for name, fields in CONFIG["sets"].items()}


def test_each_set_differs_from_the_base_in_one_dial():
    for name, of in SETS.items():
        changed = [d for d in dials.DIALS if getattr(of, d) != getattr(SETS["base"], d)]
        assert changed == ([] if name == "base" else [name.split("_")[0]])
    study = config_of.get_config("study").to_dict()["sets"]
    assert len(study) == 7 + 3 * 4 and study.items() >= CONFIG["sets"].items()


@pytest.mark.parametrize("quality", [1.0, 0.9, 0.6])
def test_quality_is_the_share_of_right_steps(quality):
    of = DialSet(quality, 8, 3)
    problems = pairs_of(of, 900, 60, seed=0)
    right = [answers.is_correct(p.solution, p.answer) for p in problems]
    expected = np.mean([quality ** p.meta["depth"] for p in problems])
    assert np.mean(right) == pytest.approx(expected, abs=0.06)
    assert {p.meta["depth"] for p in problems} == {1, 2, 3}


def test_templates_of_a_small_set_are_in_the_larger_ones():
    seen = [
        {p.meta["template"] for p in pairs_of(DialSet(1.0, count, 2), 1_500, 60, seed=1)}
        for count in (4, 8, 32)
    ]
    assert [len(of) for of in seen] == [4, 8, 32] and seen[0] < seen[1] < seen[2]


def test_sets_have_the_same_number_of_tokens(tokenizer):
    for of in (DialSet(1.0, 8, 1), DialSet(0.7, 8, 1), DialSet(1.0, 16, 4)):
        found = training_set(of, 60_000, 60, 0, tokenizer, 512)
        lengths = [len(example["tokens"]) for example in found]
        assert 60_000 - max(lengths) < sum(lengths) <= 60_000
    again = training_set(of, 60_000, 60, 0, tokenizer, 512)
    np.testing.assert_array_equal(found[-1]["tokens"], again[-1]["tokens"])
    other = training_set(of, 60_000, 60, 1, tokenizer, 512)
    assert not np.array_equal(found[0]["tokens"], other[0]["tokens"])


def test_tests_are_of_what_all_sets_have_or_none():
    tests = exams_of(SETS)
    assert list(tests) == ["in", "more", "templates", "deeper"]
    learned = {
        name: {(p.meta["template"], p.meta["depth"]) for p in pairs_of(of, 2_000, 60, seed=0)}
        for name, of in SETS.items()
    }
    questions = {p.question for of in SETS.values() for p in pairs_of(of, 2_000, 60, seed=0)}
    asked = {}
    for (name, test), seed in itertools.product(tests.items(), (0, 1)):
        _, problems = dials.exam_problems(CONFIG, SETS, test, seed)
        assert len(problems) == CONFIG["evaluation"]["questions"]
        assert not questions & {p.question for p in problems}
        asked[name] = {(p.meta["template"], p.meta["depth"]) for p in problems}
    for kinds in learned.values():
        assert asked["in"] <= kinds
        assert not asked["deeper"] & kinds
        assert not {t for t, _ in asked["templates"]} & {t for t, _ in kinds}
    core = set(dials.ordered_templates()[:8])
    assert {t for t, _ in asked["deeper"] | asked["in"] | asked["more"]} <= core
    assert {depth for _, depth in asked["in"]} == {1, 2}
    assert {depth for _, depth in asked["more"]} == {3, 4}
    assert asked["more"] <= learned["complexity_high"]
    assert not asked["more"] & learned["complexity_low"]
    deepest = {"base": DialSet(1.0, 8, 5)}
    assert list(exams_of(deepest)) == ["in", "templates"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"quality": 1.5}, "quality=1.5 must be in 0…1"),
        ({"diversity": 0}, r"diversity=0 must be from 1 to \d+ templates"),
        ({"complexity": 6}, "complexity=6 must be from 1 to 5 steps"),
    ],
)
def test_bad_dials_are_named_in_one_line(fields, words):
    with pytest.raises(ValueError, match=f"^{words}$"):
        DialSet(**fields)
