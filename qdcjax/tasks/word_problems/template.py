"""Templates of word problems, written as text.

    == sell_and_buy
    draw sold 2..20, percent 10|20|25|50
    left = start - sold
        {person} has {start} {item}. {person} sells {sold} of them.
      > {person} has {=} {item} left.
      ? How many {item} does {person} have left?
    now = left + bought
        Then {person} buys {bought} {item}.
      > Now {person} has {=} {item}.
      ? How many {item} does {person} have now?
    also moved = sold + bought

A template is a list of moves. A move has an equation, the sentences that it adds to the
question, the line `>` that it adds to the solution, with `{=}` for `<<20-5=15>>15`
(`{$=}` for `$<<20-5=15>>15`), and the question `?` to ask when the story ends there
(left out: it cannot end there). A problem of depth d takes the first d moves, each of which
must be needed for the answer of the last. Names on the right of an equation that no move
before has derived are givens: they are drawn at random and stated in the text. Numbers there
are constants (2 for a half, 7 days in a week, 100 for percent).

`draw` bounds givens, by a range or a choice; by default 2 to 12 for factors and divisors and
2 to `largest` else. `also` declares a relation that is true at that move but not needed.
Sentences are split at full stops, and distractors may stand between them: write each so
that it is clear on its own.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping

from qdcjax.tasks.word_problems import graph, nouns

MOST_MOVES = 8

SLOT = re.compile(r"\{([^{}]*)\}")
_NOUN_SLOT = re.compile(r"([a-z]+?)([2-9]?)(?:\.([a-z]+))?")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z{$])")
_EQUATION = re.compile(r"(also )?([a-z][a-z0-9_]*) = (.+)")
_DRAW = re.compile(r"([a-z][a-z0-9_]*) (?:([0-9]+)\.\.([0-9]+)|([0-9]+(?:\|[0-9]+)*))")


@dataclasses.dataclass(frozen=True)
class Move:
    """One step of a story and of its solution.

    Attributes:
      result: the quantity that the move derives.
      expression: its formula over quantities, without spaces.
      story: the sentences that the move adds to the question.
      step: the line that it adds to the solution.
      ask: the closing question of a story that ends here, or empty.
      also: other true relations (result, expression) from here on.
    """

    result: str
    expression: str
    story: tuple[str, ...]
    step: str
    ask: str
    also: tuple[tuple[str, str], ...] = ()

    @property
    def tree(self) -> graph.Expression:
        """The parsed formula."""
        return graph.parse_expression(self.expression)


@dataclasses.dataclass(frozen=True, eq=False)
class Template:
    """A named list of moves, equal to itself alone.

    Attributes:
      name: unique in the library.
      moves: at most `MOST_MOVES`.
      bounds: the values that a given may take, where the default will not do.
    """

    name: str
    moves: tuple[Move, ...]
    bounds: Mapping[str, tuple[int, ...]]

    @property
    def depths(self) -> tuple[int, ...]:
        """The numbers of moves after which the story may end."""
        return tuple(d for d, move in enumerate(self.moves, 1) if move.ask)

    def givens(self, depth: int) -> tuple[str, ...]:
        """The quantities that a problem of this depth states, in order of use."""
        derived = {move.result for move in self.moves}
        names = (leaf for move in self.moves[:depth] for leaf in graph.leaves(move.tree))
        return tuple(dict.fromkeys(n for n in names if isinstance(n, str) and n not in derived))

    def relations(self, depth: int) -> tuple[tuple[str, str], ...]:
        """All relations (result, expression) that hold at this depth."""
        moves = self.moves[:depth]
        return tuple(
            relation for move in moves for relation in ((move.result, move.expression), *move.also)
        )

    def constants(self, depth: int) -> tuple[int, ...]:
        """The numbers in the relations, ascending."""
        trees = (graph.parse_expression(text) for _, text in self.relations(depth))
        numbers = {leaf for tree in trees for leaf in graph.leaves(tree)}
        return tuple(sorted(int(n) for n in numbers if not isinstance(n, str)))

    def operators(self, depth: int) -> set[str]:
        """The operators that the reference solution of this depth uses."""
        return set().union(*(graph.operators(move.tree) for move in self.moves[:depth]))


def slots(text: str) -> tuple[str, ...]:
    """The names in braces, in order."""
    return tuple(SLOT.findall(text))


def noun_slot(slot: str) -> tuple[str, str, str] | None:
    """(pool, number, form) of a slot such as `fruit2.one`; None when it is not a noun's."""
    match = _NOUN_SLOT.fullmatch(slot)
    if match is None or match.group(1) not in nouns.POOLS:
        return None
    pool, number, form = match.group(1), match.group(2), match.group(3) or ""
    return (pool, number, form) if form in nouns.POOLS[pool][0] else None


