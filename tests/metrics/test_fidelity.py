"""The Fréchet distance against an independent computation, and its cache."""

import hashlib
import os
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import nn

from vct.errors import UserError
from vct.metrics.classifier import load_classifier
from vct.metrics.extractors import Extractor, find_extractor
from vct.metrics.fidelity import LAYER, frechet_distance
from vct.metrics.statistics_cache import StatisticsCache


@pytest.fixture(scope="session")
def classifier(weights):
    return find_extractor("classifier", weights)


@pytest.fixture(scope="session")
def images(digits):
    return digits[0]


class Counter:
    """An extractor that counts the images that it saw: block means of an image, in float64."""

    def __init__(self, shape=(1, 8, 8)):
        self.seen = 0
        self.record = Extractor("counter", hashlib.sha256(b"a").hexdigest(), 12, shape, self.build)

    def build(self):
        counter = self

        class Pool(nn.Module):
            def forward(self, images):
                counter.seen += len(images)
                assert images.dtype == torch.uint8
                pooled = nn.functional.adaptive_avg_pool2d(images.double(), (2, 2))
                if pooled.shape[1] == 1:
                    pooled = pooled.repeat(1, 3, 1, 1)
                return pooled.flatten(1)

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
    assert frechet_distance(a, b, classifier) == pytest.approx(expected, rel=1e-5)


def test_the_same_images_are_at_distance_zero(images, classifier):
    distance = frechet_distance(images[:500], images[499::-1], classifier)
    assert 0 <= distance < 1e-4


def test_more_noise_is_further_away(images, classifier):
    distances = [
        frechet_distance(noisy(images[:600], scale), images[600:1200], classifier)
        for scale in (0.0, 0.1, 0.2, 0.4, 0.8)
    ]
    assert distances == sorted(distances)
    assert distances[-1] > 5 * distances[1] > 0


def test_blind_to_order_and_symmetric(images, classifier):
    a, b = images[:300], images[300:700]
    distance = frechet_distance(a, b, classifier)
    assert frechet_distance(b, a[::-1], classifier) == pytest.approx(distance, rel=1e-5)


def test_fewer_images_than_features_still_give_a_number(images, classifier):
    assert 0 <= frechet_distance(images[:2], images[2:20], classifier) < np.inf


def test_leaves_nothing_in_the_registry_and_prints_nothing(images, counter, capfd):
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

    before = dict(FEATURE_EXTRACTORS_REGISTRY)
    other = replace(counter.record, sha256=hashlib.sha256(b"b").hexdigest())
    for extractor in (counter.record, other, counter.record):
        frechet_distance(images[:50], images[50:99], extractor)
    broken = replace(counter.record, build=lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        frechet_distance(images[:50], images[50:99], broken)
    assert before == FEATURE_EXTRACTORS_REGISTRY
    assert capfd.readouterr() == ("", "")


def test_the_reference_is_extracted_once(images, counter, tmp_path):
    a, b = images[:80], images[80:200]
    first = frechet_distance(a, b, counter.record, tmp_path, reference_key="digits")
    assert counter.seen == 80 + 120
    second = frechet_distance(a, b, counter.record, tmp_path, reference_key="digits")
    assert counter.seen == 2 * 80 + 120
    assert first == second == frechet_distance(a, b, counter.record)


def test_a_cache_without_keys_stays_empty(images, counter, tmp_path):
    frechet_distance(images[:80], images[80:200], counter.record, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_samples_with_a_key_are_extracted_once(images, counter, tmp_path):
    for _ in range(2):
        frechet_distance(images[:80], images[80:200], counter.record, tmp_path, "held out", "train")
    assert counter.seen == 80 + 120


def test_other_weights_or_other_data_do_not_hit(images, counter, tmp_path):
    a, b = images[:80], images[80:200]
    frechet_distance(a, b, counter.record, tmp_path, reference_key="digits")
    other = replace(counter.record, sha256=hashlib.sha256(b"b").hexdigest())
    frechet_distance(a, b, other, tmp_path, reference_key="digits")
    assert counter.seen == 2 * (80 + 120)
    frechet_distance(a, noisy(b, 0.5), counter.record, tmp_path, reference_key="digits")
    assert counter.seen == 3 * (80 + 120)
    assert len(list(tmp_path.glob("*.pt"))) == 3


def test_only_statistics_stay_in_the_cache(images, counter, tmp_path):
    frechet_distance(images[:80], images[80:200], counter.record, tmp_path, reference_key="a/b c")
    kept = {path.suffix: path for path in tmp_path.iterdir()}
    assert set(kept) == {".pt", ".lock"}
    assert "stat" in kept[".pt"].name
    assert len(kept[".lock"].name) < 255


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_file_is_made_again(damage, images, counter, tmp_path):
    a, b = images[:80], images[80:200]
    first = frechet_distance(a, b, counter.record, tmp_path, reference_key="digits")
    (file,) = tmp_path.glob("*.pt")
    file.write_bytes(file.read_bytes()[:-300] if damage is None else damage)
    assert frechet_distance(a, b, counter.record, tmp_path, reference_key="digits") == first
    assert counter.seen == 2 * (80 + 120)


def test_one_computes_while_the_others_wait(tmp_path):
    cache = StatisticsCache(tmp_path, "extractor-0", LAYER, 2)
    made = []

    def work():
        with cache.filling(["reference"]):
            if not cache.statistics("reference").exists():
                made.append(1)
                time.sleep(0.1)
                torch.save({"mu": np.zeros(2), "sigma": np.eye(2)}, cache.statistics("reference"))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_a_cache_that_cannot_be_written_is_a_user_error(images, counter, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        frechet_distance(
            images[:9], images[9:20], counter.record, tmp_path / "file" / "cache", None, "digits"
        )


def test_grey_images_are_repeated_for_an_rgb_extractor(images):
    """The same distance as of the images made RGB by hand."""
    rgb = Counter(shape=None).record
    a, b = images[:50], images[50:99]
    colour = [np.repeat(part, 3, axis=1) for part in (a, b)]
    assert frechet_distance(a, b, rgb) == frechet_distance(*colour, rgb)


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
            frechet_distance(samples, reference, counter.record)
    with pytest.raises(UserError, match="channels"):
        two = np.repeat(images[:9], 2, axis=1)
        frechet_distance(two, two, Counter(shape=None).record)


def test_an_unknown_device_is_refused(images, counter):
    with pytest.raises(UserError, match="device"):
        frechet_distance(images[:9], images[9:20], counter.record, device="tpu")


def test_code_in_a_cache_is_not_run_and_not_left(images, counter, tmp_path):
    """torch-fidelity would unpickle it; it is deleted before."""
    a, b = images[:80], images[80:200]
    cache = tmp_path / "cache"
    first = frechet_distance(a, b, counter.record, cache, reference_key="digits")
    (file,) = cache.glob("*.pt")

    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "trapped"),))

    for content in (Trap(), {"mu": np.zeros(12), "sigma": np.eye(12), "more": Trap()}):
        torch.save(content, file)
        assert frechet_distance(a, b, counter.record, cache, reference_key="digits") == first
        assert not (tmp_path / "trapped").exists()
    assert counter.seen == 3 * (80 + 120)


def test_statistics_that_are_not_finite_are_made_again(images, counter, tmp_path):
    a, b = images[:80], images[80:200]
    first = frechet_distance(a, b, counter.record, tmp_path, reference_key="digits")
    (file,) = tmp_path.glob("*.pt")
    torch.save({"mu": np.full(12, np.nan), "sigma": np.eye(12)}, file)
    assert frechet_distance(a, b, counter.record, tmp_path, reference_key="digits") == first
