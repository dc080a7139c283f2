"""The training curves of a report."""

from qdcjax.experiments.reports.training import training_section
from qdcjax.reporting.metrics import MetricLog
from qdcjax.workdir import Workdir


def test_what_a_run_did_not_train_has_no_curve(tmp_path):
    """Return-conditioned RL with the reward model of another run has no stage `orm`."""
    workdir = Workdir(tmp_path, {"study": "toy"})
    with MetricLog(tmp_path, "learned") as log:
        log.write(1, {"loss": 0.5})
    workdir.seconds |= {"learned": 1.0, "learned-errors": 1.0}  # the latter measures something
    section = training_section(workdir, {"orm": {"loss": "loss"}, "learned": {"loss": "loss"}})
    assert [plate.path.name for plate in section.figures] == ["training_learned.png"]
    assert section.figures[0].caption == "Training of learned."


def test_a_stage_that_trained_in_parts_has_a_curve_of_each(tmp_path):
    workdir = Workdir(tmp_path, {"study": "toy"})
    for part in ("students-add/rows-of-64", "students-add/rows-of-8", "students-adding", "mul"):
        with MetricLog(tmp_path, part) as log:
            log.write(1, {"loss": 0.5})
    workdir.seconds |= {"students-add": 1.0, "students-adding": 1.0}
    section = training_section(workdir, {"students-add": {"loss": "loss"}})
    [plate] = section.figures
    assert plate.caption == "Training of students-add: rows-of-64, rows-of-8."


def test_stages_that_go_on_from_a_name_share_a_figure(tmp_path):
    workdir = Workdir(tmp_path, {"study": "toy"})
    for name in ("orm-0", "orm-1"):
        with MetricLog(tmp_path, name) as log:
            log.write(1, {"loss": 0.5})
    workdir.seconds |= {"orm-0": 1.0, "orm-1": 1.0}
    [plate] = training_section(workdir, {"orm": {"loss": "loss"}}).figures
    assert plate.caption == "Training of orm: orm-0, orm-1."
