"""Labels of drafts by hand, the configs of the study, and its figures after whole runs."""

import json
from pathlib import Path

import datasets
import numpy as np
import pytest
import runs

from configs import sorm as sorm_config
from qdcjax.experiments import sorm
from qdcjax.reasoning.steps import segment, separator_tokens
from qdcjax.tasks.math_word_problems import GSM8K
from qdcjax.tasks.problem import Problem
from qdcjax.tasks.word_problems import DEFAULT_TEMPLATES, Dials, WordProblems
from qdcjax.training.store import StoredModel

PROBLEM = Problem("p/0", "What is 5 and 4?", "7")


@pytest.fixture
def stored(policy) -> StoredModel:
    return StoredModel(policy.model, policy.params, policy.tokenizer)


def drafted(stored, texts, correct) -> datasets.Dataset:
    tokenizer, rows = stored.tokenizer, []
    for text, right in zip(texts, correct, strict=True):
        tokens = [*tokenizer.encode(text), tokenizer.eos_id]
        steps = segment(tokens, tokenizer, separator_tokens(tokenizer))
        rows.append({
            "problem_id": "p/0",
            "tokens": tokens,
            "text": text,
            "correct": right,
            "steps": list(steps.texts),
            "ends": list(steps.ends),
        })  # fmt: skip
    return datasets.Dataset.from_list(rows)


def labels(stored, drafts, found) -> list[list[int]]:
    """Labels, where `found(steps)` gives (right, consistent) of each prefix's completions."""
    verified = {}
    for tokens, ends in zip(drafts["tokens"], drafts["ends"], strict=True):
        for n, end in enumerate(ends):
            verified[tuple(tokens[: end + 1])] = found(n + 1)
    table = datasets.Dataset.from_dict({
        "problem_id": ["p/0"] * len(verified),
        "prefix": [list(prefix) for prefix in verified],
        "correct": [[right for right, _ in pairs] for pairs in verified.values()],
        "consistent": [[consistent for _, consistent in pairs] for pairs in verified.values()],
    })  # fmt: skip
    solutions = sorm.labelled_solutions(stored, [PROBLEM], drafts, table)
    return [list(solution.labels) for solution in solutions]


def test_a_label_is_1_where_a_right_and_consistent_completion_is_found(stored):
    drafts = drafted(stored, ["a <<5+4=9>>9\nb <<9-1=8>>8\nc <<8-1=7>>7\n#### 8"], [False])
    right, lucky, wrong = (True, True), (True, False), (False, True)
    by_steps = {1: [wrong, wrong], 2: [wrong, right], 3: [lucky, lucky]}
    assert labels(stored, drafts, by_steps.get) == [[1, 1, 0]], "propagated to the first step"
    assert labels(stored, drafts, lambda steps: [wrong, lucky]) == [[0, 0, 0]]


def test_the_draft_s_own_suffix_counts_where_it_uses_the_step(stored):
    text = "a <<5+4=9>>9\nb <<9-2=7>>7\n#### 7"
    drafts = drafted(stored, [text, text.replace("#### 7", "#### 8")], [True, False])
    assert labels(stored, drafts, lambda steps: [(False, True)]) == [[1, 1], [0, 0]]


def test_a_step_that_comes_twice_is_followed_by_what_follows_it_there(stored):
    """After the first time its result is used; after the second it is not."""
    step = "<<5-3=2>>2"
    drafts = drafted(stored, [f"{step}\n<<2+4=6>>6\n{step}\n#### 7"], [True])
    assert labels(stored, drafts, lambda steps: [(False, True)]) == [[1, 0, 0]]


def test_a_draft_without_steps_has_no_labels(stored):
    drafts = drafted(stored, ["#### 7", "<<5+2=7>>7\n#### 7"], [True, True])
    assert labels(stored, drafts, lambda steps: [(False, True)]) == [[], [1]]


# Configs.


@pytest.mark.parametrize("preset", ["smollm2", "llama2_7b", "llama2_13b"])
def test_presets_on_gsm8k_ask_for_splits_that_it_has_and_rows_that_a_pod_divides(preset, tmp_path):
    config = sorm_config.get_config(preset)
    row = json.dumps({"question": "What is 5 and 4?", "answer": "5+4 = <<5+4=9>>9\n#### 9"})
    for split in ("train", "test"):
        (tmp_path / f"{split}.jsonl").write_text(f"{row}\n" * 20)
    svamp = {"ID": "chal-1", "Body": "Ann has 3.", "Question": "How many?", "Answer": 3}
    (tmp_path / "SVAMP.json").write_text(json.dumps([svamp] * 5))
    task = GSM8K(str(tmp_path), str(tmp_path))
    for split in (config.drafts.split, *config.evaluation.splits):
        assert task.problems(split, 5)
    assert config.drafts.max_new_tokens == config.verify.max_new_tokens == 256
    rows = 256 // config.mesh.tensor if preset != "smollm2" else 1
    for section in (config.sft, config.reward):
        assert section.batch_size % (rows * section.microbatches) == 0


