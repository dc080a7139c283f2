"""What models learn of what they wrote, and where they begin from."""

import jax
import numpy as np
import pytest

from configs import self_improvement as config_of
from qdcjax.experiments.running import from_config
from qdcjax.experiments.stages import making, member_students, self_training
from qdcjax.experiments.stages.self_training import Arm, as_problem, learned
from qdcjax.experiments.stages.sources import lessons, seed_samples
from qdcjax.models.config import TransformerConfig
from qdcjax.models.transformer import Transformer, init_params
from qdcjax.synthesis.recipes import Recipe
from qdcjax.synthesis.samples import Made
from qdcjax.tasks.word_problems.parsing import parse_question
from qdcjax.training.sharding import MeshConfig, make_mesh
from qdcjax.training.store import StoredModel, load_model, save_model
from qdcjax.workdir import Workdir

CONFIG = config_of.get_config("smoke").to_dict()
WORKSHOP = making.workshop(CONFIG)
SEEDS = seed_samples(WORKSHOP.source, 0)
MESH = make_mesh(MeshConfig(1), jax.devices()[:1])


def made(number, round, dropped="", invalid=""):
    seed = SEEDS[number]
    fields = (f"{round}-{number}", round, "write", (), 0, seed.question, seed.solution, invalid)
    return Made(*fields, seed.gold, seed.template, seed.steps, True, 1.0, -1, dropped)


ROUNDS = [[made(0, 1), made(1, 1, "wrong answer")], [made(2, 2), made(3, 2)]]


def test_a_model_learns_what_its_arm_keeps():
    def ids(memory, real):
        return [one.id for one in learned(Arm(Recipe(memory=memory), real), 0, ROUNDS, WORKSHOP)]

    assert ids("replace", False) == ["2-2", "2-3"]
    assert ids("accumulate", False) == ["1-0", "2-2", "2-3"]
    assert ids("accumulate", True) == ["1-0", "2-2", "2-3", *(one.id for one in SEEDS)]
    chosen = Arm(Recipe(memory="replace", select="qdit"), False)
    assert len(learned(chosen, 0, ROUNDS, WORKSHOP)) == 1, "half of them"


def test_a_round_in_which_nothing_was_accepted_is_told():
    nothing = [[made(0, 1, "wrong answer")]]
    arm = Arm(Recipe(memory="replace"), False)
    with pytest.raises(ValueError, match="round 1, seed 0: none of 1 candidates was accepted"):
        learned(arm, 0, nothing, WORKSHOP)
    assert learned(Arm(arm.recipe, True), 0, nothing, WORKSHOP) == list(SEEDS)


def test_lessons_have_the_solution_that_was_made():
    wrong = Made(
        *(*made(0, 1).__dict__.values(),)[:6], "It is 7.\n#### 7", "", "5", "t", 1, False, 0.0
    )
    problem = as_problem(wrong)
    assert problem.solution == wrong.solution
    assert problem.meta == parse_question(wrong.question).meta
    junk = Made("1-9", 1, "write", (), 0, "Why?", "Because.", "no template", "", "", 0, False, 0.0)
    assert (
        lessons([as_problem(junk)], CONFIG["operations"], 10, 0)
        == [
            ("A new problem:\n", "Why?\nBecause."),
            ("Why?\n", "Because."),
        ]
        * 2
    ), "it is written and solved, and neither deepened nor taken as another's like"


def test_lessons_too_long_for_a_row_are_left_out(tokenizer):
    every = self_training.examples_of(CONFIG, SEEDS[:4], 0, tokenizer, 10_000)
    lengths = sorted(len(example["tokens"]) for example in every)
    middle = lengths[len(lengths) // 2]
    short = self_training.examples_of(CONFIG, SEEDS[:4], 0, tokenizer, middle)
    assert sorted(len(example["tokens"]) for example in short) == [
        n for n in lengths if n <= middle
    ]
    assert 0 < len(short) < len(every) <= CONFIG["retraining"]["lessons"]


def test_students_go_on_from_what_they_are_given(tmp_path, tokenizer):
    shape = {"layers": 1, "width": 16, "heads": 1, "kv_heads": 1, "head_width": 16, "mlp_width": 16}
    model = Transformer(TransformerConfig(vocab_size=tokenizer.vocab_size, **shape))
    places = {}
    for seed in (0, 1):
        params = init_params(model, jax.random.key(7 + seed))
        save_model(tmp_path / f"base-{seed}", StoredModel(model, params, tokenizer))
        places["a", seed] = tmp_path / f"base-{seed}"
    config = CONFIG | {"members_at_once": 1}
    fields = config["retraining"] | {"steps": 1, "log_every": 1, "checkpoint_every": 1, "pack": 448}
    fields |= {"optimizer": {"learning_rate": 1e-6, "warmup": 0.0}}
    settings = from_config.training({"retraining": fields}, "retraining", MESH)
    workdir = Workdir(tmp_path / "run", config)

    def examples(_):
        return self_training.examples_of(config, SEEDS, 0, tokenizer, settings.pack)

    students = member_students.learn_students(
        config, workdir, "round-1", [], [], list(places), examples, model, tokenizer, settings,
        MESH, begin=places,
    )  # fmt: skip
    for member, place in students.items():
        leaves = [jax.tree.leaves(load_model(of, MESH).params) for of in (place, places[member])]
        for new, old in zip(*leaves, strict=True):
            np.testing.assert_allclose(new, old, atol=1e-5)
        assert any((np.asarray(n) != np.asarray(o)).any() for n, o in zip(*leaves, strict=True))
