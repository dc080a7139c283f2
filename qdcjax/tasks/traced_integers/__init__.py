"""Traced integers: arithmetic that writes out its own chain of thought, clean or noised."""

from qdcjax.tasks.traced_integers import operations
from qdcjax.tasks.traced_integers.integers import TracedInteger, TraceError
from qdcjax.tasks.traced_integers.noise import Noise
from qdcjax.tasks.traced_integers.problems import MixedOperations, TracedIntegers
from qdcjax.tasks.traced_integers.recording import Caps, Variables, operation
from qdcjax.tasks.traced_integers.traces import Trace, noisy_trace, trace

__all__ = [
    "Caps",
    "MixedOperations",
    "Noise",
    "Trace",
    "TraceError",
    "TracedInteger",
    "TracedIntegers",
    "Variables",
    "noisy_trace",
    "operation",
    "operations",
    "trace",
]
