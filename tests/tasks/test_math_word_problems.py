import json
from fractions import Fraction
from pathlib import Path

import datasets
import pytest

from qdcjax.tasks.math_word_problems import GSM8K, SVAMP, svamp_question

DATA = Path(__file__).resolve().parents[2] / "../shared/data"
SVAMP_ROWS = [
    {
        "ID": "chal-10",
        "Body": "Ann had 5 pens. If she lost 2 of them",
        "Question": "How many pens did she have left?",
        "Equation": "( 5.0 - 2.0 )",
        "Answer": 3.0,
        "Type": "Subtraction",
    },
    {
        "ID": "chal-9",
        "Body": "Tea costs 1 dollar and cake 1.5 dollars",
        "Question": "What do both cost?",
        "Equation": "( 1.0 + 1.5 )",
        "Answer": 2.5,
        "Type": "Addition",
    },
]


def gsm8k_row(i):
    return {"question": f"What is {i} + 1,000?", "answer": f"<<{i}+1000=1>>.\n#### {1000 + i:,}"}


def write_gsm8k(folder, train=20, test=3):
    for name, size in (("train", train), ("test", test)):
        lines = [json.dumps(gsm8k_row(i)) for i in range(size)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return GSM8K(str(folder))


def shared(name):
    if not (DATA / name).is_dir():
        pytest.skip("../shared/data is absent")
    return str(DATA / name)


def test_gsm8k_splits_and_fields(tmp_path):
    task = write_gsm8k(tmp_path)
    train, validation, test = (task.problems(s) for s in ("train", "validation", "test"))
    assert (len(train), len(validation), len(test)) == (18, 2, 3)
    assert [p.question for p in train + validation] == [gsm8k_row(i)["question"] for i in range(20)]
    assert train[17].id == "gsm8k/train/17"
    assert validation[0].id == "gsm8k/validation/0"
    assert validation[1].answer == "1019"
    assert validation[1].solution == gsm8k_row(19)["answer"]
    assert validation[1].split == "validation"
    assert task.problems("test", 2) == test[:2]


def test_the_last_500_are_held_back_of_a_full_training_file(tmp_path):
    task = write_gsm8k(tmp_path, train=5100)
    assert len(task.problems("validation")) == 500
    assert task.problems("train")[-1].question == gsm8k_row(4599)["question"]


def test_grading(tmp_path):
    task = write_gsm8k(tmp_path)
    problem = task.problems("test")[2]
    assert task.is_correct(problem, "so it is\n#### 1,002.0")
    assert not task.is_correct(problem, "so it is\n#### 1,003")
    assert not task.is_correct(problem, problem.question)


def test_svamp_fields_in_the_authors_order(tmp_path):
    (tmp_path / "SVAMP.json").write_text(json.dumps(SVAMP_ROWS))
    task = SVAMP(str(tmp_path))
    first, second = task.problems("test")
    assert (first.id, first.answer, first.solution) == ("svamp/test/0", "5/2", "")
    assert (second.id, second.answer) == ("svamp/test/1", "3")
    assert (
        second.question == "Ann had 5 pens. If she lost 2 of them, how many pens did she have left?"
    )
    assert second.meta == {"equation": "( 5.0 - 2.0 )", "type": "Subtraction"}
    assert task.is_correct(first, "#### 2.5")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("He ate 2.", "He ate 2. How many?"),
        (" He had 5. Then he ate 2 ", "He had 5. Then he ate 2. How many?"),
        ("If he ate 2", "If he ate 2, how many?"),
        ("He had $ 1.50. If he paid $ 1.25", "He had $ 1.50. If he paid $ 1.25, how many?"),
        ("He asks if he may. He ate 2", "He asks if he may. He ate 2. How many?"),
    ],
)
def test_svamp_punctuation(body, expected):
    assert svamp_question(body, "How many?") == expected


def test_hub_copies_give_the_same_problems(tmp_path, monkeypatch):
    write_gsm8k(tmp_path)
    (tmp_path / "SVAMP.json").write_text(json.dumps(SVAMP_ROWS))
    hub = {
        ("openai/gsm8k", "main", "train"): [gsm8k_row(i) for i in range(20)],
        ("ChilleD/SVAMP", "train"): [SVAMP_ROWS[0] | {"Answer": "3.0"}],
        ("ChilleD/SVAMP", "test"): [SVAMP_ROWS[1] | {"Answer": "2.5"}],
    }

    def load_dataset(*names, split):
        return datasets.Dataset.from_list(hub[(*names, split)])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    for split in ("train", "validation"):
        assert GSM8K().problems(split) == GSM8K(str(tmp_path)).problems(split)
    assert SVAMP().problems() == SVAMP(str(tmp_path)).problems()


