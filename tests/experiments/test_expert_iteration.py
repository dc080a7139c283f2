"""The rounds of expert iteration: where each begins, what it learns from, and kills among them."""

import shutil
import signal

import datasets
import jax
import numpy as np
import pytest
import runs

from configs import expert_iteration as config_of
from qdcjax.experiments import expert_iteration
from qdcjax.experiments.expert_iteration import growth, learned_from
from qdcjax.experiments.running import from_config
from qdcjax.measures.intervals import Interval
from qdcjax.rl.selection import ExpertIteration
from qdcjax.tasks.problem import Problem
from qdcjax.training.store import load_model
from qdcjax.workdir import Workdir

STUDY = "configs/expert_iteration.py:smoke"


@pytest.mark.slow
def test_killed_within_and_between_rounds_it_ends_as_the_unbroken_one(tmp_path):
    whole, workdir = runs.finished("expert_iteration"), tmp_path / "killed"
    shutil.copytree(whole, workdir)  # the student is there
    stages = workdir / "stages"
    options = ["--config.finetune.checkpoint_every=5", "--redo=rollouts-1"]
    moments = {
        "within a round's fine-tuning": workdir / "checkpoints" / "round-1" / "5",
        "between two rounds": stages / "round-1",
        "as the next round samples": stages / "rollouts-2.partial" / "stage.json",
    }
    for moment in moments.values():
        code, said = runs.strike(STUDY, workdir, moment.exists, signal.SIGKILL, *options)
        assert code == -signal.SIGKILL, said[-2000:]
        assert not (stages / "rollouts-2").exists()
        del options[1:]
    runs.run(STUDY, workdir, *options)

    assert (workdir / "summary.json").read_bytes() == (whole / "summary.json").read_bytes()
    for name in ("round-1", "round-2"):
        ours, theirs = (load_model(w / "stages" / name).params for w in (workdir, whole))
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    ours, theirs = (runs.hashes(w / "stages") for w in (workdir, whole))
    tables = [name for name in theirs if name.startswith("rollouts") and name.endswith(".arrow")]
    assert len(tables) >= 2
    assert {name: ours.get(name) for name in tables} == {name: theirs[name] for name in tables}


NAMES = ("problem_id", "text", "correct")
PROBLEMS = [Problem(name, "?", "5") for name in "abc"]


def rollouts(*rows: tuple[str, str, bool]) -> datasets.Dataset:
    columns = zip(*rows, strict=True)
    return datasets.Dataset.from_dict(dict(zip(NAMES, columns, strict=True)))


FIRST = rollouts(("a", "<<2+3=5>>", True), ("a", "<<2+3=5>>", True), ("b", "<<9-3=6>>", False))
SECOND = rollouts(
    ("a", "<<3+2=5>>", True), ("a", "<<4+1=5>>", True), ("b", "<<1*5=5>>", True),
    ("b", "<<2+3=5>>", True), ("c", "<<2+2=4>>", False),
)  # fmt: skip


def test_what_the_rounds_have_to_learn_from():
    """a has 1 + 2 different right solutions, b has 0 + 2, c none; at most two are kept."""
    settings = ExpertIteration(rounds=2, most_per_question=2)
    first = learned_from(PROBLEMS, [FIRST], settings)
    assert (first["rollouts"], first["kept"]) == (3, 1)
    assert first["rollout_accuracy"].value == pytest.approx(2 / 3)
    assert first["covered"].value == pytest.approx(1 / 3)
    both = learned_from(PROBLEMS, [FIRST, SECOND], settings)
    assert (both["rollouts"], both["kept"]) == (8, 4)
    assert both["rollout_accuracy"].value == pytest.approx(4 / 5), "of the last round alone"
    assert both["covered"].value == pytest.approx(2 / 3)
    assert both["distinct_right"].value == pytest.approx(5 / 3)
    assert growth(PROBLEMS, [FIRST, SECOND]).value == pytest.approx(4 / 3)


def test_references_are_learned_beside_the_rollouts():
    settings = ExpertIteration(rounds=2, references=True)
    problems = [Problem(name, "?", "5", "<<2+3=5>>") for name in "abc"]
    found = learned_from(problems, [FIRST, SECOND], settings)
    assert found["kept"] == 3 + 3, "of the rollouts, what differs from its reference"
    with pytest.raises(ValueError, match=r"^expert_iteration\.references: a has no reference"):
        learned_from(PROBLEMS, [FIRST], settings)


@pytest.mark.parametrize("references", [False, True])
def test_a_round_learns_its_references_first(tmp_path, monkeypatch, policy, references):
    config = config_of.get_config("smoke")
    config.expert_iteration.references = references
    problems = [Problem(name, "?", "5", "<<2+3=5>>5") for name in "abc"]
    rows = [["a", "<<4+1=5>>", True, [7], [True]], ["b", "<<2+3=5>>", True, [8], [True]]]
    found = datasets.Dataset.from_list(
        [dict(zip((*NAMES, "tokens", "sampled"), row, strict=True)) for row in rows]
    )
    learned = []
    for module, name, does in (
        (expert_iteration, "load_policy", lambda *_: policy),
        (expert_iteration, "load_model", lambda *_: policy),
        (expert_iteration.fine_tuning, "fine_tune", lambda *rest, **_: learned.extend(rest[2])),
    ):
        monkeypatch.setattr(module, name, does)
    workdir = Workdir(tmp_path / "run", config.to_dict())
    workdir.stage("rollouts-1", [], [], lambda _: None)
    workdir.stage("student", [], [], lambda _: None)
    expert_iteration.learn(
        config.to_dict(), workdir, tmp_path, problems, [found], "round-1", "student"
    )
    own = policy.tokenizer.encode("<<2+3=5>>5")
    ends = [example["tokens"].tolist() for example in learned]
    if references:
        assert [tokens[-1 - len(own) : -1] for tokens in ends[:3]] == [own] * 3
        ends = ends[3:]
    assert [tokens[-1] for tokens in ends] == ([7] if references else [7, 8])


@pytest.mark.parametrize(
    ("init_from", "begins"), [("start", ["source"] * 3), ("last", ["source", "round-1", "round-2"])]
)
def test_each_round_begins_where_the_config_says(tmp_path, monkeypatch, init_from, begins):
    config = config_of.get_config("smoke")
    config.expert_iteration.update(rounds=3, init_from=init_from)
    begun, sampled_by = [], []

    def sample(config, workdir, policy, *rest):
        sampled_by.append(policy)
        return FIRST

    def learn(config, workdir, source, problems, rollouts, name, last):
        assert len(rollouts) == len(begun) + 1, "of all rounds so far"
        begun.append(source.name)
        return f"policy of {name}"

    start = "start", tmp_path / "source", "student"
    gains = {"gain_greedy_accuracy_test": Interval(0.0, 0.0, 0.0)}
    for module, name, does in (
        (expert_iteration.fine_tuning, "starting_point", lambda *_: start),
        (expert_iteration.policy_figures, "measure", lambda *_: {}),
        (expert_iteration.policy_figures, "gains", lambda *_: gains),
        (expert_iteration.publish, "publish", lambda *_: {}),
        (expert_iteration, "sample_rollouts", sample),
        (expert_iteration, "learn", learn),
        (from_config, "problems", lambda *_: PROBLEMS),
    ):
        monkeypatch.setattr(module, name, does)
    expert_iteration.run(config.to_dict(), Workdir(tmp_path / "run", config.to_dict()))
    assert begun == begins
    assert sampled_by == ["start", "policy of round-1", "policy of round-2"]
