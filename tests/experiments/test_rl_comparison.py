"""The statistics behind R1–R8, on runs whose numbers are known."""

import dataclasses
import math
import re
import types

import numpy as np
import pytest

from configs import rl_comparison
from qdcjax.experiments.findings.rl_comparison import (
    NOT_RUN,
    Comparison,
    least,
    rollouts_needed,
)
from qdcjax.experiments.findings.rl_comparison_runs import Learned, answers_table, table_of
from qdcjax.experiments.reports.rl_comparison import (
    accuracy_section,
    answers_section,
    curves_section,
)
from qdcjax.experiments.rl_comparison import check, kinds_of, members_of
from qdcjax.experiments.running import from_config
from qdcjax.measures.intervals import Interval, students_t
from qdcjax.measures.predictions import judge

QUESTIONS = [f"q/{n}" for n in range(10)]
# Of a member's folder, what the table asks for.
FOLDER = types.SimpleNamespace(config={"evaluation": {"splits": ["test"]}})


def right(count: int) -> np.ndarray:
    """So many of ten questions."""
    return (np.arange(10) < count).astype(float)


def learned(
    algorithm: str,
    greedy: tuple[int, int, int],
    most: tuple[int, int, int] = (5, 6, 7),
    start: str = "light",
    seed: int = 0,
    size: str = "small",
    curve=((100.0, 200.0), (0.5, 0.6)),
    **summary,
) -> Learned:
    """A run whose policies (start, early, last) answer so many questions right."""
    policies = {
        when: {"greedy_accuracy": right(g), "maj_at_4": right(g), "pass_at_4": right(m)}
        for when, g, m in zip(("start", "early", "last"), greedy, most, strict=True)
    }
    names = {"start": "start", "early": "at_1", "last": "learned"}
    curve = tuple(np.asarray(column) for column in curve)
    summary = {"learned_rollouts": 200.0, "learned_gradient_steps": 8.0} | summary
    after = [count / 10 for count in greedy[1:]] if algorithm == "expert_iteration" else []
    kind = size, start, algorithm, seed
    return Learned(*kind, FOLDER, summary, names, QUESTIONS, policies, curve, after)


def statistics(*runs: Learned, reranked=(), sizes=("small",)) -> dict:
    return Comparison(runs, "light", sizes, 4).statistics(reranked)


def test_r1_by_hand():
    runs = [learned(name, (3, 5, last)) for name, last in
            {"expert_iteration": 9, "ppo": 7, "rloo": 6}.items()]  # fmt: skip
    runs = [r if r.algorithm != "expert_iteration" else learned(
        "expert_iteration", (3, 5, 9), distinct_right_growth=0.5) for r in runs]  # fmt: skip
    found = statistics(*runs)
    assert found["R1_experts"].value == pytest.approx(0.2)
    assert found["R1_gain"].value == pytest.approx(0.4)
    assert found["R7"].value == 0.5
    # They have 5, 4, 3 of questions 0, 2, 4, 6, 8 (the start 2) and 4, 3, 3 of the others (1).
    by_odd = (5 - 4) / 5 - (5 - 2) / 10  # PPO is the first of the two worst there
    by_even = (4 - 3) / 5 - (4 - 1) / 10
    assert found["R1_spread"].value == pytest.approx((by_odd + by_even) / 2)
    assert found["R1_spread"].low < found["R1_spread"].value < found["R1_spread"].high
    dense = learned("ppo_dense", (3, 5, 0))
    assert statistics(*runs, dense)["R1_spread"] == found["R1_spread"], "no other algorithm"


def test_r1_does_not_find_a_spread_where_algorithms_are_equal():
    """Ten times five algorithms of one accuracy, .1 above the start: the truth is −.05."""
    found = []
    for seed in range(10):
        draw = np.random.default_rng(seed)
        runs = []
        for name in ("expert_iteration", "ppo", "rloo", "grpo", "rcrl"):
            run = learned(name, (3, 5, 7))
            right = {"start": draw.random(400) < 0.6, "last": draw.random(400) < 0.7}
            policies = {w: {"greedy_accuracy": r.astype(float)} for w, r in right.items()}
            runs.append(dataclasses.replace(run, policies=policies, questions=np.arange(400)))
        found.append(Comparison(runs, "light", ("small",), 4).spread())
    assert sum(of.low <= -0.05 <= of.high for of in found) >= 8
    assert np.mean([of.value for of in found]) == pytest.approx(-0.05, abs=0.02)


