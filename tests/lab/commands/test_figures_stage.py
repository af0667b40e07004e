"""Curves are drawn of what was recorded, or not at all."""

import numpy as np
import pytest
import yaml
from support import params

from vct.lab import cli
from vct.lab.files.layout import RunId

RUN = RunId("small", "variational", 0)


@pytest.fixture
def alone(project):
    """The project whose experiment has the one run that was made, with its floor and figures."""
    content = params({"runtime.tracking": False})
    content["experiments"]["small"] |= {"variants": [RUN.coupling], "seeds": [RUN.seed]}
    (project / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    assert cli.main(["floor", "small"]) == 0
    assert cli.main(["figures", "one/small"]) == 0
    return project


@pytest.mark.parametrize("name", ["training.csv", "trajectory.csv"])
def test_edited_curves_are_refused(name, alone, refused, capsys):
    path = alone / RUN.directory / name
    text = path.read_text()
    digit = next(place for place in range(len(text) - 1, 0, -1) if text[place].isdigit())
    path.write_text(text[:digit] + str((int(text[digit]) + 1) % 10) + text[digit + 1 :])
    figures = {file: file.read_bytes() for file in (alone / "results/one").iterdir()}
    capsys.readouterr()
    said = refused("figures", "one/small")
    assert f"{RUN.directory / name} is not the file that" in said and f"vct show {RUN}" in said
    assert figures == {file: file.read_bytes() for file in (alone / "results/one").iterdir()}


def test_samples_that_were_not_scored_are_not_drawn(alone, refused, capsys):
    path = alone / RUN.directory / "samples.npz"
    arrays = dict(np.load(path))
    arrays["steps1"] += 1
    np.savez(path, **arrays)
    capsys.readouterr()
    assert "samples.npz is not the file that protocol.json" in refused("figures", "one/small")
