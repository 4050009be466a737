"""The report of a small benchmark in a headless Chromium, from disk and without a network."""

import json
import os
import re
import shutil
import subprocess
from html import unescape

import pytest
from rich.console import Console

from neuromas_env.bench.config import BenchConfig
from neuromas_env.bench.report import write_report
from neuromas_env.bench.runner import run_benchmark

BROWSER = os.environ.get("CHROMIUM") or shutil.which("chromium")
HOSTILE = "</script><script>document.title='broken'</script><img src=http://example.org/x>"
CLICK = """
<script>
addEventListener("load", () => {
  const select = document.getElementById("method");
  select.value = 1;
  select.dispatchEvent(new Event("change"));
  document.getElementById("question").value = 2;
  document.getElementById("question").dispatchEvent(new Event("change"));
  document.querySelector('circle[data-node="node_3"]').dispatchEvent(new Event("click"));
});
</script></body>
"""

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


def browse(page, folder):
    """Return the page as the browser has it after its scripts ran, and all it asked for."""
    log = folder / "net.json"
    done = subprocess.run(
        [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update",
            f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}",
            "--virtual-time-budget=5000", "--dump-dom", page.resolve().as_uri(),
        ],
        capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout, set(
        re.findall(r'"url":"(https?://[^"]+)"', log.read_text(errors="replace"))
    )


def test_what_a_model_wrote_is_shown_and_does_nothing(page, tmp_path):
    assert page.read_text().count("</body>") == 1
    dom, asked = browse(page, tmp_path)
    assert "<title>Benchmark out</title>" in dom
    assert not [url for url in asked if "example.org" in url]
    assert dom.count("<table>") == 3 and dom.count("data:image/svg") == 2
    shown = unescape(dom[dom.index('<div id="transcript">') :])
    assert "largest" in shown.lower() and HOSTILE in shown


def test_a_click_on_a_node_shows_its_message(page, tmp_path):
    text, clicked = page.read_text(), tmp_path / "clicked.html"
    clicked.write_text(text.replace("</body>", CLICK))
    dom, _ = browse(clicked, tmp_path)
    network = dom[dom.index('<div id="network">') : dom.index('<div id="transcript">')]
    assert network.count("<circle") == 7
    chosen = re.search(r'<section class="said chosen" data-node="node_3">', dom)
    data = json.loads(re.search(r'id="data">(.*?)</script>', dom, re.S)[1])
    assert data["runs"][1]["answers"][2]["said"][3]["text"] in unescape(dom[chosen.end() :])
