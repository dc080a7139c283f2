"""The benchmarks run to their end, at sizes that say nothing about speed."""

import subprocess
import sys

import pytest
import runs


def printed(program: str, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, f"benchmarks/{program}", "--repeats=1", *options],
        cwd=runs.ROOT,
        env=runs.environment(devices=1),
        capture_output=True,
        text=True,
        timeout=runs.SLOWEST,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("training.py", "--rows=8"), ("training step, 8 × 160 tokens", "MFU unknown", "memory:")),
        (("training.py", "--packed", "--rows=8"), ("packed", "one padded length")),
        (("sampling.py", "--samples=2", "--new_tokens=8"), ("32 questions × 2", "that allows")),
        (("sampling.py", "--ragged", "--questions=16"), ("16 questions", "batch by batch")),
        (("traces.py", "--traces=20"), ("add, 1 to 10 digits", "traces/s")),
        (("intrinsic_dimension.py", "--points=200"), ("200 points of S^5", "GiB of memory")),
        (("members.py", "--members=2", "--steps=1"), ("2 trainings of 1 steps", "under vmap")),
        (("members.py", "--of=charts", "--members=2", "--steps=1"), ("charts, batches of 256",)),
        (("transport.py", "--points=50"), ("W1 of 50 points", "points/s")),
        (("on_chip.py", "--members=2", "--iterations=1"), ("2 runs of RLOO", "under vmap")),
    ],
)
def test_a_benchmark_prints_its_table(options, words):
    text = printed(*options, "--nopeer")
    for word in words:
        assert word in text, text


@pytest.mark.parity
@pytest.mark.parametrize("program", ["training.py", "sampling.py"])
def test_a_benchmark_runs_its_peer_on_the_same_weights(program):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    small = "--rows=8" if program == "training.py" else "--new_tokens=8"
    assert "transformers" in printed(program, small)
