"""How fast traces of integers are written, on one core.

    python benchmarks/traces.py

Operands are those of the paper's grid. The public generator is said to take 2 to 13 ms a
trace; it is not run here.
"""

import functools

import bench
from absl import app, flags

from qdcjax.tasks.traced_integers import TracedIntegers, trace

TRACES = flags.DEFINE_integer("traces", 500, "Of each operation.")

HIDDEN = ("+", "-", "/")
TASKS = {
    "add, 1 to 10 digits": TracedIntegers("add", longest=10),
    "sub, 1 to 10 digits": TracedIntegers("sub", longest=10),
    "mul, 1 to 5 digits": TracedIntegers("mul", longest=5, hidden=HIDDEN),
    "div, 1 to 5 digits": TracedIntegers("div", longest=5, hidden=HIDDEN[:2]),
    "median of 4 to 8 numbers": TracedIntegers("median", longest=8, hidden=HIDDEN),
    "gcd, 1 to 4 digits": TracedIntegers("gcd", longest=4, hidden=HIDDEN),
}


def main(_: list[str]) -> None:
    """Times every operation in turn."""

    def write(task: TracedIntegers, problems) -> None:
        for problem in problems:
            trace(task.operation, problem.meta["operands"], task.visibility)

    runs = {
        name: functools.partial(write, task, task.problems("train", TRACES.value))
        for name, task in TASKS.items()
    }
    took = bench.in_turn(runs)
    bench.show("Traces of integers", took, dict.fromkeys(took, TRACES.value), "traces")


if __name__ == "__main__":
    app.run(main)
