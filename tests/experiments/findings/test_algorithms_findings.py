"""Archives, figures and verdicts of algorithms whose candidates are made up."""

import math

import numpy as np
import pytest

from configs import qdc_algorithms as config_of
from qdcjax.experiments.findings import qdc_algorithms as findings
from qdcjax.experiments.running import from_config
from qdcjax.experiments.stages import making
from qdcjax.synthesis.samples import Made, described

CONFIG = config_of.get_config("smoke").to_dict() | {"seeds": [0, 1, 2], "described": 3}
WORKSHOP = making.workshop(CONFIG)


def made(number, template=0, steps=1, gold="5", right=True, **changes):
    fields = {
        "id": f"1-{number}", "round": 1, "operation": "write", "parents": (), "target": 0,
        "question": f"Question {number} of {template}?", "solution": f"{steps} steps\n#### {gold}",
        "invalid": "", "gold": gold, "template": WORKSHOP.source.names[template], "steps": steps,
        "right": right, "process": float(right),
    }  # fmt: skip
    return Made(**fields | changes)


INVALID = made(9, invalid="no template", gold="", steps=0, right=False, dropped="no template")


def test_an_archive_grows_with_the_candidates_as_they_come():
    run = [made(0, right=False, cell=0), made(1, steps=2, cell=1), made(2, cell=0), INVALID]
    assert findings.archives(run, 4) == [(0.25, 0.0), (0.5, 0.25), (0.5, 0.5), (0.5, 0.5)]


def test_figures_are_of_what_was_emitted_at_one_size():
    kept = [made(0), made(1, steps=2, right=False), made(2, template=1), made(3)]
    embed = lambda texts: np.eye(8)[: len(texts)]  # noqa: E731
    found = findings.figures_of([*kept, INVALID], kept, embed, 3)
    assert found["valid"] == found["accepted"] == 0.8 and found["emitted"] == 4
    assert found["right"] == found["process"] == 0.75 and found["steps"] == 1.25
    assert found["vendi"] == pytest.approx(3), "three at right angles"
    assert 1 < found["kinds"] <= 3 + 1e-9 and 0 < found["distinct_2"] <= 1
    less = findings.figures_of(kept, kept[:2], embed, 3)
    assert math.isnan(less["vendi"]) and math.isnan(less["kinds"]) and less["right"] == 0.5
    nothing = findings.figures_of([INVALID], [], embed, 3)
    assert nothing["valid"] == 0 and math.isnan(nothing["right"])


def test_a_filter_of_right_answers_that_are_of_one_kind_leaves_fewer_kinds():
    run = [made(n, template=n % 2, right=n % 2 == 0) for n in range(40)]
    assert findings.kept_kinds(run, 0) == pytest.approx(0.5, abs=0.03)
    assert findings.kept_kinds([made(n, n % 2) for n in range(40)], 0) == pytest.approx(1)
    assert math.isnan(findings.kept_kinds([made(0, right=False), INVALID], 0))


@pytest.mark.parametrize("better", [True, False])
def test_verdicts_follow_the_archives_and_the_front(better):
    """Where MAP-Elites has more cells than the others, all of Q5 holds, and else fails."""
    cells_of = WORKSHOP.cells.of(WORKSHOP.source, 0)
    many = [made(n, n % 2, 1 + n % 3, gold=str(4 + 8 * (n % 3))) for n in range(12)]
    few = [made(n, 0, 1 + n % 2) for n in range(12)]
    many, few = described(many, cells_of), described(few, cells_of)
    runs = {seed: many[: 12 - seed] for seed in CONFIG["seeds"]}
    poor = {seed: few[: 12 - seed] for seed in CONFIG["seeds"]}
    of = {"temperature": poor, "map_elites": runs, "quality_search": poor}
    if not better:
        of = {"temperature": runs, "map_elites": poor, "quality_search": runs}
    fronts = {"way": [], "seed": [], "alpha": [], "quality": [], "vendi": []}
    for seed in CONFIG["seeds"]:
        for alpha in (0.0, 1.0):
            value = alpha if better else -alpha
            row = ("qdit", seed, alpha, 0.9 - 0.2 * value, 5 + value + 0.01 * seed)
            for column, found in zip(fronts.values(), row, strict=True):
                column.append(found)
    table = {"cell": [], "seed": [], "correct": []}
    for seed in CONFIG["seeds"]:
        table["cell"] += ["seeds"] * 4
        table["seed"] += [seed] * 4
        table["correct"] += [True, False, False, False]
    answers = {name: _Whole(table) for name in ("in", "templates", "deeper")}
    predictions = from_config.predictions(CONFIG["predictions"])
    found = findings.find(CONFIG, WORKSHOP, of, of, fronts, answers, predictions)
    outcomes = {v.prediction.name: v.outcome for v in found.verdicts}
    expected = "holds" if better else "fails"
    assert {outcomes[name] for name in outcomes if name.startswith("Q5")} == {expected}
    assert outcomes["Q3_vendi"] == outcomes["Q3_quality"] == expected
    assert found.results["seeds_in_accuracy"].value == 0.25
    assert found.growth["map_elites"].evaluations[-1] == 12
    assert found.dropped == {name: {} for name in of}
    alone = findings.find(
        CONFIG, WORKSHOP, {"temperature": poor}, {"temperature": poor}, fronts, answers, predictions
    )
    assert {v.outcome for v in alone.verdicts if v.prediction.name[:2] == "Q5"} == {"undecided"}


class _Whole(dict):
    """A table that is asked for all its rows."""

    def __getitem__(self, key):
        return self if isinstance(key, slice) else super().__getitem__(key)
