"""Exact W1 between two samples, against POT where it is installed.

pip install -e '.[parity]'
taskset -c 1 python benchmarks/transport.py
"""

import bench
import numpy as np
from absl import app, flags

from qdcjax.measures.transport import exact_w1
from qdcjax.tasks.densities import Density
from qdcjax.tasks.manifolds import Sphere

try:
    import ot
except ImportError:
    ot = None

POINTS = flags.DEFINE_list("points", ["500", "2000"], "Of each sample.")


def main(_: list[str]) -> None:
    """Prints a table for each number of points."""
    for count in map(int, POINTS.value):
        x, y = (Density(Sphere(3), 16).draw(count, seed).astype(float) for seed in (0, 1))
        sides = {"ours": lambda x=x, y=y: exact_w1(x, y)}
        if ot and bench.PEER.value:
            weights = np.full(count, 1 / count)

            def theirs(x=x, y=y, weights=weights) -> float:
                return ot.emd2(weights, weights, ot.dist(x, y, "euclidean"), numItermax=10**7)

            sides["POT's emd2"] = theirs
            apart = abs(theirs() - exact_w1(x, y))
            print(f"{count:,} points: the two differ by {apart:.1e}")
        took = bench.in_turn(sides)
        bench.show(
            f"W1 of {count:,} points of S^3 in R^16", took, dict.fromkeys(took, count), "points"
        )


if __name__ == "__main__":
    app.run(main)
