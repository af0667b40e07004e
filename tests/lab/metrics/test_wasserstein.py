"""Laws and closed forms of the scores of point clouds."""

import math

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.optimize import linear_sum_assignment

from vct.lab.errors import UserError
from vct.lab.metrics.wasserstein import POINTS, Wasserstein, mode_mass, wasserstein2
from vct.lab.records import Modes


@pytest.fixture
def generator():
    return np.random.default_rng(3)


def test_a_translated_cloud_is_as_far_as_the_shift(generator):
    x = generator.normal(size=(150, 2))
    assert wasserstein2(x + np.array([3.0, -4.0]), x) == pytest.approx(5.0, rel=1e-12)


def test_a_cloud_is_at_distance_zero_from_itself(generator):
    x = generator.normal(size=(100, 2)).astype(np.float32)
    assert wasserstein2(x, x[::-1]) == 0.0


def test_a_tiny_shift_far_from_the_origin_is_still_measured(generator):
    x = generator.normal(size=(50, 2)) + 1000
    assert wasserstein2(x + np.array([1e-6, 0]), x) == pytest.approx(1e-6, rel=1e-5)


def test_points_that_are_stored_mode_by_mode_are_taken_from_all(generator):
    means = [[0.0, 0.0], [3.0, 0.0]]
    sides = np.repeat(np.array(means, dtype=np.float32), 3 * POINTS, axis=0)
    x = (sides + 0.1 * generator.normal(size=sides.shape)).astype(np.float32)[..., None, None]

    def chosen(count):
        return np.sort(np.random.default_rng(0).choice(len(x), count, replace=False))

    metric = Wasserstein(x, Modes(means=means, std=0.1), chosen)
    for count in (300, POINTS):
        both = x[generator.choice(len(x), count, replace=False)]
        assert metric.compute(both)["w2"] < 0.8 < metric.compute(x[:count])["w2"]


def test_in_one_dimension_sorted_points_are_paired(generator):
    x, y = generator.normal(size=(200, 1)), generator.exponential(size=(200, 1))
    expected = math.sqrt(np.mean((np.sort(x[:, 0]) - np.sort(y[:, 0])) ** 2))
    assert wasserstein2(x, y) == pytest.approx(expected, rel=1e-12)


