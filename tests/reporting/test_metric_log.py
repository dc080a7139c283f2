import json
import math

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import masked_crc32c

from qdcjax.reporting.metrics import MetricLog, copy_records, read_metrics


def log_steps(workdir, stage, steps, resume_step=0):
    with MetricLog(workdir, stage, resume_step) as log:
        for step in steps:
            log.write(step, {"loss": 1.0 / step})
    return log.path


def read_events(folder):
    """Every event of a TensorBoard folder, oldest file first; checks the records' checksums."""
    events = []
    for path in sorted(folder.glob("events.*")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            length = int.from_bytes(data[at : at + 8], "little")
            body = data[at + 12 : at + 12 + length]
            at += 12 + length
            assert int.from_bytes(data[at : at + 4], "little") == masked_crc32c(body)
            at += 4
            events.append(Event.FromString(body))
    return events


def test_a_record_is_on_disk_before_the_log_closes(tmp_path):
    log = MetricLog(tmp_path, "student")
    log.write(3, {"loss": np.float32(0.5), "tokens": 7})
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {
        "stage": "student",
        "step": 3,
        "loss": 0.5,
        "tokens": 7.0,
    }
    log.close()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_non_finite_value_is_null_in_the_file_and_nan_when_read(tmp_path, value):
    with MetricLog(tmp_path, "student") as log:
        log.write(1, {"loss": value})
    assert json.loads(log.path.read_text())["loss"] is None
    assert math.isnan(read_metrics(log.path, "student")[0]["loss"])


def test_resuming_drops_what_the_killed_run_wrote_beyond_the_checkpoint(tmp_path):
    log_steps(tmp_path, "student", [1, 2])
    log_steps(tmp_path, "orm", [1, 2, 3, 4])
    path = log_steps(tmp_path, "orm", [3], resume_step=2)
    assert [r["step"] for r in read_metrics(path, "orm")] == [1, 2, 3]
    assert [r["step"] for r in read_metrics(path, "student")] == [1, 2]
    assert not list(tmp_path.glob("*.tmp"))


def test_a_fresh_start_drops_all_records_of_its_stage_even_step_0(tmp_path):
    with MetricLog(tmp_path, "orm") as log:
        log.write(0, {"accuracy": 0.5})
    log_steps(tmp_path, "student", [1])
    path = log_steps(tmp_path, "orm", [])
    assert read_metrics(path, "orm") == []
    assert len(read_metrics(path, "student")) == 1


def test_a_line_cut_by_a_kill_is_repaired(tmp_path):
    path = log_steps(tmp_path, "student", [1, 2])
    with path.open("a") as file:
        file.write('{"stage": "student", "step": 3, "lo')
    assert [r["step"] for r in read_metrics(path, "student")] == [1, 2]
    log_steps(tmp_path, "student", [3], resume_step=2)
    assert [r["step"] for r in read_metrics(path, "student")] == [1, 2, 3]
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_a_cut_record_of_another_stage_costs_no_whole_line(tmp_path):
    path = log_steps(tmp_path, "student", [1, 2])
    path.write_bytes(path.read_bytes() + b'{"stage": "st')
    log_steps(tmp_path, "orm", [1])
    assert [r["step"] for r in read_metrics(path, "student")] == [1, 2]
    assert [r["step"] for r in read_metrics(path, "orm")] == [1]


def test_a_line_that_is_no_record_is_an_error_that_names_it(tmp_path):
    path = log_steps(tmp_path, "student", [1])
    path.write_text("[1]\n" + path.read_text())
    with pytest.raises(ValueError, match=r"line 1: b'\[1\]' is no metric record"):
        read_metrics(path, "student")
    with pytest.raises(ValueError, match="line 1"):
        MetricLog(tmp_path, "student")


def test_records_of_a_stage_and_of_its_parts_alone_are_copied(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    for stage in ("orm/round", "orm", "orm-0", "student", "student/orm", "orm/b/c"):
        log_steps(source, stage, [1])
    copy_records(source, target, "orm")
    for stage in ("orm", "orm/round", "orm/b/c"):
        assert read_metrics(target / "metrics.jsonl", stage) == [
            {"stage": stage, "step": 1, "loss": 1.0}
        ]
    assert len((target / "metrics.jsonl").read_text().splitlines()) == 3
    events = read_events(target / "tensorboard" / "orm" / "round")
    assert [v.simple_value for e in events for v in e.summary.value] == [1.0]


def test_copied_records_keep_their_order_and_values(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    with MetricLog(source, "orm") as log:
        log.write(5, {"loss": 0.25, "accuracy": math.nan})
        log.write(9, {"tokens": 7})
        log.write(7, {"loss": -1e-9})
    copy_records(source, target, "orm")
    lines = (target / "metrics.jsonl").read_text()
    assert lines == (source / "metrics.jsonl").read_text()
    assert [r["step"] for r in read_metrics(target / "metrics.jsonl", "orm")] == [5, 9, 7]


def test_copied_records_take_the_place_of_the_stage_s_own(tmp_path):
    """Those of other stages stay; copying again adds nothing; the source is left as it was."""
    source, target = tmp_path / "source", tmp_path / "target"
    for stage in ("orm", "orm/round"):
        log_steps(source, stage, [1, 2])
    before = (source / "metrics.jsonl").read_bytes()
    log_steps(target, "orm", [1, 2, 3, 4])
    log_steps(target, "student", [1, 2, 3])
    for _ in range(2):
        copy_records(source, target, "orm")
        path = target / "metrics.jsonl"
        assert [r["step"] for r in read_metrics(path, "orm")] == [1, 2]
        assert [r["step"] for r in read_metrics(path, "orm/round")] == [1, 2]
        assert [r["step"] for r in read_metrics(path, "student")] == [1, 2, 3]
    assert (source / "metrics.jsonl").read_bytes() == before


def test_without_records_at_the_source_nothing_is_copied(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    copy_records(source, target, "orm")
    assert not target.exists()
    log_steps(target, "orm", [1])
    log_steps(source, "student", [1])
    before = (target / "metrics.jsonl").read_bytes()
    copy_records(source, target, "orm")
    assert (target / "metrics.jsonl").read_bytes() == before


def test_reserved_names_are_refused(tmp_path):
    with MetricLog(tmp_path, "student") as log, pytest.raises(ValueError, match="'step' is taken"):
        log.write(1, {"step": 2.0})


def test_tensorboard_has_the_scalars_and_is_told_what_to_purge(tmp_path):
    log_steps(tmp_path, "orm", [1, 2, 3])
    before = set((tmp_path / "tensorboard" / "orm").iterdir())
    log_steps(tmp_path, "orm", [3], resume_step=2)
    after = tmp_path / "again"
    after.mkdir()
    for path in set((tmp_path / "tensorboard" / "orm").iterdir()) - before:
        path.rename(after / path.name)
    events = read_events(after)
    starts = [e.step for e in events if e.HasField("session_log")]
    scalars = [(e.step, v.tag, v.simple_value) for e in events for v in e.summary.value]
    assert starts == [3]
    assert scalars == [(3, "loss", pytest.approx(1 / 3))]
