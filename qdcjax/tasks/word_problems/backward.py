"""Backward questions: the answer is told, and a number of the question is asked for.

The rewrite of MetaMath (Yu et al. 2023, arXiv 2309.12284) that the question's own graph can check:

    Tom has X bags with 9 pens each. How many pens does Tom have? If the answer is 27, what is X?
"""

import re
from collections.abc import Mapping

from qdcjax.tasks.problem import Problem
from qdcjax.tasks.word_problems import graph
from qdcjax.tasks.word_problems.library import TEMPLATES
from qdcjax.tasks.word_problems.parsing import (
    LARGEST,
    UNKNOWN,
    UnreadableQuestion,
    columns_of,
    id_of,
    matches,
    read,
    row_of,
)
from qdcjax.tasks.word_problems.rendering import Layout
from qdcjax.tasks.word_problems.template import Move

_ASKED = re.compile(rf"(.*) If the answer is ([0-9]{{1,9}}), what is {UNKNOWN}\?")
INVERSE = {  # operator → how its left and its right operand follow from the result
    "+": (lambda v, other: ("-", v, other), lambda v, other: ("-", v, other)),
    "-": (lambda v, other: ("+", v, other), lambda v, other: ("-", other, v)),
    "*": (lambda v, other: ("/", v, other), lambda v, other: ("/", v, other)),
    "/": (lambda v, other: ("*", v, other), lambda v, other: ("/", other, v)),
}


def is_backward(question: str) -> bool:
    """Whether it ends as backward questions do."""
    return _ASKED.fullmatch(" ".join(question.split())) is not None


def masked(problem: Problem, given: str) -> str | None:
    """The backward question that asks for a given of a problem; nothing where no one can tell.

    Nobody can where the given counts twice, so that its equation is no chain of operations.

    Raises:
      UnreadableQuestion: the problem's question is none of a template.
      ValueError: it has no such given.
    """
    text, row = read(problem.question)
    if given not in text.givens:
        raise ValueError(f"{given!r} is no given of {text.template}: {', '.join(text.givens)}")
    if _inverses(text, given) is None:
        return None
    columns = zip(columns_of(text), row, strict=True)
    row = [UNKNOWN if name == given else value for name, value in columns]
    body = " ".join(render(row) for render in text.sentences)
    return f"{body} If the answer is {problem.answer}, what is {UNKNOWN}?"


def parse_backward(question: str, split: str = "made") -> Problem:
    """The problem that a backward question asks: its graph runs from the answer to the unknown.

    Args:
      question: the text, as `masked` writes it.
      split: of the problem.

    Raises:
      UnreadableQuestion: as `parse_question` does; and `nothing is asked for`, where no number is
        unknown or more than one, and `no answer`, where no whole number gives the answer.
    """
    asked = _ASKED.fullmatch(" ".join(question.split()))
    if asked is None:
        raise UnreadableQuestion("no template", question)
    body, answer = asked.group(1), int(asked.group(2))
    reasons = []
    for text, found in matches(body):
        try:
            return _solved(text, found, answer, question, split)
        except ValueError as error:
            reasons.append(str(error))
    raise UnreadableQuestion(reasons[0] if reasons else "no template", question)


def _solved(
    text: Layout, found: Mapping[str, str], answer: int, question: str, split: str
) -> Problem:
    """The problem; the reason why it is none is a ValueError's whole text."""
    unknown = [name for name in text.givens if found[f"n_{name}"] == UNKNOWN]
    inverses = _inverses(text, unknown[0]) if len(unknown) == 1 else None
    if inverses is None:
        raise ValueError("nothing is asked for")
    (given,), moves = unknown, TEMPLATES[text.template].moves[: text.depth]
    known = {name: int(found[f"n_{name}"]) for name in text.givens if name != given}
    values: dict[str, graph.Number] = {**known, text.asked: answer}
    chain = {text.asked, *inverses.values()}
    relations = [move for move in moves if move.result not in chain]
    try:
        for move in relations:
            values[move.result] = graph.evaluate(move.tree, values)
        for tree, name in inverses.items():
            values[name] = graph.evaluate(tree, values)
    except ZeroDivisionError:
        raise ValueError("no answer") from None
    value = values[given]
    if value != int(value) or not 1 <= value <= LARGEST:
        raise ValueError("no answer")
    row = row_of(text, {**found, f"n_{given}": str(value)})
    forward = dict(zip(moves, text.solution(row).split("\n"), strict=False))
    lines = [forward[move] for move in relations]
    back = []
    for tree, name in inverses.items():
        expression = _text(tree)
        back.append([name, expression])
        numbers = re.sub(r"[a-z][a-z0-9_]*", lambda m: str(values[m[0]]), expression)
        said = f"<<{numbers}={values[name]}>>{values[name]}"
        lines.append(f"{UNKNOWN} is {said}." if name == given else f"Before that: {said}.")
    return Problem(
        id=id_of(question, split),
        question=question,
        answer=str(value),
        solution="\n".join([*lines, f"#### {value}"]),
        split=split,
        meta={
            "template": text.template,
            "depth": len(lines),
            "givens": {**known, text.asked: answer},
            "constants": list(text.constants),
            "relations": [[move.result, move.expression] for move in relations] + back,
            "asked": given,
        },
    )


def _inverses(text: Layout, given: str) -> dict[graph.Expression, str] | None:
    """Formula → the quantity that it gives, from the answer back to a given; None for no chain."""
    moves = TEMPLATES[text.template].moves[: text.depth]
    chain, last = [], given
    for move in moves:
        on_chain = {given, *(link.result for link in chain)}
        uses = [leaf for leaf in graph.leaves(move.tree) if leaf in on_chain]
        if not uses:
            continue
        if uses != [last]:
            return None
        chain.append(move)
        last = move.result
    wanted = [given, *(move.result for move in chain[:-1])]
    pairs = zip(reversed(chain), reversed(wanted), strict=True)
    return {_inverse(move, name): name for move, name in pairs}


def _inverse(move: Move, name: str) -> graph.Expression:
    """The formula of a quantity that stands once in a move's."""
    tree, value = move.tree, move.result
    while tree != name:
        symbol, left, right = tree
        side = 0 if name in graph.leaves(left) else 1
        value = INVERSE[symbol][side](value, (right, left)[side])
        tree = (left, right)[side]
    return value


def _text(tree: graph.Expression) -> str:
    """A formula as `graph.parse_expression` reads it."""
    if not isinstance(tree, tuple):
        return str(tree)
    symbol, left, right = tree
    parts = (f"({_text(of)})" if isinstance(of, tuple) else _text(of) for of in (left, right))
    return symbol.join(parts)
