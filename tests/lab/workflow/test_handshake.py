"""What DVC is told of Snakemake's work, and Snakemake of DVC's: the truth, or nothing."""

import subprocess
import time
from pathlib import Path

import pytest
import yaml
from snakemake.settings.types import Batch, DAGSettings
from support import params

from vct.lab.errors import UserError
from vct.lab.settings import reading
from vct.lab.workflow import dvc, graph, handshake


@pytest.mark.parametrize(
    ("asked", "arguments", "whole"),
    [
        ({}, [], True),
        ({"targets": {"all"}}, ["--cores", "2"], True),
        ({"targets": {"results/small/ot/seed0/metrics.json"}}, [], False),
        ({"targets": {"all", "results/cpu/table.csv"}}, [], False),
        ({"until": {"train"}}, [], False),
        ({"omit_from": {"score"}}, [], False),
        ({"allowed_rules": {"data"}}, [], False),
        ({"batch": Batch("all", 1, 2)}, [], False),
        ({}, ["--touch"], False),
        ({}, ["-t"], False),
    ],
)
def test_dvc_is_told_only_when_all_was_asked_for_and_made(monkeypatch, asked, arguments, whole):
    """It would take for up to date what nobody has made again."""
    monkeypatch.setattr("sys.argv", ["snakemake", *arguments])
    assert bool(graph.is_whole(DAGSettings(**asked))) == whole


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A DVC repository whose stages fit params.yaml, and the commands that are called."""
    monkeypatch.chdir(tmp_path)
    loaded = reading.validate(params())
    Path("params.yaml").write_text(yaml.safe_dump(params()))
    Path("dvc.yaml").write_text(dvc.text(loaded, "cpu"))
    Path(".dvc").mkdir()
    called = []

    def run(command, **_):
        called.append(command)
        return subprocess.CompletedProcess(command, 0, stdout="{}", stderr="")

    monkeypatch.setattr(handshake.subprocess, "run", run)
    monkeypatch.setattr(handshake, "_dvc_command", lambda: ["dvc"])
    return loaded, called


def test_dvc_records_without_touching_a_file(project):
    loaded, called = project
    handshake.record(loaded, "cpu")
    assert called == [["dvc", "commit", "-f", "-q", "--no-relink", "dvc.yaml"]]


def test_data_whose_raw_files_have_changed_since_are_not_recorded(project, monkeypatch, capsys):
    """Snakemake does not see what is further down in a folder; DVC goes on to call it changed."""
    loaded, called = project
    raw, meta = Path("data/raw/zoo/a/1.png"), Path("data/points/meta.json")
    for path in (raw, meta):
        path.parent.mkdir(parents=True)
    raw.touch()
    time.sleep(0.02)  # a file system's clock has steps
    meta.touch()
    given = {"points": ["data/raw/zoo"]}
    monkeypatch.setattr(graph, "raw_inputs", lambda params, name: given.get(name, []))
    Path("dvc.yaml").write_text(dvc.text(loaded, "cpu"))
    handshake.record(loaded, "cpu")
    assert called.pop()[-1] == "dvc.yaml" and not capsys.readouterr().err
    time.sleep(0.02)
    raw.write_bytes(b"another")
    handshake.record(loaded, "cpu")  # DVC finds the same content, as in a copy of the project
    assert [command[1] for command in called] == ["status", "commit"]
    assert called.pop()[-1] == "dvc.yaml" and not capsys.readouterr().err
    monkeypatch.setattr(
        handshake, "_is_changed", lambda dvc, stage: stage == "dvc.yaml:data-points"
    )
    handshake.record(loaded, "cpu")
    stages = set(yaml.safe_load(Path("dvc.yaml").read_text())["stages"])
    told = {target.removeprefix("dvc.yaml:") for target in called[-1][5:]}
    assert told == stages - {"data-points"}
    assert "snakemake --cores all -f data/points/meta.json" in capsys.readouterr().err


@pytest.mark.parametrize("linked", [False, True])
def test_raw_files_are_looked_at_as_far_as_they_are_read(project, monkeypatch, tmp_path, linked):
    loaded, _ = project
    inside = tmp_path / ("elsewhere" if linked else "data/raw/zoo/a")
    inside.mkdir(parents=True)
    Path("data/raw/zoo").mkdir(parents=True, exist_ok=True)
    if linked:
        Path("data/raw/zoo/a").symlink_to(inside)
        Path("data/raw/zoo/round").symlink_to("../zoo")
        Path("data/raw/zoo/nowhere").symlink_to("missing")
    (inside / "1.png").touch()
    monkeypatch.setattr(graph, "raw_inputs", lambda params, name: ["data/raw/zoo"])
    assert not handshake._raw_is_newer(loaded, "points")  # nothing was made of them
    Path("data/points").mkdir()
    time.sleep(0.02)
    Path("data/points/meta.json").touch()
    assert not handshake._raw_is_newer(loaded, "points")
    time.sleep(0.02)
    (inside / "1.png").write_bytes(b"another")
    assert handshake._raw_is_newer(loaded, "points")


def test_stages_of_other_settings_are_neither_recorded_nor_adopted(project, capsys):
    """They would say of old runs that these are the new ones."""
    _, called = project
    changed = reading.validate(params({"experiments.small.seeds": [0]}))
    handshake.record(changed, "cpu")
    with pytest.raises(UserError, match=r"does not fit params\.yaml; write it first"):
        handshake.adopt(changed, "cpu")
    assert called == []
    assert "vct dvc cpu" in capsys.readouterr().err


@pytest.mark.parametrize("status", ['{"train": [{"changed outs": {"x": "modified"}}]}', "no JSON"])
def test_what_dvc_finds_changed_is_not_adopted(project, monkeypatch, status):
    loaded, called = project
    answer = subprocess.CompletedProcess([], 0, stdout=status, stderr="")
    monkeypatch.setattr(
        handshake.subprocess, "run", lambda command, **_: called.append(command) or answer
    )
    with pytest.raises(UserError, match="DVC finds missing or changed files"):
        handshake.adopt(loaded, "cpu")
    assert [command[1] for command in called] == ["status"]


def test_what_dvc_finds_right_is_adopted_as_a_whole(project):
    loaded, called = project
    assert handshake.adopt(loaded, "cpu") == 0
    touched = called[-1]
    assert {"--touch", "--forceall", "all", "suite=cpu"} <= set(touched)
