"""Numbers as a reader wants them: digits by their interval, with unit."""

import dataclasses
import math
from numbers import Integral

from qdcjax.measures.intervals import Interval

_HUNDREDTHS = {"%": "%", "points": "points"}
NOT_MEASURED = "not measured"


@dataclasses.dataclass(frozen=True)
class FormattedNumber:
    """A number in text.

    Attributes:
      value: the estimate with its unit, e.g. `68.1 %`.
      interval: its ends, e.g. `65.0 to 71.2`; empty where the number has no interval.
      method: how the ends were found.
    """

    value: str
    interval: str = ""
    method: str = ""


def format_number(number: float | Interval, unit: str = "") -> FormattedNumber:
    """Formats an estimate.

    With an interval, the digits are those that show its half-width to two figures; without, the
    value has three significant figures (integers all of theirs).

    Args:
      number: a plain number or an `Interval`; an interval with a non-finite end counts as none.
      unit: `%` or `points` (percentage points) shows a fraction times 100; any other is appended.
    """
    scale = 100 if unit in _HUNDREDTHS else 1
    suffix = f" {unit}" if unit else ""
    value = number.value if isinstance(number, Interval) else number
    if not math.isfinite(value):
        return FormattedNumber(NOT_MEASURED)
    if not isinstance(number, Interval) or not (
        math.isfinite(number.low) and math.isfinite(number.high)
    ):
        digits = 1 if unit in _HUNDREDTHS else _decimals(value)
        digits = 0 if isinstance(value, Integral) and scale == 1 else digits
        return FormattedNumber(_fixed(value * scale, digits) + suffix)
    half_width = (number.high - number.low) / 2 * scale
    digits = _decimals(half_width, 2) if half_width > 0 else _decimals(value * scale)
    if unit in _HUNDREDTHS:
        digits = max(1, min(digits, 2))
    ends = f"{_fixed(number.low * scale, digits)} to {_fixed(number.high * scale, digits)}"
    return FormattedNumber(_fixed(value * scale, digits) + suffix, ends, number.method)


def format_exact(value: float) -> str:
    """A number that is no estimate, e.g. a threshold, in as few digits as say it."""
    return f"{value:g}".replace("-", "−")


def format_duration(seconds: float) -> str:
    """A duration in its two largest units, e.g. `3 min 12 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def _decimals(value: float, figures: int = 3) -> int:
    """Decimals that show `figures` significant figures, at most 6."""
    if value == 0:
        return figures - 1
    return min(6, max(0, figures - 1 - math.floor(math.log10(abs(value)))))


def _fixed(value: float, digits: int) -> str:
    """Fixed-point text with thousands separators, a true minus sign and no minus zero."""
    text = f"{value:,.{digits}f}"
    if text.startswith("-") and not text.strip("-0.,"):
        text = text[1:]
    return text.replace("-", "−")
