"""What the stages that score write, against scores that are computed here from the same arrays.

The reference is the training split in all of them: samples that are training data score 0.
"""

import csv
import json
import os

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scoring import distance, measured
from support import params

from vct.lab import cli, versions
from vct.lab.data import dataset
from vct.lab.files.layout import RunId
from vct.lab.files.whole import file_sha256
from vct.lab.metrics.extractors.classifier import ClassifierKind, train_classifier
from vct.lab.metrics.scorer import make_metric
from vct.lab.runs import samples
from vct.lab.settings import reading

IMAGES, POINTS = RunId("pictures", "ot", 3), RunId("small", "variational", 0)
CHANGES = {
    "runtime.tracking": False,
    "experiments.pictures.sample": {"num_samples": 40, "mid_times": [2.0], "snapshot_samples": 20},
    "experiments.pictures.score.extras": ["kid", "precision_recall"],
    "experiments.small.sample.snapshot_samples": 8,
    "experiments.small.train.snapshots": 4,
    "suites": {"one": ["small"], "two": ["pictures"]},
}
STAGES = f"""
    data images; extractor judge; statistics images/judge/moments; statistics images/judge/features
    train {IMAGES}; sample {IMAGES}; score {IMAGES}; floor pictures
    data points; train {POINTS}; sample {POINTS}; score {POINTS}; floor small
"""


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """A project with a run of images and one of points, scored, and the floors of both."""
    folder = tmp_path_factory.mktemp("scores")
    content = params(CHANGES)
    content["experiments"]["small"] |= {"variants": ["variational"], "seeds": [0]}
    (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    before = os.getcwd()
    os.chdir(folder)
    try:
        for stage in STAGES.replace("\n", ";").split(";"):
            assert not stage.strip() or cli.main(stage.split()) == 0, stage
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def project(everything, monkeypatch):
    """The current folder: that project, to be read."""
    monkeypatch.chdir(everything)
    return everything


@pytest.fixture
def judge(project):
    return ClassifierKind().load(project / "results/extractors/judge/weights.safetensors")


def read(path):
    return json.loads((path).read_text())


def trajectory(run):
    with (run.directory / "trajectory.csv").open(newline="") as file:
        return list(csv.reader(file))


def w2(x, y):
    """Of equally many points: the best assignment."""
    x, y = (part.reshape(len(part), -1).astype(np.float64) for part in (x, y))
    squares = cdist(x, y, "sqeuclidean")
    return squares[linear_sum_assignment(squares)].mean() ** 0.5


def masses(x, modes):
    """Share within four standard deviations of each mode, and outside of both."""
    near = np.linalg.norm(x.reshape(-1, 1, 2) - np.array(modes.means), axis=2) <= 4 * modes.std
    return {"mass_mode0": near[:, 0].mean(), "mass_mode1": near[:, 1].mean()} | {
        "mass_outside": 1 - near.any(axis=1).mean()
    }


def approximately(numbers):
    return {name: pytest.approx(value, rel=1e-6, abs=1e-9) for name, value in numbers.items()}


# --- images ----------------------------------------------------------------------------------


def named(numbers):
    return {f"{name}_judge": value for name, value in numbers.items()}


def test_images_are_compared_with_the_training_images(project, judge):
    data, (arrays, _) = dataset.load("images"), samples.read(IMAGES)
    found = read(IMAGES.directory / "metrics.json")
    extras = ("kid", "precision_recall")
    expected = {
        key: approximately(named(measured(arrays[key], data.train.x[:], judge, extras)))
        for key in ("steps1", "steps2")
    }
    assert found == expected
    assert not np.array_equal(arrays["steps1"], arrays["steps2"])


def test_training_images_score_zero_and_held_out_ones_do_not(project):
    loaded, data = reading.load(), dataset.load("images")
    metric = make_metric(loaded, loaded.experiment("pictures"), data)
    known, unknown = (metric(np.asarray(split.x)) for split in (data.train, data.test))
    assert known["fid_judge"] < 1e-3 and (known["precision_judge"], known["recall_judge"]) == (1, 1)
    assert unknown["fid_judge"] > 100 * known["fid_judge"]
    assert unknown["precision_judge"] < 1


def test_the_trajectory_rises_by_step_not_by_spelling(project, judge):
    """2, 5, 8, 10, ...: as text, 10 would come first."""
    data, (arrays, _) = dataset.load("images"), samples.read(IMAGES)
    head, *rows = trajectory(IMAGES)
    steps = reading.load().experiment("pictures").train.snapshot_steps
    assert head == ["step", "fid_judge"]
    assert [int(step) for step, _ in rows] == steps == [2, 5, 8, 10, 12, 15, 18, 20]
    for step, value in rows:
        expected = distance(arrays[f"snapshot{step}"], data.train.x[:], judge)
        assert float(value) == pytest.approx(expected, rel=1e-6)


REFERENCE = {"dataset": "images", "split": "train", "size": 1297}
EXTRAS = {
    "kid": {"subsets": 100, "kernel": "(x.y/D + 1)^3", "seed": 2020},
    "precision_recall": {"neighbours": 3, "rows": 1000},
}


def extractor_record(project):
    weights = project / "results/extractors/judge/weights.safetensors"
    return {"name": "judge", "kind": "classifier", "sha256": file_sha256(weights), "features": 64}


def kid_of(size):
    return {**EXTRAS, "kid": {**EXTRAS["kid"], "subset_size": size}}


def test_the_floor_is_what_held_out_images_score(project, judge):
    data = dataset.load("images")
    extras = ("kid", "precision_recall")
    scores = measured(data.test.x[:], data.train.x[:], judge, extras)
    assert read(project / "results/pictures/floor.json") == {
        "scores": approximately(named(scores)),
        "num_samples": 500,
        "extractor": extractor_record(project),
        "reference": {**REFERENCE, "sha256": data.sha256},
        "extras": kid_of(500),
        "version": versions.SCORING,
    }


def test_the_protocol_of_images(project):
    found = read(IMAGES.directory / "protocol.json")
    names = ("config.json", "samples.npz", "metrics.json", "trajectory.csv")
    assert found == {
        "num_samples": 40,
        "schedules": {"steps1": [80.0], "steps2": [80.0, 2.0]},
        "ema": reading.load().experiment("pictures").train.ema.described(None),
        "sample_seed": 0,
        "noise": "gaussian",
        "pool": 8,
        "extractor": extractor_record(project),
        "reference": {**REFERENCE, "sha256": dataset.load("images").sha256},
        "metrics": [f"{name}_judge" for name in ("fid", "kid", "precision", "recall")],
        "extras": kid_of(40),
        "version": versions.SCORING,
        "sampling_version": versions.SAMPLING,
        "files": {name: file_sha256(IMAGES.directory / name) for name in names},
    }


def test_the_extractor_is_trained_on_the_training_images_and_tested_on_the_others(project):
    data, folder = dataset.load("images"), project / "results/extractors/judge"
    splits = (data.train.x, data.train.labels, data.test.x, data.test.labels)
    model, accuracy = train_classifier(*splits, epochs=1)
    found = load_file(folder / "weights.safetensors")
    assert found.keys() == model.state_dict().keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in model.state_dict().items())
    assert read(folder / "metrics.json") == {
        "accuracy": accuracy,
        "train_images": 1297,
        "test_images": 500,
    }


