"""The exact consistency function against linear solutions, quantiles, and its own trajectories."""

import dataclasses

import pytest
import torch
from scipy.stats import norm
from support import KERNELS

from vct.diagnostics.exact_consistency import ExactConsistency
from vct.diagnostics.oracle import finite, mixture
from vct.lab.data.sources.mixture import MEANS
from vct.rng import sobol_normal

MODES, STD = torch.tensor(MEANS, dtype=torch.float64), 0.05


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def scale(kernel, t):
    return float(kernel.data_scale(torch.tensor(t, dtype=torch.float64)))


def quantile(oracle, x_t, t):
    """P(X_t <= x_t) in one dimension."""
    s = scale(oracle.kernel, t)
    mean = s * oracle.x + t * oracle.mu
    std = ((s * oracle.spread) ** 2 + (t * oracle.std) ** 2).sqrt() + 0 * mean
    parts = norm.cdf(x_t.numpy(), mean.flatten().numpy(), std.flatten().numpy())
    return torch.from_numpy(parts) @ oracle.shares


@pytest.mark.parametrize("t_min", [0.0, 0.002, 0.3])
@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_one_gaussian_and_one_point_move_linearly(kernel, t_min):
    x, x_t, t = normal(1, 3), 5 * normal(8, 3, seed=1), 5.0
    s, end = scale(kernel, t), scale(kernel, t_min)
    for std in (0.0, 0.2):
        then = (s**2 * std**2 + t**2) ** 0.5
        now = (end**2 * std**2 + t_min**2) ** 0.5
        found = ExactConsistency(mixture(kernel, x, std), t_min)(x_t, t)
        torch.testing.assert_close(found, end * x + (x_t - s * x) / then * now, rtol=0, atol=2e-6)


def test_last_step_ends_at_a_data_point():
    x = normal(1, 3)
    found = ExactConsistency(finite(KERNELS["ve"], x), steps=2)(normal(8, 3, seed=1), 5.0)
    torch.testing.assert_close(found, x.expand(8, 3))


@pytest.mark.parametrize("t_min", [0.0, 0.002])
def test_error_falls_with_the_fourth_power_of_the_step(t_min):
    flow = mixture(KERNELS["ve"], MODES, STD)
    x_t = 2 * normal(32, 2)
    finest = ExactConsistency(flow, t_min, 256)(x_t, 2.0)

    def error(steps):
        return float((ExactConsistency(flow, t_min, steps)(x_t, 2.0) - finest).abs().max())

    assert 9 < error(32) / error(64) < 25
    assert error(64) < 1e-3


@pytest.mark.parametrize("t", [0.2, 1.0, 80.0])
def test_mixture_of_the_figure_keeps_quantiles(t):
    """One coordinate is a mixture on a line, the other a Gaussian."""
    flow = mixture(KERNELS["ve"], MODES, STD)
    line = mixture(KERNELS["ve"], MODES[:, 1:], STD)
    x_t = t * normal(32, 2)
    found = ExactConsistency(flow)(x_t, t)
    torch.testing.assert_close(
        found[:, 0], x_t[:, 0] * STD / (STD**2 + t**2) ** 0.5, rtol=0, atol=1e-6
    )
    before, after = quantile(line, x_t[:, 1:], t), quantile(line, found[:, 1:], 0.0)
    torch.testing.assert_close(after, before, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_learned_noise_keeps_quantiles(kernel):
    x = torch.tensor([[-1.0], [0.1], [0.8]], dtype=torch.float64)
    flow = finite(kernel, x, mu=normal(3, 1) / 2, std=normal(3, 1, seed=1).exp())
    x_t = 3 * normal(32, 1, seed=2)
    found = ExactConsistency(flow, t_min=0.3)(x_t, 3.0)
    before, after = quantile(flow, x_t, 3.0), quantile(flow, found, 0.3)
    torch.testing.assert_close(after, before, rtol=0, atol=1e-5)


def test_two_points_divide_the_line_by_their_shares():
    points = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    shares = torch.tensor([0.3, 0.7], dtype=torch.float64)
    flow = dataclasses.replace(finite(KERNELS["ve"], points), shares=shares)
    x_t = torch.linspace(-6, 6, 101, dtype=torch.float64)[:, None]
    found = ExactConsistency(flow)(x_t, 2.0)
    expected = torch.where(quantile(flow, x_t, 2.0) < 0.3, -1.0, 1.0).double()
    torch.testing.assert_close(found[:, 0], expected, rtol=0, atol=1e-6)


def test_noise_ends_at_each_point_as_often():
    x = normal(5, 2) / 2
    found = ExactConsistency(finite(KERNELS["ve"], x), steps=64)(
        80 * sobol_normal((2048, 2), 0), 80
    )
    distance, index = torch.cdist(found, x).min(dim=1)
    assert distance.max() < 1e-6
    torch.testing.assert_close(index.bincount() / 2048, torch.full((5,), 0.2), rtol=0, atol=0.01)


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_is_constant_along_its_own_trajectory(kernel):
    flow = finite(kernel, normal(5, 2), mu=normal(5, 2, seed=1) / 3, std=0.6 + normal(5, 2) * 0)
    x_t = 5 * normal(16, 2, seed=2)
    way, end = ExactConsistency(flow, t_min=0.5), ExactConsistency(flow, t_min=0.01)
    torch.testing.assert_close(end(way(x_t, 5.0), 0.5), end(x_t, 5.0), rtol=0, atol=1e-5)


def test_keeps_points_at_the_end_and_refuses_earlier_times():
    f = ExactConsistency(finite(KERNELS["ve"], normal(5, 2)), t_min=0.1)
    x_t = normal(3, 2)
    assert torch.equal(f(x_t, 0.1), x_t)
    assert torch.equal(ExactConsistency(f.oracle)(x_t, 0.0), x_t)
    with pytest.raises(ValueError, match=r"t_min = 0\.1"):
        f(x_t, 0.05)