def test_what_a_preset_does_not_run_is_undecided():
    found = statistics(learned("ppo", (3, 5, 7)))
    predictions = rl_comparison.predictions()
    assert set(found) == set(predictions)
    assert found["R1_gain"].value == pytest.approx(0.4)
    for name, prediction in from_config.predictions(predictions.to_dict()).items():
        if name not in ("R1_gain", "R1_spread", "R4_ppo"):
            assert judge(prediction, found[name]).outcome == "undecided", name


def experts(last, start="light", size="small", begins=3, most=(5, 6, 7), **more) -> Learned:
    of = {"distinct_right_growth": 0.5} | more
    return learned("expert_iteration", (begins, 5, last), most, start, 0, size, **of)


def test_r2_gaps_and_how_they_change_with_size():
    runs = [experts(9), experts(7, "pretrained"), experts(9, size="large"),
            experts(8, "pretrained", "large")]  # fmt: skip
    found = statistics(*runs, sizes=("small", "large"))
    assert found["R2_gap"].value == pytest.approx(0.2)
    assert found["R2_size"].value == pytest.approx(-0.1)
    assert found["R2_size"].low == pytest.approx(-0.3), "one question of ten tells them apart"
    assert math.isnan(statistics(*runs[:2])["R2_size"].value)
    assert math.isnan(statistics(*runs[:3], sizes=("small", "large"))["R2_size"].value)


def test_r3_compares_starts_and_takes_the_least_gain():
    runs = [experts(9, begins=4, most=(8, 8, 9)), experts(9, "long", begins=6, most=(7, 7, 7))]
    found = statistics(*runs)
    assert found["R3_greedy"].value == pytest.approx(0.2)
    assert found["R3_most"].value == pytest.approx(-0.1)
    assert found["R3_gains"].value == 0, "pass@K of the long one"
    assert math.isnan(statistics(runs[0])["R3_gains"].value), "without the long one, nothing"


def test_what_holds_if_all_hold_has_the_lowest_ends():
    found = least([Interval(0.03, 0.02, 0.04), Interval(0.035, -0.025, 0.096)])
    assert (found.value, found.low, found.high) == (0.03, -0.025, 0.04)
    assert math.isnan(least([Interval(0.1, 0.1, 0.1), NOT_RUN]).low)


def test_r4_asks_for_more_than_half_of_the_gain():
    found = statistics(experts(9, most=(4, 7, 8)), learned("ppo", (3, 5, 7), (4, 5, 8)))
    assert found["R4_experts"].value == pytest.approx(0.3 - 0.2)
    assert found["R4_ppo"].value == pytest.approx(0.1 - 0.2)
    lost = statistics(learned("ppo", (3, 5, 7), (8, 8, 6)))["R4_ppo"]
    assert lost.value == pytest.approx(-0.2), "half of a loss is no gain"
    run = learned("ppo", (3, 5, 7))
    unseen = {when: of for when, of in run.policies.items() if when != "early"}
    assert math.isnan(statistics(dataclasses.replace(run, policies=unseen))["R4_ppo"].value)


def test_r5_compares_the_first_fifth_of_the_iterations():
    at = np.arange(1.0, 11)
    sparse = learned("ppo", (3, 5, 7), curve=(at, np.linspace(0.1, 1, 10)))
    dense = learned("ppo_dense", (3, 5, 6), curve=(at, np.asarray([0.3, 0.4] + 8 * [0.9])))
    found = statistics(sparse, dense)
    assert found["R5_early"].value == pytest.approx(0.35 - 0.15)
    assert math.isnan(found["R5_early"].low), "one seed has no interval"
    assert found["R5_end"].value == pytest.approx(-0.1)
    other = [learned(r.algorithm, (3, 5, 7), seed=1, curve=r.curve) for r in (sparse, dense)]
    both = statistics(sparse, dense, *other)["R5_early"]
    assert both.value == pytest.approx(0.2) and both.low == pytest.approx(0.2)


