"""What there is before any data is made: problems, lessons for a writer, and cells."""

import collections
import dataclasses

import numpy as np
import pytest

from qdcjax.data.examples import completion_examples
from qdcjax.experiments.stages import sources
from qdcjax.experiments.stages.dials import DEEPEST, Exam, ordered_templates
from qdcjax.experiments.stages.sources import (
    Cells,
    Source,
    lesson_examples,
    lessons,
    seed_samples,
    written_tokenizer,
)
from qdcjax.synthesis.operations import OPERATIONS
from qdcjax.synthesis.samples import SEED
from qdcjax.synthesis.verification import LEAK, verified
from qdcjax.tasks.answers import is_correct
from qdcjax.tasks.word_problems import HELD_OUT_TEMPLATES
from qdcjax.tasks.word_problems.generator import split_of
from qdcjax.workdir import Workdir

SOURCE = Source(templates=4, skew=1.0, steps=3, largest=60, quality=0.8, seeds=30, known=600)
FEATURES = Cells("features", sizes=(8, 20), count=5, width=6)
EMBEDDINGS = dataclasses.replace(FEATURES, kind="embeddings")


def test_known_problems_are_of_the_train_split_and_the_seeds_come_first():
    problems = SOURCE.problems(0)
    assert [p.id for p in problems] == [f"{SEED}-{n}" for n in range(600)]
    assert len({p.question for p in problems}) == 600
    for problem in problems:
        of = problem.meta
        assert split_of(of["template"], of["depth"], list(of["givens"].values())) == "train"
        assert of["template"] in SOURCE.names and 1 <= of["depth"] <= 3
        assert max(of["givens"].values()) <= 60
    seeds = seed_samples(SOURCE, 0)
    assert [(s.id, s.question, s.solution) for s in seeds] == [
        (p.id, p.question, p.solution) for p in problems[:30]
    ]
    assert {(s.round, s.operation, s.parents, s.target, s.invalid) for s in seeds} == {
        (0, SEED, (), 0, "")
    }
    assert SOURCE.problems(0) == problems != SOURCE.problems(1)


def test_unseen_problems_are_like_the_known_ones_and_of_the_test_split():
    unseen = SOURCE.unseen(0, 90)
    assert [p.id for p in unseen] == [f"test-{n}" for n in range(90)]
    assert {p.meta["template"] for p in unseen} == set(SOURCE.names)
    assert {p.meta["depth"] for p in unseen} == {1, 2, 3}
    for problem in unseen:
        assert verified("", 0, "", (), 0, problem.question, problem.solution).invalid == LEAK
    counts = collections.Counter(p.meta["template"] for p in unseen)
    assert counts[SOURCE.names[0]] > 2.5 * counts[SOURCE.names[3]]


@pytest.mark.parametrize("skew", [0.0, 1.0, 2.0])
def test_the_frequency_of_templates_falls_with_their_rank(skew):
    source = dataclasses.replace(SOURCE, skew=skew)
    counts = collections.Counter(p.meta["template"] for p in source.problems(0))
    weights = np.array([rank**-skew for rank in (1, 2, 3, 4)])
    found = [counts[name] for name in ordered_templates()[:4]]
    assert found == pytest.approx(600 * weights / weights.sum(), abs=4)
    first = collections.Counter(p.meta["template"] for p in source.problems(0)[:200])
    assert first.total() == 200 and len(first) == 4, "they are shuffled"


@pytest.mark.parametrize("quality", [1.0, 0.7, 0.0])
def test_steps_are_right_as_often_as_quality_says(quality):
    problems = dataclasses.replace(SOURCE, quality=quality).problems(0)
    right = np.mean([is_correct(p.solution, p.answer) for p in problems])
    expected = np.mean([quality ** p.meta["depth"] for p in problems])
    assert right == pytest.approx(expected, abs=0.06 * (quality < 1))
    assert len({p.question for p in problems}) == 600


