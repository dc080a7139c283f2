"""A run that is killed, stopped or partly redone ends with the summary of one that was not."""

import contextlib
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import runs

from qdcjax.files import hold
from qdcjax.reporting import progress
from qdcjax.workdir import StageChangedError, Workdir

SORM = "configs/sorm.py:smoke"


def resume_points(workdir: Path, stage: str) -> list[int]:
    """Steps of a stage's whole resume points."""
    folder = workdir / "checkpoints" / stage
    return sorted(int(path.name) for path in folder.glob("*") if path.name.isdigit())


def gone_on(workdir: Path, stage: str) -> Callable[[], bool]:
    """Whether a stage has a newer resume point than now."""
    before = resume_points(workdir, stage)
    return lambda: resume_points(workdir, stage)[-1:] > before[-1:]


def started(workdir: Path, stage: str) -> Callable[[], bool]:
    """Whether a stage has been begun."""
    return (workdir / "stages" / f"{stage}.partial" / "stage.json").exists


def logged(workdir: Path) -> list[tuple[str, int, dict]]:
    """Stage, step and validation metrics of each record.

    The other metrics are means since the last record, or since the start if that was later.
    """
    records = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [
        (r["stage"], r["step"], {k: v for k, v in r.items() if k.startswith("validation")})
        for r in records
    ]


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_as_one_that_was_not(tmp_path):
    whole, workdir = runs.finished("sorm"), tmp_path / "killed"

    # Saved more often than the whole run was, so that there are moments to strike at.
    often = "--config.sft.checkpoint_every=20"

    def strike(when: Callable[[], bool], number: signal.Signals = signal.SIGKILL) -> str:
        code, said = runs.strike(SORM, workdir, when, number, often)
        assert code == (143 if number == signal.SIGTERM else -number), said[-2000:]
        return said

    strike(gone_on(workdir, "student"))
    assert started(workdir, "student")() and not (workdir / "stages" / "student").exists()

    said = strike(gone_on(workdir, "student"), signal.SIGTERM)
    assert "stopped by SIGTERM" in said and "Traceback" not in said
    assert started(workdir, "student")()
    assert len(resume_points(workdir, "student")) <= 2

    strike(gone_on(workdir, "student"))
    for stage in ("samples-test", "drafts", "verify", "sorm-0"):
        strike(started(workdir, stage))
        assert not (workdir / "stages" / stage).exists()
    strike((workdir / "stages" / "sorm-0").exists)  # between stages
    assert (workdir / "stages" / "orm-0").exists() and not (workdir / "summary.json").exists()

    runs.run(SORM, workdir, often)
    assert (workdir / "summary.json").read_bytes() == (whole / "summary.json").read_bytes()
    assert logged(workdir) == logged(whole)
    assert not list((workdir / "stages").glob("*.partial"))
    ours, theirs = runs.hashes(workdir / "stages"), runs.hashes(whole / "stages")
    tables = [name for name in theirs if name.endswith(".arrow")]
    assert len(tables) > 6
    assert {name: ours.get(name) for name in tables} == {name: theirs[name] for name in tables}


@pytest.mark.slow
def test_two_runs_are_not_at_work_in_one_folder(tmp_path):
    hold(tmp_path)
    done = runs.run("configs/sft.py:smoke", tmp_path, check=False)
    assert "another run is at work in it" in runs.the_error(done)
    assert list(tmp_path.iterdir()) == [], "of the other run nothing is touched"


@pytest.mark.slow
def test_redo_makes_a_stage_and_all_after_it_anew(tmp_path):
    workdir = tmp_path / "redo"
    shutil.copytree(runs.finished("sorm"), workdir)
    before = runs.stage_times(workdir)
    runs.run(SORM, workdir, "--redo=verify_many,sorm-1")
    after = runs.stage_times(workdir)
    stages = {path.name for path in (workdir / "stages").iterdir()}
    for stage in stages:
        same = all(after.get(f) == t for f, t in before.items() if f.startswith(f"{stage}/"))
        assert same == (stage not in {"verify_many", "sorm-1", "scores"}), stage
    whole = runs.finished("sorm")
    assert (workdir / "summary.json").read_bytes() == (whole / "summary.json").read_bytes()


