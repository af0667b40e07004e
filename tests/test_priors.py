"""Fitted priors have the moments of the aggregate posterior; few data are shrunk; few directions
keep every variance."""

import numpy as np
import pytest
import torch
from sklearn.covariance import empirical_covariance
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from vct.misfit import Misfit
from vct.priors import GaussianPrior, fit, fit_classes, shrinkage


def mixture(count, size=6, seed=0):
    """mu and std of `count` posteriors over (size, 1, 1), with correlated means."""
    draw = torch.Generator().manual_seed(seed)
    mixing = torch.randn(size, size, generator=draw)
    mu = torch.randn(count, size, generator=draw) @ mixing + torch.arange(size)
    std = 0.1 + torch.rand(count, size, generator=draw)
    return mu.reshape(count, size, 1, 1), std.reshape(count, size, 1, 1)


def in_batches(mu, std, width=7):
    return lambda: zip(mu.split(width), std.split(width), strict=True)


def exact(mu, std):
    mu, std = mu.flatten(1).double(), std.flatten(1).double()
    return torch.from_numpy(empirical_covariance(mu.numpy())) + torch.diag((std**2).mean(dim=0))


def test_moments_are_those_of_the_aggregate_posterior():
    mu, std = mixture(20_000)
    prior = fit(in_batches(mu, std, 1000))
    torch.testing.assert_close(prior.mean, mu.flatten(1).mean(dim=0), rtol=1e-4, atol=1e-4)
    found, expected = prior.covariance().double(), exact(mu, std)
    torch.testing.assert_close(found, expected, rtol=0.01, atol=0.01 * expected.abs().max().item())
    torch.testing.assert_close(found.diagonal(), expected.diagonal(), rtol=1e-4, atol=0)


def test_draws_have_those_moments_whatever_the_form():
    mu, std = mixture(5_000)
    eps = torch.randn(100_000, 6, 1, 1, generator=torch.Generator().manual_seed(1))
    for full in (6, 5):
        prior = fit(in_batches(mu, std, 500), full=full, rank=3)
        z = prior(eps)
        assert z.shape == eps.shape
        torch.testing.assert_close(z.flatten(1).mean(dim=0), prior.mean, rtol=0.02, atol=0.05)
        found = torch.cov(z.flatten(1).T)
        expected = prior.covariance()
        largest = expected.abs().max().item()
        torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02 * largest)


def test_a_posterior_that_is_the_prior_gives_the_prior():
    zero, one = torch.zeros(50, 2, 3, 3), torch.ones(50, 2, 3, 3)
    eps = torch.randn(9, 2, 3, 3)
    for full in (100, 1):
        torch.testing.assert_close(fit(in_batches(zero, one), full=full)(eps), eps)


def test_covariance_of_few_directions_is_found_in_full():
    """Where Cov mu has no more directions than are kept, both forms agree."""
    draw = torch.Generator().manual_seed(0)
    mu = torch.randn(4000, 3, generator=draw) @ torch.randn(3, 40, generator=draw)
    std = 0.2 + torch.rand(4000, 40, generator=draw)
    prior = fit(in_batches(mu, std, 400), full=10, rank=3)
    assert prior.basis.shape == (40, 3)
    expected = exact(mu, std)
    torch.testing.assert_close(prior.covariance().double(), expected, rtol=1e-4, atol=1e-4)


def test_variances_are_kept_when_directions_are_not():
    mu, std = mixture(3000, size=30)
    prior = fit(in_batches(mu, std, 300), full=10, rank=4)
    found, expected = prior.covariance().diagonal().double(), exact(mu, std).diagonal()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)


