"""The digits and one classifier of them, trained once for the folder."""

import numpy as np
import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits():
    """Images uint8 (1797, 1, 8, 8) and labels, in a fixed random order."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    images = np.rint(data.images * 255 / 16).astype(np.uint8)[:, None]
    return images[order], data.target[order].astype(np.int64)


@pytest.fixture(scope="session")
def trained(digits):
    """Four epochs on 1,297 digits, tested on 500."""
    from vct.lab.metrics.extractors.classifier import train_classifier

    x, y = digits
    return train_classifier(x[:1297], y[:1297], x[1297:], y[1297:], epochs=4)


@pytest.fixture(scope="session")
def data(digits):
    """The digits as a data set in memory."""
    from vct.lab.data.dataset import Dataset, Split
    from vct.lab.records import DatasetRecord

    x, y = digits
    meta = DatasetRecord(
        format=1,
        name="digits",
        source={},
        sha256="cd" * 32,
        train=1297,
        test=500,
        shape=[1, 8, 8],
        dtype="uint8",
        classes=10,
    )
    return Dataset("digits", Split(x[:1297], y[:1297]), Split(x[1297:], y[1297:]), meta)


@pytest.fixture(scope="session")
def kind():
    """That classifier as an extractor is made."""
    from vct.lab.metrics.extractors.classifier import ClassifierKind

    return ClassifierKind(epochs=4)


@pytest.fixture(scope="session")
def weights(kind, data, tmp_path_factory):
    """Its file."""
    path = tmp_path_factory.mktemp("extractor") / "weights.safetensors"
    kind.make(path, data)
    return path
