"""What `vct check` and a training say of settings that are valid and give no good result."""

import yaml
from support import params

from vct.lab import cli

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
