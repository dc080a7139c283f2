"""Questions read back into the problems that they ask, so that what models write can be graded."""

import dataclasses
import functools
import hashlib
import itertools
import re
from collections.abc import Iterator, Mapping

from qdcjax.tasks.problem import Problem
from qdcjax.tasks.word_problems import graph, nouns
from qdcjax.tasks.word_problems.library import TEMPLATES
from qdcjax.tasks.word_problems.rendering import Layout, Row, layout
from qdcjax.tasks.word_problems.template import SLOT, noun_slot

LONGEST = 2_000  # characters of a question
LARGEST = 10**9  # of every quantity
UNKNOWN = "X"  # stands for a number that a question does not say
_DISTRACTORS = re.compile(
    "|".join(rf"(?:(?<= )|^){re.escape(text).replace('%d', '[0-9]+')}(?: |$)"
             for text in nouns.DISTRACTORS)
)  # fmt: skip


class UnreadableQuestion(ValueError):  # noqa: N818
    """A question that asks no problem with an answer; `reason` is a word or two for a count."""

    def __init__(self, reason: str, question: str):
        super().__init__(f"{reason}: {question[:80]!r}")
        self.reason = reason


@dataclasses.dataclass(frozen=True)
class _Reader:
    """A layout, and the pattern of its questions: a group for each quantity and form of a noun."""

    text: Layout
    pattern: re.Pattern


def parse_question(question: str, split: str = "made") -> Problem:
    """The problem that a question asks: its graph, its answer, and a solution.

    Its sentences have to be those of a template in their order, with numbers and nouns of its own;
    distractors may stand between them. The id is a hash of the question.

    Args:
      question: the text.
      split: of the problem.

    Raises:
      UnreadableQuestion: `no template` has these sentences, `nouns` differ where they have to
        agree or agree where they have to differ, a quantity is `not whole`, `under one`, or `too
        large`, or a number is an `unknown number`.
    """
    text, row = read(question)
    return text.problem(row, question, id_of(question, split), split)


def id_of(question: str, split: str) -> str:
    """The id of a problem that is known by its text alone."""
    return f"{split}/{hashlib.blake2b(question.encode(), digest_size=8).hexdigest()}"


def columns_of(text: Layout) -> list[str | tuple[str, str, str]]:
    """What stands in each column of a row: givens and results by name, slots of nouns."""
    moves = TEMPLATES[text.template].moves[: text.depth]
    return [*text.givens, *(move.result for move in moves), *text.noun_slots]


def read(question: str) -> tuple[Layout, Row]:
    """The layout of a question, and its row of quantities and nouns.

    Raises:
      UnreadableQuestion: as `parse_question` does.
    """
    reasons: list[str] = []
    for text, found in matches(question):
        try:
            return text, row_of(text, found)
        except ValueError as error:
            reasons.append(str(error))
    raise UnreadableQuestion(reasons[0] if reasons else "no template", question)


def matches(question: str) -> Iterator[tuple[Layout, dict[str, str]]]:
    """Layouts whose sentences these are, with what stands in their slots.

    That is a number, or `UNKNOWN`, for `n_<given>`, and a form for `<pool><number>_<form>`.
    """
    if len(question) > LONGEST:
        return
    kept = _DISTRACTORS.sub("", " ".join(question.split()))
    readers = _readers()
    for reader in itertools.chain(readers.get(_last_word(kept), ()), readers[""]):
        if match := reader.pattern.fullmatch(kept):
            yield reader.text, match.groupdict()


def row_of(text: Layout, found: Mapping[str, str]) -> list[int | str]:
    """Givens, results and nouns.

    Raises:
      ValueError: the reason why they ask nothing.
    """
    values: dict[str, graph.Number] = {}
    for name in text.givens:
        if found[f"n_{name}"] == UNKNOWN:
            raise ValueError("unknown number")
        values[name] = int(found[f"n_{name}"])
    moves = TEMPLATES[text.template].moves[: text.depth]
    for move in moves:
        try:
            values[move.result] = graph.evaluate(move.tree, values)
        except ZeroDivisionError:
            raise ValueError("not whole") from None
    for value in values.values():
        if value != int(value):
            raise ValueError("not whole")
        if value < 1:
            raise ValueError("under one")
        if value > LARGEST:
            raise ValueError("too large")
    entries = {}
    for pool, number in text.nouns:
        forms = {form: found.get(_group(pool, number, form)) for form in nouns.POOLS[pool][0]}
        fitting = [
            entry for entry in nouns.POOLS[pool]
            if all(written in (None, entry[form]) for form, written in forms.items())
            and all(entry is not other for (of, _), other in entries.items() if of == pool)
        ]  # fmt: skip
        if not fitting:
            raise ValueError("nouns")
        entries[pool, number] = fitting[0]
    chosen = [entries[pool, number][form] for pool, number, form in text.noun_slots]
    return [*(values[name] for name in text.givens), *(values[m.result] for m in moves), *chosen]


@functools.cache
def _readers() -> dict[str, list[_Reader]]:
    """Layouts by the last word of their questions, so that few patterns are tried."""
    found: dict[str, list[_Reader]] = {"": []}
    for template in TEMPLATES.values():
        for depth in template.depths:
            reader = _reader(layout(template, depth))
            found.setdefault(_last_word(reader.text.texts[-1]), []).append(reader)
    return found


def _last_word(text: str) -> str:
    """Nothing where it is a slot's."""
    word = text.rsplit(" ", 1)[-1]
    return "" if "}" in word else word


def _reader(text: Layout) -> _Reader:
    seen: set[str] = set()

    def group(slot: str) -> str:
        noun = noun_slot(slot)
        name = _group(*noun) if noun else f"n_{slot}"
        if name in seen:
            return f"(?P={name})"
        seen.add(name)
        if noun is None:
            return f"(?P<{name}>[0-9]{{1,9}}|{UNKNOWN})"
        forms = dict.fromkeys(entry[noun[2]] for entry in nouns.POOLS[noun[0]])
        return f"(?P<{name}>{'|'.join(map(re.escape, sorted(forms, key=len, reverse=True)))})"

    whole, pattern, at = " ".join(text.texts), "", 0
    for slot in SLOT.finditer(whole):
        pattern += re.escape(whole[at : slot.start()]) + group(slot.group(1))
        at = slot.end()
    return _Reader(text, re.compile(pattern + re.escape(whole[at:])))


def _group(pool: str, number: str, form: str) -> str:
    return f"{pool}{number}_{form}"
