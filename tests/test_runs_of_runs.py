"""Sweeps and comparisons from the command line: members in folders of their own, one report."""

import json
import shutil
from pathlib import Path

import pytest
import runs
from datasets import Dataset

pytestmark = pytest.mark.slow

SWEEP = "--sweep=on_chip.seed=0:2;policy_gradient.kl=.05"


def read(path):
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def swept():
    make = lambda workdir: runs.run("configs/on_chip.py:smoke", workdir, SWEEP)  # noqa: E731
    return runs.made_once("sweep", make)


def members(swept) -> list:
    return [swept / "members" / f"seed={seed},kl=0.05" for seed in (0, 1)]


def test_a_member_of_a_program_is_the_same_run_alone(swept):
    alone = runs.finished("on_chip")
    assert read(alone / "config.json")["config"]["policy_gradient"]["kl"] == 0.05
    for name in ("summary.json", "verdicts.json"):
        assert (members(swept)[0] / name).read_bytes() == (alone / name).read_bytes(), name
    other = (members(swept)[1] / "summary.json").read_bytes()
    assert other != (alone / "summary.json").read_bytes(), "each has draws of its own"


def test_members_share_what_they_have_in_common(swept):
    assert set((swept / "members").iterdir()) == set(members(swept))
    times = [read(member / "timings.json")["student"] for member in members(swept)]
    assert times[0] > 0 == times[1]
    logs = [(member / "metrics.jsonl").read_text().splitlines() for member in members(swept)]
    trained = [[line for line in log if '"student"' in line] for log in logs]
    assert trained[0] == trained[1] != []


def test_a_sweep_s_figures_are_means_over_seeds(swept):
    found, name = read(swept / "summary.json"), "kl=0.05/learned_sampled_accuracy_test"
    alone = [read(member / "summary.json") for member in members(swept)]
    values = [of["learned_sampled_accuracy_test"] for of in alone]
    assert found[name] == pytest.approx(sum(values) / 2)
    own = sum(of["learned_sampled_accuracy_test_high"] for of in alone) / 2 - found[name]
    assert found[f"{name}_high"] - found[name] >= own - 1e-9
    assert (swept / "report.html").read_text().rstrip().endswith("</html>")
    assert (swept / "figures" / "settings.png").exists()


def test_the_same_sweep_after_a_kill_makes_only_what_is_missing(swept, tmp_path):
    """It had saved what the first of two members learned, and not yet what the second did."""
    cut = tmp_path / "cut"
    shutil.copytree(swept, cut)
    shutil.rmtree(members(cut)[1] / "stages" / "learned")
    runs.run("configs/on_chip.py:smoke", cut, SWEEP)
    for whole, again in zip((swept, *members(swept)), (cut, *members(cut)), strict=True):
        assert (again / "summary.json").read_bytes() == (whole / "summary.json").read_bytes()
    whole, again = ([runs.stage_times(of) for of in members(path)] for path in (swept, cut))
    assert again[0] == whole[0]
    made = {Path(name).parts[0] for name, _ in again[1].items() ^ whole[1].items()}
    assert "learned" in made and "student" not in made


def test_a_stage_that_no_member_has_cannot_be_made_anew(swept):
    done = runs.run("configs/on_chip.py:smoke", swept, SWEEP, "--redo=learnt", check=False)
    assert "redo='learnt' is no stage of any member" in runs.the_error(done)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("policy_gradient.kl", "give field=value,value or field=first:end"),
        ("policy_gradient.betas=1", "policy_gradient.betas is no field of the config"),
        ("policy_gradient.kl=high", "no float"),
        ("policy_gradient.kl=-1", "kl=-1.0 must be at least 0"),
    ],
)
def test_a_bad_sweep_is_told_in_one_line(tmp_path, asked, words):
    done = runs.run("configs/on_chip.py:smoke", tmp_path / "bad", f"--sweep={asked}", check=False)
    assert words in runs.the_error(done)


def test_a_comparison_s_members_and_verdicts():
    workdir = runs.finished("rl_comparison")
    names = {path.name for path in (workdir / "members").iterdir()}
    assert names == {
        "pretrained-0", "small-light-0", "small-pretrained-expert_iteration-0",
        "small-light-expert_iteration-0", "small-light-ppo-0", "small-light-ppo-0-reranked",
        "small-light-start-0-reranked",
    }  # fmt: skip
    light = ("small-light-expert_iteration-0", "small-light-ppo-0")
    times = [read(workdir / "members" / of / "timings.json")["samples-test-start"] for of in light]
    assert min(times) == 0 < max(times), "two that run at a time share what both begin with"
    for start in ("pretrained-0", "small-light-0"):
        assert not list((workdir / "members" / start / "stages").glob("samples-*"))
        assert (workdir / "members" / start / "report.html").exists()
    verdicts, config = read(workdir / "verdicts.json"), read(workdir / "config.json")["config"]
    assert verdicts.keys() == config["predictions"].keys()
    assert verdicts["R1_gain"]["verdict"] in ("holds", "fails", "undecided")
    assert verdicts["R2_size"]["estimate"] is None, "one size"
    methods = [found["method"] for found in verdicts.values()]
    assert all(methods) and not any("least of 1," in method for method in methods)
    summary = read(workdir / "summary.json")
    ppo = read(workdir / "members" / "small-light-ppo-0" / "summary.json")
    for ours, theirs in {"before": "start", "after": "learned"}.items():
        assert summary[f"small_light_ppo_greedy_accuracy_{ours}"] == pytest.approx(
            ppo[f"{theirs}_greedy_accuracy_test"]
        )
    assert summary["R1_gain"] == pytest.approx(ppo["gain_greedy_accuracy_test"])
    reranked = read(workdir / "members" / "small-light-ppo-0-reranked" / "summary.json")
    assert "rerank_at_4_test" in reranked
    assert summary["R8_pass_over_rerank"] == pytest.approx(reranked["pass_over_rerank_test"])
    assert reranked["greedy_accuracy_test"] == pytest.approx(ppo["learned_greedy_accuracy_test"])
    assert summary["reranked_ppo_rerank_at_4"] == pytest.approx(reranked["rerank_at_4_test"])
    before = read(workdir / "members" / "small-light-start-0-reranked" / "summary.json")
    assert summary["reranked_start_greedy_accuracy"] == pytest.approx(
        ppo["start_greedy_accuracy_test"]
    )
    assert summary["reranked_start_rerank_at_4"] == pytest.approx(before["rerank_at_4_test"])


def test_policies_of_one_run_are_measured_side_by_side_narrow_ones_first(tmp_path):
    """The last layer's dimension of given policies is what the run that trained them found."""
    trained = runs.finished("intrinsic_dimension")
    stages = [trained / "stages" / name for name in ("width32-0", "width16-0")]
    asked = f"--config.checkpoint={','.join(map(str, stages))}"
    runs.run("configs/intrinsic_dimension.py:smoke", tmp_path / "run", asked, "--config.seeds=(0,)")
    found = read(tmp_path / "run" / "summary.json")
    models = [
        name.removesuffix("_mle_euclidean") for name in found if name.endswith("mle_euclidean")
    ]
    assert models == ["width16-0", "width32-0"]
    rows = Dataset.from_file(str(next((trained / "stages/layers").glob("part-*0/*.arrow"))))
    (row,) = [
        row for row in rows
        if (row["model"], row["seed"], row["layer"]) == ("width16", 0, 1)
        and (row["estimator"], row["metric"]) == ("MLE", "euclidean")
    ]  # fmt: skip
    assert found["width16-0_mle_euclidean"] == pytest.approx(row["dimension"], rel=1e-5)
