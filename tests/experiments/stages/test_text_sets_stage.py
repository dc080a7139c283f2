"""Sets that are streamed and sampled, and their samples."""

import dataclasses
import json

import numpy as np
import pytest
from conftest import DIALOGUES

from configs import qdc_card as config_of
from qdcjax.experiments.stages import text_samples, text_sets
from qdcjax.experiments.stages.text_sets import CardSettings, Read
from qdcjax.training.store import StoredModel
from qdcjax.workdir import Workdir

SETTINGS = CardSettings(sampled=30, size=10, width=4)


def config(**data):
    fields = config_of.get_config("smoke").to_dict()
    fields["data"] |= data
    return fields


def written(path, rows):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_a_set_is_counted_whole_and_sampled(tmp_path):
    rows = [{"question": f"q {n % 50} is", "answer": f"a {n % 50}"} for n in range(100)]
    rows += [{"question": " ", "answer": "left out"}]
    tests = [{"question": "Well, Q 7 IS what?"}, {"question": "nothing of it here"}]
    of = config(path=written(tmp_path / "some.jsonl", rows))
    of["against"] |= {"path": written(tmp_path / "tests.jsonl", tests), "n": 3}
    workdir = Workdir(tmp_path / "run", of)
    ((name, source),) = text_sets.sources_of(of).items()
    found = text_sets.read(of, workdir, name, source, SETTINGS)
    assert name == "some"
    assert (found.counts["samples"], found.counts["without_prompt"]) == (100, 1)
    assert found.counts["distinct_texts"].value == 0.5
    assert len(found.prompts) == 30
    for prompt, response in zip(found.prompts, found.responses, strict=True):
        assert prompt.split()[1] == response.split()[1]
    np.testing.assert_allclose(found.contaminated, [1 / 3, 0])
    again = text_sets.read(of, Workdir(tmp_path / "run", of), name, source, SETTINGS)
    assert again.prompts == found.prompts
    written(tmp_path / "some.jsonl", rows[1:])
    with pytest.raises(
        ValueError, match="some has changed since it was counted: use --redo=set-some"
    ):
        text_sets.read(of, Workdir(tmp_path / "run", of), name, source, SETTINGS)


def test_sets_are_named_after_files_and_folders(tmp_path):
    paths = [written(tmp_path / folder / "train.jsonl", []) for folder in ("one", "two")]
    assert list(text_sets.sources_of(config(path=paths[0]))) == ["train"]
    assert list(text_sets.sources_of(config(path=",".join(paths)))) == ["one_train", "two_train"]
    with pytest.raises(ValueError, match="two sets are called 'one_train'"):
        text_sets.sources_of(config(path=f"{paths[0]},{paths[0]}"))


def test_generated_sets_have_their_dials(tmp_path):
    of = config()
    sets = {name: list(source.pairs()) for name, source in text_sets.sources_of(of).items()}
    assert {name: len(pairs) for name, pairs in sets.items()} == dict.fromkeys(of["sets"], 200)
    wrong = {name: sum(pair not in sets["many"] for pair in pairs) for name, pairs in sets.items()}
    assert 40 < wrong["wrong"] < 160
    rows = {name: [text_samples.describe(*pair) for pair in pairs] for name, pairs in sets.items()}
    right = {name: np.mean([row["answer"] for row in of]) for name, of in rows.items()}
    assert right["few"] == right["many"] == 1 > 0.8 > right["wrong"]


def test_generated_sets_do_not_depend_on_the_folder_that_one_works_in(tmp_path, monkeypatch):
    of = config()
    monkeypatch.chdir(tmp_path)
    source = text_sets.sources_of(of)["few"]
    first = text_sets.read(of, Workdir(tmp_path / "run", of), "few", source, SETTINGS)
    written(tmp_path / "other" / "data.arrow", [])
    again = text_sets.read(of, Workdir(tmp_path / "run", of), "few", source, SETTINGS)
    assert again.prompts == first.prompts


def test_a_set_that_is_too_small_is_told(tmp_path):
    of = config(path=written(tmp_path / "some.jsonl", [{"text": "one"}, {"text": ""}]))
    (source,) = text_sets.sources_of(of).values()
    with pytest.raises(ValueError, match=r"some: 1 samples with a prompt \(1 without\)"):
        text_sets.read(of, Workdir(tmp_path / "run", of), "some", source, SETTINGS)


class Tables:
    """A workdir whose tables are made anew at each call."""

    def table(self, name, reads, after, parts, make):
        return make(*parts())


def test_likelihoods_are_those_of_the_policy(policy):
    stored = StoredModel(policy.model, policy.params, policy.tokenizer)
    known = {question: completions[0] for question, completions in list(DIALOGUES.items())[:4]}
    prompts = [*known, "What of nothing?", "What of all?"]
    of = Read({}, prompts, [*known.values(), "", "one and one is two " * 200], [])
    found = np.array(text_samples.described(Tables(), "some", of, stored)["likelihood"])
    assert np.isnan(found).tolist() == [False] * 4 + [True, True]
    assert (found[:4] < 0).all()
    other = Read({}, of.prompts[:4], of.responses[1:4] + of.responses[:1], [])
    swapped = np.array(text_samples.described(Tables(), "some", other, stored)["likelihood"])
    assert found[:4].mean() > swapped.mean(), "the solution of another question is less likely"


@pytest.mark.parametrize("embedding", ["lsa", "policy"])
def test_embeddings_lie_near_where_texts_are_alike(tmp_path, policy, embedding):
    stored = StoredModel(policy.model, policy.params, policy.tokenizer)
    prompts = ["Tom has 3 bags with 9 pens each."] * 3 + ["A song has 8 lines and 2 verses."] * 3
    sets = {"one": Read({}, prompts, ["a"] * 6, []), "two": Read({}, prompts[::-1], ["a"] * 6, [])}
    settings = CardSettings(sampled=10, size=10, width=3, embedding=embedding)
    workdir = Workdir(tmp_path, {"card": dataclasses.asdict(settings), "study": "toy"})
    workdir.stage("policy", [], [], lambda folder: None)
    for name in sets:
        workdir.stage(f"set-{name}", [], [], lambda folder: None)
    found = text_samples.embeddings(workdir, sets, settings, stored)
    assert found["one"].shape == found["two"].shape
    np.testing.assert_allclose(found["one"], found["two"][::-1], atol=1e-4)
    apart = np.linalg.norm(found["one"][:, None] - found["one"], axis=-1)
    assert apart[0, 2] < 1e-3 < apart[0, 3]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"size": 9}, "size=9 must be at least 10"),
        ({"clusters": 1}, "clusters=1 must be at least 2"),
        ({"size": 50}, "size=50 must be at most sampled=30"),
        ({"embedding": "bert"}, "embedding='bert' must be lsa or policy"),
    ],
)
def test_bad_settings_are_named_in_one_line(fields, words):
    with pytest.raises(ValueError, match=f"^{words}$"):
        CardSettings(**{"sampled": 30, "size": 10, **fields})