# The folder of a run by itself.

CONFIG = {"study": "toy", "seed": 0, "a": {"x": 1, "y": 2}, "b": 3}


def touch(folder: Path) -> None:
    (folder / "made").write_text("")


def make_all(workdir: Workdir) -> list[str]:
    """Runs a toy study: first → second → third, first → other; returns the stages made."""
    made = []
    for name, reads, after in [
        ("first", ["a"], []),
        ("second", ["b"], ["first"]),
        ("third", [], ["second"]),
        ("other", ["b"], ["first"]),
    ]:

        def make(folder, name=name):
            made.append(name)
            touch(folder)

        workdir.stage(name, reads, after, make)
    workdir.record_config({})
    return made


def test_stages_are_made_once(tmp_path):
    assert make_all(Workdir(tmp_path, CONFIG)) == ["first", "second", "third", "other"]
    assert make_all(Workdir(tmp_path, CONFIG)) == []


@pytest.mark.parametrize(
    ("redo", "made"),
    [
        ("first", ["first", "second", "third", "other"]),
        ("second", ["second", "third"]),
        ("third", ["third"]),
        ("third,other", ["third", "other"]),
    ],
)
def test_redo_follows_the_stages(tmp_path, redo, made):
    make_all(Workdir(tmp_path, CONFIG))
    assert make_all(Workdir(tmp_path, CONFIG, redo)) == made


def test_a_changed_field_is_told_before_anything_is_written(tmp_path):
    make_all(Workdir(tmp_path, CONFIG))
    before = runs.hashes(tmp_path)
    changed = {**CONFIG, "b": 4}
    with pytest.raises(StageChangedError, match=r"b=3, and the config says 4.*--redo=other,second"):
        Workdir(tmp_path, changed)
    with pytest.raises(StageChangedError, match=r"stage other .* --redo=other "):
        Workdir(tmp_path, changed, "second")
    assert runs.hashes(tmp_path) == before, "a redo that is not enough removes nothing"
    assert make_all(Workdir(tmp_path, changed, "other,second")) == ["second", "third", "other"]


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"x": 1, "y": 5}, r"a\.y=2, and the config says 5"),
        ({"x": 1}, r"a\.y=2, and the config says nothing"),
        ({"x": 1, "y": 2, "z": 0}, r"a\.z=nothing, and the config says 0"),
    ],
)
def test_a_field_within_a_section_is_named(tmp_path, section, words):
    make_all(Workdir(tmp_path, CONFIG))
    with pytest.raises(StageChangedError, match=f"stage first .*{words}: use --redo=first "):
        Workdir(tmp_path, {**CONFIG, "a": section})


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("config.json", b"{ cut", "is not JSON .*: delete it"),
        ("config.json", b"\xff\x00", "is not JSON"),
        ("config.json", b"[]", "is no run's config: delete it"),
        ("config.json", b'{"config": {"lr": 1}}', "is no run's config"),
        ("stages/second/stage.json", b"", "is not JSON .*: delete it"),
        ("stages/second/stage.json", b"\xff\x00", "is not JSON"),
        ("stages/second/stage.json", b"[]", "is no stage's record: delete it"),
        ("stages/second/stage.json", b'{"fields": {}}', "is no stage's record"),
    ],
)
def test_a_record_that_cannot_be_read_is_named(tmp_path, name, content, words):
    """And what the error advises, to delete it, makes the run whole again."""
    make_all(Workdir(tmp_path, CONFIG))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{tmp_path / name} {words}"):
        Workdir(tmp_path, CONFIG)
    (tmp_path / name).unlink()
    assert make_all(Workdir(tmp_path, CONFIG)) == (["second"] if "second" in name else [])


