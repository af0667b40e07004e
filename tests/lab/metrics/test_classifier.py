"""The classifier learns, is reproducible bit by bit, and comes back from its file."""

import math
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch

from vct.lab.data.dataset import Split
from vct.lab.errors import UserError
from vct.lab.metrics.extractors.classifier import (
    Classifier,
    ClassifierKind,
    load_classifier,
    train_classifier,
)


def test_learns_the_digits(trained):
    assert trained.accuracy >= 0.97
    assert not trained.model.training


def test_the_same_seed_gives_the_same_bits_whatever_the_caller_did(data, tmp_path):
    threads = torch.get_num_threads()
    part = replace(data, train=Split(data.train.x[:200], data.train.labels[:200]))
    files = []
    for name, seed, caller in [("a", 1, 5), ("b", 1, 6), ("c", 2, 5)]:
        torch.manual_seed(caller)
        files.append(tmp_path / name)
        ClassifierKind(epochs=1, seed=seed).make(files[-1], part)
        assert torch.initial_seed() == caller
    first, same, other = (path.read_bytes() for path in files)
    assert first == same
    assert first != other
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 14, 14), (1, 28, 28), (3, 32, 32), (2, 4, 7)])
def test_every_shape_gives_64_features(shape):
    model = Classifier(shape, 10, width=4).eval()
    images = torch.randint(256, (5, *shape), dtype=torch.uint8)
    features = model.features(images)
    assert features.shape == (5, 64)
    assert model(images).shape == (5, 10)
    torch.testing.assert_close(model.head(features), model(images))


def test_no_feature_is_dead(trained, digits):
    with torch.no_grad():
        features = trained.model.features(torch.tensor(digits[0][:500]))
    assert np.linalg.matrix_rank(np.cov(features.double().numpy(), rowvar=False)) == 64


def test_a_saved_classifier_comes_back(trained, weights, digits):
    model = load_classifier(weights)
    assert not model.training and model.shape == (1, 8, 8)
    images = torch.tensor(digits[0][:50])
    with torch.no_grad():
        assert torch.equal(model.features(images), trained.model.features(images))


def test_loading_leaves_the_random_state_alone(weights):
    before = torch.get_rng_state()
    load_classifier(weights)
    assert torch.equal(before, torch.get_rng_state())


def test_its_extractor_gives_the_features_in_float64(kind, weights, digits):
    extractor = kind.load(weights)
    assert (extractor.features, extractor.shape, extractor.on_cpu) == (64, (1, 8, 8), True)
    images = torch.tensor(digits[0][:3])
    found = extractor.build()(images)
    assert found.shape == (3, 64) and found.dtype == torch.float64
    with torch.no_grad():
        assert torch.equal(found, load_classifier(weights).features(images).double())


def test_what_is_said_of_it(kind, data, trained, tmp_path):
    facts = kind.make(tmp_path / "weights.safetensors", data).content()
    assert facts == {"accuracy": trained.accuracy, "train_images": 1297, "test_images": 500}


def test_data_that_do_not_fit_are_refused(digits):
    x, y = (part[:20] for part in digits)
    for arguments in [
        (x.astype(np.float32), y, x, y),
        (x, y[:-1], x, y),
        (x[:0], y[:0], x, y),
        (x, y, np.repeat(x, 3, axis=1), y),
        (x, np.zeros_like(y), x, y),
        (x, y - 1, x, y),
        (x[..., :3], y, x[..., :3], y),
    ]:
        with pytest.raises(UserError):
            train_classifier(*arguments, epochs=1)


def test_a_diverged_training_says_so(digits):
    x, y = (part[:64] for part in digits)
    with pytest.raises(UserError, match="learning_rate"):
        train_classifier(x, y, x, y, epochs=2, learning_rate=1e36)


# --- how it is trained -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [4, 5, 7, 8, 17])
@pytest.mark.parametrize(("count", "batch_size"), [(65, 64), (9, 2), (2, 64)])
def test_no_image_is_left_alone_in_a_batch(size, count, batch_size):
    """As 65 images of 7 px in batches of 64 leave one, whose layers have one number a channel."""
    draw = np.random.default_rng(0)
    x, y = draw.integers(0, 256, (count, 1, size, size), dtype=np.uint8), np.arange(count) % 2
    found = train_classifier(x, y, x[:2], y[:2], epochs=1, batch_size=batch_size, width=4)
    assert 0 <= found.accuracy <= 1


def test_one_image_is_no_two_classes():
    with pytest.raises(UserError, match="at least two classes"):
        image = np.zeros((1, 1, 4, 4), np.uint8)
        train_classifier(image, np.array([1]), image, np.array([1]), epochs=1)


@pytest.fixture
def watched(monkeypatch):
    """Brightness of the images of each training batch, and the rate it was trained with."""
    batches, rates = [], []
    forward, step = Classifier.forward, torch.optim.AdamW.step

    def note(self, images):
        if self.training:
            batches.append([int(image.flatten()[0]) for image in images])
        return forward(self, images)

    def rate(self, *arguments, **more):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments, **more)

    monkeypatch.setattr(Classifier, "forward", note)
    monkeypatch.setattr(torch.optim.AdamW, "step", rate)
    return batches, rates


@pytest.mark.parametrize(("count", "steps"), [(32, 4), (33, 4), (34, 5)])
def test_epochs_have_orders_of_their_own_and_the_rate_falls_to_zero_along_steps(
    watched, count, steps
):
    x = np.repeat(np.arange(count, dtype=np.uint8), 64).reshape(count, 1, 8, 8)
    y, epochs = np.arange(count) % 2, 3
    # Held-out images that training must not see.
    options = {"epochs": epochs, "batch_size": 8, "learning_rate": 0.01, "width": 4}
    train_classifier(x, y, x + 200, y, **options)
    batches, rates = watched
    assert len(batches) == len(rates) == epochs * steps
    starts = range(0, len(batches), steps)
    orders = [list(chain.from_iterable(batches[start:][:steps])) for start in starts]
    assert all(sorted(order) == list(range(count)) for order in orders)
    assert len({tuple(order) for order in orders}) == epochs
    cosine = [0.005 * (1 + math.cos(math.pi * k / len(rates))) for k in range(len(rates) + 1)]
    assert rates == pytest.approx(cosine[:-1], rel=1e-6) and cosine[-1] == 0
