"""Moments and a two-sample test of noise: known Gaussians, uniform p-values, power."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch.distributions import MultivariateNormal, kl_divergence

from vct.diagnostics.marginal import Moments, kl, moments, two_sample
from vct.misfit import Misfit
from vct.priors import GaussianPrior, fit
from vct.rng import generator


def normal(*shape, key=0):
    return torch.randn(*shape, generator=generator(key), dtype=torch.float64)


def test_moments_of_a_known_gaussian():
    z = 0.3 + 2 * normal(40_000, 5, 1, 1)
    found, exact = moments(z), (0.09 + 4 - 1 - math.log(4)) / 2
    assert found.mean == pytest.approx(0.3, abs=0.02)
    assert found.variance == pytest.approx(4, rel=0.01)
    assert found.kl == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize("full", [10, 5])
def test_kl_is_that_of_the_fitted_gaussian(full):
    """Whatever the form in which its covariance is kept."""
    mu = normal(4000, 3) @ normal(3, 8, key=1)
    prior = fit(lambda: iter([(mu, 0.5 + 0 * mu)]), full=full, rank=3)
    zero, one = torch.zeros(8, dtype=torch.float64), torch.eye(8, dtype=torch.float64)
    fitted = MultivariateNormal(prior.mean.double(), prior.covariance().double())
    expected = float(kl_divergence(fitted, MultivariateNormal(zero, one))) / 8
    assert kl(prior) == pytest.approx(expected, rel=1e-4)


def test_kl_of_a_gaussian_without_volume_is_infinite():
    one = torch.ones(1)
    assert kl(GaussianPrior(0 * one, one, one[:, None], -one)) == math.inf


@pytest.mark.parametrize(("size", "count"), [(20, 2000), (1, 100), (20, 100), (60, 30)])
def test_kl_of_the_prior_lies_above_zero_by_what_is_said(size, count):
    values = [moments(normal(count, size, key=k)).kl for k in range(30)]
    error = np.std(values) / math.sqrt(30)
    low, high = 1 / count, max((size + 3) / (4 * count), 1 / count)
    assert 0.9 * low - 4 * error < np.mean(values) < 1.3 * high + 4 * error


def test_moments_are_plain_numbers():
    assert moments(torch.zeros(4, 2) + torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])).mean == 0
    assert isinstance(moments(normal(9, 2)), Moments)


def p_values(change, size=4, count=40, repetitions=200):
    values = []
    for k in range(repetitions):
        z, reference = (
            change(normal(count, size, key=f"z{k}")),
            normal(count + 10, size, key=f"r{k}"),
        )
        values.append(two_sample(z, reference, generator(k), permutations=99).p_value)
    return values


def test_p_values_are_uniform_where_both_are_of_one_distribution():
    """On a grid of hundredths, which moves the statistic of Kolmogorov by 1/200 at most."""
    values = p_values(lambda z: z)
    assert kstest(np.array(values) - 0.005, "uniform").pvalue > 0.05
    assert min(values) >= 0.01 and max(values) <= 1


@pytest.mark.parametrize(
    ("change", "size"),
    [
        (lambda z: z + 0.5, 4),
        (lambda z: 1.5 * z, 4),
        (lambda z: 0.6 * z + 0.4 * z.sum(dim=1, keepdim=True), 4),
        (lambda z: z.sign(), 1),
    ],
    ids=["shift", "scale", "correlation", "moments alike"],
)
def test_differences_are_found(change, size):
    values = p_values(change, size, count=80, repetitions=30)
    assert np.mean(np.array(values) <= 0.05) > 0.8


def test_statistic_is_the_sum_over_pairs():
    z, reference = normal(6, 2), normal(4, 2, key=1)
    both = torch.cat([z, reference])
    distances = torch.tensor([float((a - b).norm()) for i, a in enumerate(both) for b in both[:i]])
    h = float(distances.median())

    def mean(first, second, same=False):
        pairs = [
            math.exp(-float((a - b).square().sum()) / (2 * h**2))
            for i, a in enumerate(first)
            for j, b in enumerate(second)
            if not (same and i == j)
        ]
        return sum(pairs) / len(pairs)

    expected = mean(z, z, True) + mean(reference, reference, True) - 2 * mean(z, reference)
    found = two_sample(z, reference, generator(0), permutations=3, factors=(1.0,))
    assert found.mmd2 == pytest.approx(expected, rel=1e-6)


def test_null_is_the_statistic_of_random_divisions():
    """Of 2 + 2 points there are three, each of which comes up a third of the time."""
    points = normal(4, 1)
    found = two_sample(points[:2], points[2:], generator(0), permutations=600)
    values = [
        two_sample(points[[0, i]], points[[j, k]], generator(0), 1).mmd2
        for i, j, k in ((1, 2, 3), (2, 1, 3), (3, 1, 2))
    ]
    for value in values:
        share = np.mean([abs(each - value) < 1e-12 for each in found.null])
        assert share == pytest.approx(1 / 3, abs=0.08)


def test_sets_may_be_exchanged_turned_and_scaled():
    z, reference = normal(30, 3), normal(50, 3, key=1) + 0.3
    turn = torch.linalg.qr(normal(3, 3, key=2)).Q
    one = two_sample(z, reference, generator(0), 1).mmd2
    assert two_sample(reference, z, generator(0), 1).mmd2 == pytest.approx(one, rel=1e-9)
    other = two_sample(9 * z @ turn + 1, 9 * reference @ turn + 1, generator(0), 1).mmd2
    assert other == pytest.approx(one, rel=1e-9)


def test_random_divisions_depend_on_the_generator_alone():
    z, reference = normal(9, 3), normal(9, 3, key=1)
    one, same, other = (two_sample(z, reference, generator(k), 20) for k in (0, 0, 1))
    assert one == same and one.null != other.null and one.mmd2 == other.mmd2


def test_equal_points_and_other_shapes():
    same = two_sample(torch.ones(5, 2), torch.ones(6, 2), generator(0), 9)
    assert same.mmd2 == pytest.approx(0, abs=1e-12) and same.p_value > 0.05
    with pytest.raises(Misfit, match="reference has shape"):
        two_sample(torch.ones(5, 2), torch.ones(6, 3), generator(0))
