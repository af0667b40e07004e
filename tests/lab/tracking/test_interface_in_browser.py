"""MLflow's page as a browser shows it: the runs with their charts, and nothing asked elsewhere."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tracking_support import RUN, finish, write_log

from vct.lab.tracking import app, ui
from vct.lab.tracking.delivery import send
from vct.lab.tracking.store import Store

BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium and no google-chrome")


@pytest.fixture
def served(root):
    """The address of the page, while it is served."""
    write_log(root, [1, 2])
    finish(root, {"steps1": {"w2": 0.5}})
    send(root, RUN)
    store, port = Store(root), ui.free_port(None)
    with ui.server(store, ["digits"], port):
        yield f"http://{ui.HOST}:{port}"


def shown(address: str, folder: Path) -> tuple[str, set[str]]:
    """The page after a while, and the hosts that it asked."""
    log = folder / "net.json"
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    command += [f"--user-data-dir={folder / 'browser'}", f"--log-net-log={log}"]
    command += ["--virtual-time-budget=60000", "--dump-dom", f"{address}{app.PAGE}"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=300)
    text = log.read_text(encoding="utf-8").rstrip().rstrip(",")
    events = json.loads(text if text.endswith("}") else f"{text}]}}")["events"]
    parts = [event["params"] for event in events if isinstance(event.get("params"), dict)]
    asked = {part["url"] for part in parts if "url" in part and part.get("initiator") == address}
    return found.stdout, {urlsplit(url).netloc for url in asked if url.startswith("http")}


def test_the_runs_are_shown_with_charts_and_no_other_host_is_asked(served, tmp_path):
    page, hosts = shown(served, tmp_path)
    text = re.sub(r"<[^>]+>", " ", re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL))
    assert "variational (digits)" in text and "seed0 variational" in text
    assert "Search metric charts" in page and "scores" in text
    assert "Ask questions about your" not in text  # its panel for language models
    assert hosts == {urlsplit(served).netloc}
