"""KID, precision and recall, and Inception Score: oracles, laws, and torch-fidelity as a whole."""

import numpy as np
import pytest
import torch
from scoring import distance, frechet, measured
from torch import nn

from vct.lab.errors import UserError
from vct.lab.metrics import extras
from vct.lab.metrics.extractors.base import Extractor


@pytest.fixture
def draw():
    return np.random.default_rng(8)


def tensor(array):
    return torch.from_numpy(np.asarray(array, dtype=np.float64))


# --- kernel distance -------------------------------------------------------------------------


def unbiased(x, y):
    """MMD² of equally many points, term by term."""
    n, features = x.shape
    kernel = lambda a, b: (a @ b / features + 1) ** 3  # noqa: E731
    pairs = [(i, j) for i in range(n) for j in range(n)]
    own = sum(kernel(z[i], z[j]) for z in (x, y) for i, j in pairs if i != j) / (n * (n - 1))
    return own - 2 * sum(kernel(x[i], y[j]) for i, j in pairs) / n**2


def test_kid_of_whole_sets_is_the_unbiased_estimate(draw):
    x, y = draw.normal(size=(25, 4)), draw.normal(0.5, 1.5, size=(25, 4))
    assert extras.kid(tensor(x), tensor(y)) == pytest.approx(unbiased(x, y), rel=1e-9)


def test_kid_takes_subsets_of_the_smaller_set(draw):
    """All of the smaller set and random parts of the larger: the mean over the parts."""
    x, y = draw.normal(size=(10, 3)), draw.normal(1, 1, size=(12, 3))
    parts = np.random.RandomState(extras.SEED)
    found = []
    for _ in range(extras.SUBSETS):
        mine = x[parts.choice(10, 10, replace=False)]
        found.append(unbiased(mine, y[parts.choice(12, 10, replace=False)]))
    assert extras.kid(tensor(x), tensor(y)) == pytest.approx(np.mean(found), rel=1e-9)
    assert extras.subset_size(10, 12) == extras.subset_size(12, 10) == 10
    assert extras.subset_size(50_000, 60_000) == 1000


def test_kid_of_one_distribution_is_about_zero_and_of_others_is_not(draw, monkeypatch):
    monkeypatch.setattr(extras, "SUBSET_SIZE", 200)
    x, y, z = (tensor(draw.normal(shift, 1, size=(1500, 6))) for shift in (0, 0, 0.5))
    near, far = extras.kid(x, y), extras.kid(x, z)
    assert abs(near) < 0.02 * far
    assert extras.kid(x, y) == near


# --- precision and recall --------------------------------------------------------------------


def brute_force(samples, reference, k=3):
    """Precision by comparing every sample with every ball."""

    def radius(index):
        others = np.delete(np.arange(len(reference)), index)
        return np.sort(np.linalg.norm(reference[others] - reference[index], axis=1))[k - 1]

    radii = [radius(index) for index in range(len(reference))]
    inside = [
        any(np.linalg.norm(x - c) <= r for c, r in zip(reference, radii, strict=True))
        for x in samples
    ]
    return np.mean(inside)


def test_precision_and_recall_agree_with_brute_force(draw):
    x, y = draw.normal(0.7, 0.8, size=(60, 3)), draw.normal(size=(80, 3))
    found = extras.precision_recall(tensor(x), tensor(y))
    assert found.precision == pytest.approx(brute_force(x, y), abs=1e-6)
    assert found.recall == pytest.approx(brute_force(y, x), abs=1e-6)
    assert 0 < found.recall < found.precision < 1


def test_rows_at_a_time_change_nothing(draw, monkeypatch):
    x, y = tensor(draw.normal(0.7, 0.8, size=(60, 3))), tensor(draw.normal(size=(80, 3)))
    whole = extras.precision_recall(x, y)
    monkeypatch.setattr(extras, "ROWS", 7)
    assert extras.precision_recall(x, y) == whole


def test_equal_sets_have_all_precision_and_recall_and_distant_ones_none(draw):
    x = tensor(draw.normal(size=(50, 5)))
    assert extras.precision_recall(x, x.flip(0)) == (1, 1)
    assert extras.precision_recall(x, x + 1e3) == (0, 0)


def test_a_few_samples_within_the_reference_have_precision_alone(draw):
    y = tensor(draw.normal(size=(200, 2)))
    found = extras.precision_recall(y[:5] * 0.01, y)
    assert found.precision == 1 and found.recall < 0.1


def test_two_images_have_one_neighbour(draw):
    assert extras.neighbours(2, 100) == extras.neighbours(100, 2) == 1
    x = tensor(draw.normal(size=(2, 3)))
    assert extras.precision_recall(x, x) == (1, 1)


# --- Inception Score -------------------------------------------------------------------------


