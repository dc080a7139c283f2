"""A run takes over the stages that a sibling of it has made from the same settings and stages."""

import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import runs

from qdcjax.reporting.metrics import MetricLog, read_metrics
from qdcjax.workdir import StageChangedError, Workdir

CONFIG = {"study": "toy", "seed": 0, "a": {"x": 1, "y": 2}, "b": 3}
RUNS = ("one", "other")


def make_all(workdir: Workdir, text: str = "ours") -> list[str]:
    """Runs a toy study: first → second → third; returns the stages made.

    Each writes its name and `text`, and logs a record of itself and one of a part of it.
    """
    made = []
    for name, reads, after in [
        ("first", ["a"], []),
        ("second", ["b"], ["first"]),
        ("third", [], ["second"]),
    ]:

        def make(folder: Path, name=name):
            made.append(name)
            (folder / "within").mkdir()
            (folder / "within" / "made").write_text(f"{name} {text}")
            for step, part in enumerate((name, f"{name}/part"), start=1):
                with MetricLog(workdir.path, part) as log:
                    log.write(step, {"loss": 0.5 * step})

        workdir.stage(name, reads, after, make)
    workdir.record_config({})
    return made


def content(workdir: Workdir, stage: str) -> str:
    return (workdir.path / "stages" / stage / "within" / "made").read_text()


def losses(workdir: Workdir, stage: str) -> list[tuple[int, float]]:
    records = read_metrics(workdir.path / "metrics.jsonl", stage)
    return [(record["step"], record["loss"]) for record in records]


@pytest.fixture
def open_run(tmp_path):
    """`open_run(name, redo, **changes)`: a run that has all others of the test as siblings."""

    def open_run(name: str, redo: str = "", **changes) -> Workdir:
        siblings = [tmp_path / other for other in ("one", "other", "third") if other != name]
        return Workdir(tmp_path / name, {**CONFIG, **changes}, redo, siblings)

    return open_run


def test_what_a_sibling_has_made_is_taken_over(open_run):
    one, other = open_run("one"), open_run("other", seed=1)
    assert make_all(one) == ["first", "second", "third"]
    before = runs.hashes(one.path)
    assert make_all(other, "theirs") == []
    assert other.seconds == {"first": 0, "second": 0, "third": 0}
    assert all(one.seconds.values())
    assert runs.hashes(one.path) == before, "who made them has their seconds"
    for stage in one.seconds:
        assert content(other, stage) == f"{stage} ours"
        assert losses(other, stage) == [(1, 0.5)] and losses(other, f"{stage}/part") == [(2, 1.0)]
    assert {path.name for path in other.path.joinpath("stages").iterdir()} == set(one.seconds)


def test_what_a_sibling_is_making_is_waited_for(open_run):
    """Two ask for the same stage at once, and two for different ones of the same name."""
    begun, made = threading.Barrier(3), []

    def ask(run: Workdir) -> None:
        def make(folder: Path) -> None:
            made.append(run.path.name)
            time.sleep(0.2)
            (folder / "made").write_text("whole")

        begun.wait()
        run.stage("first", ["a"], [], make)
        assert (run.path / "stages" / "first" / "made").read_text() == "whole"

    asked = [open_run("one"), open_run("other"), open_run("third", a={"x": 5})]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(ask, asked))
    assert sorted(made) in (["one", "third"], ["other", "third"])


def test_what_was_taken_over_is_a_stage_like_any_other(open_run):
    """Without siblings too: it has its files and its record."""
    make_all(open_run("one"))
    make_all(open_run("other"))
    ours, theirs = (
        runs.hashes(open_run(name).path / "stages", without=("stage.json",)) for name in RUNS
    )
    assert ours == theirs and len(ours) == 3
    path = open_run("other").path
    assert make_all(Workdir(path, CONFIG)) == []
    with pytest.raises(StageChangedError, match=r"stage first .*a\.x=1, and the config says 5"):
        Workdir(path, {**CONFIG, "a": {"x": 5, "y": 2}})
    assert make_all(Workdir(path, CONFIG, redo="second")) == ["second", "third"]


