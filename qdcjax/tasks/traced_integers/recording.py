"""How a variable's change becomes a line: functions assign to `v.name`, and each assignment is one.

A traced function takes its variables as one object, `v`, with its operands in it:

    @operation("range({nums})")
    def number_range(v):
        v.low = v.nums[0]
        v.high = v.nums[0]
        for v.candidate in v.nums:
            if v.candidate < v.low:
                v.low = v.candidate
            if v.candidate > v.high:
                v.high = v.candidate
        v.res = v.high - v.low
        return v.res
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from qdcjax.tasks.traced_integers.integers import TracedInteger, TraceError, call

VISIBLE, HIDDEN, CALL = "visible", "hidden", "call"


@dataclasses.dataclass(frozen=True)
class Operation:
    """A traced function and how it is written.

    Attributes:
      name: what `trace` calls it by.
      symbol: what `visibility` calls it by.
      prompt: a question with its operands as fields, `{x} + {y}`.
      expression: likewise, how a call of it is written in a trace.
      function: from its `Variables` to the result.
      larger_first: whether a question has the larger operand first.
    """

    name: str
    symbol: str
    prompt: str
    expression: str
    function: Callable[["Variables"], Any]
    larger_first: bool

    @property
    def operands(self) -> list[str]:
        """The names of the operands, the fields of its expression."""
        return [piece.partition("}")[0] for piece in self.expression.split("{")[1:]]


OPERATIONS: dict[str, Operation] = {}  # by symbol


def operation(
    prompt: str, symbol: str = "", expression: str = "", larger_first: bool = False
) -> Callable[[Callable[["Variables"], Any]], Callable[..., Any]]:
    """Makes a function of `Variables` an operation, which others can call with its operands.

    Args:
      prompt, symbol, expression, larger_first: as in `Operation`, whose name is the function's own;
        symbol and expression are by default that too, and the prompt.
    """

    def register(function: Callable[["Variables"], Any]) -> Callable[..., Any]:
        name = function.__name__
        made = Operation(name, symbol or name, prompt, expression or prompt, function, larger_first)
        OPERATIONS[made.symbol] = made
        return functools.partial(call, made.symbol)

    return register


def show(value: Any) -> str:
    """A value as it is written, every digit apart: `3 4 6`, `[ 4 5 , 3 4 6 ]`."""
    if type(value) is TracedInteger:
        return " ".join(value.digits) or "0"
    if isinstance(value, list):
        return f"[ {' , '.join(map(show, value))} ]" if value else "[]"
    return " ".join(str(value)) if isinstance(value, int) else str(value)


def show_variables(variables: Mapping[str, Any]) -> str:
    """Several variables in one line: `x = 7 8 , y = 5`."""
    line = ""
    for name, value in variables.items():
        line += (" , " if line[-1:].isdigit() else ", ") if line else ""
        line += f"{name} = {show(value)}"
    return line


def fill(template: str, operands: Mapping[str, Any]) -> str:
    """A prompt or an expression with its operands."""
    return template.format(**{name: show(value) for name, value in operands.items()})


@dataclasses.dataclass(frozen=True)
class Caps:
    """Where a computation is stopped, since noise can make one endless.

    Attributes:
      steps: integers built and variables shown.
      digits: of one integer.
      seconds: of one trace.
    """

    steps: int = 100_000
    digits: int = 1_000
    seconds: float = 10.0


DEFAULT_CAPS = Caps()


class Variables:
    """The variables of one call of a traced function; assigning to one writes a line.

    The line is `name = value`. Just after a call whose trace was shown it has all the variables
    that differ from the last ones shown, the callee's, so that a reader is back in the caller.
    """

    __slots__ = ("__dict__", "_calls", "_run")

    def __init__(self, run: "Run", operands: Mapping[str, Any]):
        object.__setattr__(self, "_run", run)
        object.__setattr__(self, "_calls", [])
        self.__dict__.update(operands)

    def __setattr__(self, name: str, value: Any) -> None:
        run, variables = self._run, self.__dict__
        if self._calls:
            run.close(self, name, value)
        variables[name] = value
        if run.shown is variables:
            run.write(f"{name} = {show(value)}")
        else:
            run.write(show_variables(_new(variables, run.shown)))
            run.shown = variables


class _Hidden:
    """The variables of a call that is not shown."""

    def __init__(self, operands: Mapping[str, Any]):
        self.__dict__.update(operands)


@dataclasses.dataclass
class _Call:
    """A call whose result has no name yet; its lines are kept free in the trace.

    Attributes:
      line: index of its line, `name = call( … )`; that of its operands, if it is shown, is next.
      expression: what is called.
      operands: of a callee that is shown.
      new: those of them that the last variables shown do not have.
      result: what came back.
    """

    line: int
    expression: str
    operands: Mapping[str, Any]
    new: Collection[str]
    result: Any = None


class Run:
    """One computation and its trace.

    Attributes:
      lines: so far; an empty one was kept free and not needed.
      shown: the variables that the last line was about.
      exact: whether new integers are what they should be.
    """

    def __init__(
        self,
        visibility: Mapping[str, str],
        corrupt: Callable[[str], str] | None = None,
        caps: Caps = DEFAULT_CAPS,
    ):
        self.lines: list[str] = []
        self.shown: Mapping[str, Any] = {}
        self.exact = corrupt is None
        self._visibility, self._corrupt, self._caps = visibility, corrupt, caps
        self._frame: Variables | _Hidden | None = None
        self._taken, self._left, self._until = 0, 0, time.monotonic() + caps.seconds

    def build(self, digits: str) -> str:
        """The digits of a new integer: these, or noised ones.

        Raises:
          TraceError: they are too many, or there were too many steps.
        """
        self._left -= 1
        if self._left < 0:
            self._go_on()
        if len(digits) > self._caps.digits:
            raise TraceError(f"an integer of {len(digits):,} digits, over the cap {self._caps}")
        return self._corrupt(digits) if self._corrupt else digits

    def write(self, line: str) -> None:
        """Adds a line to the trace."""
        self._left -= 1
        if self._left < 0:
            self._go_on()
        self.lines.append(line)

    def _go_on(self) -> None:
        """Gives leave for some more steps, of which this is the first."""
        if self._taken >= self._caps.steps or time.monotonic() > self._until:
            raise TraceError(f"no end after {self._taken:,} steps: the cap is {self._caps}")
        some = min(1_000, self._caps.steps - self._taken)
        self._taken, self._left = self._taken + some, some - 1

    def call(self, symbol: str, *operands: Any) -> Any:
        """The result of an operation; its trace is written where it is to be seen."""
        callee, caller = OPERATIONS[symbol], self._frame
        names = dict(zip(callee.operands, operands, strict=True))
        seen = self._visibility.get(symbol, VISIBLE)
        if isinstance(caller, _Hidden) or seen == HIDDEN:
            self._frame = _Hidden(names)
            result = callee.function(self._frame)
        elif seen == CALL:
            opened = self._open(caller, callee, names, {})
            self._frame = _Hidden(names)
            opened.result = result = callee.function(self._frame)
        else:
            opened = self._open(caller, callee, names, names)
            self._frame = Variables(self, names)
            self.shown = vars(self._frame)
            opened.result = result = callee.function(self._frame)
            self.close(self._frame)
        self._frame = caller
        return result

    def _open(
        self,
        caller: Variables | None,
        callee: Operation,
        operands: Mapping[str, Any],
        shown: Mapping[str, Any],
    ) -> _Call:
        """Keeps the lines of a call free until its result has a name; `shown` are its variables."""
        new = _new(shown, self.shown)
        opened = _Call(len(self.lines), fill(callee.expression, operands), shown, new)
        self.lines += ["", show_variables(new)]
        if caller is not None:
            caller._calls.append(opened)
        return opened

    def close(self, frame: Variables, name: str = "", value: Any = None) -> None:
        """Writes the lines of a function's calls since its last assignment, which this one ends."""
        for made in frame._calls:
            mine = name if made.result is value else ""
            space = " " if made.expression[-1].isdigit() else ""
            label = f"{mine} = " if mine else ""
            self.lines[made.line] = f"{label}call( {made.expression}{space})"
            shown = {n: of for n, of in made.operands.items() if n in made.new or n == mine}
            self.lines[made.line + 1] = show_variables(shown)
        frame._calls.clear()


def _new(variables: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the variables that are not known with the same value."""
    return {n: v for n, v in variables.items() if n not in known or known[n] != v}
