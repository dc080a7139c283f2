"""Figures of an evaluation by hand, where its policy comes from, and policies made anew."""

import json
import shutil

import datasets
import numpy as np
import pytest
import runs

import qdcjax
from configs import sft as sft_config
from qdcjax.experiments.stages import fine_tuning, policies, policy_evaluation
from qdcjax.tasks.problem import Problem
from qdcjax.training.sharding import MeshConfig, make_mesh
from qdcjax.training.store import StoredModel, save_model
from qdcjax.workdir import StageChangedError, Workdir

PROBLEMS = [
    Problem("p/0", "What is 5 and 4?", "9", meta={"depth": 1}),
    Problem("p/1", "And 5 and 5?", "10", meta={"depth": 2}),
]


def solutions(rows) -> datasets.Dataset:
    """(problem, text, correct, truncated, tokens) a row; the rest follows."""
    return datasets.Dataset.from_dict({
        "problem_id": [PROBLEMS[n].id for n, *_ in rows],
        "text": [text for _, text, *_ in rows],
        "correct": [correct for _, _, correct, _, _ in rows],
        "flexible": [correct or "so" in text for _, text, correct, _, _ in rows],
        "truncated": [truncated for *_, truncated, _ in rows],
        "flagged": [text.count("####") > 1 for _, text, *_ in rows],
        "error": ["999" in text for _, text, *_ in rows],
        "tokens": [[7] * count for *_, count in rows],
    })  # fmt: skip


def test_accuracies_by_hand():
    greedy = solutions([
        (0, "#### 9", True, False, 4),
        (1, "so 10", False, True, 12),
    ])  # fmt: skip
    found = policy_evaluation.accuracies(PROBLEMS, greedy)
    values = {name.removeprefix("greedy_"): estimate.value for name, estimate in found.items()}
    assert values == {
        "accuracy": 0.5,
        "flexible_accuracy": 1.0,
        "truncated": 0.5,
        "flagged": 0.0,
        "errors": 0.0,
        "tokens": 8.0,
        "accuracy_depth1": 1.0,
        "accuracy_depth2": 0.0,
    }
    assert found["greedy_tokens"].low == 4 and found["greedy_tokens"].high == 12
    alone = found["greedy_accuracy_depth1"]  # one question has no interval
    assert np.isnan(alone.low) and np.isnan(alone.high)
    odd = [(0, "#### 8 #### 9", False, False, 1), (1, "#### 999", False, False, 1)]
    found = policy_evaluation.accuracies(PROBLEMS, solutions(odd))
    assert found["greedy_flagged"].value == found["greedy_errors"].value == 0.5


def test_at_k_by_hand():
    """Of three samples: two right and agreeing; one right, one cut, one wrong."""
    sampled = solutions([
        (0, "#### 9", True, False, 3),
        (0, "#### 8", False, False, 3),
        (0, "#### 9", True, False, 3),
        (1, "#### 10", True, False, 4),
        (1, "#### 10", False, True, 8),
        (1, "#### 11", False, False, 9),
    ])  # fmt: skip
    scores = np.asarray([0.1, 0.9, 0.2, 0.9, 0.1, 0.2])
    found = {k: v.value for k, v in policy_evaluation.at_k(PROBLEMS, sampled, scores).items()}
    expected = {
        "sampled_accuracy": (2 / 3 + 1 / 3) / 2,
        "sampled_truncated": 1 / 6,
        "sampled_tokens": (3 + 7) / 2,
        "pass_at_1": 0.5,
        "pass_at_2": (1 + 2 / 3) / 2,
        "pass_at_3": 1.0,
        "maj_at_1": 0.5,  # a cut text has no vote, and none is no right answer
        # Pairs of the first: 9 8, 9 9, 8 9; of the second: 10 –, 10 11, – 11.
        "maj_at_2": ((0.5 + 1 + 0.5) / 3 + (1 + 0.5 + 0) / 3) / 2,
        "maj_at_3": (1 + 0.5) / 2,
        "rerank_at_1": 0.5,
        # The first's wrong sample wins two of three pairs, the second's right one likewise.
        "rerank_at_2": (1 / 3 + 2 / 3) / 2,
        "rerank_at_3": (0 + 1) / 2,
    }
    assert found == pytest.approx(expected)
    without = policy_evaluation.at_k(PROBLEMS, sampled)
    assert set(without) == {name for name in expected if not name.startswith("rerank")}


@pytest.mark.parametrize(
    ("largest", "ks"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])]
)
def test_all_samples_are_among_the_ks(largest, ks):
    assert policy_evaluation.powers_of_two(largest) == ks


