"""Text of a template at a depth, compiled once so that a problem costs microseconds."""

import dataclasses
import functools
import operator
import random
import re
from collections.abc import Callable, Sequence

from qdcjax.tasks.problem import Problem
from qdcjax.tasks.word_problems import nouns
from qdcjax.tasks.word_problems.template import Template, noun_slot, slots

Row = Sequence[int | str]


@dataclasses.dataclass(frozen=True)
class Layout:
    """How the rows of a template at a depth become text.

    A row is the givens, the results of the moves, then the forms of nouns in `noun_slots`.

    Attributes:
      template: its name.
      depth: the number of moves.
      givens: names of the quantities that the question states.
      constants: numbers in the relations.
      relations: (result, expression) of all true relations.
      asked: the quantity that is asked for.
      texts: the sentences of the question with their slots, the closing question last.
      sentences: renders each of them.
      solution: renders the step lines and the `#### N` line.
      noun_slots: (pool, number, form) of the columns that hold nouns.
      nouns: the different (pool, number) among them.
    """

    template: str
    depth: int
    givens: tuple[str, ...]
    constants: tuple[int, ...]
    relations: tuple[tuple[str, str], ...]
    asked: str
    texts: tuple[str, ...]
    sentences: tuple[Callable[[Row], str], ...]
    solution: Callable[[Row], str]
    noun_slots: tuple[tuple[str, str, str], ...]
    nouns: tuple[tuple[str, str], ...]

    def question(self, row: Row, distractors: Sequence[str], rng: random.Random) -> str:
        """The question, with distractors at random places between its sentences."""
        sentences = [render(row) for render in self.sentences]
        for sentence in distractors:
            sentences.insert(1 + int(rng.random() * (len(sentences) - 1)), sentence)
        return " ".join(sentences)

    def problem(self, row: Row, question: str, id: str, split: str) -> Problem:
        """The problem that a question with the row's numbers asks, with its graph of quantities."""
        return Problem(
            id=id,
            question=question,
            answer=str(row[len(self.givens) + self.depth - 1]),
            solution=self.solution(row),
            split=split,
            meta={
                "template": self.template,
                "depth": self.depth,
                "givens": dict(zip(self.givens, row, strict=False)),
                "constants": list(self.constants),
                "relations": [list(relation) for relation in self.relations],
                "asked": self.asked,
            },
        )

    def choose_nouns(self, rng: random.Random) -> list[str]:
        """Draws nouns, different ones for different slots of a pool."""
        chosen: dict[tuple[str, str], dict[str, str]] = {}
        for pool, number in self.nouns:
            entries = nouns.POOLS[pool]
            entry = entries[int(rng.random() * len(entries))]
            while any(entry == other for (of, _), other in chosen.items() if of == pool):
                entry = entries[int(rng.random() * len(entries))]
            chosen[pool, number] = entry
        return [chosen[pool, number][form] for pool, number, form in self.noun_slots]


@functools.cache
def layout(template: Template, depth: int) -> Layout:
    """The layout of a template at a depth."""
    moves = template.moves[:depth]
    sentences = [sentence for move in moves for sentence in move.story] + [moves[-1].ask]
    steps = [_with_equation(move.step, move.expression, move.result) for move in moves]
    solution = "\n".join([*steps, f"#### {{{moves[-1].result}}}"])
    noun_slots = tuple(
        dict.fromkeys(
            filter(None, (noun_slot(s) for text in (*sentences, solution) for s in slots(text)))
        )
    )
    numbers = (*template.givens(depth), *(move.result for move in moves))
    columns = {name: i for i, name in enumerate(numbers)}
    for i, (pool, number, form) in enumerate(noun_slots, len(numbers)):
        columns[pool + number + ("." + form if form else "")] = i
    return Layout(
        template=template.name,
        depth=depth,
        givens=template.givens(depth),
        constants=template.constants(depth),
        relations=template.relations(depth),
        asked=moves[-1].result,
        texts=tuple(sentences),
        sentences=tuple(_renderer(sentence, columns) for sentence in sentences),
        solution=_renderer(solution, columns),
        noun_slots=noun_slots,
        nouns=tuple(dict.fromkeys((pool, number) for pool, number, _ in noun_slots)),
    )


def _with_equation(step: str, expression: str, result: str) -> str:
    """Puts `<<20-5=15>>15` (as slots) in place of `{=}`, with a dollar for `{$=}`."""
    numbers = re.sub(r"[a-z][a-z0-9_]*", r"{\g<0>}", expression)
    equation = f"<<{numbers}={{{result}}}>>{{{result}}}"
    return step.replace("{=}", equation).replace("{$=}", f"${equation}")


def _renderer(text: str, columns: dict[str, int]) -> Callable[[Row], str]:
    """A function from a row to the text with its slots filled."""
    indices = [columns[slot] for slot in slots(text)]
    pattern = re.sub(r"\{[^{}]*\}", "%s", text.replace("%", "%%"))
    if not indices:
        plain = pattern % ()
        return lambda row: plain
    pick = operator.itemgetter(*indices)
    if len(indices) == 1:
        return lambda row: pattern % (pick(row),)
    return lambda row: pattern % pick(row)
