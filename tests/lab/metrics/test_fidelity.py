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
from vct.lab.metrics.fidelity import Fidelity
from vct.lab.metrics.statistics_cache import StatisticsCache

from vct.lab.errors import UserError
from vct.lab.metrics import extras
from vct.lab.metrics.extractors.base import Extractor, find_extractor
from vct.lab.metrics.extractors.classifier import load_classifier
from vct.lab.metrics.features import BATCH_SIZE, Features


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


def frechet_distance(samples, reference, extractor, cache=None):
    return Fidelity(reference, extractor, cache=cache).frechet(samples)


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


def test_prints_nothing_and_leaves_nothing_in_torch_fidelity(images, counter, capfd):
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

    before = dict(FEATURE_EXTRACTORS_REGISTRY)
    frechet_distance(images[:50], images[50:99], counter.record)
    assert before == FEATURE_EXTRACTORS_REGISTRY
    assert capfd.readouterr() == ("", "")


def test_shares_of_whole_batches_give_the_features_of_the_whole(images, classifier):
    whole = Features(classifier)(images[:200])
    shares = [Features(classifier)(images[start : start + BATCH_SIZE]) for start in (0, 64, 128)]
    rest = Features(classifier)(images[192:200])
    assert torch.equal(whole, torch.cat([*shares, rest]))


def cache(folder, content="ab" * 32):
    return StatisticsCache(folder, "digits-train", content)


@pytest.mark.parametrize("extras", [(), ("kid",), ("precision_recall",)])
def test_the_reference_is_extracted_once(extras, images, counter, tmp_path):
    """For all samples of a process, and for all processes."""
    a, b = images[:80], images[80:200]
    for times in (1, 2):
        fidelity = Fidelity(b, counter.record, extras, cache(tmp_path))
        found = [fidelity.measure(a), fidelity.measure(a)]
        assert counter.seen == 2 * times * 80 + 120
        if times == 1:
            first = found[0]
        assert found == [first, first]
    assert first == Fidelity(b, counter.record, extras).measure(a)


def test_features_are_kept_only_where_a_metric_needs_them(images, counter, tmp_path):
    a, b = images[:80], images[80:200]
    Fidelity(b, counter.record, (), cache(tmp_path)).measure(a)
    (file,) = tmp_path.glob("*.npz")
    assert "statistics" in file.name
    Fidelity(b, counter.record, ("kid",), cache(tmp_path)).measure(a)
    features = set(tmp_path.glob("*.npz")) - {file}
    assert ["features" in path.name for path in features] == [True]
    # 120 rows of 12 numbers of 8 bytes, and a header.
    assert features.pop().stat().st_size < 120 * 12 * 8 + 1000


def test_statistics_come_from_kept_features(images, counter, tmp_path):
    """And are the same as without."""
    a, b = images[:80], images[80:200]
    with_both = Fidelity(b, counter.record, ("kid",), cache(tmp_path)).measure(a)
    assert counter.seen == 80 + 120
    assert with_both["fid"] == frechet_distance(a, b, counter.record)


def test_a_large_reference_is_taken_in_pieces(images, counter, monkeypatch):
    a, b = images[:80], images[80:200]
    whole = frechet_distance(a, b, counter.record)
    monkeypatch.setattr("vct.lab.metrics.fidelity.PIECE", 50)
    # Roots of eigenvalues that are 0 but for rounding.
    assert frechet_distance(a, b, counter.record) == pytest.approx(whole, rel=1e-7)
    assert counter.seen == 2 * (80 + 120)


def test_of_a_large_reference_a_random_part_is_compared_one_by_one(images, counter, monkeypatch):
    """By the extras alone, and the protocol says so."""
    a, b = images[:80], images[80:200]
    whole = Fidelity(b, counter.record, ("kid",)).measure(a)
    assert "reference_images" not in extras.protocol(["kid"], 80, 120)["kid"]
    monkeypatch.setattr(extras, "REFERENCE", 60)
    chosen = extras.chosen(120)
    assert len(set(chosen)) == 60 and list(chosen) == sorted(chosen) and chosen.max() > 100
    part = Fidelity(b, counter.record, ("kid",)).measure(a)
    assert part["fid"] == whole["fid"]
    assert part["kid"] == Fidelity(b[chosen], counter.record, ("kid",)).measure(a)["kid"]
    found = extras.protocol(["kid", "precision_recall"], 80, 120)
    assert [entry["reference_images"] for entry in found.values()] == [60, 60]
    assert found["kid"]["subset_size"] == 60


