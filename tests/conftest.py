"""What holds for all tests, and fixtures for those that read the built book in a browser."""

import functools
import http.server
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: nets of tests are too small to share

ROOT = Path(__file__).resolve().parents[1]
ANIMALS = ROOT.parent / "shared" / "data" / "voc_animals"  # VOC's images at 320 px, where they are
TOOLS = ROOT / "book" / "tools"
sys.path[:0] = str(TOOLS), str(ROOT / "data_scripts")  # scripts, which their tests import
os.environ["RIBNB_PROGRESS"] = "off"


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path from there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def times(folder: Path) -> dict[Path, int]:
    """When each file and folder below one was changed."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


# No sandbox (it does not work as root, the way containers run), and a browser that asks for
# nothing of its own accord.
BROWSER_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def html(tmp_path_factory) -> Path:
    """The folder of the pages, built from the stored outputs as `make html` does."""
    output = tmp_path_factory.mktemp("built")
    command = [sys.executable, TOOLS / "build.py", "--output", output]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return output / "_build" / "html"


@pytest.fixture(autouse=True)
def no_open_figures():
    """What one test leaves open is not what the next one finds."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Say nothing: a test that fails says what went wrong."""


@pytest.fixture(scope="session")
def site(html) -> str:
    """The address at which the pages are served."""
    handler = functools.partial(_Quiet, directory=html)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def browser():
    """Debian's Chromium; where there is none, these tests are skipped except on CI."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        reason = "no chromium here: `sh book/tools/system.sh chromium` installs it"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=BROWSER_FLAGS)
        yield started
        started.close()


class Reader:
    """One browser tab that notes everything that goes wrong while it reads the book."""

    def __init__(self, tab, site: str):
        self.tab, self.site, self.problems = tab, site, []
        tab.set_default_timeout(60_000)
        tab.on("console", self._console)
        tab.on("pageerror", lambda error: self.problems.append(f"error in a script: {error}"))
        tab.on("request", self._request)
        tab.on("response", self._response)

    def open(self, name: str):
        """Open a page, wait until its formulas are set, and return the tab."""
        self.tab.goto(f"{self.site}/{name}.html", wait_until="load")
        self.tab.evaluate("() => window.MathJax?.startup?.promise.then(() => true)")
        return self.tab

    def _console(self, message) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"console {message.type}: {message.text}")

    def _request(self, request) -> None:
        if not request.url.startswith((self.site, "data:", "blob:")):
            self.problems.append(f"request leaves the book: {request.url}")

    def _response(self, response) -> None:
        if response.status >= 400:
            self.problems.append(f"status {response.status}: {response.url}")


@pytest.fixture
def reader(browser, site) -> Reader:
    """A tab of a desktop's size; `.open(page)` opens a page."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield Reader(context.new_page(), site)
    context.close()
