"""A data set that need not exist yet: what its images look like, from the settings."""

import numpy as np

from vct.lab.data.dataset import Dataset, Split
from vct.lab.files.layout import dataset_dir
from vct.lab.files.whole import damaged, read_object
from vct.lab.settings.data import DatasetSettings, ImageFolderSettings, StandInSettings
from vct.lab.settings.params import Params
from vct.lab.settings.train import TrainSettings


class Unknown(Exception):
    """Why something cannot be known before it is there or has run."""


KNOWN = {
    "mixture": ((2, 1, 1), 2),
    "digits": ((1, 8, 8), 10),
    "cifar10": ((3, 32, 32), 10),
    "mnist": ((1, 28, 28), 10),
    "fashion-mnist": ((1, 28, 28), 10),
}
"""Shape (C, H, W) and number of classes of data that are always the same."""


def without_data(params: Params, train: TrainSettings) -> Dataset:
    """A data set without samples, with the shape and the classes of the one that `train` names.

    Of an image folder they are what data/NAME/meta.json says, if it was made with the settings that
    params.yaml holds; else its `size`, `channels` and `classes`.

    Raises:
        Unknown: if none of these says it.
    """
    settings = params.datasets[train.dataset]
    points = settings.source == "mixture"
    shape, classes = _made(train.dataset, settings) or _expected(settings, train)
    meta = {"shape": list(shape), "classes": classes, "dtype": "float32" if points else "uint8"}
    none = Split(np.empty((0, *shape)), np.empty(0))
    return Dataset(train.dataset, none, none, meta)


Facts = tuple[tuple[int, int, int], int]


def _made(name: str, settings: DatasetSettings) -> Facts | None:
    """What the data stage found in an image folder."""
    file = dataset_dir(name) / "meta.json"
    if not isinstance(settings, ImageFolderSettings) or not file.is_file():
        return None
    meta = read_object(file)
    if meta.get("source") != settings.model_dump(mode="json"):
        return None
    try:
        channels, height, width = map(int, meta["shape"])
        return (channels, height, width), int(meta["classes"])
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(file, f"shape or classes: {error!r}") from None


def _expected(settings: DatasetSettings, train: TrainSettings) -> Facts:
    if isinstance(settings, StandInSettings):
        return (settings.channels, settings.size, settings.size), settings.classes
    if not isinstance(settings, ImageFolderSettings):
        name = settings.name if settings.source == "torchvision" else settings.source
        (channels, height, width), classes = KNOWN[name]
        size = getattr(settings, "size", height)
        return (channels, size, size if width > 1 else width), classes
    first = f"run: vct data {train.dataset}"
    if settings.size is None:
        raise Unknown(f"only the images of {train.dataset} know their size; {first}")
    if train.conditional and settings.classes is None:
        raise Unknown(
            f"datasets.{train.dataset}.classes is not given, and only the images know it; {first}"
        )
    return (settings.channels, settings.size, settings.size), settings.classes or 0
