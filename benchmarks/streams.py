"""A million texts through the lexical measures: speed, and the most memory that was held.

python benchmarks/streams.py
"""

import resource
import time

import numpy as np
from absl import app, flags

from qdcjax.measures.streams import Overlap, TextStream

TEXTS = flags.DEFINE_integer("texts", 1_000_000, "In all.")
WORDS = flags.DEFINE_integer("words", 40, "Of each.")
VOCABULARY, PART = 30_000, 20_000


def main(_: list[str]) -> None:
    """Prints a line."""
    rng = np.random.default_rng(0)
    words = np.array([f"w{n}" for n in range(VOCABULARY)])
    frequency = 1 / np.arange(1, VOCABULARY + 1)  # as words have
    drawn = rng.choice(words, (PART, WORDS.value), p=frequency / frequency.sum())
    texts = [" ".join(row) for row in drawn]
    stream, overlap = TextStream(), Overlap(texts[:1_000])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    for part in range(TEXTS.value // PART):
        some = [f"{text} {part}" for text in texts]
        stream.add(some)
        overlap.add(some)
    took = time.process_time() - began
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{stream.texts:,} texts, {stream.tokens:,} words: {took:.1f} s of CPU time, "
        f"{(most - before) / 1e3:.0f} MB more than before, {most / 1e3:.0f} MB in all"
    )


if __name__ == "__main__":
    app.run(main)
