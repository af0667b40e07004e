"""Pairs that count as a Gibbs factor says: its mean, what it comes to, and the loss."""

import math

import pytest
import torch
from support import KERNELS, pairing, tiny_network

from vct.couplings.base import Pair
from vct.couplings.independent import Independent
from vct.couplings.weighted import Weighted
from vct.misfit import Misfit
from vct.objectives.ict import ICT
from vct.preconditioning import ConsistencyFunction
from vct.rng import Draw

SHAPE, COUNT = (2, 2, 1), 200_000


def pairs(entropy, x):
    """The same x with many noises."""
    eps = torch.randn(COUNT, *SHAPE, generator=torch.Generator().manual_seed(0))
    coupling = Weighted(SHAPE, sigma_data=0.5, entropy=entropy)
    return coupling, coupling.pair(x.expand(COUNT, *SHAPE), eps, pairing(COUNT))


@pytest.mark.parametrize("entropy", [0.7, 1.0, 3.0])
def test_each_x_counts_once_and_sees_noise_around_it(entropy):
    """E[w | x] = 1, E[w z | x] = x / tau, E[w^2 | x] = exp(|x|^2 / tau^2)."""
    x = torch.tensor([0.6, -0.3, 0.1, 0.5]).reshape(SHAPE)
    coupling, pair = pairs(entropy, x)
    w, tau = pair.weight.double(), coupling.tau
    assert tau == pytest.approx(entropy * 0.5 * 2)
    spread = w.std() / math.sqrt(COUNT)
    assert abs(w.mean() - 1) < 4 * spread
    mean = (w[:, None] * pair.z.flatten(1)).mean(dim=0)
    torch.testing.assert_close(mean.float(), x.flatten() / tau, atol=0.02, rtol=0)
    assert w.square().mean() == pytest.approx(math.exp(float(x.square().sum()) / tau**2), rel=0.03)


def test_sampler_draws_of_the_law_that_the_weights_come_to():
    """E[w f(z)] = E[f(x/tau + eps)], for f(z) = z and z^2."""
    x = torch.tensor([0.6, -0.3, 0.1, 0.5]).reshape(SHAPE)
    coupling, pair = pairs(1.0, x)
    z, w = coupling.couple(pair.x, pair.z).flatten(1), pair.weight[:, None]
    mean, std = coupling.posterior(pair.x)
    torch.testing.assert_close(z.mean(dim=0), mean[0].flatten(), atol=0.02, rtol=0)
    torch.testing.assert_close(z.std(dim=0), std[0].flatten(), atol=0.02, rtol=0)
    seen = (w * pair.z.flatten(1).square()).mean(dim=0)
    torch.testing.assert_close(seen, z.square().mean(dim=0), atol=0.05, rtol=0)


def test_a_large_entropy_is_independent_noise():
    x, eps = torch.randn(9, *SHAPE), torch.randn(9, *SHAPE)
    pair = Weighted(SHAPE, entropy=1e6).pair(x, eps, pairing(9))
    torch.testing.assert_close(pair.weight, torch.ones(9))
    assert torch.equal(pair.z, eps) and torch.equal(pair.x, x)


def test_loss_is_the_weighted_mean_and_parts_are_parts():
    network, objective = tiny_network(2), ICT(t_max=80.0, s1=20)
    f = ConsistencyFunction(network, KERNELS["ve"], 0.5, objective.t_min)
    x, eps = torch.randn(8, *SHAPE), torch.randn(8, *SHAPE)
    levels = objective.levels(5, 10, 8, torch.Generator().manual_seed(1))
    plain = Independent().pair(x, eps, pairing(8))

    def loss(pair):
        return objective.loss(f, pair, levels, None, 0.0, Draw(0, 0))

    ones = loss(Pair(plain.x, plain.z, plain.kl, torch.ones(8)))
    assert torch.equal(ones.total, loss(plain).total)
    weight = torch.tensor([0.0, 0, 0, 8, 0, 0, 0, 0])
    single = loss(Pair(plain.x, plain.z, plain.kl, weight))
    torch.testing.assert_close(single.total, loss(plain).each[3])
    part = Pair(plain.x, plain.z, plain.kl, weight).part(slice(2, 5))
    assert part.weight.tolist() == [0, 8, 0]


def test_a_weight_of_another_shape_is_refused():
    x = torch.zeros(4, *SHAPE)
    with pytest.raises(Misfit, match=r"Pair\.weight"):
        Pair(x, x, torch.zeros(4), torch.ones(4, 1))