def test_students_are_asked_what_is_known_what_is_held_out_and_what_is_deeper():
    assert SOURCE.exams() == {
        "in": Exam(False, 1, 3),
        "templates": Exam(True, 1, 3),
        "deeper": Exam(False, 4, DEEPEST),
    }
    known = {p.question for p in SOURCE.problems(0)}
    for name, exam in SOURCE.exams().items():
        _, problems = exam.problems(SOURCE.names, 60, 0, 50)
        assert not known & {p.question for p in problems}
        for problem in problems:
            held_out = problem.meta["template"] in HELD_OUT_TEMPLATES
            assert held_out == (name == "templates")
            assert (problem.meta["depth"] > SOURCE.steps) == (name == "deeper")
    assert not set(SOURCE.names) & set(HELD_OUT_TEMPLATES)


MOST = len(ordered_templates())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"templates": 0}, f"templates=0 must be from 1 to {MOST}"),
        ({"templates": MOST + 1}, f"templates={MOST + 1} must be from 1 to {MOST}"),
        ({"steps": 0}, f"steps=0 must be from 1 to {DEEPEST - 1}"),
        ({"steps": DEEPEST}, f"steps={DEEPEST} must be from 1 to {DEEPEST - 1}"),
        ({"skew": -1.0}, "skew=-1.0 must be a number that is not under 0"),
        ({"skew": float("nan")}, "skew=nan must be a number that is not under 0"),
        ({"quality": 1.1}, "quality=1.1 must be in 0…1"),
        ({"quality": -0.1}, "quality=-0.1 must be in 0…1"),
        ({"seeds": 0}, "seeds=0 must be from 1 to the known=600"),
        ({"seeds": 601}, "seeds=601 must be from 1 to the known=600"),
    ],
)
def test_a_wrong_field_of_a_source_is_named_in_one_line(fields, words):
    with pytest.raises(ValueError, match=f"^{words}$"):
        dataclasses.replace(SOURCE, **fields)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "colours"}, "kind='colours' must be features or embeddings"),
        ({"sizes": (20, 8)}, r"sizes=\(20, 8\) must rise"),
        ({"sizes": (8, 8)}, r"sizes=\(8, 8\) must rise"),
        ({"count": 0}, "count=0 and width=6 must be at least 1"),
        ({"width": 0}, "count=5 and width=0 must be at least 1"),
    ],
)
def test_a_wrong_field_of_cells_is_named_in_one_line(fields, words):
    with pytest.raises(ValueError, match=f"^{words}$"):
        dataclasses.replace(FEATURES, **fields)


def test_there_are_as_many_lessons_of_each_operation():
    found = lessons(SOURCE.problems(0), OPERATIONS, 70, 0)
    assert len(found) == 70
    heads = collections.Counter(given.split(":")[0].split(" of ")[0] for given, _ in found)
    for words in filter(None, OPERATIONS.values()):
        assert heads[words] == 10
    assert sum("what is X?" in given for given, _ in found) == 10
    assert lessons(SOURCE.problems(0), OPERATIONS, 70, 0) == found
    assert lessons(SOURCE.problems(0), OPERATIONS, 70, 1) != found
    some = lessons(SOURCE.problems(0), ("solve", "deeper"), 20, 0)
    assert sum(given.startswith("With one more step") for given, _ in some) == 10
    alone = dataclasses.replace(SOURCE, templates=1).problems(0)
    assert len(lessons(alone, OPERATIONS, 70, 0)) == 60, "there is no other template"


def test_the_loss_of_a_lesson_is_on_its_completion(tokenizer):
    pairs = [("A new problem:\n", "Why?\n#### 1"), ("Why?\n", "#### 1")]
    found = lesson_examples(pairs, tokenizer, 100)
    expected = completion_examples(tokenizer, *zip(*pairs, strict=True), 100)
    assert len(found) == 2
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one["tokens"], other["tokens"])
        np.testing.assert_array_equal(one["mask"], other["mask"])
        assert 0 < one["mask"].sum() < len(one["tokens"])
    with pytest.raises(ValueError, match="max_length=5"):
        lesson_examples(pairs, tokenizer, 5)


