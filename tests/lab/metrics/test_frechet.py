"""The Fréchet distance against an independent computation."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scoring import distance, frechet, measured
from torch import nn
from torch_fidelity import metric_fid

from vct.lab.errors import UserError
from vct.lab.metrics import extras
from vct.lab.metrics.extractors.base import Extractor
from vct.lab.metrics.extractors.classifier import load_classifier
from vct.lab.metrics.features import BATCH_SIZE, Features
from vct.lab.metrics.frechet import Frechet


@pytest.fixture(scope="session")
def classifier(kind, weights):
    return kind.load(weights)


@pytest.fixture(scope="session")
def images(digits):
    return digits[0]


class Counter:
    """An extractor that counts the images that it saw: block means of an image, in float64."""

    def __init__(self, shape=(1, 8, 8)):
        self.seen, self.shift = 0, 0.0
        self.extractor = Extractor(12, shape, self.build)

    def build(self):
        counter = self

        class Pool(nn.Module):
            def forward(self, images):
                counter.seen += len(images)
                assert images.dtype == torch.uint8
                pooled = nn.functional.adaptive_avg_pool2d(images.double(), (2, 2))
                if pooled.shape[1] == 1:
                    pooled = pooled.repeat(1, 3, 1, 1)
                return pooled.flatten(1) + counter.shift

        return Pool()


@pytest.fixture
def counter():
    return Counter()


def noisy(images, scale):
    noise = np.random.default_rng(1).normal(0, 255 * scale / 2, images.shape)
    return np.clip(np.rint(images + noise), 0, 255).astype(np.uint8)


def test_agrees_with_the_formula_on_the_same_features(images, classifier, weights):
    a, b = noisy(images[:700], 0.2), images[900:]
    with torch.no_grad():
        model = load_classifier(weights)
        x, y = (model.features(torch.tensor(part)).double().numpy() for part in (a, b))
    s1, s2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    offset = 1e-10 * np.eye(len(s1))
    cross = sqrtm((s1 + offset) @ (s2 + offset))
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s1 + s2 - 2 * cross.real)
    assert distance(a, b, classifier) == pytest.approx(expected, rel=1e-5)


def test_the_same_images_are_at_distance_zero(images, classifier):
    assert 0 <= distance(images[:500], images[499::-1], classifier) < 1e-4


def test_more_noise_is_further_away(images, classifier):
    distances = [
        distance(noisy(images[:600], scale), images[600:1200], classifier)
        for scale in (0.0, 0.1, 0.2, 0.4, 0.8)
    ]
    assert distances == sorted(distances)
    assert distances[-1] > 5 * distances[1] > 0


def test_blind_to_order_and_symmetric(images, classifier):
    a, b = images[:300], images[300:700]
    expected = pytest.approx(distance(a, b, classifier), rel=1e-5)
    assert distance(b, a[::-1], classifier) == expected


def test_fewer_images_than_features_still_give_a_number(images, classifier):
    assert 0 <= distance(images[:2], images[2:20], classifier) < np.inf


def test_prints_nothing_and_leaves_nothing_in_torch_fidelity(images, counter, capfd):
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

    before = dict(FEATURE_EXTRACTORS_REGISTRY)
    distance(images[:50], images[50:99], counter.extractor)
    assert before == FEATURE_EXTRACTORS_REGISTRY
    assert capfd.readouterr() == ("", "")


def test_shares_of_whole_batches_give_the_features_of_the_whole(images, classifier):
    whole = Features(classifier)(images[:200])
    shares = [Features(classifier)(images[start : start + BATCH_SIZE]) for start in (0, 64, 128)]
    rest = Features(classifier)(images[192:200])
    assert torch.equal(whole, torch.cat([*shares, rest]))


def test_the_reference_is_extracted_once(images, counter):
    metric = frechet(images[80:200], counter.extractor, ("kid", "precision_recall"))
    first = metric(images[:80])
    assert counter.seen == 80 + 2 * 120
    assert metric(images[:80]) == first
    assert metric.rank(images[:80]) == first["fid_net"]
    assert counter.seen == 3 * 80 + 2 * 120


def test_only_what_is_needed_is_asked_for(images, counter):
    """And before the samples' features, as it may be missing."""
    asked = []

    def statistics(what):
        asked.append(what)
        raise UserError("it is missing")

    for names, expected in (((), ["moments"]), (("kid",), ["features"])):
        metric = Frechet(images[80:], "net", Features(counter.extractor), statistics, names)
        asked.clear()
        with pytest.raises(UserError, match="missing"):
            metric(images[:80])
        assert asked == expected
    assert counter.seen == 0