def test_only_a_study_of_labels_takes_some_of_the_prefixes():
    config = sorm_config.get_config()
    assert "prefixes" not in config.verify and config.verify_many.prefixes == 256


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--config.drafts.split=dreams", ("dreams", "rewards")),
        ("--config.evaluation.splits=('test','dreams')", ("dreams", "held_out")),
        ("--config.evaluation.questions=0", ("word problems are generated",)),
        ("--config.verify.prefixes=8", ("prefixes",)),
    ],
)
def test_what_is_wrong_is_told_before_a_student_is_trained(tmp_path, option, words):
    told = runs.run("configs/sorm.py:smoke", tmp_path / "run", option, check=False)
    line = told.stderr.strip().splitlines()[-1]
    assert told.returncode == 1 and "Traceback" not in told.stderr
    assert line.startswith("error: ") and all(word in line for word in words), line
    assert not list((tmp_path / "run").glob("stages/*"))


# Whole runs.

LAST_K = {"labels": 4, "labels_many": 8}


def headline_figures() -> list[str]:
    """Names of what the study is about, as `summary.json` must have them."""
    names = [
        f"{kind}_{figure}"
        for kind in ("orm", "sorm")
        for figure in ("step_accuracy", "false_negatives", "answer_accuracy", "rerank_at_4_test")
    ]
    names += [
        f"{stem}_{measure}_at_{k}"
        for stem, largest in LAST_K.items()
        for measure in ("precision", "recall")
        for k in (1, 2, 4, 8)
        if k <= largest
    ]
    names += [f"{kind}_at_{k}_test" for kind in ("maj", "pass") for k in (1, 2, 4)]
    names += ["greedy_accuracy_test", "sampled_accuracy_test", "G1_steps_statistic"]
    return [f"{name}{end}" for name in names for end in ("", "_low", "_high")]


@pytest.mark.slow
def test_a_smoke_run_has_every_figure_and_its_interval():
    summary = json.loads((runs.finished("sorm") / "summary.json").read_text())
    missing = [name for name in headline_figures() if summary.get(name) is None]
    assert not missing
    assert 0.05 < summary["sampled_accuracy_test"] < 0.95, "else labels are all of one colour"
    assert summary["labels_recall_at_4"] > 0 and summary["labels_precision_at_4"] > 0


def gsm8k_folder(folder: Path) -> Path:
    """A folder in GSM8K's format with the smoke preset's own problems."""
    task = WordProblems(Dials(DEFAULT_TEMPLATES[:1], min_depth=1, max_depth=2, largest=10))
    folder.mkdir()
    for split, count in {"train": 600, "test": 24}.items():
        rows = [
            json.dumps({"question": problem.question, "answer": problem.solution})
            for problem in task.problems(split, count)
        ]
        (folder / f"{split}.jsonl").write_text("\n".join(rows) + "\n")
    return folder


@pytest.mark.slow
def test_steps_without_exact_truth_are_judged_by_sampled_labels(tmp_path):
    """GSM8K's path: drafts of training questions, verified samples of test questions."""
    data = gsm8k_folder(tmp_path / "gsm8k")
    file = tmp_path / "own.py"
    file.write_text(
        "from configs import sorm\n"
        "from ml_collections import ConfigDict\n\n"
        "def get_config(preset=''):\n"
        "    config = sorm.get_config('smoke')\n"
        f"    config.task = ConfigDict(dict(name='gsm8k', data={str(data)!r}))\n"
        "    config.evaluation.splits = ('test',)\n"
        "    config.drafts.split = 'train'\n"
        "    return config\n"
    )
    runs.run(str(file), tmp_path / "run")
    stages = tmp_path / "run" / "stages"
    checked = datasets.load_from_disk(str(stages / "verify_test" / "part-00000"))
    assert set(checked["truth"]) == {None}
    assert all(name.startswith("gsm8k/test/") for name in checked["problem_id"])
    drafts = datasets.load_from_disk(str(stages / "drafts" / "part-00000"))
    assert all(name.startswith("gsm8k/train/") for name in drafts["problem_id"])
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    for name in ("greedy_accuracy_test", "pass_at_4_test", "orm_answer_accuracy"):
        assert np.isfinite(summary[name])
    assert summary["sorm_sampled_step_accuracy_pooled"] is not None, "labels of both kinds"
    assert (tmp_path / "run" / "report.html").exists()

    # Refinement goes on from it, and leaves out what only the exact check could tell.
    refined = tmp_path / "refined"
    runs.run("configs/refinement.py:smoke", refined, f"--config.checkpoint={tmp_path / 'run'}")
    verdicts = json.loads((refined / "verdicts.json").read_text())
    own = [name for name in verdicts if name[:2] in ("G3", "G4", "G5")]
    known = [name for name in own if verdicts[name]["estimate"] is not None]
    assert len(own) == 6 and set(own) - set(known) == {"G5_truth"}
    summary = json.loads((refined / "summary.json").read_text())
    assert "reranked_accuracy_test" in summary and "reranked_truth_accuracy_test" not in summary
    assert not (refined / "stages" / "exact_sorm").exists()
