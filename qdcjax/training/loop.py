"""The training loop, in this order at every step: batch, dispatch, then last step's metrics.

The host is one step ahead: while the devices work on a step, it waits for the one before, logs it
and makes the next batch.

Resume: a run goes on from its newest checkpoint; batches and keys are functions of the step, so
that a killed run ends with the parameters of one that was not.
"""

import contextlib
import dataclasses
import functools
import gc
import json
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from qdcjax.reporting.metrics import MetricLog
from qdcjax.reporting.progress import Meter, progress
from qdcjax.training.checkpoints import open_checkpointer
from qdcjax.training.processes import is_writer, of_all_processes, preemption_agreed
from qdcjax.training.speed import Speed
from qdcjax.training.step import TrainState
from qdcjax.training.utilisation import Utilisation


class NonFiniteUpdateError(RuntimeError):
    """A loss or gradient was infinite or not a number; the state before it is kept."""


class Preempted(SystemExit):
    """SIGTERM came: the state was saved, and the same command goes on from there."""


class Training:
    """A training run that is open, as a context: its state, checkpoints, log and signals.

    On entering, it goes on from its newest checkpoint where there is one.

    Attributes:
      name: of the stage.
      state: the newest.
      step: updates that it has behind it, of the state that was found on entering or made since.
    """

    def __init__(
        self,
        update: Callable,
        state: TrainState,
        *,
        key: jax.Array,
        workdir: Path,
        name: str,
        log_every: int = 50,
        checkpoint_every: int = 500,
        put: Callable[[dict], dict] = jax.device_put,
        share: float = 1.0,
        utilisation: Utilisation | None = None,
        stop: "StopFlag | None" = None,
    ):
        """Opens nothing yet.

        Args:
          update: compiled `(state, batch, key) -> (state, metrics)`; its state argument is donated.
          state: the state before the first step.
          key: of the run; step s uses fold_in(key, s).
          workdir: of the run; checkpoints go to `checkpoints/<name>`, metrics to `metrics.jsonl`.
          name: of the stage.
          log_every, checkpoint_every: in steps.
          put: moves a batch to the devices.
          share: part of the global batch that this process's batches hold.
          utilisation: shows MFU beside the speed, and logs it where the devices' peak is known.
          stop: of several trainings that SIGTERM stops together; one of its own by default.
        """
        self.state, self.step = state, 0
        self._update, self._key, self._put, self._share = update, key, put, share
        self._workdir, self.name, self._log_every = workdir, name, log_every
        self._checkpoint_every, self._utilisation = checkpoint_every, utilisation
        self._stop = stop or StopFlag()
        self._own_stop = stop is None
        self._means, self._speed = _Means(), Speed(utilisation and utilisation.peak)
        self._noted = utilisation is None

    def __enter__(self) -> "Training":
        with contextlib.ExitStack() as stack:
            if self._own_stop:
                stack.enter_context(self._stop)
            folder = self._workdir / "checkpoints" / self.name
            self._saver = stack.enter_context(open_checkpointer(folder, self._checkpoint_every))
            if self._saver.latest is not None:
                self.state = self._saver.load_pytree(self._saver.latest, self.state)
            self.step = int(np.max(self.state.step))  # that of all members, where there are some
            self._log = None
            if is_writer():
                self._log = stack.enter_context(MetricLog(self._workdir, self.name, self.step))
            self._open = stack.pop_all()
        return self

    def __exit__(self, *found):
        return self._open.__exit__(*found)

    def run(
        self,
        batches: Sequence[dict],
        steps: int,
        *,
        first: int = 0,
        evaluate: Callable[[Any], dict[str, float]] | None = None,
        evaluate_every: int = 0,
    ) -> TrainState:
        """Runs `update` until `state.step` is `steps`; does nothing where it already is.

        Args:
          batches: `batches[s − first]` is the batch of step s, a dict of host arrays; two of them
            stay on the host where they are given: `index` [B], the examples' ids, and `length` [B],
            their elements for the speed, which without it counts the elements that carry loss.
          steps: in all.
          first: the step of the first batch.
          evaluate: parameters → metrics, e.g. a validation loss.
          evaluate_every: in steps.

        Raises:
          NonFiniteUpdateError: after saving the offending batch's ids to `nonfinite.json`.
          Preempted: on SIGTERM, after saving.
        """
        if self.step >= steps:
            return self.state
        utilisation, speed = self._utilisation, self._speed
        speed.restart()
        with _uncollected(), progress(steps, f"train {self.name}", "steps", done=self.step) as bar:
            pending: _Pending | None = None
            settle = functools.partial(_settle, self._workdir, self.name, self._means, speed, bar)
            if not self._noted:
                bar.note(str(utilisation))
                self._noted = True
            for step in range(self.step, steps):
                batch = dict(batches[step - first])
                index, length = batch.pop("index", None), batch.pop("length", None)
                new = speed.is_new(batch)
                if new:
                    pending = settle(pending)
                    bar.counted = "tokens" if "tokens" in batch else "points"
                with speed.stopped() if new else contextlib.nullcontext():
                    self.state, metrics = self._update(self.state, self._put(batch), self._key)
                    if new:
                        jax.block_until_ready(metrics)
                settle(pending)
                pending = _Pending(
                    step,
                    metrics,
                    index,
                    elements=None if length is None else float(length.sum()) / self._share,
                    flops=0.0 if utilisation is None else utilisation.flops(batch) / self._share,
                    counts=not new,
                )
                done = self.step = step + 1
                due = done % self._log_every == 0 or done == steps
                stops = self._stop.requested()
                evaluated = evaluate is not None and evaluate_every and done % evaluate_every == 0
                saved = self._saver.should_save(done)
                if due or evaluated or stops or saved:
                    pending = settle(pending)
                if due:
                    summary = self._means.read() | speed.read()
                    self._write(summary)
                    if utilisation is not None:
                        bar.advance(0, MFU=summary.get("mfu", "unknown"))
                if evaluated:
                    with speed.stopped():
                        found = evaluate(self.state.params)
                    self._write(found)
                if stops:
                    self._saver.save_pytree(done, self.state, force=True)
                    raise Preempted(143)
                if saved:
                    with speed.stopped():
                        self._saver.save_pytree_async(done, self.state)
        return self.state

    def _write(self, metrics: dict[str, float]) -> None:
        """Logs metrics of the newest step, in the process that writes."""
        if self._log is not None:
            self._log.write(self.step, metrics)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Python's collector does not look at what is there now.

    Among it are all examples; looking at a hundred thousand of them took a quarter of a core.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@dataclasses.dataclass(frozen=True)
