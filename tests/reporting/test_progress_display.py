import io

import pytest
from rich.console import Console

from qdcjax.reporting.progress import _standard_error, progress


class Clock:
    """Seconds that pass when told to."""

    now = 0.0

    def __call__(self):
        return self.now


def run(total, seconds_each, tokens=0, done=0, terminal=False):
    out, clock = io.StringIO(), Clock()
    console = Console(file=out, force_terminal=terminal, width=120)
    with progress(total, "student", "steps", done=done, console=console, clock=clock) as meter:
        for step in range(done, total):
            clock.now += seconds_each
            meter.advance(tokens=tokens, loss=1 / (step + 1))
    return out.getvalue(), meter


def test_a_log_file_gets_a_line_every_fifteen_seconds_and_one_at_the_end():
    text, _ = run(total=100, seconds_each=1.0, tokens=500)
    lines = text.splitlines()
    assert len(lines) == 100 // 15 + 2
    assert lines[0] == "student: 15/100 steps · 500 tokens/s · 1 min 25 s left · loss 0.06667"
    assert lines[-1] == "student: took 1 min 40 s"


def test_without_tokens_the_rate_is_in_items():
    text, _ = run(total=40, seconds_each=0.5)
    assert "2.00 steps/s" in text and "tokens" not in text


def test_short_work_prints_nothing():
    text, meter = run(total=4, seconds_each=1.0)
    assert text == "" and meter.done == 4


def test_the_first_item_is_left_out_of_the_rate_for_it_compiles():
    out, clock = io.StringIO(), Clock()
    with progress(3, "s", console=Console(file=out), clock=clock) as meter:
        clock.now += 60
        meter.advance(tokens=100)
        clock.now += 1
        meter.advance(tokens=100)
        assert "100 tokens/s" in meter.status()


def test_a_resumed_run_counts_on_and_rates_only_its_own_work():
    text, meter = run(total=100, seconds_each=1.0, tokens=10, done=80)
    assert meter.done == 100 and "10.0 tokens/s" in text


def test_a_terminal_gets_a_bar():
    text, _ = run(total=30, seconds_each=1.0, tokens=2000, terminal=True)
    assert "━" in text and "30/30 steps · 2,000 tokens/s" in text


@pytest.fixture
def terminal(monkeypatch):
    """Standard error as a terminal, for one test."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    _standard_error.cache_clear()
    yield
    _standard_error.cache_clear()


def test_work_inside_other_work_has_a_bar_below_it(capsys, terminal):
    with progress(2, "table", "parts") as parts:
        for part in range(2):
            with progress(1, f"student {part}", "samples") as samples:
                samples.advance()
            parts.advance()
    shown = capsys.readouterr().err
    assert "1/1 samples" in shown and "2/2 parts" in shown
    assert "\x1b[1A" in shown, "two bars in one picture, so that the cursor goes up a line"


def test_standard_error_is_used_by_default(capsys):
    clock = Clock()
    with progress(1, "orm", clock=clock) as meter:
        clock.now = 20
        meter.advance()
    captured = capsys.readouterr()
    assert captured.out == "" and "orm: 1/1 steps" in captured.err


def test_an_error_inside_is_passed_on():
    with pytest.raises(RuntimeError, match="broken"), progress(2, "s"):
        raise RuntimeError("broken")