# --- points ----------------------------------------------------------------------------------


def test_points_are_compared_with_as_many_training_points(project):
    data, (arrays, _) = dataset.load("points"), samples.read(POINTS)
    found = read(POINTS.directory / "metrics.json")
    variance = read(POINTS.directory / "config.json")["summary"]["aggregate_variance"]
    assert found.pop("aggregate_variance") == variance > 0
    assert found == {
        key: approximately(
            {"w2": w2(arrays[key], data.train.x[:16]), **masses(arrays[key], data.meta.modes)}
        )
        for key in ("steps1", "steps2", "steps3")
    }
    head, *rows = trajectory(POINTS)
    assert head == ["step", "w2"] and [int(step) for step, _ in rows] == [5, 10, 15, 20]
    for step, value in rows:
        expected = w2(arrays[f"snapshot{step}"], data.train.x[:8])
        assert float(value) == pytest.approx(expected, rel=1e-6)


def test_training_points_score_zero_and_held_out_ones_do_not(project):
    loaded, data = reading.load(), dataset.load("points")
    metric = make_metric(loaded, loaded.experiment("small"), data)
    assert metric.rank(np.asarray(data.train.x)) == metric.rank(data.train.x[:20]) == 0
    assert metric.rank(np.asarray(data.test.x)) > 0.01


def test_the_floor_is_what_held_out_points_score(project):
    data = dataset.load("points")
    scores = {"w2": w2(data.test.x, data.train.x[:32]), **masses(data.test.x, data.meta.modes)}
    assert read(project / "results/small/floor.json") == {
        "scores": approximately(scores),
        "num_samples": 32,
        "extractor": None,
        "reference": {
            "dataset": "points",
            "split": "train",
            "size": 64,
            "sha256": data.sha256,
        },
        "version": versions.SCORING,
    }


def test_the_protocol_of_points(project):
    found = read(POINTS.directory / "protocol.json")
    files = found.pop("files")
    assert found == {
        "num_samples": 16,
        "schedules": {"steps1": [80.0], "steps2": [80.0, 2.0], "steps3": [80.0, 2.0, 0.5]},
        "ema": "constant 0.9",
        "sample_seed": 0,
        "noise": "gaussian",
        "pool": 8,
        "extractor": None,
        "reference": {
            "dataset": "points",
            "split": "train",
            "size": 64,
            "sha256": dataset.load("points").sha256,
        },
        "metrics": ["w2", "mass_mode0", "mass_mode1", "mass_outside"],
        "version": versions.SCORING,
        "sampling_version": versions.SAMPLING,
    }
    assert files == {name: file_sha256(POINTS.directory / name) for name in files}
    assert len(files) == 4
