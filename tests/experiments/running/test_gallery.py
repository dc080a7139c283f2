"""A page of runs: what is in it, and what it says of a folder without any."""

import json

import pytest

from qdcjax.experiments.running import gallery
from qdcjax.experiments.running.publish import verdict_records
from qdcjax.measures.intervals import Interval
from qdcjax.measures.predictions import Prediction, judge
from qdcjax.reporting import figures
from qdcjax.reporting.page import Plate, Report, RunFacts, Section, write_report


def finished(folder, name, title, verdicts=(), drawn=("b", "a")):
    run = folder / name
    (run / "figures").mkdir(parents=True)
    config = {"study": "sft", "preset": "", "seeds": [0, 1]}
    record = {"config": config, "command": f"python -m qdcjax.main --config={name}.py"}
    (run / "config.json").write_text(json.dumps(record | {"device": "2 CPU cores"}))
    (run / "timings.json").write_text(json.dumps({"student": 61.0, "answers": 4.0}))
    plates = []
    for at, figure in enumerate(drawn):
        line = figures.lines({"y": {"x": figures.Series([0, 1], [0, at + 1])}}, "x")
        plates.append(Plate(figures.save(line, run / "figures" / f"{figure}.png"), "a line"))
    facts = RunFacts("a command", "sft", "default", [0, 1], "2 CPU cores", "abc", {}, {})
    write_report(
        run / "report.html", Report(title, "", facts, sections=[Section("All", "", plates)])
    )
    if verdicts:
        (run / "verdicts.json").write_text(json.dumps(verdict_records(verdicts)))
    return run


def test_every_finished_run_is_shown_with_its_verdicts(tmp_path):
    claims = [Prediction(name, f"claim <{name}>", 0.0) for name in ("A", "B", "C")]
    found = [Interval(1, 0.5, 1.5), Interval(-1, -2, -0.5), Interval(0, -1, 1)]
    verdicts = [judge(*pair) for pair in zip(claims, found, strict=True)]
    run = finished(tmp_path, "one", "One <study>", verdicts)
    finished(tmp_path, "two", "Another", drawn=())
    (tmp_path / "begun").mkdir()
    of = gallery.entry(run, tmp_path)
    assert of.title == "One <study>" and of.link == "one/report.html"
    assert of.figure == run / "figures" / "b.png", "the first of the page"
    assert [of.count(outcome) for outcome in ("holds", "fails", "undecided")] == [1, 1, 1]
    assert "1 min 5 s" in of.facts and "seeds 0, 1" in of.facts
    page = gallery.write(tmp_path).read_text()
    assert page.count("<section>") == 2 and page.count("data:image/png") == 1
    assert 'href="two/report.html"' in page and "2 runs" in page
    assert "claim &lt;A&gt;" in page and "One &lt;study&gt;" in page
    assert "--config=one.py" in page and "begun" not in page


def test_a_folder_without_runs_is_told(tmp_path):
    with pytest.raises(ValueError, match="has no finished run"):
        gallery.write(tmp_path)