def test_a_damaged_file_is_named(tmp_path):
    task = write_gsm8k(tmp_path)
    (tmp_path / "SVAMP.json").write_text(json.dumps(SVAMP_ROWS))
    whole = {name: (tmp_path / name).read_bytes() for name in ("train.jsonl", "SVAMP.json")}

    def told(problems, name, content) -> str:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError) as caught:
            problems()
        assert str(tmp_path / name) in str(caught.value) and "\n" not in str(caught.value)
        return str(caught.value)

    def train():
        return task.problems("train")

    assert "line 20" in told(train, "train.jsonl", whole["train.jsonl"][:-9])
    assert "line 2:" in told(train, "train.jsonl", b'{"question": "a", "answer": "#### 1"}\n[1]\n')
    assert "line 1:" in told(train, "train.jsonl", b"\xff\n")
    svamp = SVAMP(str(tmp_path)).problems
    assert "cut short" in told(svamp, "SVAMP.json", whole["SVAMP.json"][:-9])
    assert "must be a list" in told(svamp, "SVAMP.json", b'{"a": 1}')


def test_missing_data_is_one_clear_line(tmp_path, monkeypatch):
    def unreachable(*names, split):
        raise ConnectionError(f"Couldn't reach {names[0]!r} on the Hub\nand more")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    empty = str(tmp_path)
    for task, files in ((GSM8K, "train.jsonl"), (SVAMP, "SVAMP.json")):
        split = "train" if task is GSM8K else "test"
        for data, what in (
            (empty, f"has no {files}"),
            (str(tmp_path / "none"), "there is no such folder"),
            (task.data, "not to be had from the Hub (Couldn't reach"),
        ):
            with pytest.raises(FileNotFoundError) as caught:
                task(data).problems(split)
            message = str(caught.value)
            assert message.startswith(f"data={data!r}") and what in message
            assert files in message and task.data in message and "\n" not in message


def test_wrong_input_is_one_clear_line(tmp_path):
    task = write_gsm8k(tmp_path)
    with pytest.raises(ValueError, match="split='dev' must be one of train, validation, test"):
        task.problems("dev")
    with pytest.raises(ValueError, match="split='train' must be one of test"):
        SVAMP(str(tmp_path)).problems("train")
    (tmp_path / "test.jsonl").write_text('{"question": "q", "solution": "s"}\n')
    with pytest.raises(ValueError, match=r"gsm8k/test/0: the field 'answer' is missing"):
        task.problems("test")
    (tmp_path / "test.jsonl").write_text('{"question": "q", "answer": "none"}\n')
    with pytest.raises(ValueError, match=r"gsm8k/test/0: .*'none' is not a number"):
        task.problems("test")


def test_the_published_files():
    gsm8k, svamp = GSM8K(shared("gsm8k")), SVAMP(shared("svamp"))
    sizes = {s: len(gsm8k.problems(s)) for s in ("train", "validation", "test")}
    assert sizes == {"train": 7473 - 500, "validation": 500, "test": 1319}
    assert gsm8k.problems("train", 1)[0].answer == "72"
    assert len(svamp.problems()) == 1000
    everything = [p for s in sizes for p in gsm8k.problems(s)] + list(svamp.problems())
    assert len({p.id for p in everything}) == len(everything) == 7473 + 1319 + 1000
    for problem in everything:
        Fraction(problem.answer)
        assert "," not in problem.answer
        if problem.solution:
            assert gsm8k.is_correct(problem, problem.solution)
    assert sum(", how " in p.question for p in svamp.problems()) > 300


def test_svamp_is_a_split_of_what_was_learned_on_gsm8k(tmp_path):
    row = {"ID": "chal-2", "Body": "Ann has 3 eggs.", "Question": "She eats 1. How many?"}
    (tmp_path / "SVAMP.json").write_text(json.dumps([row | {"Answer": 2}]))
    (problem,) = GSM8K(svamp=str(tmp_path)).problems("svamp")
    assert problem == SVAMP(str(tmp_path)).problems("test")[0] and problem.answer == "2"
