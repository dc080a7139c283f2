"""Intrinsic dimension: our estimators against scikit-dimension's, on the same points.

    python benchmarks/intrinsic_dimension.py

    python benchmarks/intrinsic_dimension.py --points=50000 --ambient=768 --repeats=1 --nopeer

Points of the sphere S^5 in R^50. The peer needs the extra `parity`; --nopeer leaves it out. The
last line tells the most memory that the process had at a time.
"""

import functools
import resource

import bench
import numpy as np
from absl import app, flags

from qdcjax.measures.intrinsic_dimension import mle, two_nn
from qdcjax.tasks.manifolds import Sphere, embedding

POINTS = flags.DEFINE_list("points", ["2000", "10000"], "Numbers of points.")
AMBIENT = flags.DEFINE_integer("ambient", 50, "D, of R^D.")


def main(_: list[str]) -> None:
    """Prints a table for each number of points."""
    for count in map(int, POINTS.value):
        drawn = Sphere(5).draw(count, np.random.default_rng(0)).points
        points = drawn @ embedding(6, AMBIENT.value, seed=0).T
        runs = {
            "MLE, K = 20": functools.partial(mle, points, 20),
            "TwoNN": functools.partial(two_nn, points),
        }
        if bench.PEER.value:
            import skdim

            runs["scikit-dimension, MLE"] = lambda points=points: skdim.id.MLE().fit(
                points, n_neighbors=20
            )
            runs["scikit-dimension, TwoNN"] = lambda points=points: skdim.id.TwoNN().fit(points)
        took = bench.in_turn(runs)
        title = f"{count:,} points of S^5 in R^{AMBIENT.value}"
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # of KiB
        note = f"at most {most:.2f} GiB of memory"
        bench.show(title, took, dict.fromkeys(took, count), "points", note)


if __name__ == "__main__":
    app.run(main)
