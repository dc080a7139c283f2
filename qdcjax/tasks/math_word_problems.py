"""Published word problems: GSM8K (Cobbe et al. 2021) and SVAMP (Patel et al. 2021).

Both are read from a local folder with the authors' own files, or from the Hugging Face Hub.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qdcjax.tasks import answers
from qdcjax.tasks.json_texts import json_of
from qdcjax.tasks.problem import Problem

VALIDATION_SIZE = 500
_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")
_SENTENCE_END = re.compile(r"[.?!]\s+")


@dataclasses.dataclass(frozen=True)
class GSM8K:
    """Grade-school problems with worked solutions, 7,473 for training and 1,319 for testing.

    Splits: `test`; `validation`, the last 500 of the training file (a tenth of it where it has
    fewer than 5,000); `train`, all before those; `svamp`, the problems of `SVAMP`, which test what
    was learned here. An answer is a number without commas, and a solution keeps its `<<48/2=24>>`
    calculations.

    Attributes:
      data: a folder with `train.jsonl` and `test.jsonl`, or a data set on the Hub.
      svamp: `data` of `SVAMP`, for the split of that name.
    """

    data: str = "openai/gsm8k"
    svamp: str = "ChilleD/SVAMP"

    def problems(self, split: str, count: int | None = None) -> Sequence[Problem]:
        """The first `count` problems of a split, in the file's order.

        Raises:
          FileNotFoundError: `data` is no folder with the split's file, nor on the Hub.
          ValueError: the split is unknown, a row lacks its question or its answer, or a file is
            cut short.
        """
        _require_split(split, ("train", "validation", "test", "svamp"))
        if split == "svamp":
            return SVAMP(self.svamp).problems("test", count)
        rows = self._rows("test" if split == "test" else "train")
        if split != "test":
            kept = len(rows) - min(VALIDATION_SIZE, len(rows) // 10)
            rows = rows[:kept] if split == "train" else rows[kept:]
        return [_gsm8k_problem(row, split, i) for i, row in enumerate(rows[:count])]

    def is_correct(self, problem: Problem, completion: str) -> bool:
        """Whether the completion's answer after `####` equals the problem's."""
        return answers.is_correct(completion, problem.answer)

    def _rows(self, name: str) -> list[Mapping[str, Any]]:
        folder = Path(self.data).expanduser()
        if not folder.is_dir():
            return _hub_rows(self, ("main",), name)
        path = _local_file(self, f"{name}.jsonl")
        lines = enumerate(path.read_bytes().splitlines(), 1)
        return [json_of(line, f"{path}, line {n}", dict) for n, line in lines if line.strip()]


@dataclasses.dataclass(frozen=True)
class SVAMP:
    """1,000 problems of one step that vary each other's wording; a test set without solutions.

    The only split is `test`, all 1,000 in the order of the authors' numbering, also where the
    Hub's copy has them in two parts. `meta` has the authors' equation and type.

    Attributes:
      data: a folder with `SVAMP.json`, or a data set on the Hub.
    """

    data: str = "ChilleD/SVAMP"

    def problems(self, split: str = "test", count: int | None = None) -> Sequence[Problem]:
        """The first `count` problems; raises as `GSM8K.problems` does."""
        _require_split(split, ("test",))
        rows = sorted(self._rows(), key=_number)[:count]
        return [_svamp_problem(row, i) for i, row in enumerate(rows)]

    def is_correct(self, problem: Problem, completion: str) -> bool:
        """Whether the completion's answer after `####` equals the problem's."""
        return answers.is_correct(completion, problem.answer)

    def _rows(self) -> list[Mapping[str, Any]]:
        if not Path(self.data).expanduser().is_dir():
            return [row for name in ("train", "test") for row in _hub_rows(self, (), name)]
        path = _local_file(self, "SVAMP.json")
        return json_of(path.read_bytes(), str(path), list)


def svamp_question(body: str, question: str) -> str:
    """Body and question as one text.

    Many bodies lack their last stop. One that ends in a clause (`If there are 692 girls`) gets a
    comma, and the question goes on in lower case; any other gets a full stop.
    """
    body, question = body.strip(), question.strip()
    if body.endswith((".", "?", "!", ",")):
        return f"{body} {question}"
    if _SENTENCE_END.split(body)[-1].startswith("If "):
        return f"{body}, {question[:1].lower()}{question[1:]}"
    return f"{body}. {question}"


def _gsm8k_problem(row: Mapping[str, Any], split: str, i: int) -> Problem:
    name = f"gsm8k/{split}/{i}"
    question, solution = _field(row, "question", name), _field(row, "answer", name)
    return Problem(
        id=name,
        question=question.strip(),
        answer=_normalised(solution, name),
        solution=solution.strip(),
        split=split,
    )


def _svamp_problem(row: Mapping[str, Any], i: int) -> Problem:
    name = f"svamp/test/{i}"
    return Problem(
        id=name,
        question=svamp_question(_field(row, "Body", name), _field(row, "Question", name)),
        answer=_normalised(str(_field(row, "Answer", name)), name),
        split="test",
        meta={"equation": row.get("Equation", ""), "type": row.get("Type", "")},
    )


def _normalised(gold: str, name: str) -> str:
    """The final answer in its one text form: `1,080` and `1080.0` are `1080`."""
    try:
        return answers.normalise(answers.gold_answer(gold))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _number(row: Mapping[str, Any]) -> int:
    """17 for the authors' `chal-17`."""
    return int(_field(row, "ID", "svamp/test").rpartition("-")[2])


def _field(row: Mapping[str, Any], key: str, name: str) -> Any:
    if key not in row:
        raise ValueError(f"{name}: the field {key!r} is missing; there are {', '.join(row)}")
    return row[key]


def _require_split(split: str, known: Sequence[str]) -> None:
    if split not in known:
        raise ValueError(f"split={split!r} must be one of {', '.join(known)}")


def _local_file(task: GSM8K | SVAMP, name: str) -> Path:
    path = Path(task.data).expanduser() / name
    if not path.is_file():
        raise FileNotFoundError(f"data={task.data!r}: the folder has no {name}; {_ways(task)}")
    return path


def _hub_rows(task: GSM8K | SVAMP, config: Sequence[str], split: str) -> list[Mapping[str, Any]]:
    """The rows of one split of a data set on the Hub, from its cache where it is there."""
    if not _HUB_NAME.fullmatch(task.data):
        raise FileNotFoundError(f"data={task.data!r}: there is no such folder; {_ways(task)}")
    import datasets  # here because it takes a second to import and most runs do not need it

    try:
        return datasets.load_dataset(task.data, *config, split=split).to_list()
    except OSError as error:
        reason = str(error).partition("\n")[0]
        raise FileNotFoundError(
            f"data={task.data!r}: no such folder, and not to be had from the Hub ({reason}); "
            f"{_ways(task)}"
        ) from error


def _ways(task: GSM8K | SVAMP) -> str:
    files = "train.jsonl and test.jsonl" if isinstance(task, GSM8K) else "SVAMP.json"
    return f"give a folder with {files}, or {type(task).data!r} to read it from the Hub"
