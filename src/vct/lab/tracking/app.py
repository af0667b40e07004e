"""MLflow's own server with one page more, which sets up the browser and goes on to the runs.

`uvicorn --factory vct.lab.tracking.app:make` serves it, told by its environment what.
"""

import json
import os
from pathlib import Path
from typing import Any

from vct.lab.tracking.store import Store, server_app
from vct.lab.tracking.view import View

PAGE = "/runs"
ROOT, SUITE = "VCT_UI_ROOT", "VCT_UI_SUITE"
"""Folder of the project, and the experiments of the suite with blanks between them."""
HTML = """<!doctype html><meta charset="utf-8"><title>Runs</title>
<script>
for (const [key, given] of Object.entries({storage})) {
  let kept = null;
  try { kept = JSON.parse(localStorage.getItem(key)); } catch {}
  const both = given instanceof Object ? {...given, ...kept} : kept ?? given;
  localStorage.setItem(key, JSON.stringify(both));
}
location.replace({address});
</script>
"""


def page(view: View) -> str:
    """A page that keeps what a user has chosen before."""
    given = {"{storage}": view.storage, "{address}": f"/{view.address}"}
    text = HTML
    for word, value in given.items():
        text = text.replace(word, json.dumps(value).replace("<", "\\u003c"))
    return text


def make() -> Any:
    """The application; its first page is worked out anew each time it is asked for."""
    store = Store(Path(os.environ[ROOT]))
    mlflow, suite = server_app(store), os.environ[SUITE].split()

    async def served(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != PAGE:
            await mlflow(scope, receive, send)
            return
        headers = [(b"content-type", b"text/html; charset=utf-8"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": page(View(store, suite)).encode()})

    return served
