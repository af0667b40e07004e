"""Figures are drawn of what was recorded, or not at all; and of the arrays that they name."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from support import params

from vct.lab import cli
from vct.lab.commands import figures
from vct.lab.data import dataset
from vct.lab.files.layout import RunId
from vct.lab.report.couplings_figure import CouplingPanel
from vct.lab.report.grids import GridPanel
from vct.lab.settings import reading

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


@pytest.fixture
def drawn(monkeypatch):
    """What the figures are called with, by the name of what draws them."""
    found = {}

    def note(name):
        monkeypatch.setattr(figures, name, lambda *given, **more: found.update({name: given}))

    for name in ("couplings_figure", "sample_grids", "curves_figure"):
        note(name)
    return found


def test_pairs_noise_and_samples_are_those_of_the_run(alone, drawn):
    assert cli.main(["figures", "one/small"]) == 0
    path, (panel,), modes, paths, title = drawn["couplings_figure"]
    assert (str(path), title) == ("results/one/small-samples.png", "small, seed 0")
    with np.load(alone / RUN.directory / "samples.npz") as file:
        arrays = dict(file)
    parts = {"x": "pair_x", "z": "pair_z", "noise": "noise", "samples": "steps1"}
    for part, key in parts.items():
        assert np.array_equal(getattr(panel, part), arrays[key].reshape(-1, 2)), part
    assert (panel.name, panel.key) == ("variational", "steps1")
    meta = dataset.load("points").meta
    assert modes.means.tolist() == meta.modes.means and modes.std == meta.modes.std
    assert (paths.times[0], paths.times[-1]) == (pytest.approx(0.01), pytest.approx(80))
    assert (paths.data_scale == 1).all() and paths.sigma_data == 0.5  # of the VE kernel


def test_curves_are_those_of_the_run_and_its_floor(alone, drawn):
    assert cli.main(["figures", "one/small"]) == 0
    path, histories, rows, floor, suite = drawn["curves_figure"]
    assert str(path) == "results/one/small-curves.png" and rows.experiment == "small"
    assert suite == reading.load().experiment("small").variants
    for name in ("training", "trajectory"):
        expected = pd.read_csv(alone / RUN.directory / f"{name}.csv")
        expected = expected.rename(columns={"w2": "value"}).assign(coupling="variational", seed=0)
        pd.testing.assert_frame_equal(getattr(histories, name), expected)
    scores = json.loads((alone / "results/small/floor.json").read_text())["scores"]
    assert (histories.metric, histories.samples, floor) == ("w2", "steps1", scores["w2"])


def test_the_panel_of_a_run_takes_each_array_from_its_key():
    arrays = {
        key: np.full((3, 2, 1, 1), index, np.float32)
        for index, key in enumerate(("steps2", "noise", "pair_z", "pair_x", "snapshot5", "steps1"))
    }
    panel = CouplingPanel.of("ot", arrays)
    found = [part[0, 0] for part in (panel.x, panel.z, panel.noise, panel.samples)]
    assert found == [3, 2, 1, 5]


def test_grids_show_the_scored_samples_by_their_steps():
    images = {
        key: np.full((300, 1, 2, 2), index, np.uint8)
        for index, key in enumerate(("steps10", "steps2", "snapshot5", "heun18"))
    }
    panels = GridPanel.column_of("ot", images)
    assert [(panel.column, panel.row, panel.images.max()) for panel in panels] == [
        ("ot", "2 steps", 1),
        ("ot", "10 steps", 0),
        ("ot", "Heun, 18 steps", 3),
    ]
    assert {len(panel.images) for panel in panels} == {256}


def test_grids_show_the_first_seed_of_each_coupling_beside_training_images(make_project, drawn):
    changes = {
        "experiments.pictures.variants": ["ot", "independent"],
        "experiments.pictures.couplings.independent": {},
        "experiments.pictures.seeds": [3, 1],
        "experiments.pictures.train.steps": 1,
        "experiments.pictures.train.snapshots": 1,
        "suites": {"one": ["pictures"]},
    }
    make_project(changes)
    runs = [
        f"pictures/{coupling}/seed{seed}" for coupling in ("ot", "independent") for seed in (1, 3)
    ]
    before = ["extractor judge", "statistics images/judge/moments", "floor pictures"]
    each = [f"{stage} {run}" for run in runs for stage in ("train", "sample", "score")]
    for stage in (*before, *each, "figures one/pictures"):
        assert cli.main(stage.split()) == 0
    _, panels, real = drawn["sample_grids"]
    assert np.array_equal(real, dataset.load("images").train.x[:256])
    assert [(panel.column, panel.row) for panel in panels] == [
        ("minibatch OT", "1 step"),
        ("independent", "1 step"),
    ]
    for panel, coupling in zip(panels, ("ot", "independent"), strict=True):
        with np.load(f"results/pictures/{coupling}/seed3/samples.npz") as file:
            assert np.array_equal(panel.images, file["steps1"])


def test_samples_of_a_fitted_prior_are_a_column_and_the_bound_is_not_drawn():
    images = np.zeros((4, 1, 2, 2), np.uint8)
    keys = ("steps1", "fitted-steps1", "aggregate-steps1")
    panels = GridPanel.column_of("variational", dict.fromkeys(keys, images))
    found = [(panel.column, panel.row) for panel in panels]
    assert found == [("variational", "1 step"), ("variational, fitted prior", "1 step")]
