"""iCT: the pseudo-Huber distance and the drawn intervals."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from support import KERNELS, tiny_network

from vct.couplings.base import Pair
from vct.lab.settings.objectives import ICTSettings
from vct.objectives.base import Levels
from vct.objectives.ict import ICT
from vct.preconditioning import ConsistencyFunction
from vct.rng import Draw
from vct.schedules import interval_probabilities

SHAPE = (2, 3, 3)
C = 0.00054 * math.sqrt(18)


def distance(kind, difference):
    student = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(0)).double()
    return ICT(80.0, distance=kind).distance(student, student - difference)


def difference(scale):
    draw = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(1)).double()
    return scale * draw


@pytest.mark.parametrize("kind", ["per-element", "norm"])
def test_small_differences_are_squared(kind):
    small = difference(1e-5 * C)
    expected = (small**2).flatten(1).sum(dim=1) / (2 * C)
    torch.testing.assert_close(distance(kind, small), expected, rtol=1e-3, atol=0)


def test_large_differences_per_element_are_absolute():
    large = difference(1e6)
    torch.testing.assert_close(distance("per-element", large), large.abs().flatten(1).sum(dim=1))


def test_large_differences_of_the_norm_are_euclidean():
    large = difference(1e6)
    torch.testing.assert_close(distance("norm", large), large.flatten(1).norm(dim=1))


@pytest.mark.parametrize("kind", ["per-element", "norm"])
def test_distance_is_zero_at_zero_and_symmetric(kind):
    assert distance(kind, torch.zeros(4, *SHAPE)).abs().max() < 1e-12
    torch.testing.assert_close(distance(kind, difference(0.1)), distance(kind, -difference(0.1)))


def test_both_kinds_agree_on_one_dimension():
    student, teacher = torch.randn(2, 6, 1, 1, 1)
    kinds = [ICT(80.0, distance=kind) for kind in ("per-element", "norm")]
    torch.testing.assert_close(*(kind.distance(student, teacher) for kind in kinds))


def test_constant_grows_with_the_root_of_the_dimension():
    """Far below c, the distance of a unit-norm vector is 1 / (2 c)."""
    for size in (4, 64):
        student = torch.full((1, size, 1, 1), 1e-9 / math.sqrt(size), dtype=torch.float64)
        measured = ICT(80.0, huber_c=1e-3).distance(student, torch.zeros_like(student))
        expected = 1e-18 / (2 * 1e-3 * math.sqrt(size))
        # sqrt(d^2 + c^2) - c cancels nearly all digits here.
        assert measured.item() == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize("step", [0, 999])
def test_intervals_are_drawn_by_their_probability(step):
    objective = ICT(80.0, s0=10, s1=40)
    drawn = objective.levels(step, 1000, 40_000, torch.Generator().manual_seed(0))
    grid = objective.grid(drawn.grid_points)
    assert drawn.grid_points == (11 if step == 0 else 41)
    index = torch.searchsorted(grid, drawn.r)
    torch.testing.assert_close(grid[index], drawn.r)
    torch.testing.assert_close(grid[index + 1], drawn.t)
    counts = np.bincount(index, minlength=len(grid) - 1)
    expected = interval_probabilities(grid, -1.1, 2.0).double().numpy()
    expected = expected / expected.sum() * counts.sum()
    assert scipy.stats.chisquare(counts, expected).pvalue > 1e-3
    torch.testing.assert_close(drawn.weight * (drawn.t - drawn.r), torch.ones(40_000))


def test_settings_decide_grid_and_probabilities():
    """With rho 1 the grid is even; the lognormal is the one that was asked for."""
    objective = ICT(8.0, s0=16, s1=16, rho=1.0, t_min=0.5, p_mean=0.5, p_std=0.7)
    drawn = objective.levels(0, 100, 40_000, torch.Generator().manual_seed(0))
    grid = np.linspace(0.5, 8.0, 17)
    counts, _ = np.histogram(drawn.r, bins=np.append(grid[:-1], 8.0) - 1e-3)
    np.testing.assert_allclose(drawn.t - drawn.r, 7.5 / 16, rtol=1e-4)
    masses = np.diff(scipy.stats.lognorm(s=0.7, scale=math.exp(0.5)).cdf(grid))
    assert scipy.stats.chisquare(counts, masses / masses.sum() * 40_000).pvalue > 1e-3


def test_divergence_weighs_as_much_as_the_last_interval():
    """The published balance: beta = kl_weight / (t_{N-1} - t_{N-2})."""
    objective = ICT(80.0, s0=10, s1=40)
    for step in (0, 400, 999):
        drawn = objective.levels(step, 1000, 2, torch.Generator().manual_seed(0))
        grid = objective.grid(drawn.grid_points)
        assert 1 / drawn.kl_scale == pytest.approx((grid[-1] - grid[-2]).item(), rel=1e-6)


def test_the_cauchy_distance_is_the_likelihood_of_that_distribution():
    given = difference(0.01)
    norms = given.flatten(1).norm(dim=1).numpy()
    law = scipy.stats.cauchy(scale=C * math.sqrt(2))
    torch.testing.assert_close(
        distance("cauchy", given), torch.from_numpy(law.logpdf(0) - law.logpdf(norms))
    )


def test_outliers_pull_less_on_the_cauchy_distance_the_farther_they_are():
    pulls = []
    for scale in (1.0, 10.0, 100.0):
        student = torch.full((1, *SHAPE), scale, requires_grad=True)
        ICT(80.0, distance="cauchy").distance(student, torch.zeros(1, *SHAPE)).sum().backward()
        pulls.append(student.grad.norm().item())
    assert pulls[0] == pytest.approx(10 * pulls[1], rel=1e-3)
    assert pulls[1] == pytest.approx(10 * pulls[2], rel=1e-3)


PAIR = Pair(
    *torch.randn(2, 40, 1, 4, 4, generator=torch.Generator().manual_seed(3)), torch.zeros(40)
)


def compared(objective, grid_points):
    f = ConsistencyFunction(tiny_network(1), KERNELS["ve"], 0.5, objective.train_t_min)
    grid = objective.grid(grid_points)
    index = torch.arange(40) % (grid_points - 1)
    levels = objective.levels_at(grid, index)
    return objective.compared(f, PAIR, levels, None, Draw(0, 0)).detach(), levels, f


@pytest.mark.parametrize("kind", ["per-element", "norm", "cauchy"])
def test_the_constant_falls_with_the_number_of_intervals(kind):
    """With four times the first number, that of a power of 1/2 is half of huber_c."""
    falling, _, _ = compared(ICT(80.0, s0=10, s1=40, distance=kind, c_power=0.5), 41)
    half, _, _ = compared(ICT(80.0, s0=10, s1=40, distance=kind, huber_c=0.00027), 41)
    torch.testing.assert_close(falling, half)
    first, _, _ = compared(ICT(80.0, s0=10, s1=40, distance=kind, c_power=0.5), 11)
    assert torch.equal(first, compared(ICT(80.0, s0=10, s1=40, distance=kind), 11)[0])


def test_few_intervals_need_no_word_on_a_diffusion_loss_that_is_not_there():
    ICTSettings(kind="ict", s0=1, s1=3)
    with pytest.raises(ValueError, match=r"early \(0.25\) reaches no interval"):
        ICTSettings(kind="ict", s0=1, s1=3, diffusion=1.0)


@pytest.mark.parametrize("points", [11, 41])
def test_diffusion_loss_is_added_at_the_times_next_to_the_data(points):
    objective = ICT(80.0, s0=10, s1=40, diffusion=3.0, early=0.4)
    found, levels, f = compared(objective, points)
    plain, _, _ = compared(ICT(80.0, s0=10, s1=40), points)
    with torch.no_grad():
        off = f(f.kernel(PAIR.x, PAIR.z, levels.t), levels.t) - PAIR.x
    near = torch.arange(40) % (points - 1) < 0.4 * (points - 1)
    added = levels.weight * (found - plain)
    torch.testing.assert_close(
        added[near], 3 * off.square().flatten(1).sum(dim=1)[near], rtol=2e-3, atol=1e-3
    )
    assert near.any() and not added[~near].any()


class OwnDistance(ICT):
    def distance(self, student, teacher):
        return (student - teacher).flatten(1).abs().sum(dim=1)


@pytest.mark.parametrize("points", [0, 1])
def test_levels_of_ones_own_need_no_grid(points):
    t = torch.linspace(0.5, 2, 40)
    levels = Levels(t, t / 2, 2 / t, 1.0, points)
    f = ConsistencyFunction(tiny_network(1), KERNELS["ve"], 0.5, 0.002)
    assert ICT(80.0).compared(f, PAIR, levels, None, Draw(0, 0)).isfinite().all()


def test_a_distance_of_ones_own_takes_two_batches():
    found, _, _ = compared(OwnDistance(80.0), 11)
    assert (found > 0).all()
