"""Prompts and responses from every kind of file; rubbish in one line."""

import gzip
import json

import datasets
import pytest

from qdcjax.tasks.text_sets import TextSet

ROWS = [{"question": f"How many, {n}?", "answer": f"It is {n}."} for n in range(5)]
PAIRS = [(row["question"], row["answer"]) for row in ROWS]


def written(path, rows=ROWS):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text + "\n")  # with an empty line
    return str(path)


@pytest.mark.parametrize("name", ["some.jsonl", "some.json", "some.jsonl.gz"])
def test_lines_of_json(tmp_path, name):
    assert list(TextSet(written(tmp_path / name)).pairs()) == PAIRS


def test_a_list_of_objects(tmp_path):
    (tmp_path / "some.json").write_text(json.dumps(ROWS, indent=1))
    assert list(TextSet(str(tmp_path / "some.json")).pairs()) == PAIRS


def test_files_as_others_write_them(tmp_path):
    text = "".join(json.dumps(row) + "\n" for row in ROWS)
    (tmp_path / "bom.jsonl").write_text("\ufeff" + text, encoding="utf-8")
    assert list(TextSet(str(tmp_path / "bom.jsonl")).pairs()) == PAIRS
    (tmp_path / "lines.json").write_text("\n " + json.dumps(ROWS))
    assert list(TextSet(str(tmp_path / "lines.json")).pairs()) == PAIRS
    (tmp_path / "a1.csv").write_text("question,answer\nwrong,1\n")
    (tmp_path / "a[1].csv").write_text("question,answer\nNA,007\nnull,\n")
    assert list(TextSet(str(tmp_path / "a[1].csv")).pairs()) == [("NA", "007"), ("null", "")]
    datasets.Dataset.from_dict({"text": []}).save_to_disk(str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match="nothing: there is nothing in it"):
        list(TextSet(str(tmp_path / "nothing")).pairs())


def test_fields_are_those_of_the_first_rows_together(tmp_path):
    rows = [{"prompt": "a"}, {"prompt": "b", "response": "c"}]
    path = written(tmp_path / "some.jsonl", rows)
    assert list(TextSet(path).pairs()) == [("a", ""), ("b", "c")]
    assert list(TextSet(path, response="response").pairs()) == [("a", ""), ("b", "c")]


def test_damaged_files_are_told_in_one_line(tmp_path):
    whole = gzip.compress("".join(json.dumps(row) + "\n" for row in ROWS * 999).encode())
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "rubbish.jsonl.gz").write_bytes(b"rubbish")
    for name in ("cut", "rubbish"):
        with pytest.raises(ValueError, match=f"{name}.jsonl.gz: what is packed in it is damaged"):
            list(TextSet(str(tmp_path / f"{name}.jsonl.gz")).pairs())
    (tmp_path / "deep.jsonl").write_text("[" * 200_000)
    with pytest.raises(ValueError, match=r"deep.jsonl: no JSON"):
        list(TextSet(str(tmp_path / "deep.jsonl")).pairs())


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_tables(tmp_path, kind):
    path = str(tmp_path / f"some.{kind}")
    getattr(datasets.Dataset.from_list(ROWS), f"to_{kind}")(path)
    assert list(TextSet(path).pairs()) == PAIRS


def test_folders_of_arrow(tmp_path):
    rows = datasets.Dataset.from_list(ROWS)
    rows.save_to_disk(str(tmp_path / "one"))
    assert list(TextSet(str(tmp_path / "one")).pairs()) == PAIRS
    datasets.DatasetDict(train=rows, test=rows.select([3])).save_to_disk(str(tmp_path / "two"))
    assert list(TextSet(str(tmp_path / "two"), split="test").pairs()) == PAIRS[3:4]
    for number, row in enumerate(ROWS):
        part = datasets.Dataset.from_list([row])
        part.save_to_disk(str(tmp_path / "table" / f"part-{number:05d}"))
    assert list(TextSet(str(tmp_path / "table")).pairs()) == PAIRS
    with pytest.raises(ValueError, match="split='dev' is none of train, test"):
        list(TextSet(str(tmp_path / "two"), split="dev").pairs())


@pytest.mark.parametrize(
    ("row", "fields", "expected"),
    [
        ({"instruction": "a", "output": "b"}, {}, ("a", "b")),
        ({"text": "a"}, {}, ("a", "")),
        ({"instruction": "do", "input": "it", "output": "b"}, {}, ("do\nit", "b")),
        ({"instruction": "do", "input": "", "output": "b"}, {}, ("do", "b")),
        (
            {"prompt": "u", "messages": [{"role": "user", "content": "u"},
                                         {"role": "assistant", "content": [{"text": "a"}]}]},
            {}, ("u", "a"),
        ),
        ({"prompt": [{"role": "user", "content": "u"}], "completion": "b"}, {}, ("u", "b")),
        ({"text": "a \ud800"}, {}, ("a ?", "")),
        ({"ID": 3, "Question": "a", "Answer": 7.0}, {}, ("a", "7.0")),
        ({"question": "a", "solution": "b", "answer": "c"}, {}, ("a", "b")),
        ({"question": "a", "solution": "b", "answer": 7}, {"response": "answer"}, ("a", "7")),
        ({"x": "a", "y": None}, {"prompt": "x", "response": "y"}, ("a", "")),
        (
            {"messages": [
                {"role": "system", "content": "s"}, {"role": "user", "content": "u"},
                {"role": "assistant", "content": "a"},
            ]},
            {}, ("s\nu", "a"),
        ),
    ],
)  # fmt: skip
def test_fields_are_found_by_their_names(tmp_path, row, fields, expected):
    path = written(tmp_path / "some.jsonl", [row])
    assert list(TextSet(path, **fields).pairs()) == [expected]


@pytest.mark.parametrize(
    ("text", "fields", "error", "words"),
    [
        ('{"text": "a"}\n{oops\n', {}, ValueError, "some.jsonl, line 2: no JSON"),
        ('{"text": "a"}\n["a"]\n', {}, ValueError, "line 2: a JSON list and must be a dict"),
        ('["a"]\n', {}, ValueError, "item 1: str, not an object"),
        ('[{"text": "a"}, \n', {}, ValueError, "some.jsonl: no JSON"),
        ('{"x": 1}\n', {}, ValueError, "name the field of the prompt; there are x"),
        ('{"x": 1}\n', {"prompt": "y"}, ValueError, "no field 'y', but x"),
        (None, {}, FileNotFoundError, "there is no such file"),
        (
            '{"messages": ["a"]}\n',
            {},
            ValueError,
            "row 1: messages must be a list of role and content",
        ),
    ],
)
def test_rubbish_is_told_in_one_line(tmp_path, text, fields, error, words):
    path = tmp_path / "some.jsonl"
    if text is not None:
        path.write_text(text)
    with pytest.raises(error, match=words) as found:
        list(TextSet(str(path), **fields).pairs())
    assert "\n" not in str(found.value)
