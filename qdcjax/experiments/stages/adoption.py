"""Another run's finished stages as this run's own."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from qdcjax.experiments.stages.policies import fingerprint
from qdcjax.files import link, read_json, write_json
from qdcjax.training.processes import is_writer
from qdcjax.workdir import RECORD, StageChangedError, Workdir

MARK = "fingerprint"


def adopt(workdir: Workdir, run: Path, names: Sequence[str], fields: Sequence[str]) -> None:
    """Stages `names` of the run at `run`, kept here too, so that models here find them beside them.

    Files are shared where the disk can do that, and copied elsewhere.

    Args:
      workdir: of this run.
      run: folder of the other one.
      names: of its stages.
      fields: of the config, which say what the other run is.

    Raises:
      FileNotFoundError: the other run has not made one of them.
      StageChangedError: it has made one of them anew.
    """
    for name in names:
        made = run / "stages" / name

        def take(folder: Path, made: Path = made) -> None:
            if not (made / RECORD).is_file():
                raise FileNotFoundError(
                    f"{run} has no finished stage {made.name}: finish that run first"
                )
            if is_writer():
                for begun in folder.iterdir():  # before a kill
                    if begun.name != RECORD:
                        shutil.rmtree(begun) if begun.is_dir() else begun.unlink()
                ignored = shutil.ignore_patterns(RECORD)
                shutil.copytree(made, folder, False, ignored, link, dirs_exist_ok=True)
                (folder / MARK).write_text(fingerprint(made))
                parts = {n: of for n, of in read_json(made / RECORD).items() if n == "parts"}
                write_json(folder / RECORD, read_json(folder / RECORD) | parts)

        folder = workdir.stage(name, fields, [], take)
        if made.is_dir() and (folder / MARK).read_text() != fingerprint(made):
            raise StageChangedError(
                f"stage {name} of {run} has been made anew since {workdir.path} took it over: use "
                f"--redo={name} or another --workdir"
            )
