"""Cells of equal mass, known cells on a line, a lower cost than any batch finds, and classes."""

import copy
import itertools
import math

import pytest
import torch
from support import pairing
from torch.distributions import Normal

from vct.couplings.minibatch_ot import MinibatchOT
from vct.couplings.semidiscrete import Semidiscrete, drawn, potentials, spread, unevenness
from vct.couplings.sinkhorn import Sinkhorn, transport_plan

SHAPE = (2, 3, 3)


def data(count=60, seed=0):
    draw = torch.Generator().manual_seed(seed)
    centre = torch.randn(4, *SHAPE, generator=draw)
    spread = torch.randn(count, *SHAPE, generator=draw)
    # Off centre, as bright images are.
    return 1 + centre[torch.arange(count) % 4] / 2 + 0.2 * spread


def noise(count, seed=1, shape=SHAPE):
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


def coupled(x, eps, labels=None, classes=0, one_hot=None, entropy=0.0):
    coupling = Semidiscrete(lambda: (x, labels), classes, entropy=entropy)
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
    hits = which(pair, x).bincount(minlength=len(x))
    # Poisson, and what is left of the potentials' error: a few percent of a cell.
    assert (hits / (count / len(x)) - 1).square().mean().sqrt() < 0.08


def test_unevenness_is_that_of_a_count_without_its_chance():
    x = data(count=40).flatten(1)
    exact = potentials(x, 2000, 2048)
    for off in (0.0, 0.3):
        g = exact + off * torch.randn(40, generator=torch.Generator().manual_seed(3))
        hits = (noise(200_000).flatten(1) @ x.T + g).argmax(dim=1)
        counted = 40 * torch.bincount(hits, minlength=40) / len(hits)
        true = max(float((counted - 1).square().mean()) - 40 / len(hits), 0.0) ** 0.5
        assert unevenness(x, g, 0.0) == pytest.approx(true, abs=0.04)
    assert unevenness(x, exact, 0.0) < 0.05 < true


def test_pairs_cost_less_than_those_of_batches():
    x = data()
    pair = coupled(x, noise(6000))
    gain = (pair.x * pair.z).flatten(1).sum(dim=1).mean()
    for size in (60, 600):
        batch = x.repeat(size // 60, 1, 1, 1)
        found = torch.cat([MinibatchOT().couple(batch, eps) for eps in noise(6000).split(size)])
        assert gain > (x.repeat(100, 1, 1, 1) * found).flatten(1).sum(dim=1).mean()


def which(pair, x):
    return torch.cdist(pair.x.flatten(1), x.flatten(1)).argmin(dim=1)


@pytest.mark.parametrize("entropy", [0.1, 0.5])
def test_soft_cells_are_the_entropic_plan_of_a_large_sample(entropy):
    """Sinkhorn's algorithm between the points, each many times, and as many noises."""
    x, eps = data(20), noise(2000)
    plan = transport_plan(x.repeat(100, 1, 1, 1).flatten(1), eps.flatten(1), entropy, 500)
    expected = 2000 * plan.reshape(100, 20, 2000).sum(dim=0).T
    scale = entropy * spread(x.flatten(1))
    g = potentials(x.flatten(1), 1000, 2048, scale)
    found = ((eps.flatten(1) @ x.flatten(1).T + g) / scale).softmax(dim=1)
    assert (found - expected.float()).abs().sum(dim=1).mean() < 0.15


@pytest.mark.parametrize("entropy", [0.05, 0.3, 100.0])
def test_points_of_soft_cells_are_as_likely_and_noise_is_kept(entropy):
    x, count = data(), 60_000
    pair = coupled(x, noise(count), entropy=entropy)
    assert torch.equal(pair.z, noise(count))
    hits = which(pair, x).bincount(minlength=len(x))
    assert (hits / (count / len(x)) - 1).square().mean().sqrt() < 0.08


def test_entropy_leads_from_the_exact_plan_to_independent_pairs():
    x, eps = data(), noise(20_000)
    gains = []
    for entropy in (0.0, 1e-3, 0.1, 0.3, 1.0, 1000.0):
        pair = coupled(x, eps, entropy=entropy)
        centred = pair.x - x.mean(dim=0)
        gains.append(float((centred * pair.z).flatten(1).sum(dim=1).mean() / spread(x.flatten(1))))
    assert gains[0] == pytest.approx(gains[1], abs=0.02)
    assert all(more > less + 0.03 for more, less in itertools.pairwise(gains[1:]))
    assert abs(gains[-1]) < 0.03


def test_what_is_drawn_has_the_law_that_was_asked_for():
    gain = torch.tensor([[0.0, 1.0, 2.0]]).expand(30_000, 3)
    level = torch.rand(30_000, generator=torch.Generator().manual_seed(0))
    share = drawn(gain, 0.5, level).bincount(minlength=3) / 30_000
    torch.testing.assert_close(share, (gain[0] / 0.5).softmax(dim=0), atol=0.01, rtol=0)
    ends = torch.tensor([0.0, 1 - 2**-24])
    assert drawn(torch.zeros(2, 7), 1.0, ends).tolist() == [0, 6]
    assert drawn(torch.tensor([[0.0, 3.0, 1.0]]), 0.0, ends[:1]).tolist() == [1]


def test_classes_have_cells_of_their_own():
    x, labels = data(), torch.arange(60) % 3
    asked = torch.arange(900) % 3
    pair = coupled(x, noise(900), labels, 3, torch.eye(3)[asked])
    hits = which(pair, x)
    assert torch.equal(labels[hits], asked)
    assert len(hits.unique()) == 60


def test_soft_cells_of_a_class_are_as_likely():
    x, labels = data(12), torch.arange(12) % 3
    asked = torch.arange(30_000) % 3
    pair = coupled(x, noise(30_000), labels, 3, torch.eye(3)[asked], entropy=0.5)
    hits = which(pair, x)
    assert torch.equal(labels[hits], asked)
    assert (hits.bincount(minlength=12) / 2500 - 1).abs().max() < 0.08


def test_the_unit_of_entropy_is_that_of_sinkhorn():
    """The deviation of the cost without what depends on x or eps alone."""
    x, eps = data().flatten(1), noise(4000).flatten(1)
    cost = -(x @ eps.T)
    cost = cost - cost.mean(dim=0)
    cost = cost - cost.mean(dim=1, keepdim=True)
    assert spread(x) == pytest.approx(float(cost.std(correction=0)), rel=0.02)


def test_the_sampler_draws_from_the_entropic_plan_of_a_batch():
    x, eps = data(32), noise(32)
    soft = Semidiscrete(lambda: pytest.fail("the sampler has no training data"), entropy=0.5)
    assert torch.equal(soft.couple(x, eps), Sinkhorn(0.5).couple(x, eps))


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


def test_who_watches_changes_nothing():
    flat = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    seen = []

    def watched(steps):
        for step in steps:
            seen.append(step)
            yield step

    assert torch.equal(potentials(flat, 30, 50, watched=watched), potentials(flat, 30, 50))
    assert seen == list(range(30))


@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_few_steps_of_the_ascent_have_an_average_too(iterations):
    found = potentials(torch.randn(7, 2), iterations, 16)
    assert found.isfinite().all() and found.abs().max() > 0


def test_noise_of_double_precision_goes_to_the_same_points():
    x, eps = data(), noise(50)
    one, two = (coupled(x, each) for each in (eps, eps.double()))
    assert two.x.dtype == torch.float64
    torch.testing.assert_close(two.x.float(), one.x)
