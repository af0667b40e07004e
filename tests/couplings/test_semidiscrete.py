"""Cells of equal mass, known cells on a line, a lower cost than any batch finds, and classes."""

import copy
import math

import pytest
import torch
from support import pairing
from torch.distributions import Normal

from vct.couplings.minibatch_ot import MinibatchOT
from vct.couplings.semidiscrete import Semidiscrete, potentials

SHAPE = (2, 3, 3)


def data(count=60, seed=0):
    draw = torch.Generator().manual_seed(seed)
    centre = torch.randn(4, *SHAPE, generator=draw)
    spread = torch.randn(count, *SHAPE, generator=draw)
    return centre[torch.arange(count) % 4] / 2 + 0.2 * spread


def noise(count, seed=1, shape=SHAPE):
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


def coupled(x, eps, labels=None, classes=0, one_hot=None):
    coupling = Semidiscrete(lambda: (x, labels), classes)
    return coupling.pair(torch.zeros_like(eps), eps, pairing(len(eps), labels=one_hot))


def test_cells_on_a_line_are_intervals_of_equal_mass():
    """Optimal transport on a line is monotone: x_(k) gets the k-th quantile of the noise."""
    points = torch.tensor([0.3, -1.0, 2.0, 0.2]).reshape(4, 1, 1, 1)
    eps = torch.linspace(-3, 3, 2001).reshape(-1, 1, 1, 1)
    found = coupled(points, eps).x.flatten()
    edges = Normal(0, 1).icdf(torch.tensor([0.25, 0.5, 0.75]))
    expected = points.flatten().sort().values[torch.bucketize(eps.flatten(), edges)]
    assert (found != expected).float().mean() < 0.01


def test_noise_is_kept_and_each_point_is_as_likely():
    x, count = data(), 60_000
    pair = coupled(x, noise(count))
    assert torch.equal(pair.z, noise(count))
    assert pair.kl.eq(0).all()
    hits = torch.cdist(pair.x.flatten(1), x.flatten(1)).argmin(dim=1).bincount(minlength=len(x))
    # Poisson, and what is left of the potentials' error: a few percent of a cell.
    assert (hits / (count / len(x)) - 1).square().mean().sqrt() < 0.08


def test_pairs_cost_less_than_those_of_batches():
    x = data()
    pair = coupled(x, noise(6000))
    gain = (pair.x * pair.z).flatten(1).sum(dim=1).mean()
    for size in (60, 600):
        batch = x.repeat(size // 60, 1, 1, 1)
        found = torch.cat([MinibatchOT().couple(batch, eps) for eps in noise(6000).split(size)])
        assert gain > (x.repeat(100, 1, 1, 1) * found).flatten(1).sum(dim=1).mean()


def test_classes_have_cells_of_their_own():
    x, labels = data(), torch.arange(60) % 3
    asked = torch.arange(900) % 3
    pair = coupled(x, noise(900), labels, 3, torch.eye(3)[asked])
    hits = torch.cdist(pair.x.flatten(1), x.flatten(1)).argmin(dim=1)
    assert torch.equal(labels[hits], asked)
    assert len(hits.unique()) == 60


def test_potentials_depend_on_the_data_alone():
    flat = data().flatten(1)
    torch.manual_seed(3)
    first = potentials(flat, 50, 100)
    torch.manual_seed(4)
    assert torch.equal(first, potentials(flat, 50, 100))
    assert first.mean().abs() < 1e-5


def test_copies_share_the_data_and_checkpoints_leave_them_out():
    asked = []

    def points():
        asked.append(1)
        return data(), None

    coupling = Semidiscrete(points, iterations=5, draws=50)
    other = copy.deepcopy(coupling)
    assert not asked and not coupling.state_dict()
    one, two = (each.pair(noise(5), noise(5), pairing(5)).x for each in (coupling, other))
    assert torch.equal(one, two) and len(asked) == 1


@pytest.mark.parametrize("size", [1, 7])
def test_the_sampler_permutes_noise(size):
    coupling = Semidiscrete(lambda: pytest.fail("the sampler has no training data"))
    z = coupling.couple(data(size), noise(size))
    order = z.flatten(1).sum(dim=1).sort().values
    torch.testing.assert_close(order, noise(size).flatten(1).sum(dim=1).sort().values)
    assert math.isfinite(z.sum())
