"""What `vct check` and a training say of settings that are valid and give no good result."""

import yaml
from support import params

from vct.lab import cli

WARMING = "objective: 20 steps end within a warm_up of 20, before the loss is that of a consistency"
LEFT = "train.ema: after 20 steps, a decay of 0.9999 leaves 99.8% of the initial weights"


def test_an_average_of_initial_weights_is_named(tmp_path, monkeypatch, capsys):
    """By the check, and by the training that makes it; the default is none."""
    monkeypatch.chdir(tmp_path)
    changes = {"experiments.small.train.ema": {"decay": 0.9999}, "runtime.tracking": False}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params(changes)))
    assert cli.main(["check"]) == 0
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith(f"warning: experiments.small.{LEFT}")
    assert cli.main(["data", "points"]) == cli.main(["train", "small/ot/seed0"]) == 0
    assert f"warning: {LEFT}" in capsys.readouterr().err

    without = params(changes, drop="experiments.small.train.ema")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(without))
    assert cli.main(["check"]) == 0
    assert cli.main(["train", "small/ot/seed1"]) == 0
    assert "train.ema" not in capsys.readouterr().err


def test_a_warm_up_that_is_no_shorter_than_the_training_is_named(tmp_path, monkeypatch, capsys):
    """Its default is of long trainings: at the end of a short one the loss is another."""
    monkeypatch.chdir(tmp_path)
    for warm_up, warned in ((20, True), (19, False)):
        objective = {"kind": "sct", "warm_up": warm_up}
        given = params({"experiments.small.train.objective": objective})
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(given))
        assert cli.main(["check"]) == 0
        assert (f"small.train.{WARMING}" in capsys.readouterr().err) == warned


def test_a_sigma_data_far_from_the_data_is_named(tmp_path, monkeypatch, capsys):
    """It would train to its end, on inputs that are not of unit variance."""
    monkeypatch.chdir(tmp_path)
    for given, warned in ((0.5, False), (30.0, True), (0.01, True)):
        changes = {"experiments.small.train.sigma_data": given, "runtime.tracking": False}
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(params(changes)))
        assert cli.main(["data", "points"]) == 0
        assert cli.main(["train", "small/ot/seed0", "--fresh"]) == 0
        said = f"train.sigma_data: {given:g} is far from the standard deviation of data"
        assert (said in capsys.readouterr().err) == warned