@pytest.mark.parametrize(
    ("changes", "made"),
    [
        ({"seed": 5}, []),
        ({"b": 4}, ["second", "third"]),
        ({"a": {"x": 1, "y": 5}}, ["first", "second", "third"]),
        ({"a": {"x": 1, "y": 2, "z": 0}}, ["first", "second", "third"]),
    ],
)
def test_other_fields_or_other_stages_before_it_are_made_anew(open_run, changes, made):
    make_all(open_run("one"))
    other = open_run("other", **changes)
    assert make_all(other, "theirs") == made
    assert [stage for stage in other.seconds if other.seconds[stage]] == made
    for stage in other.seconds:
        assert content(other, stage) == f"{stage} {'theirs' if stage in made else 'ours'}"
        assert losses(other, stage) == [(1, 0.5)]


def test_a_stage_from_one_stage_more_is_another(open_run):
    def make(folder: Path) -> None:
        (folder / "made").touch()

    def late(workdir: Workdir, *after: str) -> float:
        make_all(workdir)
        workdir.stage("late", ["b"], after, make)
        return workdir.seconds["late"]

    assert late(open_run("one"), "first") > 0
    assert late(open_run("other"), "first", "second") > 0
    assert late(open_run("third"), "first", "second") == 0


def test_each_sibling_is_looked_at(open_run):
    """The first has another stage of that name; the second has the right one."""
    make_all(open_run("one", b=4), "of one")
    make_all(open_run("other"), "of other")
    third = open_run("third")
    assert make_all(third) == []
    assert content(third, "first") == "first of one"
    assert content(third, "second") == "second of other"


def interrupted(folder: Path) -> None:
    (folder / "half").write_text("half")
    raise KeyboardInterrupt


def test_a_half_made_stage_is_not_taken_over(open_run):
    with pytest.raises(KeyboardInterrupt):
        open_run("one").stage("first", ["a"], [], interrupted)
    assert (open_run("one").path / "stages" / "first.partial" / "stage.json").exists()
    other = open_run("other")
    assert make_all(other) == ["first", "second", "third"]
    assert not (other.path / "stages" / "first" / "half").exists()


def test_what_was_begun_is_given_up_for_what_a_sibling_has_made(open_run):
    other = open_run("other")
    with pytest.raises(KeyboardInterrupt):
        other.stage("first", ["a"], [], interrupted)
    with MetricLog(other.path, "first") as log:
        log.write(1, {"loss": 9.0})
        log.write(2, {"loss": 9.0})
    (other.path / "checkpoints" / "first" / "7").mkdir(parents=True)
    make_all(open_run("one"))
    taken = open_run("other")
    assert make_all(taken) == []
    files = sorted(path.name for path in (taken.path / "stages" / "first").iterdir())
    assert files == ["stage.json", "within"]
    assert losses(taken, "first") == [(1, 0.5)]
    assert not (taken.path / "checkpoints" / "first").exists()
    assert not list((taken.path / "stages").glob("*.partial")) and taken.seconds["first"] == 0


@pytest.mark.parametrize(
    ("call", "nth"), [("link", 0), ("link", 1), ("replace", 0), ("replace", 1)]
)
def test_a_take_over_that_is_killed_is_begun_again(open_run, monkeypatch, call, nth):
    """At its first file, its second, its record, and just before the stage has its name."""
    make_all(open_run("one"))
    function, left = getattr(os, call), iter(range(nth))

    def killed(*args):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return function(*args)

    other = open_run("other")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, call, killed)
        make_all(other)
    assert not (other.path / "stages" / "first").exists()
    again = open_run("other")
    assert make_all(again) == [] and again.seconds["first"] == 0
    assert content(again, "first") == "first ours" and losses(again, "first") == [(1, 0.5)]
    assert not list((again.path / "stages").glob("*.partial"))


