"""A process that runs studies, before its first array: memory, messages, compiled programs."""

import ctypes
import os
import sys

import jax
from absl import logging

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # options of mallopt, from malloc.h


def prepare(cache: str) -> None:
    """Sets this process up.

    Args:
      cache: folder of compiled programs; empty for none.
    """
    _keep_freed_memory()
    logging.set_verbosity(logging.FATAL)  # Orbax tells of every file, and of errors that it raises
    sys.unraisablehook = _unraisable
    if cache:
        jax.config.update("jax_compilation_cache_dir", os.path.expanduser(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def _keep_freed_memory() -> None:
    """Tells glibc to give no memory back to the system before the process ends.

    XLA on CPU takes one block for all temporary arrays at every call. Given back and faulted in
    anew each time, its pages cost a small training step half of its time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:  # not on every system's C library
        for option in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
            mallopt(option, 1 << 30)


def _unraisable(found) -> None:
    """Silent about the reads and writes of Orbax that end after another one failed."""
    after_failure = ("Event loop is closed", "Encountered error while reading")
    if not str(found.exc_value).startswith(after_failure):
        sys.__unraisablehook__(found)
