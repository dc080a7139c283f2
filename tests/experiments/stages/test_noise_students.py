"""Students of the noise study: what does not fit is told before the first one learns."""

import contextlib

import jax
import pytest

from configs import noise as config_of
from qdcjax.data.packing import pack
from qdcjax.experiments.stages.noise_data import (
    CLEAN,
    Cell,
    Copies,
    documents,
    examples_of,
    train_tokenizer,
)
from qdcjax.experiments.stages.noise_students import check_lengths, settings_of
from qdcjax.tasks.traced_integers import TracedIntegers
from qdcjax.training.sharding import MeshConfig, make_mesh

MESH = make_mesh(MeshConfig(1), jax.devices()[:1])


def test_a_trace_that_noise_made_too_long_is_told_with_its_noise():
    config = config_of.get_config("study").to_dict()
    problems = TracedIntegers("mul", hidden=("+",)).problems("train", 30)
    questions = [problem.question for problem in problems]
    clean = [problem.solution for problem in problems]
    noise = Cell(kind="dynamic", level=0.1).noise
    longer = [*clean[:-1], clean[-1] + " 7" * 300]
    tokenizer = train_tokenizer(clean, 512)
    fits = {"mul": {0: Copies(questions, {CLEAN: clean}, {CLEAN: 1.0})}}
    check_lengths(config, fits, tokenizer, MESH)
    too_long = {"mul": {0: Copies(questions, {CLEAN: clean, noise: longer}, {})}}
    words = (
        r"operations.mul.students.pack=160: with noise dynamic 0.1 a trace of mul has \d+ tokens"
    )
    with pytest.raises(ValueError, match=words):
        check_lengths(config, too_long, tokenizer, MESH)
    del config["operations"]["mul"]["students"]["pack"]
    with pytest.raises(ValueError, match=r"^students.pack=64: "):
        check_lengths(config, too_long, tokenizer, MESH)


def test_the_longest_that_fits_is_one_that_can_be_packed():
    """A row of the length that the check allows holds the example, and a shorter one does not."""
    problems = TracedIntegers("add").problems("train", 40)
    copies = Copies([p.question for p in problems], {CLEAN: [p.solution for p in problems]}, {})
    tokenizer = train_tokenizer(copies.responses[CLEAN], 512)
    examples = examples_of(tokenizer, documents(Cell(), {}, copies, 0), 512)
    longest = max(len(example["tokens"]) for example in examples)
    assert pack(examples, longest)
    config = config_of.get_config().to_dict()
    for room, fits in ((longest, True), (longest - 1, False)):
        config["students"]["pack"] = room
        expected = contextlib.nullcontext() if fits else pytest.raises(ValueError, match="pack=")
        with expected:
            check_lengths(config, {"add": {0: copies}}, tokenizer, MESH)


def test_students_of_one_program_need_one_length():
    config = config_of.get_config("smoke").to_dict()
    config["students"]["pack"] = 0
    with pytest.raises(ValueError, match=r"students.pack=0 must be a length"):
        settings_of(config, "add", MESH)
    config["policy"]["pretrained"] = "smollm2"
    assert settings_of(config, "add", MESH).pack == 0
