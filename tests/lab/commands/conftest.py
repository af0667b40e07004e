"""A small run that went through all stages, to be broken by the tests."""

import os
import shutil
from pathlib import Path

import pytest
import yaml
from support import params

from vct.lab import cli
from vct.lab.commands import data as data_stage
from vct.lab.data import dataset
from vct.lab.settings import reading

RUN = "small/variational/seed0"
STAGES = (["data", "points"], ["train", RUN], ["sample", RUN], ["score", RUN])


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A project with one run, scored."""
    folder = tmp_path_factory.mktemp("finished")
    settings = params({"runtime.tracking": False})
    (folder / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert [cli.main(stage) for stage in STAGES] == [0] * len(STAGES)
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def project(finished, tmp_path, monkeypatch, capsys) -> Path:
    """The current folder: a copy of it, with nothing printed yet."""
    folder = tmp_path / "project"
    shutil.copytree(finished, folder)
    monkeypatch.chdir(folder)
    capsys.readouterr()
    return folder


@pytest.fixture
def refused(capsys):
    """The one line on stderr of a command that ends with code 2."""

    def run(*arguments: str) -> str:
        assert cli.main(list(arguments)) == 2
        err = capsys.readouterr().err
        assert err.startswith("vct: error: ") and err.count("\n") == 1, err
        return err

    return run


@pytest.fixture
def make_project(tmp_path, monkeypatch):
    """Write params.yaml with `changes` (see `support.params`), make its data, return Params."""
    monkeypatch.chdir(tmp_path)

    def make(changes):
        content = params({"runtime.tracking": False, **changes})
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
        loaded = reading.load()
        for name in ("points", "images"):
            if not dataset.dataset_dir(name).exists():
                data_stage.data(loaded, name)
        return loaded

    return make
