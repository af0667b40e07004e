"""What `vct smoke` lays out before Snakemake starts, and how it starts it."""

import os
from itertools import pairwise

import pytest
import yaml
from support import real_params

from vct.lab.commands import smoke as stage
from vct.lab.metrics.extractors.inception import FILE
from vct.lab.settings import reading

PARAMS = reading.validate(real_params())


@pytest.fixture
def started(tmp_path, monkeypatch):
    """The command line and the environment of the Snakemake that the stage becomes."""
    monkeypatch.chdir(tmp_path)
    calls = []
    monkeypatch.setattr(os, "execve", lambda *given: calls.append(given))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    return calls


def put(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def test_it_runs_in_a_folder_of_its_own_and_tells_nobody(started, tmp_path, capsys):
    stage.smoke(PARAMS, "paper", 2, 3)
    ((_, command, environment),) = started
    given = dict(pairwise(command))
    assert given["--directory"] == "smoke/paper" and given["--cores"] == "3"
    assert given["--config"] == "suite=smoke-paper"
    assert "MLFLOW_TRACKING_URI" not in environment
    assert str(tmp_path) in environment["PYTHONPATH"].split(os.pathsep)
    assert "stand in for cifar10, fashion-mnist, ffhq64, imagenet64" in capsys.readouterr().err
    written = (tmp_path / "smoke/paper/params.yaml").read_text()
    assert reading.load(tmp_path / "smoke/paper/params.yaml").suite("smoke-paper")
    assert yaml.safe_load(written)["runtime"]["device"] == "cpu"


def test_files_at_hand_are_linked_and_links_follow_them(started, tmp_path):
    put(tmp_path / FILE)
    put(tmp_path / "data/raw/ffhq64/1.png")
    stage.smoke(PARAMS, "paper", 2, None)
    for path in (FILE, "data/raw/ffhq64"):
        link = tmp_path / "smoke/paper" / path
        assert link.is_symlink() and link.resolve() == tmp_path / path
    (tmp_path / FILE).unlink()
    stage.smoke(PARAMS, "paper", 2, None)
    assert not (tmp_path / "smoke/paper" / FILE).is_symlink()


def test_state_of_other_settings_is_not_in_the_way(started, tmp_path):
    stage.smoke(PARAMS, "cpu", 2, None)
    kept = tmp_path / "smoke/cpu/state/checkpoint"
    put(kept)
    stage.smoke(PARAMS, "cpu", 2, None)
    assert kept.exists()
    stage.smoke(PARAMS, "cpu", 3, None)
    assert not kept.exists()