def test_r6_counts_rollouts_until_the_accuracy_is_near_its_end():
    rising = np.asarray([0.1, 0.2, 0.4, 0.5, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8])
    at = 10.0 * np.arange(1, 13)
    # Means of five iterations are .76 and more from the ninth on: .8 all of them.
    assert rollouts_needed(learned("ppo", (3, 5, 7), curve=(at, rising))) == 90
    late = experts(9, curve=((1_000.0, 2_000.0), (0.4, 0.5)))
    assert rollouts_needed(late) == 2_000, "5 of 9 after the first round is not near"
    early = learned("expert_iteration", (3, 9, 9), curve=((1_000.0, 2_000.0), (0.4, 0.5)))
    assert rollouts_needed(early) == 1_000
    assert rollouts_needed(dataclasses.replace(early, after=[0.5, 0.9])) == 2_000
    at_once = np.asarray([0.9, 0.8, 0.9, 0.8, 0.9, 0.8, 0.9, 0.8, 0.9, 0.8, 0.9, 0.8])
    assert rollouts_needed(learned("ppo", (3, 5, 7), curve=(at, at_once))) == 10
    found = statistics(late, learned("ppo", (3, 5, 7), curve=(at, rising)))
    assert found["R6"].value == pytest.approx(math.log10(2_000 / 90))


def test_r8_is_the_weakest_lead_of_any_policy():
    of = {"pass_over_rerank_test": 0.3, "rerank_over_maj_test": -0.1, "maj_over_greedy_test": 0.2}
    ends = {f"{name}_{end}": value + by for name, value in of.items()
            for end, by in (("low", -0.05), ("high", 0.05))}  # fmt: skip
    ppo, better = of | ends, {name: value + 0.3 for name, value in (of | ends).items()}
    found = statistics(learned("ppo", (3, 5, 7)), reranked=[[better], [ppo]])
    worst = found["R8_rerank_over_maj"]
    assert (worst.value, worst.low, worst.high) == pytest.approx((-0.1, -0.15, -0.05))
    assert found["R8_pass_over_rerank"].value == pytest.approx(0.3)
    seeds = statistics(learned("ppo", (3, 5, 7)), reranked=[[better, ppo]])["R8_rerank_over_maj"]
    assert seeds.value == pytest.approx(0.05) and seeds.low < -0.15 and "2 seeds" in seeds.method


def test_the_table_has_means_over_seeds():
    runs = [learned("ppo", (3, 5, last), seed=seed, learned_kl_test=kl)
            for seed, (last, kl) in enumerate([(7, 1.0), (9, 3.0)])]  # fmt: skip
    found = table_of(runs, ("greedy_accuracy",))
    assert found["small_light_ppo_greedy_accuracy_before"].value == pytest.approx(0.3)
    assert found["small_light_ppo_greedy_accuracy_after"].value == pytest.approx(0.8)
    gain = found["small_light_ppo_greedy_accuracy_gain"]
    by_hand = students_t([0.4, 0.6])  # each seed has its own questions
    assert (gain.value, gain.low, gain.high) == pytest.approx((0.5, by_hand.low, by_hand.high))
    assert found["small_light_ppo_kl"].value == 2.0
    assert "small_light_ppo_distinct" not in found
    assert found["small_light_ppo_rollouts"] == 200


def test_ways_to_answer_before_and_after(tmp_path):
    ways = ["greedy_accuracy", "sampled_accuracy", "maj_at_4", "rerank_at_4", "pass_at_4"]
    asked = {
        policy: [
            {f"{way}_test{end}": base + n / 10 for n, way in enumerate(ways)
             for end in ("", "_low", "_high")} for base in bases
        ]
        for policy, bases in {"start": (0.1, 0.3), "ppo": (0.4, 0.6)}.items()
    }  # fmt: skip
    results = answers_table(asked, 4, "test")
    assert results["reranked_start_rerank_at_4"].value == pytest.approx(0.2 + 0.3)
    assert results["reranked_ppo_greedy_accuracy"].value == pytest.approx(0.5)
    assert results["reranked_ppo_pass_at_4"].high == 1, "two seeds know little, but this"
    comparison = Comparison([], "light", ["small"], 4)
    folder = types.SimpleNamespace(path=tmp_path)
    section = answers_section(folder, comparison, list(asked), results)
    assert section.tables[0].columns == [
        "policy", "greedy", "one sample", "maj@4", "rerank@4", "pass@4",
    ]  # fmt: skip
    name, *values = section.tables[0].rows[1]
    assert name == "PPO" and values[3].value == pytest.approx(0.8)


