"""Several runs at a time on one machine's CPU: processes, each with a share of its cores.

Small programs gain little from a second core: two runs on a core each end long before the same two
one after another on both (docs/rl_comparison.md).
"""

import contextlib
import io
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from multiprocessing.connection import Connection, wait
from typing import Any

import jax

from qdcjax.experiments.running import this_process
from qdcjax.training.loop import Preempted

Job = Callable[..., Any]


def run_at_once(
    job: Job,
    given: Mapping[str, Any],
    after: Mapping[str, Collection[str]],
    count: int,
    done: Collection[str] = (),
) -> dict[str, Any]:
    """Calls `job(given[name])` for every name, `count` of them at a time; name → result.

    The first error of any ends all the others, which are to be calls that can be made again. So
    does SIGTERM, after those that train have saved. Lines that they write to stdout and stderr
    begin with their name.

    Args:
      job: a function of a module.
      given: in the order of their turns; arguments and results are pickled.
      after: name → those whose results must be there before its turn.
      count: processes.
      done: names of calls that were made before; they count in the numbers that are shown.

    Raises:
      Preempted: SIGTERM came.
      ChildProcessError: a process was killed.
      Exception: what a call raised, with its traceback as a note.
    """
    cores = sorted(os.sched_getaffinity(0))
    count = min(count, len(given), len(cores))
    workers = [_Worker(job, cores[n::count]) for n in range(count)]
    results: dict[str, Any] = {}
    left = list(given)
    try:
        with _passing_on_sigterm(workers) as told:
            while len(results) < len(given):
                idle = [] if told else [worker for worker in workers if not worker.name]
                for worker, name in zip(idle, ready(left, after, [*done, *results]), strict=False):
                    left.remove(name)
                    of = len(done) + len(given)
                    worker.begin(name, given[name], f"member {of - len(left)} of {of}")
                at_work = {worker.answers: worker for worker in workers if worker.name}
                if not at_work:
                    raise Preempted(143) if told else ValueError(f"what do {left} go on from?")
                for answers in wait(list(at_work)):
                    name = at_work[answers].name
                    try:
                        results[name] = at_work[answers].result()
                    except (Preempted, ChildProcessError):
                        if not told:  # else it is what was asked for
                            raise
    except BaseException:
        for worker in workers:
            worker.kill()
        raise
    for worker in workers:
        worker.close()
    return results


def ready(
    left: Collection[str], after: Mapping[str, Collection[str]], done: Collection[str]
) -> list[str]:
    """Those of `left` that wait for nothing that is not done."""
    return [name for name in left if set(after.get(name, ())) <= set(done)]


class _Worker:
    """A process, seen from the one that gives it work.

    Attributes:
      name: of what it works at; empty when it waits.
      answers: where its next answer comes.
    """

    def __init__(self, job: Job, cores: Collection[int]):
        context = multiprocessing.get_context("spawn")
        self.name = ""
        self.answers, theirs = context.Pipe()
        cache = jax.config.jax_compilation_cache_dir or ""
        self._process = context.Process(target=_work, args=(job, set(cores), cache, theirs))
        self._process.start()
        theirs.close()  # so that its end is seen here

    def begin(self, name: str, given: Any, title: str) -> None:
        print(f"{title}: {name}", file=sys.stderr, flush=True)
        self.name = name
        self.answers.send((name, given))

    def result(self) -> Any:
        """What the call returned; raises what it raised."""
        name, self.name = self.name, ""
        try:
            done, found = self.answers.recv()
        except EOFError:
            self._process.join()
            raise ChildProcessError(
                f"member {name}: its process ended with {self._process.exitcode}; if memory ran "
                "out, have fewer at a time: --workers=1"
            ) from None
        if not done:
            raise found
        return found

    def terminate(self) -> None:
        self._process.terminate()

    def close(self) -> None:
        self.answers.close()
        self._process.join()

    def kill(self) -> None:
        self._process.kill()
        self._process.join()


@contextlib.contextmanager
def _passing_on_sigterm(workers: Collection[_Worker]) -> Iterator[list]:
    """While entered, SIGTERM goes to all processes; what is yielded is empty until it comes."""
    told: list[int] = []

    def tell(number: int, _) -> None:
        told.append(number)
        for worker in workers:
            worker.terminate()

    before = signal.signal(signal.SIGTERM, tell)
    try:
        yield told
    finally:
        signal.signal(signal.SIGTERM, before)


def _work(job: Job, cores: set[int], cache: str, orders: Connection) -> None:
    """A worker's life: it ends when the process that started it does, in whatever way."""
    os.sched_setaffinity(0, cores)  # before JAX counts its threads
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C comes to all; the first process acts
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # A spawned process names its locks, those of TensorBoard's queue too: killed, it leaves them.
    multiprocessing.set_start_method("fork", force=True)
    this_process.prepare(cache)
    with contextlib.suppress(EOFError):  # nothing more is to be done
        while True:
            name, given = orders.recv()
            with (
                contextlib.redirect_stderr(_Named(name, 2)),
                contextlib.redirect_stdout(_Named(name, 1)),
            ):
                try:
                    answer = True, job(given)
                except (Exception, Preempted) as error:
                    print(f"stopped by {type(error).__name__}", file=sys.stderr)
                    answer = False, _portable(error)
            orders.send(answer)


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def _portable(error: BaseException) -> BaseException:
    """The error with its traceback as a note; one of the same text where it cannot be pickled."""
    note = traceback.format_exc()
    try:
        found = pickle.loads(pickle.dumps(error))
    except (pickle.PickleError, TypeError, AttributeError):
        found = RuntimeError(f"{type(error).__name__}: {error}")
    found.add_note(note)
    return found


class _Named(io.TextIOBase):
    """Text whose lines are written whole, a name before each."""

    def __init__(self, name: str, file: int):
        self._name, self._file, self._begun = name, file, ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            os.write(self._file, f"{self._name}: {line}\n".encode())
        return len(text)
