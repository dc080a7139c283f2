"""How far a policy is from its start."""

import dataclasses

import jax
import pytest

from qdcjax.decoding import SamplingSettings
from qdcjax.experiments.findings import policy_figures
from qdcjax.experiments.running import from_config
from qdcjax.models.transformer import Transformer
from qdcjax.reasoning.rollouts import sample_solutions
from qdcjax.tasks.answers import is_correct
from qdcjax.tasks.problem import Problem
from qdcjax.training.store import StoredModel
from qdcjax.workdir import Workdir

CONFIG = {
    "study": "toy",
    "seed": 0,
    "task": {},
    "evaluation": {"splits": ["test"], "questions": 0, "temperature": 0.7},
}


class Dialogues:
    """The questions that the tests' policy knows."""

    def __init__(self, questions):
        self.all = [Problem(f"d/{n}", question, "5") for n, question in enumerate(questions)]

    def problems(self, split, count=None):
        return self.all

    def is_correct(self, problem, completion):
        return is_correct(completion, problem.answer)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_policy_is_at_no_distance_from_itself(tmp_path, policy, monkeypatch, dtype):
    task = Dialogues(policy.questions)
    monkeypatch.setattr(from_config, "task", lambda *_: task)
    model = Transformer(dataclasses.replace(policy.model.config, dtype=dtype))
    stored = StoredModel(model, policy.params, policy.tokenizer)
    workdir = Workdir(tmp_path, CONFIG)
    settings = SamplingSettings(samples=4, max_new_tokens=24, temperature=0.7)

    def sample(_):
        wanted = ["sampled", "log_probs"]
        return sample_solutions(stored, task, task.all, settings, jax.random.key(0), "", wanted)

    workdir.table("samples-test-start", [], [], lambda: [0], sample)
    workdir.table("greedy-test-start", [], [], lambda: [0], sample)
    found = policy_figures.from_start(CONFIG, workdir, stored, stored, "start")
    tolerance = 1e-4 if dtype == "float32" else 0.0
    for end in ("value", "low", "high"):
        assert getattr(found["kl_test"], end) == pytest.approx(0, abs=tolerance)
    assert 0 < found["entropy_test"].value < 5