def test_other_weights_or_other_data_do_not_hit(images, counter, tmp_path):
    a, b = images[:80], images[80:200]
    frechet_distance(a, b, counter.record, cache(tmp_path))
    other = replace(counter.record, sha256=hashlib.sha256(b"b").hexdigest())
    frechet_distance(a, b, other, cache(tmp_path))
    assert counter.seen == 2 * (80 + 120)
    frechet_distance(a, noisy(b, 0.5), counter.record, cache(tmp_path, "cd" * 32))
    assert counter.seen == 3 * (80 + 120)
    assert len(list(tmp_path.glob("*.npz"))) == 3


def test_another_version_of_scoring_does_not_hit(images, counter, tmp_path, monkeypatch):
    frechet_distance(images[:80], images[80:200], counter.record, cache(tmp_path))
    monkeypatch.setattr("vct.lab.versions.SCORING", 99)
    frechet_distance(images[:80], images[80:200], counter.record, cache(tmp_path))
    assert counter.seen == 2 * (80 + 120)


def truncated(content):
    return content[:-300]


def flipped(content):
    """One bit in the middle of the numbers."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 64]) + content[middle + 1 :]


DAMAGES = {
    "empty": lambda _: b"",
    "nonsense": lambda _: b"nonsense",
    "truncated": truncated,
    "flipped": flipped,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("what", ["statistics", "features"])
def test_a_damaged_file_is_made_again(what, damage, images, counter, tmp_path):
    a, b = images[:80], images[80:200]
    first = Fidelity(b, counter.record, ("kid",), cache(tmp_path)).measure(a)
    for file in tmp_path.glob("*.npz"):
        if what in file.name or what == "features":
            file.write_bytes(damage(file.read_bytes()))
    assert Fidelity(b, counter.record, ("kid",), cache(tmp_path)).measure(a) == first
    assert counter.seen == 2 * 80 + (1 if what == "statistics" else 2) * 120


@pytest.mark.parametrize(
    "content",
    [
        {"mu": np.full(12, np.nan), "sigma": np.eye(12)},
        {"mu": np.zeros(11), "sigma": np.eye(11)},
        {"mu": np.zeros(12)},
        {"mu": np.zeros(12, dtype=int), "sigma": np.eye(12)},
    ],
    ids=["not finite", "another size", "not all", "not fractions"],
)
def test_statistics_that_cannot_be_are_made_again(content, images, counter, tmp_path):
    a, b = images[:80], images[80:200]
    first = frechet_distance(a, b, counter.record, cache(tmp_path))
    (file,) = tmp_path.glob("*.npz")
    np.savez(file, **content)
    assert frechet_distance(a, b, counter.record, cache(tmp_path)) == first


def test_code_in_a_cache_is_not_run(images, counter, tmp_path):
    a, b = images[:80], images[80:200]
    first = frechet_distance(a, b, counter.record, cache(tmp_path))
    (file,) = tmp_path.glob("*.npz")

    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "trapped"),))

    np.savez(file, mu=np.array(Trap(), dtype=object), sigma=np.eye(12))
    assert frechet_distance(a, b, counter.record, cache(tmp_path)) == first
    assert not (tmp_path / "trapped").exists()


def test_one_computes_while_the_others_wait(counter, tmp_path):
    here, made = cache(tmp_path), []
    path = here.path("statistics", counter.record, "cpu")

    def compute():
        made.append(1)
        time.sleep(0.1)
        return {"mu": np.zeros(2)}

    threads = [
        threading.Thread(target=lambda: here.get(path, {"mu": (2,)}, compute)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_a_cache_that_cannot_be_written_is_a_user_error(images, counter, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        frechet_distance(images[:9], images[9:20], counter.record, cache(tmp_path / "file" / "x"))


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
