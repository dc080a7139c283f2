"""The report in a real browser: images load, scripts run, filters filter, nothing is logged."""

import json
import re
import shutil
import subprocess

import pytest
import runs
import synthetic_report

from qdcjax.reporting import page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")

# Drives the page as a reader would and leaves what it saw in the title.
DRIVER = r"""
const q = (selector) => [...document.querySelectorAll(selector)];
const form = document.getElementById("controls").elements;
const choose = (name, value) => {
  form[name].value = value;
  const field = form[name];
  const input = field instanceof RadioNodeList ? [...field].find((r) => r.checked) : field;
  input.dispatchEvent(new Event("input", { bubbles: true }));
};
const count = () => q("[data-pager] span")[0].textContent;
const seen = { images: q("img").map((i) => i.complete && i.naturalWidth), all: count(),
  cards: q(".solution").length, scores: q(".solution thead tr")[0].children.length - 2,
  overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  hostile: q(".question")[0].textContent, bold: q("#solution-list .question b").length };
q("[data-pager] button")[1].click(); seen.second = count();
choose("show", "wrong"); seen.wrong = count();
seen.badges = [...new Set(q(".badge").map((b) => b.textContent))];
seen.errors = q(".error-label").length; seen.cardsWrong = q(".solution").length;
choose("show", "missed-0"); seen.missed = count();
choose("show", "disagree"); seen.disagree = count();
choose("show", "all"); choose("depth", "3"); seen.depth = count();
choose("depth", ""); choose("group", "in distribution"); seen.group = count();
choose("group", ""); choose("search", "SHELF 117?"); seen.search = count();
choose("search", "no such words"); seen.none = count();
choose("search", ""); choose("model", "1");
seen.one = q(".solution thead tr")[0].children.length - 2;
seen.tint = q(".solution .line")[1].style.background !== "";
document.title = JSON.stringify(seen);
"""


def open_page(path, profile, *flags):
    """The DOM after the scripts ran, and the lines that the page logged."""
    command = [
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic",
        "--no-first-run", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", f"--user-data-dir={profile}", "--enable-logging=stderr", "--v=0",
        "--virtual-time-budget=5000", "--dump-dom", *flags, path.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def drive(path, folder, *flags):
    """What the driver saw in a page that logs nothing."""
    html = path.read_text(encoding="utf-8")
    # The page's own policy admits no second script, so the driven copy goes without it.
    html = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
    driven = folder / "driven.html"
    driven.write_text(html.replace("</body>", f"<script>{DRIVER}</script></body>"), "utf-8")
    dom, logged = open_page(driven, folder / "profile", *flags)
    assert logged == []
    title = re.search(r"<title>(.*?)</title>", dom, re.S).group(1)
    return json.loads(title.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chromium")
    made = synthetic_report.report(folder, solution_count=200)
    return made, page.write_report(folder / "report.html", made)


def test_a_reader_finds_figures_solutions_and_no_errors(report, tmp_path):
    _, path = report
    picture = tmp_path / "page.png"
    dom, logged = open_page(
        path, tmp_path / "profile", "--window-size=1100,2400", f"--screenshot={picture}"
    )
    assert logged == []
    assert dom.count('class="solution"') == 10 and "1–10 of 200" in dom
    assert picture.stat().st_size > 50_000


def test_filters_paging_and_the_switch_of_models(report, tmp_path):
    made, path = report
    seen = drive(path, tmp_path, "--window-size=500,2400")

    solutions = made.browser.solutions
    wrong = sum(not s.correct for s in solutions)
    assert len(seen["images"]) == 7 and min(seen["images"]) > 400
    assert (seen["all"], seen["second"], seen["cards"]) == ("1–10 of 200", "11–20 of 200", 10)
    assert seen["overflow"] == 0 and seen["bold"] == 0
    assert seen["hostile"] == synthetic_report.HOSTILE
    assert seen["wrong"] == f"1–10 of {wrong}" and seen["badges"] == ["✗ wrong answer"]
    assert seen["errors"] == seen["cardsWrong"] == 10
    data = page.browser_data(made.browser)["solutions"]
    assert seen["missed"].endswith(f"of {sum(s['missed'][0] for s in data)}")
    assert seen["disagree"].endswith(f"of {sum(s['disagree'] for s in data)}")
    assert seen["depth"].endswith(f"of {sum(s.depth == 3 for s in solutions)}")
    assert seen["group"].endswith(f"of {sum(s.group == 'in distribution' for s in solutions)}")
    assert seen["search"] == "1–1 of 1" and seen["none"] == "No solution matches."
    assert (seen["scores"], seen["one"], seen["tint"]) == (2, 1, True)


def test_the_policy_blocks_a_script_that_is_not_the_pages_own(report, tmp_path):
    _, path = report
    html = path.read_text(encoding="utf-8")
    injected = tmp_path / "injected.html"
    injected.write_text(
        html.replace("</body>", "<script>document.title = 'ran'</script></body>"), "utf-8"
    )
    dom, logged = open_page(injected, tmp_path / "profile")
    assert "<title>ran</title>" not in dom and any("Content Security Policy" in x for x in logged)


@pytest.mark.slow
def test_the_page_of_a_run_shows_its_figures_and_solutions(tmp_path):
    """The smoke study's own report, as a reader opens it, and as the driver does."""
    workdir = runs.finished("sorm")
    dom, logged = open_page(workdir / "report.html", tmp_path / "as it is")
    assert logged == [] and dom.count('class="solution"') == 10
    seen = drive(workdir / "report.html", tmp_path)
    assert len(seen["images"]) == len(list((workdir / "figures").iterdir())) > 3
    assert min(seen["images"]) > 400, "pixels across"
    config = json.loads((workdir / "config.json").read_text())["config"]
    assert seen["all"] == f"1–10 of {config['evaluation']['questions']}" and seen["cards"] == 10
    assert (seen["scores"], seen["one"], seen["tint"]) == (2, 1, True), "an ORM and a SORM"
