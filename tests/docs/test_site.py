"""The built site in a headless Chromium: its pages fit, search finds, nothing leaves the machine.

`mkdocs build --site-dir SITE` builds it; `SITE=that folder` names it here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

SITE = os.environ.get("SITE")
BROWSER = os.environ.get("CHROMIUM") or shutil.which("chromium")
PAGES = [
    "", "tutorial/first-network/", "tasks/games/", "baselines/", "reference/options/",
    "reference/metrics/", "api/training/", "results/benchmark/", "design/", "theory/",
]  # fmt: skip
WIDTHS = {"phone": 500, "desktop": 1280}
MEASURE = """
<script>
addEventListener("load", async () => {
  document.body.dataset.overflow = document.documentElement.scrollWidth - innerWidth;
  // Virtual time stands still during a request, but not the worker that searches.
  const waits = () => location.search && !document.querySelector(".md-search-result__link");
  for (let i = 0; i < 60 && waits(); i++) await fetch("/pause");
  const asked = performance.getEntriesByType("resource").map((one) => new URL(one.name).origin);
  document.body.dataset.asked = [...new Set(asked)].join(" ");
});
</script></body>
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(not BROWSER, reason="no chromium in the path, and CHROMIUM names none"),
    pytest.mark.skipif(not SITE, reason="SITE names no folder with the built site"),
]


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and every page with a script that measures it."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if self.path == "/pause":
            time.sleep(1)
        page = path / "index.html" if path.is_dir() else path
        if page.suffix != ".html" or not page.is_file():
            return super().do_GET()
        text = page.read_text(encoding="utf-8").replace("</body>", MEASURE).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@pytest.fixture(scope="module")
def address():
    """Where the site is served."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=SITE))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def browser(folder, *options):
    """Run the browser once; return what it printed."""
    done = subprocess.run(
        [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--hide-scrollbars", "--disable-background-networking", "--disable-component-update",
            f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=20000", *options,
        ],
        capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: page.strip("/").replace("/", "-") or "home"
)
@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_fits_and_is_drawn(address, tmp_path, page, width):
    """Pictures for a reader's eyes, in the folder that ARTEFACTS names."""
    name = page.strip("/").replace("/", "-") or "home"
    picture = Path(os.environ.get("ARTEFACTS") or tmp_path) / f"site-{name}-{width}.png"
    size = f"--window-size={WIDTHS[width]},1600"
    dom = browser(tmp_path, size, f"--screenshot={picture}", "--dump-dom", address + page)
    assert picture.stat().st_size > 20_000
    assert int(re.search(r'data-overflow="(-?\d+)"', dom)[1]) <= 0, "the page scrolls sideways"


def test_search_finds_and_no_other_host_is_asked(address, tmp_path):
    found = browser(tmp_path, "--dump-dom", f"{address}?q=leave-one-out")
    assert re.search(r'<a href="[^"]+" class="md-search-result__link"', found), "nothing found"
    assert re.search(r'data-asked="([^"]*)"', found)[1] == address.rstrip("/")


class Images(HTMLParser):
    """Collects the texts of a page's pictures."""

    def __init__(self):
        super().__init__()
        self.texts = []

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.texts.append(dict(attrs).get("alt"))


def test_every_picture_has_a_text():
    missing = []
    for page in Path(SITE).rglob("*.html"):
        images = Images()
        images.feed(page.read_text(encoding="utf-8"))
        missing += [f"{page}: {text}" for text in images.texts if not (text or "").strip()]
    assert not missing
