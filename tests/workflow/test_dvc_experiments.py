"""`dvc exp run -S` tries another setting: params.yaml changes, and what it touches runs again."""

import json

import pytest
import yaml

STAGES = ("data-mixture", "data-digits")
WHO = ("-c", "user.name=a", "-c", "user.email=a@b")


@pytest.fixture(scope="module")
def committed(project):
    """The project, its data made by DVC and all of it committed."""
    project.run("dvc", "repro", "-q", *STAGES)
    project.run("git", "add", "-A")
    project.run("git", *WHO, "commit", "-qm", "all")
    return project


def test_changed_setting_reruns_its_stage_alone_and_is_remembered(committed):
    other = committed.folder / "data/digits/meta.json"
    before = other.stat().st_mtime_ns
    committed.run(
        "dvc", "exp", "run", "-q", "-n", "fewer", "-S", "datasets.mixture.train=48", *STAGES
    )
    assert committed.params()["datasets"]["mixture"]["train"] == 48
    assert json.loads((committed.folder / "data/mixture/meta.json").read_text())["train"] == 48
    assert other.stat().st_mtime_ns == before
    shown = json.loads(committed.run("dvc", "exp", "show", "--json").stdout)
    values = {train(entry) for entry in flat(shown)}
    assert values == {256, 48}
    assert "fewer" in committed.run("dvc", "exp", "list").stdout


def flat(entries):
    """The experiments in what `dvc exp show` says, one inside the other."""
    for entry in entries:
        if entry.get("data"):
            yield entry
        for inner in entry.get("experiments") or []:
            yield from flat(inner["revs"])


def train(entry):
    return entry["data"]["params"]["params.yaml"]["data"]["datasets"]["mixture"]["train"]


def test_models_have_names_that_dvc_takes(committed):
    """DVC refuses a whole dvc.yaml with other names."""
    named = yaml.safe_load((committed.folder / "dvc.yaml").read_text())["artifacts"]
    run = "results/digits/variational/seed0/model.safetensors"
    assert named["digits-variational"]["path"] == run
    assert set(named) == {"mixture-variational", "digits-ot", "digits-variational"}