class _Pending:
    """A step that was dispatched and whose metrics are not fetched yet.

    Attributes:
      elements: of its batch in all processes, None where only the metrics tell.
      flops: of the step.
      counts: whether it is part of the speed; one that was compiled is not.
    """

    step: int
    metrics: dict
    index: Any
    elements: float | None
    flops: float
    counts: bool


class _Means:
    """Means of the metrics since they were last read."""

    def __init__(self):
        self._sums, self._count = {}, 0

    def add(self, metrics: dict[str, float]) -> None:
        for name, value in metrics.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1

    def read(self) -> dict[str, float]:
        means = {name: total / self._count for name, total in self._sums.items()}
        self._sums, self._count = {}, 0
        return means


def _settle(
    workdir: Path, name: str, means: _Means, speed: Speed, bar: Meter, pending: _Pending | None
) -> None:
    """Fetches a step's metrics, if there is one, and stops the run if its update was not finite."""
    if pending is None:
        return
    metrics = {key: float(value) for key, value in jax.device_get(pending.metrics).items()}
    if not metrics.pop("finite"):
        ids = () if pending.index is None else of_all_processes(np.ravel(pending.index))
        path = workdir / "nonfinite.json"
        if is_writer():
            found = {"stage": name, "step": pending.step, "ids": sorted({int(n) for n in ids})}
            path.write_text(json.dumps(found))
        raise NonFiniteUpdateError(
            f"stage {name}, step {pending.step}: loss {metrics['loss']}, gradient norm "
            f"{metrics['gradient_norm']}; the batch's ids are in {path}"
        )
    elements = metrics["elements"] if pending.elements is None else pending.elements
    means.add(metrics)
    if pending.counts:
        speed.count(elements, pending.flops)
    bar.advance(1, tokens=elements, loss=metrics["loss"])


class StopFlag:
    """While entered, SIGTERM asks for a stop instead of ending the process.

    Of several processes, all stop at one step, which JAX's preemption service agrees on.
    """

    def __init__(self):
        self._told = False
        self._alone = jax.process_count() == 1

    def requested(self) -> bool:
        """Whether to stop after this step."""
        return self._told if self._alone else preemption_agreed()

    def __enter__(self):
        if self._alone:
            self._before = signal.signal(signal.SIGTERM, self._tell)
        return self

    def __exit__(self, *_):
        if self._alone:
            signal.signal(signal.SIGTERM, self._before)

    def _tell(self, *_):
        self._told = True
