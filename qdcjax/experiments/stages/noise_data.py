"""Training data of the noise study: clean traces, noised copies, and what a cell takes of them."""

import dataclasses
import random
import re
from collections.abc import Mapping, Sequence

import numpy as np

from qdcjax.data.batches import Example, pad_and_stack
from qdcjax.data.examples import completion_examples, prompt_text
from qdcjax.data.sentencepiece_tokenizer import SentencePieceTokenizer, train_sentencepiece
from qdcjax.data.tables import columns
from qdcjax.data.tokenizers import Tokenizer
from qdcjax.tasks.problem import Problem
from qdcjax.tasks.traced_integers import Noise, TracedIntegers

CLEAN = Noise()
RANDOM = "random"
OWN_FIELDS = ("cells", "students")  # of an operation in the config, that are not its task's
ASSIGNED = re.compile(r"(?:\n| , )[a-z_]+ =")  # a variable that gets a value


@dataclasses.dataclass(frozen=True)
class Cell:
    """One training set of the study.

    Attributes:
      form: `trace`, or `answer`: the answer alone, without noise.
      kind, level, answer: of the noise, see `Noise`.
      contamination: share of the documents that are noised.
      mixes: names of cells whose noises take equal parts of the noised documents; its own else.
      drop: the cell of `mixes` whose noised documents are left out; or `random`, as many documents
        at random.
      share: of the documents that there are.
    """

    form: str = "trace"
    kind: str = "none"
    level: float = 0.0
    answer: bool = False
    contamination: float = 1.0
    mixes: tuple[str, ...] = ()
    drop: str = ""
    share: float = 1.0

    def __post_init__(self):
        if self.form not in ("trace", "answer"):
            raise ValueError(f"form={self.form!r} must be trace or answer")
        if self.drop not in ("", RANDOM, *self.mixes) or (self.drop and not self.mixes):
            raise ValueError(f"drop={self.drop!r} must be random, or one of mixes={self.mixes}")
        if not 0 < self.share <= 1:
            raise ValueError(f"share={self.share} must be above 0 and at most 1")
        Noise(self.kind, self.level, self.contamination)  # raises

    @property
    def noise(self) -> Noise:
        """Of a document that is noised."""
        return Noise(self.kind, self.level, answer=self.answer)


Cells = Mapping[str, Cell]


@dataclasses.dataclass(frozen=True)
class Copies:
    """The training problems of an operation and a seed.

    Attributes:
      questions: N texts.
      responses: noise → N traces; those of `CLEAN` are right.
      survived: noise → share of the traces whose answer is right.
    """

    questions: Sequence[str]
    responses: Mapping[Noise, Sequence[str]]
    survived: Mapping[Noise, float]


def fields_of(operations: Mapping[str, Mapping], name: str, *own: str) -> list[str]:
    """Config fields that an operation's problems depend on, and `own` ones where it has them.

    Args:
      operations: of the config.
      name: of the operation.
      own: of `OWN_FIELDS`.
    """
    found = [
        f"operations.{part}.{field}"
        for part in (name, *operations[name].get("mix", ()))
        for field in operations[part]
        if field not in OWN_FIELDS
    ]
    return found + [f"operations.{name}.{field}" for field in own if field in operations[name]]


def noises_of(cells: Cells) -> list[Noise]:
    """The different noises of some cells, in whatever order these are.

    Every one makes a copy of the data.
    """
    found = {cell.noise for cell in cells.values() if cell.kind != "none"}
    return sorted(found, key=dataclasses.astuple)


def noised_copy(task: TracedIntegers, problems: Sequence[Problem], noise: Noise) -> dict[str, list]:
    """All problems with a noise, as columns (see `TracedIntegers.noised`)."""
    return columns([task.noised(problem, noise) for problem in problems])


def train_tokenizer(texts: Sequence[str], vocab_size: int) -> SentencePieceTokenizer:
    """A tokeniser for which ` 7` is one token, and so is a line's beginning, `\\ncarry =`."""
    begins = sorted({begin for text in texts for begin in ASSIGNED.findall(text)})
    return train_sentencepiece(texts, vocab_size, [*(f" {digit}" for digit in range(10)), *begins])


@dataclasses.dataclass(frozen=True)
class Document:
    """A question, the response that a student learns, and the clean trace."""

    question: str
    response: str
    clean: str


def documents(cell: Cell, cells: Cells, copies: Copies, seed: int) -> list[Document]:
    """What a student of a cell learns.

    Documents are put into one random order, a function of the seed alone: the first ones are those
    that are noised, so that a cell of more contamination noises those of one with less, and more.

    Args:
      cell: what to take.
      cells: name → cell, for `mixes`.
      copies: to take it from.
      seed: of the order.
    """
    rng = random.Random(f"{seed}/documents")
    order = list(range(len(copies.questions)))
    rng.shuffle(order)
    order = order[: max(1, round(cell.share * len(order)))]
    parts = [cells[name].noise for name in cell.mixes] or [cell.noise]
    each = round(cell.contamination * len(order) / len(parts))
    noised = {
        row: part for at, part in enumerate(parts) for row in order[at * each : (at + 1) * each]
    }
    dropped = set()
    if cell.drop == RANDOM:
        dropped = set(rng.sample(order, each))
    elif cell.drop:
        dropped = {row for row, part in noised.items() if part == cells[cell.drop].noise}
    found = []
    for row in order:
        if row not in dropped:
            response = copies.responses[noised.get(row, CLEAN)][row]
            if cell.form == "answer":
                response = response.rpartition("\n")[2]
            clean = copies.responses[CLEAN][row]
            found.append(Document(copies.questions[row], response, clean))
    return found


def examples_of(tokenizer: Tokenizer, documents: Sequence[Document], length: int) -> list[Example]:
    """Documents as examples, with the loss on responses.

    A document takes up at least the room of its clean trace, so that students see as many
    documents a step, whatever noise and form leave of them.

    Args:
      tokenizer, documents: see `documents`.
      length: tokens of a document, at most.

    Raises:
      ValueError: a document is longer than one of these.
    """
    prompts = [prompt_text(document.question) for document in documents]
    responses = [document.response for document in documents]
    examples = completion_examples(tokenizer, prompts, responses, length)
    rooms = tokenizer.encode_many([document.clean for document in documents])
    for example, room in zip(examples, rooms, strict=True):
        asked = np.flatnonzero(example["mask"])[0]
        size = max(len(example["tokens"]), asked + len(room) + 1)
        example.update({name: of[0] for name, of in pad_and_stack([example], size).items()})
    return examples


def right_steps(clean: Sequence[str], noised: Sequence[str]) -> float:
    """Share of the clean traces' lines that are left in noised ones, in their order.

    The answer line is not a step.
    """
    left = total = 0
    for right, response in zip(clean, noised, strict=True):
        lines = right.split("\n")[:-1]
        left += _common(lines, response.split("\n")[:-1])
        total += len(lines)
    return left / total


def _common(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    best = [0] * (len(b) + 1)
    for x in a:
        before = 0
        for at, y in enumerate(b, 1):
            before, best[at] = best[at], before + 1 if x == y else max(best[at], best[at - 1])
    return best[-1]
