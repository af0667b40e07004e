"""A project with a database of MLflow, made once and copied."""

import os
import shutil
import subprocess
import sys

import pytest
from tracking_support import SOURCE


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A folder whose database four processes made at once; tests copy it, for it takes seconds."""
    folder = tmp_path_factory.mktemp("template")
    script = (
        "import sys; from pathlib import Path; from vct.lab.tracking.store import Store;"
        "Store(Path(sys.argv[1])).prepare()"
    )
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = [sys.executable, "-c", script, str(folder)]
    workers = [
        subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    errors = [worker.communicate(timeout=120)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 4, errors
    return folder


@pytest.fixture
def root(template, tmp_path, monkeypatch):
    """A project with a database; its path has a blank and a percent sign."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("VCT_TRACKING", raising=False)
    folder = tmp_path / "my 5% project"
    shutil.copytree(template, folder)
    return folder
