"""Examples in prompts: which, how they are noised, and a whole run on a model that is given."""

import json

import jax
import pytest
import runs

from configs import noise as config_of
from qdcjax.experiments import noise
from qdcjax.experiments.running import publish
from qdcjax.experiments.stages.noise_prompting import Prompting, few_shot, prompting_of
from qdcjax.tasks.traced_integers import Noise, TracedIntegers
from qdcjax.training.sharding import MeshConfig, make_mesh
from qdcjax.workdir import Workdir

TASK = TracedIntegers("add")


def prompting(**changes) -> Prompting:
    fields = {"shots": 3, "questions": 5, "contaminations": (0.2, 1.0)}
    return Prompting(**fields | {"character": (0.3,), "line": (), "dynamic": (0.2,)} | changes)


def test_contexts_are_named_after_level_and_share():
    assert prompting().contexts() == {
        "clean": Noise(),
        "character30_20": Noise("character", 0.3, 0.2, answer=True),
        "character30_100": Noise("character", 0.3, 1.0, answer=True),
        "dynamic20_20": Noise("dynamic", 0.2, 0.2),
        "dynamic20_100": Noise("dynamic", 0.2, 1.0),
    }
    assert prompting(shots=0).contexts() == {}


def test_a_question_comes_after_solved_ones_of_the_training_split():
    problems = TASK.problems("test", 5)
    train = {(p.question, p.solution) for p in TASK.problems("train", 500)}
    prompts = few_shot(TASK, Noise(), prompting(), 0)
    shown = []
    for problem, asked in zip(problems, prompts, strict=True):
        *examples, question = asked.question.split("\n\n")
        assert question == problem.question and asked.id == problem.id
        assert len(examples) == 3
        shown.append([tuple(example.split("\n", 1)) for example in examples])
        assert set(shown[-1]) <= train
    assert len({tuple(of) for of in shown}) == 5, "others for each question"


def test_noise_leaves_questions_and_the_choice_of_examples():
    """All examples are noised at a contamination of 1, and answers with the characters."""
    clean = few_shot(TASK, Noise(), prompting(), 0)
    noised = few_shot(TASK, Noise("character", 1.0, 1.0, answer=True), prompting(), 0)
    for one, other in zip(clean, noised, strict=True):
        pairs = zip(one.question.split("\n\n"), other.question.split("\n\n"), strict=True)
        *examples, (own, same) = pairs
        assert own == same
        for right, wrong in examples:
            assert right.split("\n")[0] == wrong.split("\n")[0], "operands are clean"
            assert right != wrong


def test_no_model_to_prompt_is_told():
    config = config_of.get_config("smoke")
    assert not prompting_of(config.to_dict()).shots
    config.prompting.shots = 2
    with pytest.raises(ValueError, match=r"prompting\.shots=2 needs policy\.pretrained"):
        prompting_of(config.to_dict())
    config.prompting.shots = -1
    with pytest.raises(ValueError, match=r"prompting\.shots=-1 must be from 0"):
        prompting_of(config.to_dict())


def test_too_many_prompted_questions_are_told_before_anything_is_trained():
    config = config_of.get_config("smoke")
    config.policy.pretrained = "given"
    config.prompting.update(shots=1, questions=600)
    with pytest.raises(ValueError, match="has no 600 different problems"):
        noise.check(config.to_dict(), make_mesh(MeshConfig(1), jax.devices()[:1]))


@pytest.mark.slow
def test_a_model_that_is_given_is_prompted_and_fine_tuned(tmp_path):
    """The smoke run's clean student: prompted as it is, and trained on for each cell."""
    student = runs.finished("noise") / "stages" / "students-add" / "clean-0"
    config = config_of.get_config("smoke")
    config.policy.pretrained = str(student)
    config.cells = {"clean": {}, "line90": {"kind": "line", "level": 0.9}}
    config.prompting.update(shots=2, questions=4, contaminations=(1.0,), character=(0.3,))
    config.prompting.update(line=(), dynamic=())
    config.students.batch_size = 8  # of the tests' eight devices
    workdir = Workdir(tmp_path / "run", config.to_dict())
    workdir.record_config(publish.environment("by a test"))
    summary = noise.run(workdir.config, workdir)
    assert {f"add_{name}_prompted_accuracy" for name in ("clean", "character30_100")} < set(summary)
    table = workdir.read_table("prompted-add")
    assert table["cell"][:] == ["clean"] * 4 + ["character30_100"] * 4
    for cell in ("clean", "line90"):
        after = json.loads((workdir.path / "stages" / f"add-{cell}-0" / "stage.json").read_text())
        assert set(after["after"]) == {"traces-add", "pretrained"}
    assert "Prompted" in (workdir.path / "report.html").read_text()