def test_sets_of_different_sizes_follow_the_quantile_functions(generator):
    x, y = generator.normal(size=(60, 1)), generator.normal(1, 2, size=(90, 1))
    # Both quantile functions are constant on the cells of the common grid of 180.
    quantiles = [np.repeat(np.sort(points[:, 0]), 180 // len(points)) for points in (x, y)]
    expected = math.sqrt(np.mean((quantiles[0] - quantiles[1]) ** 2))
    assert wasserstein2(x, y) == pytest.approx(expected, rel=1e-12)


def test_equal_sizes_agree_with_an_optimal_assignment(generator):
    x, y = generator.normal(size=(120, 3)), generator.uniform(size=(120, 3))
    squares = ((x[:, None] - y[None]) ** 2).sum(axis=2)
    expected = math.sqrt(squares[linear_sum_assignment(squares)].mean())
    assert wasserstein2(x, y) == pytest.approx(expected, rel=1e-12)


def test_symmetric_and_blind_to_order_and_to_trailing_axes(generator):
    x, y = generator.normal(size=(80, 2)), generator.uniform(size=(70, 2))
    distance = wasserstein2(x, y)
    assert wasserstein2(y, x) == pytest.approx(distance, rel=1e-12)
    assert wasserstein2(generator.permutation(x), y) == pytest.approx(distance, rel=1e-12)
    assert wasserstein2(x.reshape(80, 2, 1, 1), y.reshape(70, 2, 1, 1)) == distance


def test_sampled_gaussians_come_near_the_closed_form(generator):
    """W2² = |m1 - m2|² + tr(S1 + S2 - 2 (S1^½ S2 S1^½)^½), Peyré and Cuturi, equation 2.41."""
    means = np.array([[0.0, 0.0], [3.0, 1.0]])
    covariances = np.array([[[1.0, 0.3], [0.3, 0.5]], [[0.4, -0.2], [-0.2, 2.0]]])
    root = sqrtm(covariances[0])
    bures = np.trace(covariances.sum(axis=0) - 2 * sqrtm(root @ covariances[1] @ root).real)
    expected = math.sqrt(((means[0] - means[1]) ** 2).sum() + bures)
    clouds = [
        generator.multivariate_normal(mean, covariance, 1000)
        for mean, covariance in zip(means, covariances, strict=True)
    ]
    assert wasserstein2(*clouds) == pytest.approx(expected, rel=0.03)


def test_diverged_samples_score_nan_and_overflow_infinity(generator):
    y = generator.normal(size=(5, 2))
    assert math.isnan(wasserstein2([[0.0, math.nan]], y))
    assert math.isnan(wasserstein2([[0.0, math.inf]], y))
    assert wasserstein2([[0.0, 1e200]], y) == math.inf


@pytest.mark.parametrize(
    ("samples", "reference"),
    [
        (np.zeros((0, 2)), np.zeros((3, 2))),
        (np.zeros((3, 2)), np.zeros((3, 3))),
        (np.zeros(3), np.zeros((3, 1))),
        (np.zeros((3, 2)), np.full((3, 2), np.nan)),
    ],
)
def test_clouds_that_cannot_be_compared_are_refused(samples, reference):
    with pytest.raises(UserError):
        wasserstein2(samples, reference)


def test_a_plan_that_did_not_converge_is_an_error(generator, monkeypatch):
    monkeypatch.setattr("vct.lab.metrics.wasserstein.MAX_PIVOTS", 1)
    with pytest.warns(UserWarning), pytest.raises(RuntimeError, match="not optimal"):
        wasserstein2(generator.normal(size=(50, 2)), generator.normal(size=(50, 2)))


MEANS = [[0.0, -0.5], [0.0, 0.5]]


def test_mode_masses_and_the_rest_sum_to_one(generator):
    mass = mode_mass(generator.normal(0, 0.4, size=(997, 2)), MEANS, 0.05)
    assert sum(mass.modes) + mass.outside == pytest.approx(1, abs=1e-12)
    assert min(*mass.modes, mass.outside) > 0


def test_mode_mass_counts_points_by_place():
    points = [[0, -0.5], [0.19, -0.5], [0.21, -0.5], [0, 0.5], [math.nan, 0.5]]
    mass = mode_mass(points, MEANS, 0.05)
    assert mass.modes == (0.4, 0.2)
    assert mass.outside == 0.4


def test_a_point_in_two_overlapping_balls_counts_once():
    mass = mode_mass([[0, 0.1], [0, -0.1]], MEANS, std=1.0)
    assert mass.modes == (0.5, 0.5) and mass.outside == 0


def test_the_mixture_itself_has_its_mass_at_its_modes(generator):
    modes = generator.integers(2, size=4000)
    points = np.array(MEANS)[modes] + 0.05 * generator.normal(size=(4000, 2))
    mass = mode_mass(points.reshape(4000, 2, 1, 1), MEANS, 0.05)
    assert mass.modes == pytest.approx((np.mean(modes == 0), np.mean(modes == 1)), abs=0.005)
    # A 2-D normal lies outside radius r with probability exp(-r²/2).
    assert mode_mass(points, MEANS, 0.05, radius=2.0).outside == pytest.approx(
        math.exp(-2), abs=0.02
    )


def test_only_diverged_samples_are_all_outside():
    mass = mode_mass(np.full((3, 2), np.inf), MEANS, 0.05)
    assert mass.modes == (0, 0) and mass.outside == 1


def test_modes_of_another_dimension_are_refused():
    with pytest.raises(UserError):
        mode_mass(np.zeros((3, 3)), MEANS, 0.05)


# --- as the metric of points -----------------------------------------------------------------


def test_samples_are_compared_with_as_many_training_points(generator):
    """At most `POINTS`; the masses stand under the names of the modes."""
    reference = generator.normal(0, 0.5, size=(POINTS + 50, 2, 1, 1)).astype(np.float32)
    metric = Wasserstein(reference, Modes(means=MEANS, std=0.05))
    assert metric.compared == POINTS
    samples = generator.normal(0, 0.4, size=(60, 2, 1, 1)).astype(np.float32)
    found, mass = metric(samples), mode_mass(samples, MEANS, 0.05)
    assert list(found) == ["w2", "mass_mode0", "mass_mode1", "mass_outside"]
    assert list(found.values()) == [
        wasserstein2(samples, reference[:60]),
        *mass.modes,
        mass.outside,
    ]
    assert metric.rank(samples) == found["w2"]


def test_points_without_modes_are_refused(generator):
    with pytest.raises(UserError, match="no modes"):
        Wasserstein(np.zeros((4, 2, 1, 1), np.float32), None)
