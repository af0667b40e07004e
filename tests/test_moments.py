"""Running moments: of a weighted mixture of batches, and the divergence from their Gaussian."""

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from vct.couplings.base import alone
from vct.couplings.variational import gaussian_kl
from vct.moments import RunningMoments

SIZE = 5


def posteriors(count=40, seed=0, size=SIZE):
    """mu and std (count, size), with correlated means away from 0."""
    draw = torch.Generator().manual_seed(seed)
    mixing = torch.randn(size, size, generator=draw)
    mu = torch.randn(count, size, generator=draw) @ mixing + torch.arange(size)
    return mu, 0.2 + torch.rand(count, size, generator=draw)


def moments_of(*batches, whole=True, **options):
    made = RunningMoments(SIZE, full=SIZE if whole else SIZE - 1, **options)
    for mu, std in batches:
        made.update(mu, std, alone)
    return made


def exact(mu, std, weights):
    """Mean and covariance of the mixture of N(mu, std^2) with such weights."""
    mean = np.average(mu, axis=0, weights=weights)
    within = np.diag(np.average(std**2, axis=0, weights=weights))
    return mean, np.cov(mu.T, aweights=weights, bias=True) + within


@pytest.mark.parametrize("whole", [True, False])
def test_moments_are_those_of_the_weighted_past(whole):
    """Of N(0, I) and three batches of unequal size, the older the lighter."""
    rate = 0.3
    batches = [posteriors(count, seed) for seed, count in enumerate((7, 40, 11))]
    found = moments_of(*batches, whole=whole, rate=rate)
    shares = [rate * (1 - rate) ** age for age in (2, 1, 0)]
    weights = np.concatenate(
        [[(1 - rate) ** 3]]
        + [[share / len(mu)] * len(mu) for share, (mu, _) in zip(shares, batches, strict=True)]
    )
    mu = np.concatenate([np.zeros((1, SIZE)), *[mu.double().numpy() for mu, _ in batches]])
    std = np.concatenate([np.ones((1, SIZE)), *[std.double().numpy() for _, std in batches]])
    mean, covariance = exact(mu, std, weights)
    np.testing.assert_allclose(found.mean.numpy(), mean, rtol=1e-5)
    expected = covariance if whole else np.diag(covariance)
    np.testing.assert_allclose(found.covariance.numpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("whole", [True, False])
def test_divergence_is_that_of_torch_from_the_mixture_with_the_anchor(whole):
    mu, std = posteriors()
    anchor = 0.25
    moments = moments_of((mu, std), whole=whole, anchor=anchor, rate=1.0)
    mean, covariance = exact(mu.double().numpy(), std.double().numpy(), np.ones(len(mu)))
    covariance = covariance if whole else np.diag(np.diag(covariance))
    shift = np.outer(mean, mean) if whole else np.diag(mean**2)
    mixed = (1 - anchor) * covariance + anchor * np.eye(SIZE) + anchor * (1 - anchor) * shift
    prior = MultivariateNormal(torch.from_numpy((1 - anchor) * mean), torch.from_numpy(mixed))
    every = MultivariateNormal(mu.double(), torch.diag_embed(std.double() ** 2))
    expected = kl_divergence(every, prior)
    torch.testing.assert_close(moments.divergence(mu, std).double(), expected, rtol=1e-4, atol=1e-4)
    images = mu.reshape(-1, SIZE, 1, 1), std.reshape(-1, SIZE, 1, 1)
    assert torch.equal(moments.divergence(*images), moments.divergence(mu, std))


@pytest.mark.parametrize("whole", [True, False])
def test_it_is_the_published_one_at_the_start_and_with_the_whole_anchor(whole):
    mu, std = posteriors()
    expected = gaussian_kl(mu, std)
    torch.testing.assert_close(moments_of(whole=whole).divergence(mu, std), expected)
    anchored = moments_of((mu, std), whole=whole, anchor=1.0, rate=0.5)
    torch.testing.assert_close(anchored.divergence(mu, std), expected)


def test_rotated_noise_has_the_same_divergence():
    mu, std = posteriors()[0], torch.full((40, SIZE), 0.4)
    turn = torch.linalg.qr(torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(3))).Q
    plain = moments_of((mu, std), rate=0.5).divergence(mu, std)
    turned = moments_of((mu @ turn, std), rate=0.5).divergence(mu @ turn, std)
    torch.testing.assert_close(turned, plain, rtol=1e-4, atol=1e-4)
    assert (plain - gaussian_kl(mu, std)).abs().min() > 0.1


@pytest.mark.parametrize("variance", [1e-3, 0.5, 1.0, 30.0])
def test_scale_is_pulled_to_one_by_the_share_of_the_anchor(variance):
    """d KL / ds = a / c of what N(0, I) gives, however small or large the noise has become."""
    anchor = 0.2
    std = torch.full((1, SIZE), variance**0.5, requires_grad=True)
    moments = moments_of((0 * std.detach(), std.detach()), anchor=anchor, rate=1.0)
    (pull,) = torch.autograd.grad(moments.divergence(0 * std, std).sum(), std)
    (standard,) = torch.autograd.grad(gaussian_kl(0 * std, std).sum(), std)
    share = anchor / ((1 - anchor) * variance + anchor)
    torch.testing.assert_close(pull, share * standard, rtol=1e-3, atol=1e-5)


def test_a_batch_that_is_not_finite_is_left_out():
    mu, std = posteriors()
    moments = moments_of((mu, std))
    before = {name: tensor.clone() for name, tensor in moments.state_dict().items()}
    for bad in (torch.nan, torch.inf):
        mu[3, 2] = bad
        moments.update(mu, std, alone)
    assert all(torch.equal(before[name], moments.state_dict()[name]) for name in before)
