"""Runs a study: `python -m qdcjax.main --config=configs/sorm.py`.

Flags → config → devices → study; the study writes summary and report into the workdir. The same
command again goes on where the last one stopped.
"""

import os
import shlex
import sys
import time
import traceback
from pathlib import Path

import jax
from absl import app, flags
from ml_collections import config_flags

from qdcjax import compile_only
from qdcjax.experiments import sweep
from qdcjax.experiments.running import from_config, gallery, publish, this_process
from qdcjax.experiments.running.members import study_of
from qdcjax.files import FolderInUseError, hold
from qdcjax.reporting.numbers import format_duration
from qdcjax.training import processes
from qdcjax.training.loop import NonFiniteUpdateError, Preempted
from qdcjax.workdir import Workdir

CONFIG = config_flags.DEFINE_config_file("config", None, "Study to run: file, or file:preset.")
WORKDIR = flags.DEFINE_string("workdir", "", "Folder of the run; default runs/<config>-<preset>.")
REDO = flags.DEFINE_string("redo", "", "Stages to make anew, with all after them: name,name.")
DISTRIBUTED = flags.DEFINE_string(
    "distributed", "", "Several processes: auto on a cluster, or host:port,process,processes."
)
SWEEP = flags.DEFINE_string(
    "sweep", "", "Fields to go through, every combination: 'seed=0:3;sft.steps=100,200'."
)
COMPILE_ONLY = flags.DEFINE_bool(
    "compile_only", False, "Compile for --topology and say what that asks of a chip; runs nothing."
)
TOPOLOGY = flags.DEFINE_string("topology", "v5e:16x16", "Pod for --compile_only: kind:shape.")
GALLERY = flags.DEFINE_string(
    "gallery", "", "Folder of runs of which a page is written, gallery.html; runs nothing."
)
CACHE = flags.DEFINE_string(
    "compilation_cache",
    os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "qdcjax"),
    "Folder of compiled programs; empty for none.",
)

WORKERS = flags.DEFINE_integer(
    "workers", 2, "Members of a sweep or comparison at a time, on CPU; they share its cores.", 1
)

USER_ERRORS = (
    ValueError,
    TypeError,
    OSError,
    ImportError,
    NonFiniteUpdateError,
    jax.errors.JaxRuntimeError,  # out of memory on a device, or another process is gone
)
LONGEST_LINE = 500  # characters
LAST_WORDS = 3  # seconds that process 0 leaves the others to tell of an error


def main(_: list[str]) -> None:
    """Runs the study that the flags name."""
    if GALLERY.value:
        try:
            print(f"read {gallery.write(Path(GALLERY.value))}")
        except USER_ERRORS as error:
            _fail(error, Path(GALLERY.value))
        return
    began, config = time.monotonic(), CONFIG.value.to_dict()
    name = config.get("name", config["study"])  # several configs may share a study
    preset = config["preset"] or "default"
    path = Path(WORKDIR.value or f"runs/{name}-{preset}{'-sweep' if SWEEP.value else ''}")
    this_process.prepare(CACHE.value)
    if config.get("cpu_devices"):  # before the first array is made
        jax.config.update("jax_num_cpu_devices", config["cpu_devices"])
    try:
        if COMPILE_ONLY.value:
            compile_only.run(config, TOPOLOGY.value)
            return
        if DISTRIBUTED.value:
            processes.initialize(DISTRIBUTED.value)
        from_config.check(config)  # before anything is written
        if processes.is_writer():
            hold(path)
        workdir = Workdir(path, config, REDO.value, workers=WORKERS.value)
        command = shlex.join(["python", "-m", "qdcjax.main", *sys.argv[1:]])
        workdir.record_config(publish.environment(command))
        if SWEEP.value:
            summary = sweep.run(workdir, SWEEP.value)
        else:
            summary = study_of(config).run(workdir.config, workdir)
    except Preempted:
        if processes.is_writer():
            print(
                "stopped by SIGTERM after a save; the same command goes on there", file=sys.stderr
            )
        raise
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from what is saved", file=sys.stderr)
        sys.exit(130)
    except USER_ERRORS as error:
        _fail(error, path)
    if processes.is_writer():
        (path / "error.log").unlink(missing_ok=True)  # of an earlier attempt
        took, stages = time.monotonic() - began, sum(workdir.seconds.values())
        print(f"{len(summary)} figures in {path}/summary.json")
        print(
            f"took {format_duration(took)}, all stages together {format_duration(stages)}; "
            f"read {path}/report.html"
        )


def _fail(error: Exception, path: Path) -> None:
    """One clear line for the user; the traceback goes to a file beside the run.

    Of several processes the others may be waiting for this one: it ends without waiting for them,
    and they end with it.
    """
    line = (" ".join(str(error).split()) or type(error).__name__)[:LONGEST_LINE]
    if isinstance(error, OSError) and error.errno and not error.filename:
        line = f"{path}: {line}"  # a failed write does not say where
    try:
        if path.is_dir() and not isinstance(error, FolderInUseError):
            (path / "error.log").write_text("".join(traceback.format_exception(error)))
    except OSError:
        # The disk is full: what is still to be flushed at exit would fail too, with tracebacks.
        _exit_at_once(line)
    if jax.process_count() > 1:
        # When process 0 ends, JAX aborts the others: those that found the same error tell first.
        others = LAST_WORDS if processes.is_writer() else 0
        _exit_at_once(f"{line} (process {jax.process_index()})", others)
    sys.exit(f"error: {line}")


def _exit_at_once(line: str, after: float = 0) -> None:
    os.write(2, f"error: {line}\n".encode())  # at once, for others may write there too
    time.sleep(after)
    os._exit(1)


def parse_flags(argv: list[str]) -> list[str]:
    """Parses the command line; a bad flag or config field ends in one line."""
    try:
        rest = flags.FLAGS(argv)
        if CONFIG.value is None and not GALLERY.value:
            raise flags.Error("--config is missing, e.g. --config=configs/sorm.py")
        if len(rest) > 1:
            raise flags.Error(f"unexpected argument {rest[1]!r}; options begin with --")
        if CONFIG.value is not None:
            CONFIG.value.to_dict()  # raises when the file could not be read
    except (
        flags.Error,
        ImportError,
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
        OSError,
    ) as error:
        if error.args and isinstance(error.args[0], KeyError):  # in an AttributeError
            error = error.args[0]
        # A KeyError's text is the repr of its message. An error in the config file comes as its
        # whole traceback, of which the first and the last line tell what happened.
        text = f"no such config field: {error.args[0]}" if isinstance(error, KeyError) else error
        lines = str(text).strip().splitlines()
        sys.exit(f"error: {' '.join(' '.join(lines[:1] + lines[1:][-1:]).split())}")
    return rest


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
