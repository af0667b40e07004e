"""The nearest of k noises: the law of the minimum, of each sample alone, and its drift."""

import math

import pytest
import torch
from support import pairing

from vct.couplings.nearest_noise import NearestNoise, nearest
from vct.diagnostics.marginal import two_sample
from vct.rng import Draw

SHAPE = (1, 2, 1)


def points(size, seed=0):
    return torch.randn(size, *SHAPE, generator=torch.Generator().manual_seed(seed))


def test_one_noise_is_independent_noise():
    x, eps = points(8), points(8, 1)
    coupling = NearestNoise(k=1)
    assert torch.equal(coupling.couple(x, eps), eps)
    assert torch.equal(coupling.pair(x, eps, pairing(8)).z, eps)


def test_no_other_is_nearer():
    x, eps, others = points(50), points(50, 1), [points(50, seed) for seed in range(2, 7)]
    z = nearest(x, eps, others)
    every = torch.stack([(x - each).flatten(1).norm(dim=1) for each in (eps, *others)])
    torch.testing.assert_close((x - z).flatten(1).norm(dim=1), every.min(dim=0).values)


@pytest.mark.parametrize("way", ["couple", "pair"])
def test_distance_has_the_law_of_the_minimum(way):
    """P(|x - z|^2 > r) = P(one noise is that far)^k: at x = 0 in two dimensions exp(-r k / 2)."""
    k, count = 4, 4000
    coupling, x = NearestNoise(sigma_data=0.5, k=k), torch.zeros(count, *SHAPE)
    eps = points(count, 3)
    z = coupling.couple(x, eps) if way == "couple" else coupling.pair(x, eps, pairing(count)).z
    squares = z.flatten(1).square().sum(dim=1)
    for level in (0.1, 0.5, 1.0):
        expected = math.exp(-level * k / 2)
        spread = math.sqrt(expected * (1 - expected) / count)
        assert abs((squares > level).float().mean() - expected) < 4 * spread


def test_scale_of_the_data_does_not_matter():
    x, eps = points(20), points(20, 1)
    one, two = NearestNoise(0.5, 8).couple(0.5 * x, eps), NearestNoise(3.0, 8).couple(3 * x, eps)
    assert torch.equal(one, two)


def test_sample_depends_on_itself_alone():
    coupling, x, eps = NearestNoise(k=8), points(6), points(6, 1)
    whole = coupling.couple(x, eps)
    assert torch.equal(coupling.couple(x[2:5], eps[2:5]), whole[2:5])
    assert torch.equal(coupling.couple(x, eps), whole)
    every = coupling.pair(x, eps, pairing(6, draw=Draw(0, 3))).z
    part = pairing(2, draw=Draw(0, 3, start=2, total=6))
    assert torch.equal(coupling.pair(x[2:4], eps[2:4], part).z, every[2:4])
    other = coupling.pair(x, eps, pairing(6, draw=Draw(0, 4))).z
    assert not torch.equal(other, every)


def test_marginal_drifts_and_the_test_of_it_says_so():
    x = points(500) / 2 + 1
    for k, drifts in ((1, False), (4, True)):
        z = NearestNoise(sigma_data=1.0, k=k).couple(x, points(500, 1))
        found = two_sample(z, points(500, 2), torch.Generator().manual_seed(0))
        assert (found.p_value < 0.01) == drifts
