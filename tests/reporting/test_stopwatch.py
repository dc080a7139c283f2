import time
import types
from concurrent.futures import ThreadPoolExecutor

import pytest

from qdcjax.reporting import stopwatch
from qdcjax.reporting.stopwatch import Stopwatch


@pytest.fixture
def clock(monkeypatch):
    """`clock(*seconds)`: what the clock shows each time that it is read."""

    def clock(*seconds):
        shown = iter(seconds)
        shows = types.SimpleNamespace(perf_counter=lambda: next(shown))
        monkeypatch.setattr(stopwatch, "time", shows)

    return clock


def test_seconds_add_up_by_name_and_start_again_once_read(clock):
    clock(0, 1, 10, 12, 20, 24, 30, 38)
    watch = Stopwatch()
    for name in ("generation", "scoring", "generation"):
        with watch.timed(name):
            pass
    assert watch.read() == {"generation_seconds": 5, "scoring_seconds": 2}
    assert watch.read() == {}
    with watch.timed("scoring"):
        pass
    assert watch.read() == {"scoring_seconds": 8}


def test_work_inside_work_counts_for_both(clock):
    clock(0, 1, 3, 7)
    watch = Stopwatch()
    with watch.timed("all"), watch.timed("part"):
        pass
    assert watch.read() == {"all_seconds": 7, "part_seconds": 2}


def test_what_fails_took_its_time_too(clock):
    clock(0, 2)
    watch = Stopwatch()
    with pytest.raises(KeyError), watch.timed("scoring"):
        raise KeyError
    assert watch.read() == {"scoring_seconds": 2}


def test_threads_are_timed_each_by_itself():
    """The second begins while the first is at work."""
    watch = Stopwatch()

    def work(name, delay):
        time.sleep(delay)
        with watch.timed(name):
            time.sleep(0.1)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, ["grading", "generation"], [0, 0.05]))
    found = watch.read()
    assert found.keys() == {"grading_seconds", "generation_seconds"}
    assert min(found.values()) >= 0.1
