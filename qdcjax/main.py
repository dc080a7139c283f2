"""Runs a study: `python -m qdcjax.main --config=configs/sorm.py`.

Flags → config → devices → study; the study writes summary and report into the workdir. The same
command again goes on where the last one stopped.
"""

import importlib
import os
import shlex
import sys
import traceback
from pathlib import Path

import jax
from absl import app, flags, logging
from ml_collections import config_flags

from qdcjax.experiments import publish
from qdcjax.reporting.numbers import format_duration
from qdcjax.training.loop import NonFiniteUpdateError
from qdcjax.workdir import Workdir

CONFIG = config_flags.DEFINE_config_file("config", None, "Study to run: file, or file:preset.")
WORKDIR = flags.DEFINE_string("workdir", "", "Folder of the run; default runs/<config>-<preset>.")
REDO = flags.DEFINE_string("redo", "", "Stage to make anew, with all stages after it.")
CACHE = flags.DEFINE_string(
    "compilation_cache", "~/.cache/qdcjax", "Folder of compiled programs; empty for none."
)

USER_ERRORS = (ValueError, TypeError, OSError, NonFiniteUpdateError)


def main(argv: list[str]) -> None:
    """Runs the study that the flags name."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}; options begin with --")
    config = CONFIG.value.to_dict()
    path = Path(WORKDIR.value or f"runs/{config['study']}-{config['preset'] or 'default'}")
    logging.set_verbosity(logging.WARNING)  # Orbax tells of every file
    if CACHE.value:
        jax.config.update("jax_compilation_cache_dir", os.path.expanduser(CACHE.value))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    try:
        workdir = Workdir(path, config, REDO.value)
        workdir.record_config(publish.environment(shlex.join(sys.argv)))
        study = importlib.import_module(f"qdcjax.experiments.{config['study']}")
        summary = study.run(workdir.config, workdir)
    except USER_ERRORS as error:
        _fail(error, path)
    print(f"{len(summary)} figures in {path}/summary.json")
    print(f"stages took {format_duration(sum(workdir.seconds.values()))}; read {path}/report.html")


def _fail(error: Exception, path: Path) -> None:
    """One clear line for the user; the traceback goes to a file beside the run."""
    line = " ".join(str(error).split()) or type(error).__name__
    if path.is_dir():
        (path / "error.log").write_text("".join(traceback.format_exception(error)))
    sys.exit(f"error: {line}")


def parse_flags(argv: list[str]) -> list[str]:
    """Parses the command line; a bad flag or config field ends in one line."""
    try:
        rest = flags.FLAGS(argv)
        if CONFIG.value is None:
            raise flags.Error("--config is missing, e.g. --config=configs/sorm.py")
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
    return rest


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
