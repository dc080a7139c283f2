import dataclasses
import json
from html.parser import HTMLParser

import pytest
import synthetic_report

from qdcjax.measures.intervals import Interval
from qdcjax.measures.predictions import Prediction, Verdict, judge
from qdcjax.reporting import browser, page

RUN = page.RunFacts(
    "python -m qdcjax.main --config=configs/x.py", "x", "smoke", (0,), "CPU", "abc", {}, {}
)


class Elements(HTMLParser):
    """Start tags, and the text of scripts and of the rest."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.text, self._script = [], [], "", False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._script = tag == "script"
        if self._script:
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._script = False

    def handle_data(self, data):
        if self._script:
            self.scripts[-1] += data
        else:
            self.text += data


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    report = synthetic_report.report(folder, solution_count=12)
    return page.write_report(folder / "report.html", report).read_text(encoding="utf-8")


def test_hostile_text_reaches_the_script_as_data_and_nowhere_as_markup(html):
    parsed = Elements(html)
    assert len(parsed.scripts) == 2
    data = json.loads(parsed.scripts[0])
    first = data["solutions"][0]
    assert first["question"] == synthetic_report.HOSTILE
    assert first["steps"][0]["text"] == synthetic_report.HOSTILE
    assert "alert(1)" not in parsed.scripts[1]
    assert "\u2028" not in html and "<b>bold</b>" not in html


def test_hostile_text_is_escaped_in_every_part_of_the_page(tmp_path):
    bad = synthetic_report.HOSTILE
    report = page.Report(
        bad,
        bad,
        page.RunFacts(bad, bad, bad, (0,), bad, bad, {bad: bad}, {bad: 1.0}),
        [page.HeadlineRow(bad, Interval(1.0, 0.0, 2.0, bad), bad, bad)],
        [judge(Prediction(bad, bad, 0.0), Interval(1.0, 0.5, 2.0, bad))],
        [page.Section(bad, bad, (), [page.Table([bad], [[bad]], bad, [bad])])],
        browser.SolutionBrowser([], {bad: 0.5}, bad),
    )
    html = page.write_report(tmp_path / "r.html", report).read_text(encoding="utf-8")
    parsed = Elements(html)
    assert len(parsed.scripts) == 2 and not any("alert" in s for s in parsed.scripts[1:])
    assert parsed.text.count("<b>bold</b>") >= 20
    assert "<b>bold" not in html and "\u2028" not in parsed.scripts[0]


def test_the_page_asks_for_nothing_outside_itself(html):
    for tag, attributes in Elements(html).tags:
        assert tag not in ("link", "iframe", "object")
        for name in ("src", "href"):
            value = attributes.get(name) or "#"
            assert value.startswith(("data:image/png;base64,", "#")), (tag, value[:60])
    assert "default-src 'none'" in html and "url(" not in html and "@import" not in html


def test_the_table_of_contents_points_at_parts_that_exist(html):
    tags = Elements(html).tags
    ids = [a["id"] for _, a in tags if "id" in a]
    links = [a["href"][1:] for tag, a in tags if tag == "a"]
    assert len(ids) == len(set(ids)) and set(links) <= set(ids)
    assert links[:2] == ["headline", "verdicts"] and links[-1] == "run"


def test_numbers_verdicts_and_facts_are_shown(html):
    text = " ".join(Elements(html).text.split())
    for wanted in (
        "68.2 % 66.4 to 70.0",
        "24,132 tokens/s no interval",
        "✓ holds 0.091 0.061 to 0.121 ≥ 0.04",
        "✗ fails",
        "? undecided",
        "seeds 0, 1, 2",
        "e21f120 (with changes)",
        "jax 0.10.2",
        "3 min 12 s",
        "Intervals: 95 % t over 3 seeds.",
        "93.0 % [91.9 to 94.1]",
    ):
        assert wanted in text


def test_every_part_but_the_run_is_optional(tmp_path):
    path = page.write_report(tmp_path / "new" / "r.html", page.Report("T", "D", RUN))
    tags = Elements(path.read_text(encoding="utf-8")).tags
    assert [a["id"] for tag, a in tags if tag == "section"] == ["run"]
    assert "browser-data" not in [a.get("id") for _, a in tags]


def test_a_verdict_without_a_measured_interval_is_shown_as_such(tmp_path):
    nan = float("nan")
    verdict = Verdict(Prediction("P", "claim", 1.0, "below"), Interval(nan, nan, nan), "undecided")
    report = page.Report("T", "D", RUN, verdicts=[verdict])
    html = page.write_report(tmp_path / "r.html", report).read_text(encoding="utf-8")
    assert "not measured" in html and "no interval" in html and "≤ 1" in html
    assert "<svg" not in html and ">nan" not in html


def test_a_missing_figure_or_one_that_is_no_png_is_refused(tmp_path):
    def report(path):
        return page.Report("T", "D", RUN, sections=[page.Section("S", "", [page.Plate(path, "c")])])

    with pytest.raises(FileNotFoundError, match=r"absent\.png"):
        page.write_report(tmp_path / "r.html", report(tmp_path / "absent.png"))
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(ValueError, match=r"text\.png: not a PNG"):
        page.write_report(tmp_path / "r.html", report(tmp_path / "text.png"))


def test_tables_refuse_rows_of_another_length():
    with pytest.raises(ValueError, match="a row has 1 cells, not 2"):
        page.Table(["a", "b"], [["x"]], "c")
    with pytest.raises(ValueError, match="1 units for 2 columns"):
        page.Table(["a", "b"], [], "c", ["%"])


def solution(truths, scores, answer_truth=None):
    steps = [
        browser.StepView(f"s{i}", t, {"A": a, "B": b})
        for i, (t, (a, b)) in enumerate(zip(truths, scores, strict=True))
    ]
    steps.append(browser.StepView("#### 1", answer_truth, {"A": 0.1, "B": 0.1}))
    return browser.SolutionView("q", "r", "1", False, 2, steps)


def data_of(view):
    return browser.browser_data(browser.SolutionBrowser([view], {"A": 0.5, "B": 0.5}))["solutions"][
        0
    ]


def test_first_errors_missed_errors_and_false_alarms():
    # A passes the error at 1 and flags 2; B flags the right step 0.
    data = data_of(solution([True, False, False], [(0.9, 0.2), (0.8, 0.3), (0.4, 0.1)]))
    assert data["error"] == 1 and data["flags"] == [2, 0]
    assert data["missed"] == [True, False] and data["alarms"] == [False, True]
    assert data["disagree"]


def test_the_answer_line_counts_only_where_no_truth_is_known():
    known = data_of(solution([True, True], [(0.9, 0.9), (0.9, 0.9)]))
    assert known["flags"] == [None, None] and not known["disagree"]
    unknown = data_of(solution([None, None], [(0.9, 0.9), (0.9, 0.9)]))
    assert unknown["flags"] == [2, 2] and unknown["alarms"] == [False, False]


def test_a_non_finite_or_absent_score_is_null():
    step = browser.StepView("s", True, {"A": float("nan")})
    data = data_of(dataclasses.replace(solution([], []), steps=[step]))
    assert data["steps"][0]["scores"] == [None, None]
    json.dumps(data, allow_nan=False)


def test_a_score_of_a_model_without_a_threshold_is_refused():
    with pytest.raises(ValueError, match="'B', which has no threshold"):
        browser.SolutionBrowser([solution([True], [(1.0, 1.0)])], {"A": 0.5})


def test_refinements_stand_beside_their_draft():
    made = browser.RefinementView(
        "global refinement", "3", True, [browser.StepView("s", False, {})], 1, float("nan"), True
    )
    view = dataclasses.replace(
        solution([True, False], [(0.9, 0.9), (0.2, 0.9)]),
        marked=1, refinements=[made], score=0.25, outcome="fixed",
    )  # fmt: skip
    data = data_of(view)
    assert (data["marked"], data["score"], data["chosen"], data["outcome"]) == (
        1, 0.25, False, "fixed",
    )  # fmt: skip
    (other,) = data["refinements"]
    assert (other["kept"], other["score"], other["chosen"], other["error"]) == (1, None, True, 0)
    assert other["steps"][0]["scores"] == [] and other["correct"]
    json.dumps(data, allow_nan=False)
