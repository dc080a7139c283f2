"""Progress of work that takes longer than five seconds: a bar, or plain lines in a log file."""

import contextlib
import functools
import sys
import time
from collections.abc import Callable, Iterator

import jax
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from qdcjax.reporting.numbers import format_duration, format_number

SECONDS_BETWEEN_LINES = 15.0
SECONDS_WORTH_A_LINE = 5.0


class Meter:
    """Counts what is done and shows it.

    Attributes:
      done: items done.
      tokens: tokens processed so far.
      counted: what they are, where they are no tokens.
    """

    def __init__(
        self,
        total: int,
        unit: str,
        done: int,
        show: Callable[["Meter"], None],
        note: Callable[[str], None],
        clock: Callable[[], float],
    ):
        self.total, self.unit, self.done, self.tokens = total, unit, done, 0
        self.counted = "tokens"
        self.metrics: dict[str, float | str] = {}
        self.note = note  # shows a line of text once, beside the progress
        self._show, self._clock, self._begun = show, clock, clock()
        self._first: tuple[float, int, int] | None = None

    def advance(self, n: int = 1, tokens: int = 0, **metrics: float | str) -> None:
        """Adds `n` items, and `tokens` tokens, and shows the newest metrics (host scalars)."""
        self.done += n
        self.tokens += tokens
        self.metrics |= metrics
        if self._first is None:
            # The first item pays for compilation, so rates are counted from its end.
            self._first = (self._clock(), self.done, self.tokens)
        self._show(self)

    @property
    def seconds(self) -> float:
        """Seconds since the work began."""
        return self._clock() - self._begun

    def status(self) -> str:
        """Items, rate, time left and metrics in one line."""
        parts = [f"{self.done:,}/{self.total:,} {self.unit}"]
        if self._first is not None:
            since, done_then, tokens_then = self._first
            elapsed = self._clock() - since
            items, tokens = self.done - done_then, self.tokens - tokens_then
            if items > 0 and elapsed > 0:
                rate, unit = (tokens, self.counted) if tokens else (items, self.unit)
                parts.append(format_number(rate / elapsed, f"{unit}/s").value)
                if self.done < self.total:
                    left = (self.total - self.done) * elapsed / items
                    parts.append(f"{format_duration(left)} left")
        for name, value in self.metrics.items():
            parts.append(f"{name} {value if isinstance(value, str) else f'{float(value):.4g}'}")
        return " · ".join(parts)


@contextlib.contextmanager
def progress(
    total: int,
    description: str,
    unit: str = "steps",
    done: int = 0,
    console: Console | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Meter]:
    """Shows the progress of the work inside the `with` block on standard error of process 0.

    A terminal gets a bar, which work inside other work has below that one's. Anything else (CI, a
    log file) gets a plain line at most every 15 seconds, and one at the end of work that took over
    five.

        with progress(total=1800, description="student", unit="steps") as meter:
            for step in range(1800):
                meter.advance(tokens=2048, loss=loss)

    Args:
      total: items in all.
      description: what is being done.
      unit: what an item is, in the plural.
      done: items that an earlier run did.
      console: where to show it; standard error by default.
      clock: seconds, for tests.
    """
    console = console or _standard_error()
    if console.quiet:
        yield Meter(total, unit, done, lambda meter: None, lambda text: None, clock)
    elif console.is_terminal:
        yield from _bar(total, description, unit, done, console, clock)
    else:
        yield from _lines(total, description, unit, done, console, clock)


@functools.cache  # bars share the screen where they share a console
def _standard_error() -> Console:
    return Console(stderr=True, quiet=jax.process_index() > 0)


def _bar(total, description, unit, done, console, clock) -> Iterator[Meter]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[status]}", markup=False),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(description, total=total, completed=done, status="starting")
        yield Meter(
            total,
            unit,
            done,
            lambda meter: bar.update(task, completed=meter.done, status=meter.status()),
            lambda text: bar.console.print(text, markup=False, highlight=False),
            clock,
        )


def _lines(total, description, unit, done, console, clock) -> Iterator[Meter]:
    out = console.file if console.file is not None else sys.stderr
    printed_at = clock()
    notes: list[str] = []  # shown with the first line, if it comes to one

    def line(meter: Meter) -> None:
        while notes:
            print(f"{description}: {notes.pop(0)}", file=out, flush=True)
        print(f"{description}: {meter.status()}", file=out, flush=True)

    def show(meter: Meter) -> None:
        nonlocal printed_at
        if clock() - printed_at >= SECONDS_BETWEEN_LINES:
            printed_at = clock()
            line(meter)

    meter = Meter(total, unit, done, show, notes.append, clock)
    yield meter
    if meter.seconds > SECONDS_WORTH_A_LINE:
        line(meter)
        print(f"{description}: took {format_duration(meter.seconds)}", file=out, flush=True)
