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
    for part in ("students-add/rows-of-64", "students-add/rows-of-8", "students-mul"):
        with MetricLog(tmp_path, part) as log:
            log.write(1, {"loss": 0.5})
    workdir.seconds |= {"students-add": 1.0}
    section = training_section(workdir, {"students": {"loss": "loss"}})
    [plate] = section.figures
    assert plate.caption == "Training of students-add/rows-of-64, students-add/rows-of-8."