def test_where_no_file_can_have_two_names_they_are_copied(open_run, monkeypatch):
    def refused(*args):
        raise OSError("Invalid cross-device link")

    make_all(open_run("one"))
    monkeypatch.setattr(os, "link", refused)
    other = open_run("other")
    assert make_all(other) == [] and content(other, "third") == "third ours"


def test_a_run_s_own_stage_stays(open_run):
    """Where both made it before they knew of one another."""
    one, other = (Workdir(open_run(name).path, CONFIG) for name in RUNS)
    make_all(one, "of one")
    make_all(other, "of other")
    again = open_run("other")
    assert make_all(again) == [] and content(again, "second") == "second of other"
    assert again.seconds == other.seconds
    assert make_all(open_run("third")) == []
    assert content(open_run("third"), "second") == "second of one", "the first one that fits"


def test_own_stages_of_other_settings_are_told_before_a_sibling_s_are_taken(open_run):
    make_all(open_run("one"))
    make_all(open_run("other", b=4))
    with pytest.raises(StageChangedError, match=r"b=4, and the config says 3.*--redo=second"):
        open_run("other")


@pytest.mark.parametrize(("redone", "untouched"), [RUNS, RUNS[::-1]])
def test_a_redo_in_one_run_does_not_touch_the_other_s_files(open_run, redone, untouched):
    """Files of both may be the same ones on the disk."""
    for name in RUNS:
        make_all(open_run(name))
    path = open_run(untouched).path
    before, times = runs.hashes(path), runs.stage_times(path)
    anew = Workdir(open_run(redone).path, CONFIG, redo="first")
    assert make_all(anew, "anew") == ["first", "second", "third"]
    assert content(anew, "third") == "third anew"
    assert runs.hashes(path) == before and runs.stage_times(path) == times
    assert make_all(Workdir(path, CONFIG)) == []


def table(workdir: Workdir, numbers=(1, 2, 3)) -> tuple[list[int], list[int]]:
    """A table of a part a number: its column, and the parts made."""
    made = []

    def make(part: int) -> dict[str, list[int]]:
        made.append(part)
        return {"n": [part] * 2}

    found = workdir.table("numbers", ["b"], [], lambda: numbers, make)
    return list(found["n"]), made


def test_a_table_is_taken_over_with_all_its_parts(open_run):
    assert table(open_run("one")) == ([1, 1, 2, 2, 3, 3], [1, 2, 3])
    assert table(open_run("other")) == ([1, 1, 2, 2, 3, 3], [])
    record = json.loads((open_run("other").path / "stages/numbers/stage.json").read_text())
    assert record["parts"] == 3 and record["seconds"] == 0
    assert table(open_run("third", b=4), (5,)) == ([5, 5], [5])


def test_a_table_that_is_made_anew_leaves_the_other_s(open_run):
    for name in RUNS:
        table(open_run(name))
    one, other = (open_run(name).path for name in RUNS)
    before = runs.hashes(one)
    assert table(Workdir(other, CONFIG, redo="numbers"), (7, 8)) == ([7, 7, 8, 8], [7, 8])
    assert runs.hashes(one) == before and table(Workdir(one, CONFIG)) == ([1, 1, 2, 2, 3, 3], [])


def test_a_sibling_s_record_that_cannot_be_read_is_named(open_run):
    make_all(open_run("one"))
    record = open_run("one").path / "stages" / "first" / "stage.json"
    record.write_text("{ cut")
    with pytest.raises(ValueError, match=f"^{record} is not JSON .*: delete it and run again$"):
        make_all(open_run("other"))


def test_a_sibling_that_has_not_begun_gives_nothing(open_run):
    other = open_run("other")
    assert make_all(other) == ["first", "second", "third"]
    assert not open_run("third").path.joinpath("metrics.jsonl").exists()
