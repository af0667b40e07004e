"""A test that holds its level when nothing was learned by heart, and sees copies."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from vct.diagnostics import memorisation as module
from vct.diagnostics.memorisation import memorisation, nearest


def draw(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def test_level_is_held_also_by_samples_that_depend_on_each_other():
    """Groups of samples in one place: a binomial test would find far too much."""
    values = []
    for seed in range(300):
        samples = np.repeat(draw((seed, 0), 8, 3), 5, axis=0)
        train, held_out = draw((seed, 1), 40, 3), draw((seed, 2), 30, 3)
        found = memorisation(samples, train, held_out, np.random.default_rng(seed), 99)
        assert found.points == 30
        values.append(found.p_value)
    values = np.array(values)
    for level in (0.05, 0.1, 0.25, 0.5):
        # Exact tests are conservative where shares can be equal, never the other way.
        deviation = 3 * (level * (1 - level) / len(values)) ** 0.5
        assert level - 0.15 < (values <= level).mean() < level + deviation


def test_p_values_are_uniform_where_shares_are_rarely_equal():
    values = []
    for seed in range(200):
        given = draw((seed, 0), 300, 2), draw((seed, 1), 150, 2), draw((seed, 2), 150, 2)
        values.append(memorisation(*given, np.random.default_rng(seed), 99).p_value)
    assert np.mean(values) == pytest.approx(0.5, abs=0.08)
    assert np.std(values) == pytest.approx(12**-0.5, abs=0.04)


def test_copies_are_seen_and_so_is_their_lack():
    train, held_out = draw(0, 60, 2, 3, 3), draw(1, 60, 2, 3, 3)
    copies = train[:40] + 0.01 * draw(2, 40, 2, 3, 3)
    found = memorisation(copies, train, held_out, np.random.default_rng(0), 499)
    assert (found.share, found.p_value) == (1, 1 / 500)
    other = memorisation(copies, held_out, train, np.random.default_rng(0), 499)
    assert (other.share, other.p_value) == (0, 1)


def test_does_not_depend_on_scale_or_place():
    given = draw(0, 50, 4), draw(1, 30, 4), draw(2, 40, 4)
    found = memorisation(*given, np.random.default_rng(0))
    for scale, shift in ((1e-6, 0.0), (1e4, 3e5)):
        moved = [part * scale + shift for part in given]
        assert memorisation(*moved, np.random.default_rng(0)) == found


def test_points_in_both_sets_count_for_either():
    points = draw(0, 400, 2)
    found = memorisation(points, points, points, np.random.default_rng(0))
    assert found.share == pytest.approx(0.5, abs=0.08)
    assert 0.01 < found.p_value < 0.99


def test_nearest_point_is_that_of_all_distances(monkeypatch):
    samples, points = draw(0, 50, 4) + 100, draw(1, 30, 4) + 100
    monkeypatch.setattr(module, "BLOCK", 200)
    assert nearest(samples, points).tolist() == cdist(samples, points).argmin(axis=1).tolist()


def test_mirror_images_are_one_point_whatever_is_drawn_of_them():
    """Images that are nearly their own mirror images: had a point and its twin been drawn apart,
    training would have covered more places than held-out images, and looked like memory."""

    def images(seed, count):
        half = draw(seed, count, 1, 3, 4)
        return half + half[..., ::-1] + 0.05 * draw((seed, 1), count, 1, 3, 4)

    values = []
    for seed in range(40):
        given = [images(seed * 3 + part, size) for part, size in enumerate((200, 400, 40))]
        values.append(memorisation(*given, np.random.default_rng(seed), 99, mirrored=True))
    assert np.mean([found.share for found in values]) == pytest.approx(0.5, abs=0.05)
    assert np.mean([found.p_value <= 0.05 for found in values]) < 0.2


def test_mirrored_copies_are_seen():
    train, held_out = draw(0, 60, 1, 3, 3), draw(1, 60, 1, 3, 3)
    copies = train[:40, ..., ::-1]
    found = memorisation(copies, train, held_out, np.random.default_rng(0), 99, mirrored=True)
    assert found.share == 1
    assert memorisation(copies, train, held_out, np.random.default_rng(0), 99).share < 1
