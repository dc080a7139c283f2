import math

import numpy as np
import pytest

from qdcjax.measures.intervals import Interval
from qdcjax.reporting.numbers import (
    FormattedNumber,
    format_duration,
    format_exact,
    format_number,
)


@pytest.mark.parametrize(
    ("number", "unit", "value", "interval"),
    [
        (Interval(0.682, 0.664, 0.7), "%", "68.2 %", "66.4 to 70.0"),
        (Interval(0.0913, 0.0613, 0.1213), "points", "9.1 points", "6.1 to 12.1"),
        (Interval(-0.09, -0.14, -0.04), "", "−0.090", "−0.140 to −0.040"),
        (Interval(1.3412, 1.22, 1.46), "", "1.34", "1.22 to 1.46"),
        (Interval(24132.4, 23000.0, 25000.0), "tokens/s", "24,132 tokens/s", "23,000 to 25,000"),
        (Interval(0.5, 0.5, 0.5), "%", "50.0 %", "50.0 to 50.0"),
        (Interval(0.5, -math.inf, math.inf), "%", "50.0 %", ""),
        (Interval(0.5, math.nan, math.nan), "", "0.500", ""),
        (Interval(math.nan, math.nan, math.nan), "%", "not measured", ""),
        (0.571, "%", "57.1 %", ""),
        (1000, "", "1,000", ""),
        (np.int64(8), "", "8", ""),
        (0.000123, "", "0.000123", ""),
        (-0.00001, "%", "0.0 %", ""),
    ],
)
def test_numbers_as_read(number, unit, value, interval):
    formatted = format_number(number, unit)
    assert (formatted.value, formatted.interval) == (value, interval)


def test_the_method_goes_along():
    assert format_number(Interval(1.0, 0.0, 2.0, "t")) == FormattedNumber("1.0", "0.0 to 2.0", "t")


def test_exact_numbers_and_durations():
    assert [format_exact(x) for x in (0.04, 0.0, -1.5)] == ["0.04", "0", "−1.5"]
    seconds = (1.24, 9.99, 59.6, 192, 3599.9, 7260)
    assert [format_duration(s) for s in seconds] == [
        "1.2 s",
        "10.0 s",
        "1 min 0 s",
        "3 min 12 s",
        "1 h 0 min",
        "2 h 1 min",
    ]