def test_inception_score_from_logits(draw):
    logits = draw.normal(size=(43, 6)) * 2
    shuffled = logits[np.random.RandomState(extras.SEED).permutation(43)]
    scores = []
    for part in range(10):
        rows = np.exp(shuffled[part * 43 // 10 : (part + 1) * 43 // 10])
        p = rows / rows.sum(1, keepdims=True)
        scores.append(np.exp(np.mean((p * np.log(p / p.mean(0))).sum(1))))
    assert extras.inception_score(tensor(logits)) == pytest.approx(np.mean(scores), rel=1e-9)


def test_sure_and_varied_samples_score_the_number_of_classes():
    sure = torch.eye(4, dtype=torch.float64).repeat_interleave(3000, dim=0) * 100
    assert extras.inception_score(sure) == pytest.approx(4, rel=0.01)
    assert extras.inception_score(sure[:3000]) == pytest.approx(1)
    assert extras.inception_score(torch.zeros(50, 4)) == pytest.approx(1)
    assert extras.splits(3) == 3 and extras.splits(50_000) == 10


# --- all together ----------------------------------------------------------------------------


class Blocks(nn.Module):
    """Means of 2 x 2 blocks as features, of rows and colours as logits, in float32."""

    def forward(self, images):
        assert images.dtype == torch.uint8
        x = images.float() / 64
        features = nn.functional.adaptive_avg_pool2d(x, (2, 2)).flatten(1)
        return torch.cat([features, x.mean(dim=3).flatten(1)], dim=1)


EXTRACTOR = Extractor(12, None, Blocks, logits=24)


def coloured(draw, count, shift=0):
    return draw.integers(shift, 200 + shift, (count, 3, 8, 8)).astype(np.uint8)


def test_all_numbers_are_those_of_torch_fidelity(draw):
    """As its one command for everything computes them from the images."""
    from torch_fidelity import FeatureExtractorBase, calculate_metrics, register_feature_extractor
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

    class Registered(FeatureExtractorBase):
        def __init__(self, name, features_list, **_):
            super().__init__(name, features_list)
            self.network = Blocks()

        @staticmethod
        def get_provided_features_list():
            return ("features", "logits")

        @staticmethod
        def get_default_feature_layer_for_metric(metric):
            return "logits" if metric == "isc" else "features"

        def forward(self, images):
            features, logits = self.network(images).split([12, 24], dim=1)
            return tuple(
                {"features": features, "logits": logits}[name] for name in self.features_list
            )

    class Images(torch.utils.data.Dataset):
        def __init__(self, images):
            self.images = torch.tensor(images)

        def __len__(self):
            return len(self.images)

        def __getitem__(self, index):
            return self.images[index]

    a, b = coloured(draw, 150, 20), coloured(draw, 170)
    register_feature_extractor("blocks", Registered)
    try:
        expected = calculate_metrics(
            input1=Images(a),
            input2=Images(b),
            feature_extractor="blocks",
            **dict(fid=True, kid=True, prc=True, isc=True, kid_subset_size=150),
            **dict(cuda=False, cache=False, save_cpu_ram=True, verbose=False),
        )
    finally:
        del FEATURE_EXTRACTORS_REGISTRY["blocks"]
    found = measured(a, b, EXTRACTOR, list(extras.NAMES))
    assert found == {
        "fid": expected["frechet_inception_distance"],
        "kid": expected["kernel_inception_distance_mean"],
        "precision": expected["precision"],
        "recall": expected["recall"],
        "isc": expected["inception_score_mean"],
    }


def test_the_score_changes_no_other_number(draw):
    """The logits of the samples are not taken for features."""
    a, b = coloured(draw, 40, 20), coloured(draw, 50)
    alone = measured(a, b, EXTRACTOR, ["kid"])
    both = measured(a, b, EXTRACTOR, ["kid", "inception_score"])
    assert list(both) == ["fid", "kid", "isc"]
    assert {name: both[name] for name in alone} == alone
    assert alone["fid"] == distance(a, b, EXTRACTOR)


def test_an_extractor_without_classes_has_no_inception_score(draw):
    without = Extractor(12, None, Blocks)
    with pytest.raises(UserError, match="inception_score needs"):
        frechet(coloured(draw, 9), without, ["inception_score"])


def test_the_protocol_says_what_was_done_with_so_many_images():
    found = extras.protocol(["kid", "precision_recall", "inception_score"], 400, 5000)
    assert found["kid"]["subset_size"] == 400 and found["kid"]["seed"] == extras.SEED
    assert found["precision_recall"]["neighbours"] == 3
    assert found["inception_score"]["splits"] == 10
    assert list(extras.protocol(["kid"], 400, 5000)) == ["kid"]
