"""One program in several processes: how they find each other, who writes, what each one holds.

All processes run the same study on one shared folder. What one of them writes, the others may read
after the next `wait_for_all`.
"""

import itertools

import jax
import numpy as np
from jax.experimental import multihost_utils

_ticks = itertools.count()


def initialize(where: str) -> None:
    """Joins the processes of this run; call it before anything else of JAX.

    Args:
      where: `auto` where the cluster tells (TPU pod, SLURM, GKE, Open MPI), or
        `host:port,process,processes`: the address of process 0, this process's number, how many.

    Raises:
      ValueError: text of another form, or a cluster that does not tell.
    """
    if where == "auto":
        jax.distributed.initialize()
        return
    address, *numbers = where.split(",")
    if ":" not in address or len(numbers) != 2 or not all(n.isdecimal() for n in numbers):
        raise ValueError(f"distributed={where!r} must be auto, or host:port,process,processes")
    process, processes = (int(number) for number in numbers)
    jax.distributed.initialize(address, processes, process)


def is_writer() -> bool:
    """Whether this process is the one that writes files; arrays are written by all, by Orbax."""
    return jax.process_index() == 0


def wait_for_all(name: str) -> None:
    """Returns when every process is here; `name` shows up when one of them is not."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def preemption_agreed() -> bool:
    """Whether all processes are to stop at this step, since one of them got SIGTERM.

    To be called once a step by every process of several.
    """
    return multihost_utils.reached_preemption_sync_point(next(_ticks))


def of_all_processes(values: np.ndarray) -> np.ndarray:
    """What each process has, one after another, on every process."""
    if jax.process_count() == 1:
        return values
    return multihost_utils.process_allgather(values, tiled=True)


def to_host(tree):
    """Arrays as NumPy, whole on every process; a step for all processes together."""

    def fetch(leaf):
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            return multihost_utils.process_allgather(leaf, tiled=True)
        return np.asarray(leaf)

    return jax.tree.map(fetch, tree)
