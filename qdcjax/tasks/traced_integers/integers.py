"""Traced integers: digit strings whose arithmetic is written out by the run that they are in."""

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qdcjax.tasks.traced_integers.recording import Run


class TraceError(ValueError):
    """A computation that cannot go on, or went on for longer than allowed."""


RUN: ContextVar["Run | None"] = ContextVar("run", default=None)


def call(symbol: str, *operands):
    """The result of an operation within the computation that is going on.

    Raises:
      TraceError: there is none.
    """
    run = RUN.get()
    if run is None:
        raise TraceError(f"{symbol} was called outside of a trace: ask for it by trace(…)")
    return run.call(symbol, *operands)


class TracedInteger:
    """A natural number as the string of its digits (Havrilla and Iyer 2024, arXiv 2402.04004).

    Leading zeros stay (`0 3 6 3` after a subtraction), and the empty string is zero. Every new one
    is built by the run that is going on, which may noise its digits. `+ - * // %` are operations
    whose own traces may be shown; digits, shifts, lengths, comparisons and the three sums, products
    and differences of digits below are not traced.
    """

    __slots__ = ("digits", "value")

    def __init__(self, digits: str):
        run = RUN.get()
        if run is not None:
            digits = run.build(digits)
        self.digits = digits
        self.value = int(digits or "0")

    def plus(self, other: "TracedInteger") -> "TracedInteger":
        """The sum, known by heart."""
        return TracedInteger(str(self.value + other.value))

    def minus(self, other: "TracedInteger") -> "TracedInteger":
        """The difference, known by heart.

        Raises:
          TraceError: it is negative.
        """
        if self.value < other.value:
            raise TraceError(f"{self.value} - {other.value} is negative")
        return TracedInteger(str(self.value - other.value))

    def times(self, other: "TracedInteger") -> "TracedInteger":
        """The product, known by heart."""
        return TracedInteger(str(self.value * other.value))

    def length(self) -> "TracedInteger":
        """How many digits there are without leading zeros; one for `0`, none for nothing."""
        return TracedInteger(str(self._places()))

    def _places(self) -> int:
        return len(str(self.value)) if self.digits else 0

    def _noised_places(self) -> int:
        """The length as a number to count with, which noise falls on as on any new integer."""
        run = RUN.get()
        return self._places() if run is None or run.exact else self.length().value

    def __getitem__(self, place: int) -> "TracedInteger":
        """The digit of 10 to the power of `place`; zero beyond the first digit."""
        if place >= self._noised_places() or place >= len(self.digits):
            return ZERO
        return TracedInteger(self.digits[-1 - place])

    def __rshift__(self, places: "TracedInteger | int") -> "TracedInteger":
        """Without the last digits, and without leading zeros."""
        places = int(places)
        if self._noised_places() <= places:
            return ZERO
        return TracedInteger(str(self.value)[:-places]) if places else self

    def __lshift__(self, places: "TracedInteger | int") -> "TracedInteger":
        """With so many zeros behind it."""
        return TracedInteger(self.digits + "0" * int(places))

    def __or__(self, other: "TracedInteger") -> "TracedInteger":
        """This one's digits, then the other's."""
        return TracedInteger(self.digits + other.digits)

    def __add__(self, other):
        return call("+", self, other)

    def __sub__(self, other):
        return call("-", self, other)

    def __mul__(self, other):
        return call("*", self, other)

    def __floordiv__(self, other):
        return call("/", self, other)

    def __mod__(self, other):
        return call("%", self, other)

    def __bool__(self) -> bool:
        return self.value != 0

    def __int__(self) -> int:
        return self.value

    __index__ = __int__

    def __eq__(self, other) -> bool:
        return isinstance(other, TracedInteger | int) and self.value == int(other)

    def __lt__(self, other) -> bool:
        return self.value < int(other)

    def __le__(self, other) -> bool:
        return self.value <= int(other)

    def __gt__(self, other) -> bool:
        return self.value > int(other)

    def __ge__(self, other) -> bool:
        return self.value >= int(other)

    __hash__ = None

    def __repr__(self) -> str:
        return f"TracedInteger({self.digits!r})"


ZERO, ONE, NOTHING = TracedInteger("0"), TracedInteger("1"), TracedInteger("")