def test_the_tokenizer_knows_what_a_writer_learns(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "TEXTS", 200)
    config = {"study": "x", "seeds": [3, 4], "source": {}, "tokenizer": {"vocab_size": 400}}
    found, other = (
        written_tokenizer(of, Workdir(tmp_path / name, of), SOURCE)
        for name, of in (("one", config), ("other", config | {"seeds": [3, 9]}))
    )
    assert (tmp_path / "one" / "stages" / "tokenizer" / "stage.json").exists()
    assert found.vocab_size == 400
    texts = [text for pair in lessons(SOURCE.problems(3), OPERATIONS, 30, 5) for text in pair]
    assert [found.decode(found.encode(text)) for text in texts] == texts
    length = np.mean([len(found.encode(text)) / len(text) for text in texts])
    assert length < 0.6, "its words are tokens"
    assert [other.encode(text) for text in texts] == [found.encode(text) for text in texts]


def test_cells_of_features_by_hand():
    cells_of = FEATURES.of(SOURCE, 0)
    assert FEATURES.number(SOURCE) == 4 * 3 * 3 and cells_of([]) == []
    first, *_, last = SOURCE.names
    one = seed_samples(SOURCE, 0)[0]
    for template, steps, gold, cell in [
        (first, 1, "8", 0),
        (first, 1, "9", 1),
        (first, 1, "20", 1),
        (first, 1, "21", 2),
        (first, 2, "8", 3),
        (first, 3, "1", 6),
        (SOURCE.names[1], 1, "1", 9),
        (last, 3, "1000", 35),
        (first, 0, "8", -1),
        (first, 4, "8", -1),
        (ordered_templates()[4], 1, "8", -1),
    ]:
        found = dataclasses.replace(one, template=template, steps=steps, gold=gold)
        assert cells_of([found, dataclasses.replace(found, invalid="nouns")]) == [cell, -1]


@pytest.mark.parametrize("kind", [FEATURES, EMBEDDINGS])
def test_seeds_have_cells_of_their_own(kind):
    cells = kind.number(SOURCE)
    found = kind.of(SOURCE, 0)(seed_samples(dataclasses.replace(SOURCE, seeds=100), 0))
    assert set(found) <= set(range(cells)) and len(set(found)) > cells / 2
    assert all(type(cell) is int for cell in found)


def test_there_are_no_more_centres_than_problems():
    with pytest.raises(ValueError, match=r"^cells.count=601 is more than the 600 known$"):
        dataclasses.replace(EMBEDDINGS, count=601).of(SOURCE, 0)


def test_lessons_of_what_no_problem_is_an_outcome_of_are_told():
    alike = [p for p in SOURCE.problems(0) if p.meta["template"] == SOURCE.names[0]][:20]
    assert {prompt for prompt, _ in lessons(alike, ("other", "write"), 10, 0)}
    with pytest.raises(ValueError, match=r"^20 problems are no outcome of other$"):
        lessons(alike, ("other",), 10, 0)


def test_cells_of_embeddings_hold_what_is_alike():
    cells_of = EMBEDDINGS.of(SOURCE, 0)
    assert EMBEDDINGS.number(SOURCE) == 5 and cells_of([]) == []
    samples = seed_samples(dataclasses.replace(SOURCE, seeds=300), 0)
    found = np.array(cells_of(samples))
    assert set(found) == set(range(5))
    again = EMBEDDINGS.of(dataclasses.replace(SOURCE, seeds=31), 0)  # made anew
    assert [again([one])[0] for one in samples[:30]] == found[:30].tolist()
    assert cells_of([dataclasses.replace(samples[0], invalid="nouns")]) == [-1]
    swapped = [dataclasses.replace(one, solution=samples[-1].solution) for one in samples[:30]]
    assert cells_of(swapped) != found[:30].tolist(), "solutions count too"
    template = np.array([SOURCE.names.index(one.template) for one in samples])
    commonest = [np.bincount(template[found == cell]).max() for cell in range(5)]
    assert sum(commonest) / 300 > 1.3 * np.bincount(template).max() / 300
