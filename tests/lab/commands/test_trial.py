"""`vct train --set` is a trial: it writes nowhere in results/ and state/."""

import json

import vct
from vct.lab import cli

RUN = "small/independent/seed0"


def files(folder):
    return {str(path) for path in folder.rglob("*") if path.is_file()}


def steps(folder):
    return json.loads((folder / "config.json").read_text())["settings"]["train"]["steps"]


def test_trial_is_apart_and_can_be_loaded(make_project, tmp_path, capsys):
    make_project({"runtime.tracking": True})
    before = files(tmp_path)
    assert cli.main(["train", RUN, "--set", "train.steps=5", "--set", "train.snapshots=1"]) == 0
    new = files(tmp_path) - before
    assert new and all(path.startswith(str(tmp_path / "scratch")) for path in new)
    folder = f"scratch/results/{RUN}"
    assert (
        json.loads((tmp_path / folder / "config.json").read_text())["settings"]["train"]["steps"]
        == 5
    )
    assert f'vct.load("{folder}")' in capsys.readouterr().err
    assert vct.load(folder).sample(3).shape == (3, 2, 1, 1)
    # Another trial of the same run replaces it.
    assert cli.main(["train", RUN, "--set", "train.steps=6"]) == 0
    assert (
        json.loads((tmp_path / folder / "config.json").read_text())["settings"]["train"]["steps"]
        == 6
    )
