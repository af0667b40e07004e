"""The report as a browser shows it: alone, without a network, on a screen as wide as a phone's."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from report_suite import picture, suite_params

from vct.lab.report import page
from vct.lab.report.recipes import Times

BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium and no google-chrome")

PROBE = """
<script>
const wide = document.scrollingElement.scrollWidth;
const images = [...document.images].map(image => image.naturalWidth);
const asked = performance.getEntriesByType("resource").map(entry => entry.name);
const details = document.querySelectorAll("details").length;
parent.postMessage(JSON.stringify({wide, inner: innerWidth, images, asked, details}), "*");
</script>
"""
FRAME = """<!doctype html><pre id="found"></pre>
<script>onmessage = event => document.querySelector("#found").textContent = event.data</script>
<iframe src="{name}" width="{width}" height="900" style="border:0"></iframe>
"""
"""No window is narrower than 500 pixels."""
POLICY = re.compile(r"<meta http-equiv=.*?>", re.DOTALL)


def shown(path: Path, profile: Path) -> subprocess.CompletedProcess:
    """The page after it was shown: its DOM on stdout, what the console says on stderr."""
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    command += [f"--user-data-dir={profile}", "--dump-dom"]
    command += ["--enable-logging=stderr", "--virtual-time-budget=3000", path.resolve().as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture
def report(project) -> Path:
    """A page with a wide picture, long names and all that may be folded away."""
    picture("told/digits_small-curves.png", 1118, 406)
    picture("told/digits_small-samples.png", 950, 500)
    return page.write_page(suite_params(), "told", False, lambda *_: Times("2026", "0:01", "c"))


def probed(report: Path, width: int) -> dict:
    """What the probe found, with everything unfolded."""
    text = POLICY.sub("", report.read_text(encoding="utf-8"))
    copy = report.with_name("probe.html")
    copy.write_text(text.replace("<details", "<details open").replace("</body>", f"{PROBE}</body>"))
    frame = report.with_name("frame.html")
    frame.write_text(FRAME.format(name=copy.name, width=width))
    found = re.search(r'id="found">(.+?)</pre>', shown(frame, report.parent / "browser").stdout)
    assert found, "the probe did not run"
    return json.loads(found[1].replace("&amp;", "&"))


def test_the_console_is_silent(report, tmp_path):
    """Its policy forbids all but its own pictures: a violation would stand on the console."""
    result = shown(report, tmp_path / "browser")
    assert "How to reproduce each number" in result.stdout
    assert "CONSOLE" not in result.stderr


@pytest.mark.parametrize("width", [420, 1400])
def test_no_page_scrolls_sideways_and_nothing_is_fetched(report, width):
    found = probed(report, width)
    assert found["inner"] == width and found["details"] > 3
    assert found["wide"] <= width
    assert found["images"] and all(found["images"])
    assert all(name.startswith("data:") for name in found["asked"])