def parse_templates(text: str) -> tuple[Template, ...]:
    """The templates in a text of the form that this module's docstring shows.

    Raises ValueError, naming the template, where the text breaks the form, a slot is
    unknown, a given is not stated in the text or a move is not needed for a later answer.
    """
    blocks = re.split(r"^== *", text, flags=re.MULTILINE)
    if blocks[0].strip():
        raise ValueError(f"templates: text before the first `== name`: {blocks[0].strip()[:40]!r}")
    return tuple(_parse_template(*block.split("\n", 1)) for block in blocks[1:])


def _parse_template(name: str, body: str) -> Template:
    name = name.strip()
    bounds: dict[str, tuple[int, ...]] = {}
    moves: list[dict] = []
    part = ""  # the field that continuation lines belong to
    for line in filter(None, map(str.strip, body.split("\n"))):
        if line.startswith("draw "):
            bounds |= dict(_parse_draws(name, line[len("draw ") :]))
        elif match := _EQUATION.fullmatch(line):
            relation = (match.group(2), match.group(3).replace(" ", ""))
            if match.group(1):
                moves[-1]["also"] += (relation,)
            else:
                moves.append({"relation": relation, "also": (), "story": "", "step": "", "ask": ""})
                part = "story"
        elif moves:
            part = {">": "step", "?": "ask"}.get(line[0], part)
            moves[-1][part] = f"{moves[-1][part]} {line.lstrip('>? ')}".strip()
        else:
            raise ValueError(f"template {name}: {line!r} stands before the first equation")
    template = Template(
        name,
        tuple(
            Move(
                *move["relation"],
                story=tuple(filter(None, _SENTENCE_END.split(move["story"]))),
                step=move["step"],
                ask=move["ask"],
                also=move["also"],
            )
            for move in moves
        ),
        bounds,
    )
    _check(template)
    return template


def _parse_draws(name: str, text: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    for draw in text.split(", "):
        match = _DRAW.fullmatch(draw)
        if match is None:
            raise ValueError(f"template {name}: draw {draw!r} should be `x 2..9` or `x 10|20|50`")
        given, low, high, choice = match.groups()
        yield (
            given,
            tuple(map(int, choice.split("|"))) if choice else tuple(range(int(low), int(high) + 1)),
        )


def needed(template: Template, depth: int) -> set[str]:
    """The results that the answer at this depth depends on, itself included."""
    formulas = {move.result: move.tree for move in template.moves[:depth]}
    found: set[str] = set()
    waiting = [template.moves[depth - 1].result]
    while waiting:
        result = waiting.pop()
        if result not in found:
            found.add(result)
            waiting += [leaf for leaf in graph.leaves(formulas[result]) if leaf in formulas]
    return found


def _check(template: Template) -> None:
    """Raises ValueError where the template breaks a rule."""
    where = f"template {template.name}"
    moves = template.moves
    if not 1 <= len(moves) <= MOST_MOVES or not moves[-1].ask:
        raise ValueError(f"{where}: needs 1 to {MOST_MOVES} moves and a question after the last")
    results = [result for result, _ in template.relations(len(moves))]
    if len(set(results)) < len(results):
        raise ValueError(f"{where}: a quantity is derived twice in {results}")
    all_givens = set(template.givens(len(moves)))
    if unknown := set(template.bounds) - all_givens:
        raise ValueError(f"{where}: draw names {sorted(unknown)}, which are no givens")
    if nouns_too := sorted(all_givens & set(nouns.POOLS)):
        raise ValueError(f"{where}: {nouns_too[0]} is a pool of nouns, not a given")
    known: set[str] = set()
    stated: set[str] = set()
    for depth, move in enumerate(moves, 1):
        known |= set(template.givens(depth))
        for result, expression in ((move.result, move.expression), *move.also):
            tree = graph.parse_expression(expression)
            if late := {n for n in graph.leaves(tree) if isinstance(n, str)} - known:
                raise ValueError(f"{where}: {result} uses {sorted(late)} before it is known")
            known.add(result)
        stated |= _number_slots(where, " ".join(move.story))
        _number_slots(where, move.step.replace("{=}", "").replace("{$=}", ""))
        if len(re.findall(r"\{\$?=\}", move.step)) != 1:
            raise ValueError(f"{where}: the step of {move.result} needs one {{=}}")
        if move.ask:
            text = stated | _number_slots(where, move.ask)
            if text != set(template.givens(depth)):
                wrong = sorted(text ^ set(template.givens(depth)))
                raise ValueError(f"{where}: at depth {depth} text and equations differ in {wrong}")
            if len(needed(template, depth)) < depth:
                raise ValueError(f"{where}: at depth {depth} a move is not needed")


def _number_slots(where: str, text: str) -> set[str]:
    numbers = set()
    for slot in slots(text):
        if noun_slot(slot) is None:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", slot) or slot.split("_")[0] in nouns.POOLS:
                raise ValueError(f"{where}: unknown slot {{{slot}}}")
            numbers.add(slot)
    return numbers
