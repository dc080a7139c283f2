"""What a run records about its predictions: before anything is run, and at its end."""

import json
import math

import pytest

from qdcjax.experiments.running.publish import fix_predictions, verdict_records
from qdcjax.measures.intervals import Interval
from qdcjax.measures.predictions import Prediction, judge
from qdcjax.workdir import StageChangedError, Workdir


def config(threshold: float) -> dict:
    return {
        "study": "toy",
        "predictions": {"G1": {"claim": "a is more than b", "threshold": threshold}},
    }


def test_a_threshold_that_was_edited_after_the_run_is_told(tmp_path):
    fix_predictions(Workdir(tmp_path, config(0.04)))
    file = tmp_path / "stages" / "predictions" / "predictions.json"
    assert json.loads(file.read_text()) == config(0.04)["predictions"]
    fix_predictions(Workdir(tmp_path, config(0.04)))
    words = r"G1\.threshold=0\.04, and the config says 0\.01: use --redo=predictions "
    with pytest.raises(StageChangedError, match=words):
        Workdir(tmp_path, config(0.01))
    fix_predictions(Workdir(tmp_path, config(0.01), redo="predictions"))
    assert json.loads(file.read_text())["G1"]["threshold"] == 0.01


def test_verdicts_are_recorded_with_their_numbers():
    decided = judge(Prediction("G1", "claim", 0.1, "below"), Interval(0.05, 0.02, 0.08, "how"))
    nothing = Interval(math.nan, math.nan, math.nan, "why not")
    records = verdict_records([decided, judge(Prediction("G2", "other", 0), nothing)])
    assert records["G1"] == {
        "claim": "claim",
        "threshold": 0.1,
        "direction": "below",
        "estimate": 0.05,
        "low": 0.02,
        "high": 0.08,
        "method": "how",
        "verdict": "holds",
    }
    unknown = records["G2"]
    assert unknown["estimate"] is unknown["low"] is unknown["high"] is None
    assert unknown["verdict"] == "undecided" and unknown["method"] == "why not"
    json.dumps(records, allow_nan=False)
