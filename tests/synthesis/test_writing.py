"""Completions of proposals by a small model, and demonstrations before them."""

import dataclasses
import random

import jax
import pytest

from qdcjax.data.examples import encode_prompts
from qdcjax.decoding import SamplingSettings, stream
from qdcjax.synthesis import writing
from qdcjax.synthesis.operations import END, OPERATIONS, Demonstrations, prompt
from qdcjax.synthesis.pipeline import Proposal
from qdcjax.synthesis.writing import complete, shots
from qdcjax.tasks.word_problems import Dials, WordProblems
from qdcjax.training.store import StoredModel

POOL = WordProblems(Dials(min_depth=1, max_depth=3)).problems("train", 100)
GREEDY = SamplingSettings(max_new_tokens=24, temperature=0.0, batch_size=4, buckets=1)


def asked(question, id="1-0", operation="solve"):
    return Proposal(id, operation, ("seed-0",), 0, question, prompt(operation, [question]))


@pytest.fixture
def writer(policy) -> StoredModel:
    return StoredModel(policy.model, policy.params, policy.tokenizer)


def written(writer, proposals, settings=GREEDY, before=(), seed=0):
    return complete(writer, proposals, settings, jax.random.key(seed), "write", before)


def test_a_writer_says_what_it_learned_or_is_cut_short(writer):
    proposals = [asked("What is 5 and 4?"), asked("Say a word.", "1-1"),
                 asked("How many eggs are in 12 boxes of 3?", "1-2")]  # fmt: skip
    found = written(writer, proposals)
    assert found[0][0].endswith(("#### 7", "#### 8")) and not found[0][1]
    assert found[1] in {(word, False) for word in ("apples", "boxes of eggs", "no")}
    assert found[2] == ("<<12*3=99>>99 eggs\n#### 99", False)
    assert written(writer, proposals[::-1]) == found[::-1]
    short = written(writer, proposals, dataclasses.replace(GREEDY, max_new_tokens=4))
    for (text, cut), (whole, _) in zip(short, found, strict=True):
        assert whole.startswith(text)
        assert cut == (text != whole)
    assert short[2][1]


def test_what_is_drawn_hangs_on_the_candidate_and_the_key_alone(writer):
    settings = dataclasses.replace(GREEDY, temperature=2.0)
    proposals = [asked("Say a word.", f"1-{n}") for n in range(6)]
    found = written(writer, proposals, settings)
    assert len(set(found)) > 1
    assert written(writer, proposals[3:], settings) == found[3:]
    assert written(writer, proposals, settings, seed=1) != found


@pytest.fixture
def prompted(monkeypatch):
    """The prompts that the sampler gets."""
    seen, sample = [], writing.sample

    def watched(model, params, prompts, *rest):
        seen.append(prompts)
        return sample(model, params, prompts, *rest)

    monkeypatch.setattr(writing, "sample", watched)
    return seen


def test_demonstrations_come_before_the_prompt(writer, prompted):
    proposals = [asked("Say a word."), asked("Say a word.", "1-1")]
    written(writer, proposals, before=["Say a word.\nno\n\n", ""])
    expected = ["Say a word.\nno\n\nSay a word.\n", "Say a word.\n"]
    assert [list(ids) for ids in prompted[0].tokens] == encode_prompts(writer.tokenizer, expected)
    assert prompted[0].streams.tolist() == [stream("1-0"), stream("1-1")]
    with pytest.raises(ValueError, match="zip"):
        written(writer, proposals, before=[""])


def test_a_prompt_without_room_is_told_before_anything_is_written(writer, prompted):
    (ids,) = encode_prompts(writer.tokenizer, ["Say a word.\n"])
    most = writer.model.config.max_length - len(ids)
    fits = dataclasses.replace(GREEDY, max_new_tokens=most)
    proposals = [asked("no", "1-1"), asked("Say a word.")]
    words = (
        rf"^a prompt of {len(ids)} tokens leaves no room for max_new_tokens={most + 1} in "
        rf"max_length={writer.model.config.max_length}$"
    )
    with pytest.raises(ValueError, match=words):
        written(writer, proposals, dataclasses.replace(fits, max_new_tokens=most + 1))
    assert not prompted
    assert written(writer, proposals, fits)[1][0] in ("apples", "boxes of eggs", "no")


def test_a_pretrained_writer_sees_demonstrations_of_its_operation():
    demonstrate = Demonstrations(POOL)
    proposals = [asked("Q?", f"1-{n}", name) for n, name in enumerate(OPERATIONS)]
    found = shots(demonstrate, proposals, 3, "0")
    for text, of in zip(found, proposals, strict=True):
        rng = random.Random(f"0/{of.id}")
        pairs = [demonstrate(of.operation, rng) for _ in range(3)]
        assert text == "".join(f"{given}{completion}{END}" for given, completion in pairs)
        assert text.count("####") == 3 and text.endswith(END)
    assert shots(demonstrate, proposals[2:4], 3, "0") == found[2:4]
    assert shots(demonstrate, proposals, 3, "1") != found
    assert shots(demonstrate, proposals, 0, "0") == [""] * len(proposals)


def test_an_operation_without_demonstrations_is_told():
    alike = [p for p in POOL if p.meta["template"] == POOL[0].meta["template"]]
    with pytest.raises(ValueError, match=r"^no problem that is known can be the outcome of other$"):
        shots(Demonstrations(alike), [asked("Why?", operation="other")], 1, "0")
