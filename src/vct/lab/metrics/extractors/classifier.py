"""A small classifier whose penultimate layer gives the features of a Fréchet distance.

It serves data for which an Inception network is out of place (grey images of a few pixels) and
needs no download. Its distances compare models scored with the same weights; they are not FIDs.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vct import rng
from vct.lab.data.dataset import Dataset
from vct.lab.errors import UserError
from vct.lab.files.tensors import load_sealed, save_sealed
from vct.lab.metrics.extractors.base import Extractor, ExtractorKind
from vct.lab.processes.progress import counted
from vct.lab.records import ClassifierRecord

FEATURES = 64
KEY, FORMAT = "classifier", "vct-classifier-1"
# More than this many cells per side in front of the features adds weights and no accuracy.
MAX_CELLS = 4
# On wider images the first layer strides and is half as wide: a third of the time, and 0.3 % less
# accuracy on MNIST.
LARGE = 16
EVALUATION_BATCH = 256


class Classifier(nn.Module):
    """Three convolutions, 64 features, one linear layer.

    Args:
        shape: (C, H, W) of the images; H and W at least 4.
        classes: number of classes K, at least 2.
        width: channels of the second convolution; the third has twice as many.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, width: int = 32) -> None:
        super().__init__()
        self.shape, self.classes, self.width = shape, classes, width
        channels, height, columns = shape
        if min(height, columns) > LARGE:
            first, inner = _strided, max(1, width // 2)
        else:
            first, inner = _pooled, width
        cells = (min(MAX_CELLS, height // 4), min(MAX_CELLS, columns // 4))
        self.body = nn.Sequential(
            *first(channels, inner),
            *_pooled(inner, width),
            *_convolution(width, 2 * width),
            nn.AdaptiveAvgPool2d(cells),
            nn.Flatten(),
            nn.Linear(2 * width * math.prod(cells), FEATURES),
            nn.SiLU(),  # a ReLU leaves some features at 0 for every image
        )
        self.head = nn.Linear(FEATURES, classes)

    def features(self, images: Tensor) -> Tensor:
        """Penultimate layer (B, 64) of uint8 images (B, C, H, W)."""
        features: Tensor = self.body(images.float() / 127.5 - 1)
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K) of uint8 images (B, C, H, W)."""
        logits: Tensor = self.head(self.features(images))
        return logits


def _convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


def _pooled(inputs: int, outputs: int) -> list[nn.Module]:
    return [*_convolution(inputs, outputs), nn.MaxPool2d(2)]


def _strided(inputs: int, outputs: int) -> list[nn.Module]:
    return _convolution(inputs, outputs, size=5, stride=2)


# --- training --------------------------------------------------------------------------------


class TrainedClassifier(NamedTuple):
    """A classifier in evaluation mode, and the share of test images that it gets right."""

    model: Classifier
    accuracy: float


def train_classifier(
    train_x: NDArray[np.uint8],
    train_labels: NDArray[np.integer[Any]],
    test_x: NDArray[np.uint8],
    test_labels: NDArray[np.integer[Any]],
    *,
    epochs: int = 20,
    learning_rate: float = 2e-3,
    batch_size: int = 64,
    width: int = 32,
    seed: int = 0,
) -> TrainedClassifier:
    """Train on the CPU: AdamW, learning rate down to 0 along a half cosine.

    The result is a function of the arguments, bit by bit: one thread, every draw from (seed,
    epoch, purpose).

    Args:
        train_x, test_x: uint8 (N, C, H, W).
        train_labels, test_labels: integers (N,) in 0..K-1; K is one more than the largest.

    Raises:
        UserError: if images and labels do not fit each other, or the training diverges.
    """
    _check(train_x, train_labels, "training")
    _check(test_x, test_labels, "test")
    if train_x.shape[1:] != test_x.shape[1:]:
        raise UserError(
            f"training images have shape {train_x.shape[1:]}, test images {test_x.shape[1:]}; "
            "make the data again."
        )
    channels, height, columns = train_x.shape[1:]
    classes = 1 + int(max(train_labels.max(), test_labels.max()))
    with _one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng.key(seed, "classifier weights"))
        model = Classifier((channels, height, columns), classes, width)
        _fit(model, train_x, train_labels, epochs, learning_rate, batch_size, seed)
        return TrainedClassifier(model.eval(), _accuracy(model, test_x, test_labels))


def _fit(
    model: Classifier,
    images: NDArray[np.uint8],
    labels: NDArray[np.integer[Any]],
    epochs: int,
    learning_rate: float,
    batch_size: int,
    seed: int,
) -> None:
    x, y = torch.tensor(images), torch.tensor(labels, dtype=torch.int64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    steps = epochs * len(_batches(torch.arange(len(x)), batch_size))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.train().to(memory_format=torch.channels_last)  # a quarter faster on a CPU
    for epoch in counted(range(epochs), epochs, "epochs of the classifier"):
        order = torch.randperm(len(x), generator=rng.generator(seed, epoch, "classifier order"))
        for batch in _batches(order, batch_size):
            loss = functional.cross_entropy(model(x[batch]), y[batch])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    model.to(memory_format=torch.contiguous_format)
    if not all(bool(tensor.isfinite().all()) for tensor in model.state_dict().values()):
        raise UserError(
            f"the classifier's training diverged; lower learning_rate (it is {learning_rate})."
        )


def _batches(order: Tensor, size: int) -> list[Tensor]:
    """`order` (N,), N at least 2, in parts of `size`, at least 2; an image that is left over joins
    the part before: alone it has no spread, by which the layers normalise."""
    parts = list(torch.split(order, size))
    if len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def _accuracy(
    model: Classifier, images: NDArray[np.uint8], labels: NDArray[np.integer[Any]]
) -> float:
    model.eval()
    with torch.no_grad():
        batches = torch.split(torch.tensor(images), EVALUATION_BATCH)
        guesses = torch.cat([model(batch).argmax(dim=1) for batch in batches])
    return float(np.mean(guesses.numpy() == labels))


def _check(images: NDArray[np.uint8], labels: NDArray[np.integer[Any]], split: str) -> None:
    if images.ndim != 4 or images.dtype != np.uint8 or len(images) == 0:
        raise UserError(
            f"the {split} images are {images.dtype} of shape {images.shape}; a classifier needs "
            "8-bit images (count, channels, height, width)."
        )
    if min(images.shape[2:]) < 4:
        raise UserError(f"the {split} images are {images.shape[2:]} px; the least is 4 by 4.")
    if labels.shape != images.shape[:1]:
        raise UserError(
            f"there are {len(images)} {split} images and labels of shape {labels.shape}; "
            "make the data again."
        )
    if labels.min() < 0 or (split == "training" and (labels.max() < 1 or len(labels) < 2)):
        raise UserError(f"the {split} labels must be 0..K-1 of at least two classes K.")


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums depend on how they are split over threads; one thread gives the same bits anywhere."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


# --- as an extractor -------------------------------------------------------------------------


class _Features(nn.Module):
    """The features in float64, so that torch-fidelity averages them in float64."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model.features(images).double()


class ClassifierKind(ExtractorKind):
    """A classifier that is trained on the data set; `options` are those of `train_classifier`."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def make(self, weights: Path, data: Dataset | None) -> ClassifierRecord:
        assert data is not None
        train, test = data.train, data.test
        model, accuracy = train_classifier(
            train.x, train.labels, test.x, test.labels, **self.options
        )
        facts = {"format": FORMAT, "shape": model.shape, "classes": model.classes}
        save_sealed(weights, KEY, {**facts, "width": model.width}, model.state_dict())
        return ClassifierRecord(
            accuracy=accuracy, train_images=len(train.x), test_images=len(test.x)
        )

    def load(self, weights: Path) -> Extractor:
        model = load_classifier(weights)
        return Extractor(FEATURES, model.shape, lambda: _Features(model).eval(), on_cpu=True)


def load_classifier(weights: Path) -> Classifier:
    """The classifier in a file that an extractor stage wrote; in evaluation mode, on the CPU.

    Raises:
        UserError: if the file is missing, damaged, or not one of a classifier.
    """
    facts, tensors = load_sealed(weights, KEY, f"vct extractor {weights.parent.name}")
    try:
        with torch.device("meta"):  # the weights come from the file, and no draw is made
            model = Classifier(tuple(facts["shape"]), facts["classes"], facts["width"])
        model.load_state_dict(tensors, assign=True)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        why = str(error).split("\n")[0]
        raise UserError(
            f"{weights} does not hold a classifier ({why}); make it again: "
            f"vct extractor {weights.parent.name}"
        ) from None
    return model.eval()
