"""Drawing the quantities of a template, many problems at a time.

Moves are drawn in order. Each row (problem) tries `CANDIDATES` random values of the givens
of a move and keeps the first that makes its result a whole number in bounds, preferring one
whose numbers the problem does not have yet. Rows in which none works are dropped.
"""

import numpy as np

from qdcjax.tasks.word_problems import graph
from qdcjax.tasks.word_problems.template import Template

SMALLEST = 2  # of every quantity, so that plurals are right
LARGEST_FACTOR = 12  # default bound of factors and divisors
CANDIDATES = 16
KEPT_SHARE = 0.1  # of the valid rows, at least


def draw_rows(
    template: Template, depth: int, largest: int, rng: np.random.Generator, rows: int
) -> np.ndarray:
    """Valid values of the quantities of a template, one problem a row.

    Every quantity is an integer in `SMALLEST`…`largest`, every division exact. Of the valid
    rows those with the fewest coincidences between numbers (of quantities and constants) are
    kept, a tenth of them at least: mostly all numbers of a problem are different.

    Returns [n ≤ rows, G + depth] integers: the givens in the order of
    `template.givens(depth)`, then the results of the moves.
    """
    every = np.arange(rows)
    valid = np.ones(rows, bool)
    repeats = np.zeros(rows, np.int64)
    used = np.zeros((rows, largest + 1), bool)
    used[:, [c for c in template.constants(depth) if c <= largest]] = True
    columns: dict[str, np.ndarray] = {}
    for move in template.moves[:depth]:
        tree = move.tree
        names = dict.fromkeys(n for n in graph.leaves(tree) if isinstance(n, str))
        tried: dict[str, np.ndarray] = {}
        for name in [n for n in names if n not in columns]:
            options = _options(template, name, tree, largest)
            if options.size == 0:
                return np.empty((0, 0), np.int64)
            tried[name] = options[(rng.random((rows, CANDIDATES)) * options.size).astype(np.int64)]
        known = {name: column[:, None] for name, column in columns.items()}
        result, exact = _evaluate(tree, known | tried)
        good = exact & (result >= SMALLEST) & (result <= largest)
        tried[move.result] = np.clip(result, 0, largest)
        clashes = _clashes(list(tried.values()), used)
        best = np.argmax(good * (len(tried) ** 2 + 1 - clashes), axis=1)
        valid &= good[every, best]
        repeats += clashes[every, best]
        for name, values in tried.items():
            columns[name] = values[every, best]
            used[every, columns[name]] = True
    order = (*template.givens(depth), *(move.result for move in template.moves[:depth]))
    if valid.any():
        valid &= repeats <= np.quantile(repeats[valid], KEPT_SHARE, method="higher")
    return np.stack([columns[name] for name in order], axis=1)[valid]


def _options(template: Template, name: str, tree: graph.Expression, largest: int) -> np.ndarray:
    """The values that a given may take."""
    top = min(LARGEST_FACTOR, largest) if _is_factor(tree, name) else largest
    options = np.asarray(template.bounds.get(name, range(SMALLEST, top + 1)), np.int64)
    return options[options <= largest]


def _is_factor(tree: graph.Expression, name: str) -> bool:
    """Whether the name is an operand of a product or a divisor."""
    if not isinstance(tree, tuple):
        return False
    symbol, left, right = tree
    if (symbol == "*" and name in (left, right)) or (symbol == "/" and name == right):
        return True
    return _is_factor(left, name) or _is_factor(right, name)


def _evaluate(tree: graph.Expression, columns: dict) -> tuple[np.ndarray, np.ndarray]:
    """The tree's values [rows, candidates or 1], and where every division is exact."""
    if isinstance(tree, str):
        return columns[tree], np.True_
    if not isinstance(tree, tuple):
        return np.int64(tree), np.True_
    symbol, left, right = tree
    a, exact_a = _evaluate(left, columns)
    b, exact_b = _evaluate(right, columns)
    exact = exact_a & exact_b
    if symbol == "+":
        return a + b, exact
    if symbol == "-":
        return a - b, exact
    if symbol == "*":
        return a * b, exact
    divisor = np.maximum(b, 1)
    return a // divisor, exact & (b > 0) & (a % divisor == 0)


def _clashes(tried: list[np.ndarray], used: np.ndarray) -> np.ndarray:
    """How many of the tried numbers the row has already, or are tried twice."""
    every = np.arange(len(used))[:, None]
    count = np.zeros(np.broadcast_shapes(*(values.shape for values in tried)), np.int64)
    for i, values in enumerate(tried):
        count += used[every, values]
        for other in tried[:i]:
            count += values == other
    return count
