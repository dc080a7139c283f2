"""Stages of another run as a run's own."""

import os
import shutil
from pathlib import Path

import pytest

from qdcjax.experiments.stages.adoption import adopt
from qdcjax.files import write_part
from qdcjax.workdir import StageChangedError, Workdir


def source(folder: Path, redo: str = "", text: str = "made") -> Path:
    """A run with a stage of files and a table."""
    workdir = Workdir(folder, {"study": "made", "seed": 0}, redo)

    def make(stage: Path) -> None:
        (stage / "within").mkdir()
        (stage / "within" / "file").write_text(text)

    workdir.stage("model", ["seed"], [], make)
    workdir.table("rows", ["seed"], ["model"], lambda: [0, 1], lambda part: {"n": [part]})
    return folder


@pytest.fixture
def made(tmp_path) -> Path:
    return source(tmp_path / "made")


def take(path: Path, made: Path, redo: str = "") -> Workdir:
    workdir = Workdir(path, {"study": "taken", "from": str(made)}, redo)
    adopt(workdir, made, ["model", "rows"], ["from"])
    return workdir


def test_stages_are_there_and_others_can_be_made_from_them(made, tmp_path):
    workdir = take(tmp_path / "taken", made)
    file = workdir.path / "stages" / "model" / "within" / "file"
    assert file.read_text() == "made"
    assert os.stat(file).st_nlink == 2, "one file under two names"
    assert workdir.read_table("rows")["n"][:] == [0, 1]
    workdir.stage("after", [], ["model", "rows"], lambda folder: None)
    assert take(tmp_path / "taken", made).seconds["rows"] == workdir.seconds["rows"], "once"
    shutil.rmtree(made)
    assert take(tmp_path / "taken", made).read_table("rows")["n"][:] == [0, 1]


def test_a_part_that_was_lost_is_missed(made, tmp_path):
    workdir = take(tmp_path / "taken", made)
    shutil.rmtree(workdir.path / "stages" / "rows" / "part-00001")
    with pytest.raises(ValueError, match="1 of 2 parts"):
        workdir.read_table("rows")


def test_a_stage_that_is_not_there_is_named(made, tmp_path):
    shutil.rmtree(made / "stages" / "rows")
    with pytest.raises(FileNotFoundError, match="no finished stage rows: finish that run first"):
        take(tmp_path / "taken", made)
    source(made)
    assert take(tmp_path / "taken", made).read_table("rows")["n"][:] == [0, 1]


def test_a_stage_made_anew_is_not_mixed_with_what_came_of_the_old_one(made, tmp_path):
    take(tmp_path / "taken", made)
    source(made, redo="model", text="another")
    with pytest.raises(StageChangedError, match=r"stage model of .* --redo=model or another"):
        take(tmp_path / "taken", made)
    workdir = take(tmp_path / "taken", made, redo="model,rows")
    assert (workdir.path / "stages" / "model" / "within" / "file").read_text() == "another"


def test_what_a_kill_left_is_no_hindrance(made, tmp_path):
    workdir = Workdir(tmp_path / "taken", {"study": "taken", "from": str(made)})

    def killed(folder: Path) -> None:
        shutil.copytree(made / "stages" / "rows" / "part-00000", folder / "part-00000")
        write_part(folder / "part-00007", {"n": [7]})
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workdir.stage("rows", ["from"], [], killed)
    assert take(tmp_path / "taken", made).read_table("rows")["n"][:] == [0, 1]
