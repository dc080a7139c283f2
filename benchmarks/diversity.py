"""A Vendi score of embeddings, against vendi-score where it is installed.

pip install -e '.[parity]'
python benchmarks/diversity.py
"""

import bench
import numpy as np
from absl import app, flags

from qdcjax.measures.diversity import vendi_score

try:
    from vendi_score import vendi
except ImportError:
    vendi = None

SAMPLES = flags.DEFINE_integer("samples", 2_000, "Rows.")
WIDTH = flags.DEFINE_integer("width", 384, "Of the embeddings.")


def main(_: list[str]) -> None:
    """Prints the table."""
    x = np.random.default_rng(0).normal(size=(SAMPLES.value, WIDTH.value)) + 0.3
    sides = {f"ours, order {q}": lambda q=q: vendi_score(x, q) for q in (0, 1, 2, np.inf)}
    if vendi and bench.PEER.value:
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        sides["vendi-score's dual form, order 1"] = lambda: vendi.score_dual(unit)
    took = bench.in_turn(sides)
    title = f"Vendi score of {SAMPLES.value:,} × {WIDTH.value} embeddings"
    bench.show(title, took, dict.fromkeys(took, SAMPLES.value), "samples")


if __name__ == "__main__":
    app.run(main)
