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
def weights(trained, tmp_path_factory):
    """The file of that classifier."""
    from vct.lab.metrics.extractors.classifier import save_classifier

    path = tmp_path_factory.mktemp("extractor") / "weights.safetensors"
    save_classifier(path, trained.model)
    return path
