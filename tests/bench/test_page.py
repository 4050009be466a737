"""The report of a small benchmark in a headless Chromium, from disk and without a network."""

import json
import os
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest
from rich.console import Console

from neuromas_env.bench.config import BenchConfig
from neuromas_env.bench.report import write_report
from neuromas_env.bench.runner import run_benchmark

BROWSER = os.environ.get("CHROMIUM") or shutil.which("chromium")
HOSTILE = "</script><script>document.title='broken'</script><img src=http://example.org/x>"
CHANGE = """
<script>
addEventListener("load", () => {
  const choose = (id, value) => {
    const select = document.getElementById(id);
    select.value = value;
    select.dispatchEvent(new Event("change"));
  };
  choose("method", 1);
  choose("beside", 0);
  document.querySelector('#left circle[data-node="node_3"]').dispatchEvent(new Event("click"));
  document.querySelector("#tables th:nth-child(2)").dispatchEvent(new Event("click"));
  const filter = document.getElementById("filter");
  filter.value = "debate";
  filter.dispatchEvent(new Event("input"));
});
</script></body>
"""
WIDTHS = (1280, 500)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(not BROWSER, reason="no chromium in the path, and CHROMIUM names none"),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a benchmark in which a model writes markup."""
    out = tmp_path_factory.mktemp("page") / "out"
    config = BenchConfig(
        str(out), ("direct", "debate"), ("hierarchy/max",), limit=4,
        engine="support.bench_engines:make", model=f"right=0.5,add={HOSTILE}",
    )  # fmt: skip
    run_benchmark(config)
    write_report(Console(quiet=True), out)
    return out / "report.html"


def browser(folder, *options):
    """Run the browser once; return what it printed."""
    done = subprocess.run(
        [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update",
            f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=5000", *options,
        ],
        capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def browse(page, folder):
    """Return the page as the browser has it after its scripts ran, and all it asked for."""
    log = folder / "net.json"
    dom = browser(folder, f"--log-net-log={log}", "--dump-dom", page.resolve().as_uri())
    return dom, set(re.findall(r'"url":"(https?://[^"]+)"', log.read_text(errors="replace")))


def test_what_a_model_wrote_is_shown_and_does_nothing(page, tmp_path):
    assert page.read_text().count("</body>") == 1
    dom, asked = browse(page, tmp_path)
    assert "<title>Benchmark out</title>" in dom
    assert not [url for url in asked if "example.org" in url]
    assert dom.count("<table>") == 4 and dom.count("data:image/svg") == 2
    shown = unescape(dom[dom.index('<div id="asked">') :])
    assert "largest" in shown.lower() and HOSTILE in shown


@pytest.fixture(scope="module")
def changed(page, tmp_path_factory):
    """The page after some clicks."""
    folder = tmp_path_factory.mktemp("changed")
    (folder / "page.html").write_text(page.read_text().replace("</body>", CHANGE))
    return browse(folder / "page.html", folder)[0]


def test_a_click_on_a_node_shows_its_message(changed):
    left = changed[changed.index('<div id="left">') : changed.index('<div id="right">')]
    assert left.count("<circle") == 7
    chosen = re.search(r'<div class="said chosen" data-node="node_3">', left)
    data = json.loads(re.search(r'id="data">(.*?)</script>', changed, re.S)[1])
    asked = unescape(re.search(r"<h3>Question</h3><pre>(.*?)</pre>", changed, re.S)[1])
    [id] = [id for id, (text, _) in data["questions"]["hierarchy/max"].items() if text == asked]
    [answer] = [one for one in data["runs"][1]["answers"] if one["row_id"] == id]
    assert answer["said"][3]["text"] in unescape(left[chosen.end() :])


def test_two_methods_answer_one_question_and_wrong_answers_stand_first(changed):
    right = changed[changed.index('<div id="right">') :]
    assert "<h3>direct</h3>" in right and right.count("<circle") == 1
    options = changed.split('id="question"')[1].split("</select>")[0]
    marks = re.findall(r'<option value="[^"]+">(.)', options)
    assert sorted(marks, key="!✗◐✓".index) == marks and len(marks) == 4


def test_tables_are_sorted_and_filtered(changed):
    table = changed[changed.index("<tbody>") : changed.index("</tbody>")]
    assert 'aria-sort="descending"' in changed
    rows = re.findall(r"<tr( hidden=\"\")?><td class=\"name\">(\w+)", table)
    assert {name: bool(hidden) for hidden, name in rows} == {
        "direct": True,
        "debate": False,
        "best": True,
    }


@pytest.mark.parametrize("width", WIDTHS)
def test_it_is_drawn_at_this_width(page, tmp_path, width):
    """Pictures for a reader's eyes, in the folder that ARTEFACTS names."""
    folder = Path(os.environ.get("ARTEFACTS") or tmp_path)
    picture = folder / f"report-{width}.png"
    browser(tmp_path, f"--window-size={width},2400", f"--screenshot={picture}", page.as_uri())
    assert picture.stat().st_size > 20_000