def test_shrinkage_lessens_the_error_where_data_are_few_and_vanishes_where_they_are_many():
    draw = np.random.default_rng(0)
    size = 40
    true = np.diag(draw.uniform(0.5, 2, size))
    true[:5, :5] += 0.3
    factor = np.linalg.cholesky(true)
    shares, gains = [], []
    for count in (30, 100_000):
        x = torch.from_numpy(draw.normal(size=(count, size)) @ factor.T)
        x = x - x.mean(dim=0)
        covariance, squares = x.T @ x / count, (x**2).T @ (x**2) / count
        share = shrinkage(covariance, squares, count)
        shrunk = (1 - share) * covariance
        shrunk.diagonal().copy_(covariance.diagonal())
        shares.append(share)
        gains.append(
            (shrunk - torch.from_numpy(true)).norm() / (covariance - torch.from_numpy(true)).norm()
        )
    assert shares[0] > 0.5 and shares[1] < 0.03
    assert gains[0] < 0.7


def test_fewer_data_than_dimensions_are_used_with_shrinkage():
    mu, std = mixture(4, size=6)
    prior = fit(in_batches(mu, 0 * std + 1e-3, 2))
    assert torch.linalg.eigvalsh(prior.covariance()).min() > 1e-3


def test_precision_of_the_noise_is_kept():
    mu, std = mixture(100)
    prior = fit(in_batches(mu, std, 50))
    eps = torch.randn(5, 6, 1, 1, dtype=torch.float64)
    assert prior(eps).dtype == torch.float64
    assert isinstance(prior, GaussianPrior)


def test_posteriors_without_any_spread_have_a_prior():
    """All data alike, std 0: the prior is a point."""
    mu = torch.full((10, 3, 1, 1), 2.0)
    z = fit(in_batches(mu, 0 * mu))(torch.randn(5, 3, 1, 1))
    torch.testing.assert_close(z, torch.full_like(z, 2.0), rtol=0, atol=1e-4)


def of_classes(mu, std, index, width=7, **form):
    labels = torch.nn.functional.one_hot(index).float()
    return fit_classes(in_batches(mu, std, width), lambda: iter(labels.split(width)), **form)


def test_classes_have_means_of_their_own_and_share_a_covariance():
    """That of linear discriminant analysis, and the noise of the posteriors."""
    mu, std = mixture(6_000)
    index = torch.arange(6_000) % 7 % 3  # of unequal size
    mu = mu + 3 * torch.randn(3, 6, 1, 1, generator=torch.Generator().manual_seed(4))[index]
    flat = mu.flatten(1).double().numpy()
    oracle = LinearDiscriminantAnalysis(solver="lsqr", store_covariance=True).fit(flat, index)
    expected = oracle.covariance_ + np.diag(std.flatten(1).double().square().mean(dim=0))
    # As few directions as there are dimensions lose nothing either.
    for form in ({}, {"full": 5, "rank": 6}):
        prior = of_classes(mu, std, index, 500, **form)
        np.testing.assert_allclose(prior.mean, oracle.means_, rtol=1e-4, atol=1e-4)
        largest = np.abs(expected).max()
        np.testing.assert_allclose(prior.covariance(), expected, rtol=0.01, atol=0.01 * largest)


def test_draws_of_a_class_have_its_mean():
    mu, std = mixture(50)
    index = torch.arange(50) % 2
    prior = of_classes(mu, std, index)
    wanted = torch.eye(2)[torch.tensor([1, 0, 1])]
    z = prior(torch.zeros(3, 6, 1, 1, dtype=torch.float64), wanted)
    assert z.dtype == torch.float64 and z.shape == (3, 6, 1, 1)
    for row, label in zip(z.flatten(1), (1, 0, 1), strict=True):
        expected = mu[index == label].flatten(1).mean(dim=0)
        torch.testing.assert_close(row.float(), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(Misfit, match="needs labels"):
        prior(torch.zeros(3, 6, 1, 1))


def test_one_class_is_no_class():
    mu, std = mixture(50)
    one, plain = of_classes(mu, std, torch.zeros(50, dtype=torch.int64)), fit(in_batches(mu, std))
    torch.testing.assert_close(one.mean[0], plain.mean)
    torch.testing.assert_close(one.covariance(), plain.covariance())
