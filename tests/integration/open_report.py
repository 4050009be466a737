"""Opens the report of a small benchmark in a headless Chromium, from disk and without a network.

Needs `chromium` (a Debian package of that name) or what CHROMIUM names:

    python tests/integration/open_report.py
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from html import unescape
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from rich.console import Console  # noqa: E402

from neuromas_env.bench.config import BenchConfig  # noqa: E402
from neuromas_env.bench.report import write_report  # noqa: E402
from neuromas_env.bench.runner import run_benchmark  # noqa: E402

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


def check(condition, what):
    if not condition:
        raise SystemExit(f"FAILED: {what}")
    print(f"ok: {what}")


def browse(page, folder):
    """Return the page as the browser has it after its scripts ran, and all it asked for."""
    browser = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if browser is None:
        raise SystemExit("no chromium here: apt-get install chromium, or set CHROMIUM")
    log = folder / "net.json"
    done = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update",
            f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}",
            "--virtual-time-budget=5000", "--dump-dom", page.resolve().as_uri(),
        ],
        capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    check(done.returncode == 0, "the browser opens the page")
    asked = set(re.findall(r'"url":"(https?://[^"]+)"', log.read_text(errors="replace")))
    return done.stdout, asked


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        config = BenchConfig(
            str(folder / "out"), ("direct", "debate"), ("hierarchy/max",), limit=4,
            engine="support.bench_engines:make", model=f"right=0.5,add={HOSTILE}",
        )  # fmt: skip
        run_benchmark(config)
        write_report(Console(), folder / "out")
        page = folder / "out" / "report.html"
        text = page.read_text()
        check(text.count("</body>") == 1, "what a model wrote is no markup in the file")

        dom, asked = browse(page, folder)
        check("<title>Benchmark out</title>" in dom, "no text of a model ran as a script")
        check(not [url for url in asked if "example.org" in url], "nothing was asked of others")
        check(dom.count("<table>") == 3 and dom.count("data:image/svg") == 2, "tables and plots")
        shown = unescape(dom[dom.index('<div id="transcript">') :])
        check("Largest" in shown or "largest" in shown, "the question is shown")
        check(HOSTILE in shown, "a message is shown as it was written")

        clicked = folder / "clicked.html"
        clicked.write_text(text.replace("</body>", CLICK))
        dom, _ = browse(clicked, folder)
        network = dom[dom.index('<div id="network">') : dom.index('<div id="transcript">')]
        check(network.count("<circle") == 7, "the chosen transcript is drawn on its network")
        chosen = re.search(r'<section class="said chosen" data-node="node_3">', dom)
        check(chosen is not None, "a click on a node shows its message")
        data = json.loads(re.search(r'id="data">(.*?)</script>', dom, re.S)[1])
        said = data["runs"][1]["answers"][2]["said"][3]["text"]
        check(said in unescape(dom[chosen.end() :]), "and it is the message of that question")


if __name__ == "__main__":
    main()
