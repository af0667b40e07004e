"""What a data set looks like before it is there."""

import json

import numpy as np
import pytest
from support import ROOT, params

from vct.lab.build import instantiate
from vct.lab.data import dataset as datasets
from vct.lab.data.sources.base import Source, Split
from vct.lab.errors import UserError
from vct.lab.estimate.shapes import Unknown, without_data
from vct.lab.settings import reading

REAL = reading.load(ROOT / "params.yaml")
FOLDER = {"source": "image_folder", "test": 2, "labels": "folders"}


def folder_of(changes, **train):
    train = {f"experiments.pictures.train.{key}": value for key, value in train.items()}
    content = params({"datasets.images": {**FOLDER, **changes}, **train}, drop="extractors")
    content["experiments"]["pictures"]["score"] = {"metric": "fid", "extractor": "judge"}
    content["extractors"] = {"judge": {"kind": "inception"}}
    loaded = reading.validate(content)
    return loaded, loaded.experiment("pictures").train


@pytest.mark.parametrize("name", ["mixture", "digits"])
def test_bundled_data_are_as_expected(name):
    settings = REAL.datasets[name]
    made = instantiate(settings)
    (experiment,) = [e for e in REAL.experiments.values() if e.train.dataset == name][:1]
    found = without_data(REAL, experiment.train)
    assert found.shape == made.train.x.shape[1:]
    assert found.meta.classes == made.classes
    assert found.meta.dtype == str(made.train.x.dtype)


def test_bundled_images_of_another_size():
    found = without_data(REAL, REAL.experiment("mnist14px").train)
    assert (found.shape, found.meta.classes) == ((1, 14, 14), 10)


def test_published_experiments_need_no_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = {name: without_data(REAL, REAL.experiment(name).train) for name in REAL.suite("paper")}
    assert found["ict-fashion-mnist-ve"].shape == (1, 28, 28)
    assert found["ict-cifar10-ve"].shape == (3, 32, 32)
    assert found["ecm-ffhq64-li"].shape == (3, 64, 64)
    assert found["ecm-imagenet64-li"].meta.classes == 1000


@pytest.mark.parametrize(
    ("changes", "train", "expected"),
    [
        ({}, {}, "know their size; run: vct data images"),
        (
            {"size": 8},
            {"conditional": True},
            "classes is not given",
        ),
    ],
)
def test_what_only_files_know(changes, train, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Unknown, match=expected):
        without_data(*folder_of(changes, **train))


def test_a_stand_in_says_what_it_stands_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = {"source": "stand_in", "of": "faces", "size": 24, "channels": 3, "classes": 7}
    content = params({"datasets.images": {**small, "train": 50, "test": 9}})
    loaded = reading.validate(content)
    found = without_data(loaded, loaded.experiment("pictures").train)
    assert (found.shape, found.meta.classes) == ((3, 24, 24), 7)


def test_grey_images_of_a_size_without_labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = without_data(*folder_of({"size": 24, "channels": 1}))
    assert (found.shape, found.meta.classes) == ((1, 24, 24), 0)


def test_a_data_set_that_is_there_says_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loaded, train = folder_of({}, conditional=True)
    split = Split(np.zeros((4, 3, 16, 24), np.uint8), np.arange(4))
    settings = loaded.datasets["images"].model_dump(mode="json")
    datasets.write("images", Source(split, split, 4), settings)
    found = without_data(loaded, train)
    assert (found.shape, found.meta.classes) == ((3, 16, 24), 4)
    # Damaged, it is not believed.
    meta = tmp_path / "data/images/meta.json"
    content = json.loads(meta.read_text())
    meta.write_text(json.dumps({**content, "shape": [3, 16]}))
    with pytest.raises(UserError, match=r"meta\.json is damaged"):
        without_data(loaded, train)
    # Made with other settings, it says nothing.
    content["source"]["seed"] = 1
    meta.write_text(json.dumps(content))
    with pytest.raises(Unknown):
        without_data(loaded, train)
