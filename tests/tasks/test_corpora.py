"""Documents of generated problems, folders, Arrow sets and Python's own library."""

import gzip

import datasets
import pytest

from qdcjax.tasks.corpora import DataSet, Files, Problems, standard_library
from qdcjax.tasks.traced_integers import TracedIntegers


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "a.txt").write_text("alpha")
    (tmp_path / "inner" / "b.md").write_text("beta")
    (tmp_path / "inner" / "c.txt.gz").write_bytes(gzip.compress(b"gamma"))
    (tmp_path / "d.bin").write_bytes(b"\x00\xff")
    (tmp_path / "e.txt").write_text("  \n")
    (tmp_path / "f.txt").write_bytes(b"delta \xff")
    return tmp_path


def test_files_are_read_to_the_bottom_in_an_order_that_stays(folder):
    found = Files(str(folder)).documents()
    assert sorted(found) == ["alpha", "beta", "delta �", "gamma"]
    assert Files(str(folder)).documents() == found
    assert Files(str(folder)).documents(2) == found[:2]
    outer = Files(str(folder), leave_out=("inner",)).documents()
    assert sorted(outer) == ["alpha", "delta �"]


def test_the_standard_library_is_source_without_tests():
    found = standard_library().documents(40)
    assert len(found) == 40
    assert sum("import" in text for text in found) > 20
    assert not any("class TestCase(unittest" in text for text in found)


def test_problems_are_written_out_one_after_another():
    task = TracedIntegers("add")
    found = Problems(task, each=3).documents(4)
    assert len(found) == 4
    problems = task.problems("train", 12)
    for number, document in enumerate(found):
        for problem in problems[3 * number : 3 * number + 3]:
            assert f"{problem.question}\n{problem.solution}\n" in document


def test_an_arrow_folder_is_read(tmp_path):
    rows = datasets.Dataset.from_dict({"content": ["one", "", "two"], "n": [1, 2, 3]})
    rows.save_to_disk(tmp_path / "set")
    datasets.DatasetDict({"train": rows, "test": rows.select([2])}).save_to_disk(tmp_path / "dict")
    assert DataSet(str(tmp_path / "set"), "content").documents() == ["one", "two"]
    assert DataSet(str(tmp_path / "set"), "content").documents(1) == ["one"]
    assert DataSet(str(tmp_path / "dict"), "content", split="test").documents() == ["two"]
    with pytest.raises(ValueError, match=r"field='text' is no column of .*: it has content, n"):
        DataSet(str(tmp_path / "set")).documents()
    with pytest.raises(ValueError, match=r"field='n' of .* has no text"):
        DataSet(str(tmp_path / "set"), "n").documents()
    with pytest.raises(ValueError, match="split='dev' is none of train, test"):
        DataSet(str(tmp_path / "dict"), "content", split="dev").documents()


def test_a_folder_without_text_is_told(tmp_path):
    with pytest.raises(ValueError, match="there is no such folder"):
        Files(str(tmp_path / "nowhere")).documents()
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(ValueError, match=r"no text in files that end in .txt, .md, .py"):
        Files(str(tmp_path)).documents()