def test_a_cut_stage_is_gone_on_with_and_a_deleted_one_begun_anew(tmp_path):
    calls = []

    def make(folder: Path) -> None:
        calls.append(sorted(path.name for path in folder.iterdir()))
        touch(folder)
        if len(calls) == 1:
            (tmp_path / "checkpoints" / "cut").mkdir(parents=True)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Workdir(tmp_path, CONFIG).stage("cut", ["b"], [], make)
    with pytest.raises(StageChangedError, match="b=3"):
        Workdir(tmp_path, {**CONFIG, "b": 9})
    Workdir(tmp_path, CONFIG).stage("cut", ["b"], [], make)
    assert calls[1] == ["made", "stage.json"], "the second call finds what the first one left"
    assert not (tmp_path / "checkpoints" / "cut").exists()

    # A user who empties `stages` may leave a resume point of other settings behind.
    shutil.rmtree(tmp_path / "stages")
    (tmp_path / "checkpoints" / "cut").mkdir()

    def fresh(folder: Path) -> None:
        assert not (tmp_path / "checkpoints" / "cut").exists()
        touch(folder)

    Workdir(tmp_path, {**CONFIG, "b": 9}).stage("cut", ["b"], [], fresh)


def test_a_killed_table_goes_on_with_the_next_part(tmp_path):
    made = []

    def table(workdir: Workdir, fails: int | None):
        def make(part: int) -> dict[str, list[int]]:
            if part == fails:
                raise KeyboardInterrupt
            made.append(part)
            return {"part": [part] * part}

        return workdir.table("numbers", ["b"], [], lambda: [1, 2, 3], make)

    with pytest.raises(KeyboardInterrupt):
        table(Workdir(tmp_path, CONFIG), fails=3)
    (tmp_path / "stages" / "numbers.partial" / "part-00002.half").mkdir()  # cut while it wrote
    assert table(Workdir(tmp_path, CONFIG), fails=None)["part"] == [1, 2, 2, 3, 3, 3]
    assert made == [1, 2, 3]