@pytest.mark.parametrize("wild", [np.nan, np.inf])
def test_features_that_are_not_finite_have_no_score(images, counter, wild):
    metric = frechet(images[80:200], counter.extractor, ("kid",))
    metric(images[:80])
    counter.shift = wild
    for score in (metric, metric.rank):
        with pytest.raises(UserError, match="features that are not finite for 80 of 80 images"):
            score(images[:80])


def test_a_distance_that_is_not_a_number_is_not_zero(images, counter, monkeypatch):
    metric = frechet(images[80:200], counter.extractor)
    found = {"frechet_inception_distance": np.nan}
    monkeypatch.setattr(metric_fid, "fid_statistics_to_metric", lambda *_, **__: found)
    for score in (metric, metric.rank):
        with pytest.raises(UserError, match="gives nan for fid_net, which is no score"):
            score(images[:80])
    found["frechet_inception_distance"] = -1e-9
    assert metric.rank(images[:80]) == 0  # rounding


def test_a_large_reference_is_taken_in_pieces(images, counter, monkeypatch):
    a, b = images[:80], images[80:200]
    whole = distance(a, b, counter.extractor)
    monkeypatch.setattr("vct.lab.metrics.statistics.PIECE", 50)
    # Roots of eigenvalues that are 0 but for rounding.
    assert distance(a, b, counter.extractor) == pytest.approx(whole, rel=1e-7)
    assert counter.seen == 2 * (80 + 120)


def test_of_a_large_reference_a_random_part_is_compared_one_by_one(images, counter, monkeypatch):
    """By the extras alone, and the protocol says so."""
    a, b = images[:80], images[80:200]
    whole = measured(a, b, counter.extractor, ("kid",))
    assert "reference_images" not in extras.protocol(["kid"], 80, 120)["kid"]
    monkeypatch.setattr(extras, "REFERENCE", 60)
    chosen = extras.chosen(120)
    assert len(set(chosen)) == 60 and list(chosen) == sorted(chosen) and chosen.max() > 100
    part = measured(a, b, counter.extractor, ("kid",))
    assert part["fid"] == whole["fid"]
    assert part["kid"] == measured(a, b[chosen], counter.extractor, ("kid",))["kid"]
    found = extras.protocol(["kid", "precision_recall"], 80, 120)
    assert [entry["reference_images"] for entry in found.values()] == [60, 60]
    assert found["kid"]["subset_size"] == 60


def test_grey_images_are_repeated_for_an_rgb_extractor(images):
    """The same distance as of the images made RGB by hand."""
    rgb = Counter(shape=None).extractor
    a, b = images[:50], images[50:99]
    colour = [np.repeat(part, 3, axis=1) for part in (a, b)]
    assert distance(a, b, rgb) == distance(*colour, rgb)


def test_images_that_cannot_be_compared_are_refused(images, counter):
    for samples, reference in [
        (images[:1], images[:9]),
        (images[:9], images[:1]),
        (images[:0], images[:9]),
        (images[:9].astype(np.float32), images[:9]),
        (images[:9, 0], images[:9]),
        (images[:9, :, :7], images[:9]),
        (images[:9, :, :7], images[:9, :, :7]),
        (np.repeat(images[:9], 3, axis=1), images[:9]),
    ]:
        with pytest.raises(UserError):
            distance(samples, reference, counter.extractor)
    with pytest.raises(UserError, match="channels"):
        two = np.repeat(images[:9], 2, axis=1)
        distance(two, two, Counter(shape=None).extractor)
