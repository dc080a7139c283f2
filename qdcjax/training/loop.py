"""The training loop, in this order at every step: batch, dispatch, then last step's metrics.

Resume: a run goes on from its newest checkpoint; batches and keys are functions of the step, so
that a killed run ends with the parameters of one that was not.
"""

import contextlib
import json
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from qdcjax.reporting.metrics import MetricLog
from qdcjax.reporting.progress import progress
from qdcjax.training.checkpoints import open_checkpointer
from qdcjax.training.processes import is_writer, of_all_processes, preemption_agreed
from qdcjax.training.step import TrainState
from qdcjax.training.utilisation import Utilisation


class NonFiniteUpdateError(RuntimeError):
    """A loss or gradient was infinite or not a number; the state before it is kept."""


class Preempted(SystemExit):
    """SIGTERM came: the state was saved, and the same command goes on from there."""


def train(
    update: Callable,
    state: TrainState,
    batches: Sequence[dict],
    *,
    steps: int,
    key: jax.Array,
    workdir: Path,
    name: str,
    log_every: int = 50,
    checkpoint_every: int = 500,
    evaluate: Callable[[Any], dict[str, float]] | None = None,
    evaluate_every: int = 0,
    put: Callable[[dict], dict] = jax.device_put,
    utilisation: Utilisation | None = None,
) -> TrainState:
    """Runs `update` until `state.step` is `steps`, going on from a checkpoint where there is one.

    Args:
      update: compiled `(state, batch, key) -> (state, metrics)`; its state argument is donated.
      state: the state before the first step.
      batches: `batches[s]` is the batch of step s, a dict of host arrays; `index`, when present,
        tells the examples' ids and stays on the host.
      steps: total number of steps.
      key: of the run; step s uses fold_in(key, s).
      workdir: of the run; checkpoints go to `checkpoints/<name>`, metrics to `metrics.jsonl`.
      name: of the stage.
      log_every, checkpoint_every, evaluate_every: in steps.
      evaluate: parameters → metrics, e.g. a validation loss.
      put: moves a batch to the devices.
      utilisation: shows MFU beside the speed, and logs it where the devices' peak is known.

    Raises:
      NonFiniteUpdateError: after saving the offending batch's ids to `nonfinite.json`.
      Preempted: on SIGTERM, after saving.
    """
    stop = _StopFlag()
    with stop, open_checkpointer(workdir / "checkpoints" / name, checkpoint_every) as saver:
        if saver.latest is not None:
            state = saver.load_pytree(saver.latest, state)
        start = int(state.step)
        log = MetricLog(workdir, name, start) if is_writer() else contextlib.nullcontext()
        with log, progress(steps, f"train {name}", "steps", done=start) as bar:
            pending: tuple[int, dict, Any] | None = None
            window = _Window(utilisation)
            if utilisation is not None:
                bar.note(str(utilisation))
            for step in range(start, steps):
                batch = dict(batches[step])
                index = batch.pop("index", None)
                window.begin(batch)
                state, metrics = update(state, put(batch), key)
                if pending is not None:
                    _settle(pending, workdir, name, window, bar)
                pending = (step, metrics, index)
                done = step + 1
                due = done % log_every == 0 or done == steps
                stops = stop.requested()
                evaluated = evaluate is not None and evaluate_every and done % evaluate_every == 0
                if due or evaluated or stops or saver.should_save(done):
                    _settle(pending, workdir, name, window, bar)
                    pending = None
                if due:
                    summary = window.summary()
                    if is_writer():
                        log.write(done, summary)
                    if utilisation is not None:
                        bar.advance(0, MFU=summary.get("mfu", "unknown"))
                if evaluated:
                    found = evaluate(state.params)
                    if is_writer():
                        log.write(done, found)
                if stops:
                    saver.save_pytree(done, state, force=True)
                    raise Preempted(143)
                saver.save_pytree_async(done, state)
    return state


class _Window:
    """Means of the metrics since the last log line, the speed, and the share of the peak."""

    def __init__(self, utilisation: Utilisation | None):
        self._utilisation = utilisation
        self._clear()

    def _clear(self):
        self.sums, self.count, self.elements, self.flops = {}, 0, 0.0, 0.0
        self.began = time.perf_counter()

    def begin(self, batch: dict):
        """Counts the work of a step that is about to be dispatched."""
        if self._utilisation is not None:
            self.flops += self._utilisation.flops(batch)

    def add(self, metrics: dict[str, float]):
        for name, value in metrics.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1
        self.elements += metrics["elements"]

    def summary(self) -> dict[str, float]:
        means = {name: total / self.count for name, total in self.sums.items()}
        seconds = time.perf_counter() - self.began
        means["elements_per_second"] = self.elements / seconds
        if self._utilisation is not None and self._utilisation.peak is not None:
            means["mfu"] = self.flops / seconds / self._utilisation.peak
        self._clear()
        return means


def _settle(pending, workdir: Path, name: str, window: _Window, bar) -> None:
    """Fetches one step's metrics and stops the run when its update was not finite."""
    step, metrics, index = pending
    metrics = {key: float(value) for key, value in jax.device_get(metrics).items()}
    if not metrics.pop("finite"):
        ids = [] if index is None else of_all_processes(np.asarray(index)).tolist()
        path = workdir / "nonfinite.json"
        if is_writer():
            path.write_text(json.dumps({"stage": name, "step": step, "ids": ids}))
        raise NonFiniteUpdateError(
            f"stage {name}, step {step}: loss {metrics['loss']}, gradient norm "
            f"{metrics['gradient_norm']}; the batch's ids are in {path}"
        )
    window.add(metrics)
    bar.advance(1, tokens=metrics["elements"], loss=metrics["loss"])


class _StopFlag:
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