def test_a_table_says_how_many_parts_it_has_of_those_made_before_too(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_WORTH_A_LINE", 0.0)

    def table(name: str, parts: list[int], make: Callable[[int], int]) -> str:
        workdir = Workdir(tmp_path, CONFIG)
        workdir.table(name, ["b"], [], lambda: parts, lambda n: {"n": [make(n)]})
        return capsys.readouterr().err

    with pytest.raises(ZeroDivisionError):
        table("n", [2, 1, 0], lambda n: 1 // n)
    capsys.readouterr()
    assert "n: 3/3 parts\n" in table("n", [2, 1, 0], lambda n: n)
    assert table("n", [2, 1, 0], lambda n: n) == "", "nothing is made"
    assert table("one", [2], lambda n: n) == "", "its own work shows its progress"


def test_rounds_that_are_killed_follow_from_those_that_were_stored(tmp_path):
    asked = []

    def rounds(path: Path, fails: int | None = None):
        def make(part: int, earlier) -> dict[str, list]:
            if part == fails:
                raise KeyboardInterrupt
            before = [earlier(n)["names"][:] for n in range(part)]
            asked.append((part, before))
            names = [[f"{part}", f"{sum(map(len, before))}"] for _ in range(part + 1)]
            return {"names": names, "part": [part] * (part + 1)}

        workdir = Workdir(path, CONFIG)
        return workdir.rounds("rounds", ["b"], [], lambda: [0, 1, 2, 3], make)

    whole = rounds(tmp_path / "whole")[:]
    assert whole["names"] == [["0", "0"], *[["1", "1"]] * 2, *[["2", "3"]] * 3, *[["3", "6"]] * 4]
    unbroken = asked.copy()
    asked.clear()
    for fails in (1, 1, 3):
        with pytest.raises(KeyboardInterrupt):
            rounds(tmp_path / "killed", fails)
    assert rounds(tmp_path / "killed")[:] == whole
    assert asked == unbroken, "each is made once, from the same parts as stored"
    assert rounds(tmp_path / "killed")[:] == whole and asked == unbroken
    shutil.rmtree(tmp_path / "killed" / "stages" / "rounds" / "part-00003")
    with pytest.raises(ValueError, match="has 3 of 4 parts"):
        rounds(tmp_path / "killed")


def test_no_round_follows_from_a_later_one(tmp_path):
    make = lambda part, earlier: earlier(part)[:]  # noqa: E731
    with pytest.raises(FileNotFoundError, match="part-00000"):
        Workdir(tmp_path, CONFIG).rounds("rounds", ["b"], [], lambda: [0], make)


def numbers(workdir: Workdir) -> list[int]:
    """A table of one number a part."""
    return workdir.table("numbers", ["a"], [], lambda: [1, 2, 3], lambda n: {"n": [n]})["n"][:]


def test_a_redo_that_is_killed_leaves_no_stage_that_passes_for_whole(tmp_path, monkeypatch):
    """Killed before each of its removals in turn: the next run makes anew what was touched."""

    def make(workdir: Workdir) -> tuple[list[int], list[str]]:
        return numbers(workdir), make_all(workdir)

    def remove_parts_first(folder: Path, ignore_errors: bool) -> None:
        """As `shutil.rmtree` may: it keeps to no order of its own."""
        for path in sorted(Path(folder).rglob("*"), key=lambda path: (-len(path.parts), path)):
            path.rmdir() if path.is_dir() else path.unlink()
        if Path(folder).exists():
            Path(folder).rmdir()

    def killed_after(removals: int, workdir: Path) -> bool:
        left = iter(range(removals))

        def counted(remove):
            def run(*args, **kwargs):
                if next(left, None) is None:
                    raise KeyboardInterrupt
                return remove(*args, **kwargs)

            return run

        with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
            for name in ("unlink", "rmdir"):
                patch.setattr(os, name, counted(getattr(os, name)))
            patch.setattr(shutil, "rmtree", remove_parts_first)
            Workdir(workdir, CONFIG, "numbers,second")
            return False
        return True

    removals, killed = 0, True
    while killed:
        workdir = tmp_path / str(removals)
        make(Workdir(workdir, CONFIG))
        killed = killed_after(removals, workdir)
        found, made = make(Workdir(workdir, CONFIG))
        assert found == [1, 2, 3]
        assert made in ([], ["third"], ["second", "third"]), "none stays that was made from it"
        removals += 1
    assert made and removals > 10


def test_a_table_that_lost_a_part_is_told(tmp_path):
    assert numbers(Workdir(tmp_path, CONFIG)) == [1, 2, 3]
    shutil.rmtree(tmp_path / "stages" / "numbers" / "part-00001")
    with pytest.raises(ValueError, match=r"stage numbers: .* has 2 of 3 parts: use --redo=numbers"):
        numbers(Workdir(tmp_path, CONFIG))
    assert numbers(Workdir(tmp_path, CONFIG, "numbers")) == [1, 2, 3]


def test_seconds_add_up_over_attempts(tmp_path):
    def make(folder: Path) -> None:
        if not (folder / "made").exists():
            touch(folder)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Workdir(tmp_path, CONFIG).stage("timed", [], [], make)
    record = json.loads((tmp_path / "stages" / "timed.partial" / "stage.json").read_text())
    workdir = Workdir(tmp_path, CONFIG)
    workdir.stage("timed", [], [], make)
    assert workdir.seconds["timed"] > record["seconds"] > 0


def test_a_model_is_saved_over_what_a_kill_left(tmp_path, policy):
    """A kill between the parameters' save and the stage's done mark must not stop the next run."""
    from qdcjax.training.store import StoredModel, load_model, save_model

    stored = StoredModel(policy.model, policy.params, policy.tokenizer)
    save_model(tmp_path, stored)
    os.remove(tmp_path / "model.json")
    save_model(tmp_path, stored)
    assert load_model(tmp_path).model.config == policy.model.config


def test_an_undefined_figure_is_null(tmp_path):
    Workdir(tmp_path, CONFIG).write_summary({"b": float("nan"), "a": 1})
    assert (tmp_path / "summary.json").read_text() == '{\n "a": 1.0,\n "b": null\n}\n'
