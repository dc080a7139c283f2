"""Questions read back into the problems that they ask, so that what models write can be graded."""

import dataclasses
import functools
import hashlib
import itertools
import re
from collections.abc import Mapping

from qdcjax.tasks.problem import Problem
from qdcjax.tasks.word_problems import graph, nouns
from qdcjax.tasks.word_problems.library import TEMPLATES
from qdcjax.tasks.word_problems.rendering import Layout, layout
from qdcjax.tasks.word_problems.template import SLOT, noun_slot

LONGEST = 2_000  # characters of a question
LARGEST = 10**9  # of every quantity
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
        large`.
    """
    if len(question) > LONGEST:
        raise UnreadableQuestion("no template", question)
    kept = _DISTRACTORS.sub("", " ".join(question.split()))
    reasons: list[str] = []
    readers = _readers()
    for reader in itertools.chain(readers.get(_last_word(kept), ()), readers[""]):
        match = reader.pattern.fullmatch(kept)
        if match is None:
            continue
        try:
            row = _row(reader.text, match.groupdict())
        except ValueError as error:
            reasons.append(str(error))
            continue
        id = f"{split}/{hashlib.blake2b(question.encode(), digest_size=8).hexdigest()}"
        return reader.text.problem(row, question, id, split)
    raise UnreadableQuestion(reasons[0] if reasons else "no template", question)


def _row(text: Layout, found: Mapping[str, str]) -> list:
    """Givens, results and nouns. The reason is a ValueError's whole text."""
    values: dict[str, graph.Number] = {}
    for name in text.givens:
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
            return f"(?P<{name}>[0-9]{{1,9}})"
        forms = dict.fromkeys(entry[noun[2]] for entry in nouns.POOLS[noun[0]])
        return f"(?P<{name}>{'|'.join(map(re.escape, sorted(forms, key=len, reverse=True)))})"

    whole, pattern, at = " ".join(text.texts), "", 0
    for slot in SLOT.finditer(whole):
        pattern += re.escape(whole[at : slot.start()]) + group(slot.group(1))
        at = slot.end()
    return _Reader(text, re.compile(pattern + re.escape(whole[at:])))


def _group(pool: str, number: str, form: str) -> str:
    return f"{pool}{number}_{form}"
