"""Where the time of a repeated job goes."""

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Iterator


class Stopwatch:
    """Adds up the seconds of named pieces of work, which may lie in several threads."""

    def __init__(self):
        self._seconds: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Adds what is done inside to the seconds of that name."""
        began = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self._seconds[name] += time.perf_counter() - began

    def read(self) -> dict[str, float]:
        """`<name>_seconds` since they were last read."""
        with self._lock:
            found = {f"{name}_seconds": seconds for name, seconds in self._seconds.items()}
            self._seconds.clear()
        return found
