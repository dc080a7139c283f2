"""How fast a training run is: elements a second, and the share of the devices' peak."""

import contextlib
import time
from collections.abc import Iterator


class Speed:
    """Work a second since it was last read, without the time for compiling, evaluating, saving."""

    def __init__(self, peak: float | None):
        """Starts the clock; `peak` is that of all devices in FLOP/s, None when it is unknown."""
        self._peak = peak
        self._shapes: set[tuple] = set()
        self.restart()

    def restart(self) -> None:
        """Forgets what was counted, and starts the clock anew."""
        self._elements = self._flops = self._stopped = 0.0
        self._began = time.perf_counter()

    def is_new(self, batch: dict) -> bool:
        """Whether a batch is the first of its shape, for which the update is compiled."""
        shape = tuple(values.shape for values in batch.values())
        new = shape not in self._shapes
        self._shapes.add(shape)
        return new

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """What is done inside does not count."""
        began = time.perf_counter()
        yield
        self._stopped += time.perf_counter() - began

    def count(self, elements: float, flops: float) -> None:
        """Counts the work of a finished step."""
        self._elements += elements
        self._flops += flops

    def read(self) -> dict[str, float]:
        """`elements_per_second`, and `mfu` where the peak is known; nothing when nothing counts."""
        seconds = time.perf_counter() - self._began - self._stopped
        found = {}
        if self._elements:
            found["elements_per_second"] = self._elements / seconds
            if self._peak is not None:
                found["mfu"] = self._flops / seconds / self._peak
        self.restart()
        return found
