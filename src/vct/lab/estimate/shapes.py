"""A data set that need not exist yet: what its images look like, from the settings."""

import numpy as np

from vct.lab.data.dataset import Dataset, otherwise
from vct.lab.data.sources.base import Split
from vct.lab.files.layout import dataset_dir
from vct.lab.records import DatasetRecord, read
from vct.lab.settings.data import DatasetSettings, Facts, ImageFolderSettings
from vct.lab.settings.params import Params
from vct.lab.settings.train import TrainSettings


class Unknown(Exception):
    """Why something cannot be known before it is there or has run."""


def without_data(params: Params, train: TrainSettings) -> Dataset:
    """A data set without samples, with the shape and the classes of the one that `train` names.

    Of an image folder or a source of one's own they are what data/NAME/meta.json says, if it was
    made with the settings that params.yaml holds; else its `size`, `channels` and `classes`.

    Raises:
        Unknown: if none of these says it.
    """
    settings = params.datasets[train.dataset]
    points = settings.form == "points"
    shape, classes = _made(train.dataset, settings) or _expected(settings, train)
    meta = DatasetRecord(
        format=1,
        name=train.dataset,
        source={},
        sha256="",
        train=0,
        test=0,
        shape=list(shape),
        dtype="float32" if points else "uint8",
        classes=classes or 0,
    )
    none = Split(np.empty((0, *shape)), np.empty(0))
    return Dataset(train.dataset, none, none, meta)


def _made(name: str, settings: DatasetSettings) -> Facts | None:
    """What the data stage found in an image folder, or made with a user's source."""
    file = dataset_dir(name) / "meta.json"
    if not (settings.is_own or isinstance(settings, ImageFolderSettings)) or not file.is_file():
        return None
    meta = read(DatasetRecord, file)
    if otherwise(meta, settings):
        return None
    channels, height, width = meta.shape
    return Facts((channels, height, width), meta.classes)


def _expected(settings: DatasetSettings, train: TrainSettings) -> Facts:
    facts, first = settings.facts, f"run: vct data {train.dataset}"
    if facts is None:
        raise Unknown(f"only the images of {train.dataset} know their size; {first}")
    if train.conditional and facts.classes is None:
        raise Unknown(
            f"datasets.{train.dataset}.classes is not given, and only the images know it; {first}"
        )
    return Facts(facts.shape, facts.classes or 0)
