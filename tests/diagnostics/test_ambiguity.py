"""Ambiguity against closed forms of Gaussians, quadrature for two points, and monotone maps."""

import math

import pytest
import torch
from scipy.integrate import quad
from support import KERNELS

from vct.diagnostics.ambiguity import ambiguity_bound, posterior_ambiguity
from vct.rng import generator

TIMES = (0.02, 0.3, 1.0, 10.0)


def normal(*shape, key=0):
    return torch.randn(*shape, generator=generator(key), dtype=torch.float64)


def gaussian_pairs(size, count=1200):
    """x (count, size) with unequal variances, z that depends on it, and both factors (L_x, L_z):
    x = e L_x, z = e L_z with e (count, 2 size)."""
    e = normal(count, 2 * size, key=size)
    data = torch.diag(torch.linspace(0.5, 0.9, size, dtype=torch.float64))
    left = torch.cat([data, 0 * data])
    mix = 0.3 * normal(2 * size, size, key=99)
    return e @ left, e @ mix, left, mix


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("name", KERNELS)
def test_bound_comes_near_the_value_of_gaussians(name, size):
    x, z, left, mix = gaussian_pairs(size)
    kernel = KERNELS[name]
    for found in ambiguity_bound(x, z, kernel, TIMES):
        noisy = float(kernel.data_scale(torch.tensor(found.t))) * left + found.t * mix
        explained = left.T @ noisy @ torch.linalg.inv(noisy.T @ noisy) @ noisy.T @ left
        true = float((left.T @ left - explained).trace()) / size
        slack = 4 * found.error
        assert true - slack < found.value < 1.2 * true + slack


@pytest.mark.parametrize("width", [0.2, 1.0])
@pytest.mark.parametrize("name", KERNELS)
def test_two_points_against_quadrature(name, width):
    """x = ±1 and z = ±0.4 + width eps: x_t is one of two Gaussians, of means ±c."""
    x = torch.tensor([[1.0], [-1.0]])
    found = posterior_ambiguity(
        x, 0.4 * x, width + 0 * x, KERNELS[name], TIMES, 20_000, generator(0)
    )
    for each in found:
        c, std = (
            float(KERNELS[name].data_scale(torch.tensor(each.t))) + 0.4 * each.t,
            each.t * width,
        )

        def density_times_variance(e, c=c, std=std):
            y = c + std * e
            return math.exp(-e * e / 2) / math.sqrt(2 * math.pi) / math.cosh(c * y / std**2) ** 2

        true = (
            quad(density_times_variance, -9, min(9, -c / std + 40), points=[-c / std])[0]
            if (c / std < 9)
            else 0.0
        )
        assert each.value == pytest.approx(true, abs=4 * each.error + 1e-9)


@pytest.mark.parametrize("name", KERNELS)
def test_no_ambiguity_where_noise_is_a_monotone_function_of_the_data(name):
    x = normal(1000, 1)
    for found in ambiguity_bound(x, x.tanh() + x, KERNELS[name], TIMES):
        assert found.value < 1e-3
    for found in posterior_ambiguity(
        x[:50], x[:50], 1e-6 + 0 * x[:50], KERNELS[name], TIMES, 100, generator(0)
    ):
        assert found.value == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("name", KERNELS)
def test_regression_and_closed_form_agree_for_independent_noise(name):
    """Data of three points in two dimensions, each drawn again and again."""
    x = torch.tensor([[1.0, 0.0], [-0.5, 0.5], [0.0, -1.0]], dtype=torch.float64)
    many = x.repeat(400, 1)
    bound = ambiguity_bound(many, normal(1200, 2), KERNELS[name], TIMES)
    exact = posterior_ambiguity(x, 0 * x, 1 + 0 * x, KERNELS[name], TIMES, 9000, generator(1))
    for upper, value in zip(bound, exact, strict=True):
        slack = 4 * (upper.error + value.error) + 1e-12
        assert value.value - slack < upper.value < 1.1 * value.value + slack


def test_closed_form_is_a_lower_bound_in_many_dimensions():
    """1,000 pixels, where weights of the regression find one point or all."""
    x, eps = 0.5 * normal(300, 10, 10, 10), normal(300, 10, 10, 10, key=1)
    kernel, times = KERNELS["ve"], (0.1, 3.0)
    bound = ambiguity_bound(x, eps, kernel, times)
    exact = posterior_ambiguity(x, 0 * x, 1 + 0 * x, kernel, times, 300, generator(0))
    assert exact[0].value < 1e-9
    for found in bound:  # nothing beats the best multiple of x_t
        best = 0.25 * found.t**2 / (0.25 + found.t**2)
        assert found.value == pytest.approx(best, rel=0.03)


def test_noise_far_above_the_data_leaves_all_open():
    x = normal(400, 3)
    ends = posterior_ambiguity(x, 0 * x, 1 + 0 * x, KERNELS["li"], (80.0,), 50, generator(0))
    assert ends[0].value == pytest.approx(float(x.var(dim=0, correction=0).mean()), rel=1e-9)
    bound = ambiguity_bound(x, normal(400, 3, key=1), KERNELS["li"], (0.0, 80.0))
    assert bound[0].value == pytest.approx(0, abs=1e-12)
    assert bound[1].value == pytest.approx(float(x.var(dim=0).mean()), rel=0.03)


def test_blocks_do_not_matter_and_scales_only_scale():
    x, z, kernel = normal(100, 2), normal(100, 2, key=1), KERNELS["ve"]
    (whole,) = ambiguity_bound(x, z, kernel, (0.7,))
    (parts,) = ambiguity_bound(x, z, kernel, (0.7,), block=7)
    (large,) = ambiguity_bound(1e3 * x, 1e3 * z, kernel, (0.7,))
    assert parts.value == pytest.approx(whole.value, rel=1e-9)
    assert large.value == pytest.approx(1e6 * whole.value, rel=1e-9)
    given = x, 0 * x, 1 + 0 * x, kernel, (0.7,), 150
    one, other = (posterior_ambiguity(*given, generator(0), block=b) for b in (7, 1000))
    assert one[0].value == pytest.approx(other[0].value, rel=1e-9)


def test_every_point_counts_as_often():
    """Two points that noise confuses and one far off: two thirds of the variance of the two."""
    x = torch.tensor([[0.0], [0.01], [1e4]])
    given = x, 0 * x, 1 + 0 * x, KERNELS["ve"], (10.0,), 6, generator(0)
    assert posterior_ambiguity(*given)[0].value == pytest.approx(0.005**2 * 2 / 3, rel=1e-3)


@pytest.mark.parametrize("place", [0.0, 1.0])
def test_points_that_are_all_alike_leave_nothing_open(place):
    x = torch.full((20, 2), place)
    (found,) = ambiguity_bound(x, 0 * x, KERNELS["ve"], (1.0,))
    assert (found.value, found.error) == (0, 0)