@pytest.mark.parametrize("preset", ["", "study"])
def test_the_page_has_room_for_every_run(tmp_path, preset):
    """One seed of each: their figures and their rows."""
    plan = rl_comparison.get_config(preset).plan.to_dict()
    runs = [
        learned(algorithm, (3, 5, 7), start=start, size=size, distinct_right_growth=0.1)
        for size, starts in plan.items()
        for start, algorithms in starts.items()
        for algorithm in algorithms
    ]
    comparison = Comparison(runs, "light", list(plan), 4)
    results = table_of(runs, ("greedy_accuracy", "maj_at_4", "pass_at_4"))
    folder = types.SimpleNamespace(path=tmp_path)
    accuracy = accuracy_section(folder, comparison, results)
    curves = curves_section(folder, comparison)
    for plate in (*accuracy.figures, *curves.figures):
        assert plate.path.read_bytes().startswith(b"\x89PNG")
    assert len(accuracy.tables[0].rows) == len(runs)
    assert sum(math.isfinite(result.value) for result in accuracy.tables[0].rows[0][5:11]) == 6


@pytest.mark.parametrize("preset", ["", "smoke", "study"])
def test_each_member_comes_after_those_that_it_goes_on_from(tmp_path, preset):
    config = rl_comparison.get_config(preset).to_dict()
    seen, seeds, members = set(), {}, list(members_of(config, tmp_path))
    assert len({member.name for member in members}) == len(members)
    for member in members:
        before = member.config.get("checkpoint") or member.config["policy"]["pretrained"]
        if before:
            name = before.removeprefix(f"{tmp_path}/members/").split("/")[0]
            assert name in seen, f"{member.name} goes on from {name}"
            assert member.config["seed"] == seeds[name]
        seen.add(member.name)
        seeds[member.name] = member.config["seed"]
    assert set(seeds.values()) == set(config["seeds"])
    assert len({member.config["task"]["max_depth"] for member in members}) == 1


def test_runs_come_in_a_reader_s_order():
    """Sizes, starts: the main size first, and the model that was only pretrained."""
    config = rl_comparison.get_config("study").to_dict()
    config["plan"] = {size: dict(sorted(of.items())) for size, of in sorted(config["plan"].items())}
    kinds = [kind[:2] for kind in kinds_of(config) if kind[3] == 0]
    assert list(dict.fromkeys(kinds)) == [
        ("small", "pretrained"), ("small", "light"), ("small", "long"),
        ("large", "pretrained"), ("large", "light"),
    ]  # fmt: skip


def test_starts_are_evaluated_by_the_algorithms_that_begin_there(tmp_path):
    """A flag for all evaluations reaches those, and a start's own run evaluates nothing."""
    config = rl_comparison.get_config("smoke")
    config.evaluation.update(splits=("test", "held_out"), samples=2)
    for member in members_of(config.to_dict(), tmp_path):
        splits = () if member.config["study"] in ("pretrain", "sft") else ("test", "held_out")
        assert member.config["evaluation"]["splits"] == splits
        assert member.config["evaluation"]["samples"] == 2


@pytest.mark.parametrize("preset", ["", "study"])
def test_all_algorithms_have_as_many_rollouts(preset):
    config = rl_comparison.get_config(preset)
    drafts = config.algorithms.rcrl.drafts
    found = {"rcrl": drafts.questions * drafts.samples}
    for name, of in config.algorithms.items():
        each = of.rollouts.questions * of.rollouts.samples
        rounds = of.expert_iteration.rounds if name == "expert_iteration" else 1
        found[name] = found.get(name, 0) + rounds * each
    assert max(found.values()) - min(found.values()) < 16, found


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"main_start": "lihgt"}, "main_start: lihgt is none of light, long, pretrained"),
        ({"main_size": "tiny"}, "main_size: tiny is none of small"),
        ({"reranked": ("dpo",)}, "reranked: dpo is none of expert_iteration, ppo, rloo, grpo, rc"),
        ({"plan": {"small": {"light": ("dpo",)}}}, "plan.small.light: dpo is none of expert_iter"),
        ({"plan": {"small": {"sft": ("ppo",)}}}, "plan.small: sft is none of pretrained, light"),
        ({"plan": {"huge": {"light": ("ppo",)}}}, "plan: huge is none of small"),
    ],
)
def test_a_plan_that_cannot_be_is_told_before_anything_runs(changes, words):
    config = rl_comparison.get_config().to_dict() | changes
    with pytest.raises(ValueError, match=re.escape(words)):
        check(config)