def test_some_solutions_are_written_for_a_reader(tmp_path):
    rows = [(n % 2, f"é #### {n}", n == 9, False, 1) for n in range(policy_evaluation.SHOWN + 5)]
    policy_evaluation.write_samples(tmp_path / "samples" / "x.jsonl", PROBLEMS, solutions(rows))
    text = (tmp_path / "samples" / "x.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert len(lines) == policy_evaluation.SHOWN and "é" in text
    assert lines[9] == {"question": "And 5 and 5?", "text": "é #### 9", "correct": True}


# Where the policy comes from.


@pytest.fixture
def stored(policy) -> StoredModel:
    return StoredModel(policy.model, policy.params, policy.tokenizer)


@pytest.fixture
def stage(tmp_path, stored):
    """A run with one stage, `student`."""
    folder = tmp_path / "run" / "stages" / "student"
    save_model(folder, stored)
    (folder / "stage.json").write_text('{"seconds": 1.0}')
    return folder


def test_a_checkpoint_is_a_run_a_stage_a_folder_or_a_file(tmp_path, stage):
    assert policies.find_policy(str(tmp_path / "run"), "student") == stage
    assert policies.find_policy(str(stage), "whatever") == stage
    gguf, folder = tmp_path / "x.gguf", tmp_path / "hugging"
    gguf.touch()
    folder.mkdir()
    assert policies.find_policy(str(gguf), "student") == gguf
    assert policies.find_policy(str(folder), "student") == folder
    nowhere = str(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match=f"^checkpoint={nowhere}: no run with a stage st"):
        policies.find_policy(nowhere, "student")


def test_a_pretrained_folder_is_the_policy_that_was_exported(tmp_path, stage, stored):
    """Its arithmetic and the room for positions are the config's; positions never grow."""
    qdcjax.load(stage).export(tmp_path / "hugging")
    mesh = make_mesh(MeshConfig())
    for room, found in ((64, 64), (9_999, stored.model.config.max_length)):
        config = {"policy": {"dtype": "bfloat16", "max_length": room}}
        loaded = policies.load_policy(config, tmp_path / "hugging", mesh)
        assert loaded.model.config.max_length == found
        assert loaded.model.config.dtype == "bfloat16"
    ours, theirs = loaded.params["embed"]["embedding"], stored.params["embed"]["embedding"]
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


@pytest.mark.parametrize("name", ["policy", "pretrained", "reward_model"])
def test_a_model_made_anew_is_not_mixed_with_what_the_old_one_made(tmp_path, stage, name):
    config = {"study": "evaluate", "checkpoint": "run", "model": "student", "policy": {}}
    config["reward_model"] = "orm-0"
    workdir = tmp_path / "evaluation"

    def mark(redo: str = "") -> None:
        policies.mark_source(Workdir(workdir, config, redo), stage, name=name)

    mark()
    mark()
    (stage / "stage.json").write_text('{"seconds": 2.0}')
    with pytest.raises(StageChangedError, match=f"made anew .* --redo={name} or another --workdir"):
        mark()
    mark(name)
    mark()


def test_a_student_goes_on_from_the_model_that_it_began_with(tmp_path, stage):
    """Its stage comes after one that holds the pretrained model's fingerprint."""
    config = sft_config.get_config("smoke")
    config.policy.pretrained = str(stage)
    workdir = Workdir(tmp_path / "tuned", config.to_dict())
    (stage / "stage.json").write_text('{"seconds": 1.0}')
    policies.mark_source(workdir, stage, name="pretrained")
    (stage / "stage.json").write_text('{"seconds": 2.0}')
    with pytest.raises(StageChangedError, match="--redo=pretrained "):
        fine_tuning.train_student(config.to_dict(), workdir)


@pytest.mark.slow
def test_a_source_run_redone_is_told_in_one_line(tmp_path):
    source, workdir = tmp_path / "sft", tmp_path / "evaluation"
    shutil.copytree(runs.finished("sft"), source)
    stage = source / "stages" / "student"  # which may be named itself
    study = ("configs/evaluate.py:smoke", workdir, f"--config.checkpoint={stage}")
    study += ("--config.evaluation.splits=('test',)",)
    runs.run(*study)
    before = (workdir / "summary.json").read_bytes()
    runs.run("configs/sft.py:smoke", source, "--redo=student", "--config.sft.steps=20")
    told = runs.run(*study, check=False)
    assert told.returncode == 1
    assert told.stderr.splitlines()[-1].startswith("error: ") and "--redo=policy" in told.stderr
    assert (workdir / "summary.json").read_bytes() == before
    runs.run(*study, "--redo=policy")
    assert (workdir / "summary.json").read_bytes() != before


@pytest.mark.slow
def test_an_exported_student_has_the_student_s_figures(tmp_path):
    qdcjax.load(runs.finished("sorm")).export(tmp_path / "hugging")
    options = (f"--config.checkpoint={tmp_path}/hugging", "--config.evaluation.splits=('test',)")
    runs.run("configs/evaluate.py:smoke", tmp_path / "run", *options)
    found = json.loads((tmp_path / "run" / "summary.json").read_text())
    whole = json.loads((runs.finished("sorm") / "summary.json").read_text())
    assert found == {name: whole[name] for name in found}


# The validation loss of fine-tuning.


def test_no_validation_without_examples(stored):
    assert fine_tuning.validation_of(stored, [], make_mesh(MeshConfig())) is None


def test_validation_rows_are_as_wide_as_a_bucket(stored, monkeypatch):
    widths = []

    def pad_and_stack(examples, width):
        widths.append(width)
        return {name: np.zeros((len(examples), width)) for name in ("tokens", "mask")}

    monkeypatch.setattr(fine_tuning, "pad_and_stack", pad_and_stack)
    examples = [{"tokens": np.arange(13), "mask": np.ones(13)}] * 3
    with np.errstate(invalid="ignore"):
        assert fine_tuning.validation_of(stored, examples, make_mesh(MeshConfig())) is not None
    assert widths[0] % 32 == 0 and widths[0] > 0


@pytest.mark.slow
def test_a_reward_model_of_another_policy_s_solutions_is_refused(tmp_path):
    run = f"--config.checkpoint={runs.finished('rcrl')}"
    options = ("--config.model=learned", "--config.reward_model=orm")
    done = runs.run("configs/evaluate.py:smoke", tmp_path / "run", run, *options, check=False)
    assert "it learned from the solutions of student, not of model=learned" in runs.the_error(done)
