"""Laws of the transition kernels: endpoints, marginals, linearity."""

import pytest
import torch
from support import ALL_KERNELS, KERNELS

from vct.kernels import expand

T = 80.0


def batch(seed=0, size=6):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, 2, 3, 3, generator=generator, dtype=torch.float64)


def times(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("name", KERNELS)
def test_starts_at_the_data(name):
    x, z = batch(0), batch(1)
    assert torch.equal(KERNELS[name](x, z, torch.zeros(6, dtype=torch.float64)), x)


def test_linear_interpolation_ends_at_the_noise():
    x, z = batch(0), batch(1)
    torch.testing.assert_close(KERNELS["li"](x, z, times(*[T] * 6)), T * z)


def test_variance_exploding_keeps_the_data():
    x, z = batch(0), batch(1)
    torch.testing.assert_close(KERNELS["ve"](x, z, times(*[T] * 6)) - T * z, x)


@pytest.mark.parametrize(
    ("name", "t", "variance"),
    [
        ("ve", 0.5, 0.25 + 0.25),
        ("ve", 3.0, 0.25 + 9.0),
        ("li", 0.5, 0.25 * (79.5 / 80) ** 2 + 0.25),
        ("li", 40.0, 0.25 / 4 + 1600.0),
    ],
)
def test_marginal_variance(name, t, variance):
    """Var x_t = s(t)^2 0.5^2 + t^2 for data of standard deviation 0.5."""
    generator = torch.Generator().manual_seed(3)
    x = 0.5 * torch.randn(200_000, 1, generator=generator)
    z = torch.randn(200_000, 1, generator=generator)
    measured = KERNELS[name](x, z, torch.full((200_000,), t)).var()
    assert measured == pytest.approx(variance, rel=0.02)


@pytest.mark.parametrize("name", KERNELS)
def test_linear_in_data_and_noise(name):
    kernel, t = KERNELS[name], times(0.01, 0.3, 1, 7, 33, 79)
    mixed = kernel(2 * batch(0) - batch(1), 2 * batch(2) - batch(3), t)
    parts = 2 * kernel(batch(0), batch(2), t) - kernel(batch(1), batch(3), t)
    torch.testing.assert_close(mixed, parts)


@pytest.mark.parametrize("name", KERNELS)
def test_paths_are_straight_in_time(name):
    x, z = batch(0, 1).expand(3, -1, -1, -1), batch(1, 1).expand(3, -1, -1, -1)
    low, middle, high = KERNELS[name](x, z, times(2.0, 12.0, 22.0))
    torch.testing.assert_close(middle, (low + high) / 2)


@pytest.mark.parametrize("name", ALL_KERNELS)
def test_tangents_of_paths_meet_the_scaled_data_at_time_zero(name):
    """x_t - t dx_t/dt = c x, by finite differences."""
    kernel, t, step = ALL_KERNELS[name], times(0.01, 0.3, 1, 7, 33, 79), 1e-4
    x, z = batch(0), batch(1)
    slope = (kernel(x, z, t + step) - kernel(x, z, t - step)) / (2 * step)
    found = expand(kernel.origin_scale(t), x) * x
    torch.testing.assert_close(kernel(x, z, t) - expand(t, x) * slope, found, rtol=1e-6, atol=1e-6)
    assert torch.equal(kernel.origin_scale(t), torch.ones_like(t)) == (name in KERNELS)


@pytest.mark.parametrize("name", KERNELS)
def test_each_sample_has_its_own_time(name):
    kernel, t = KERNELS[name], times(0.01, 0.3, 1, 7, 33, 79)
    x, z = batch(0), batch(1)
    single = [kernel(x[i : i + 1], z[i : i + 1], t[i : i + 1]) for i in range(6)]
    torch.testing.assert_close(kernel(x, z, t), torch.cat(single))


@pytest.mark.parametrize("name", KERNELS)
def test_boundary_scale_is_one_at_t_min(name):
    assert KERNELS[name].boundary_scale(times(0.002), 0.002).item() == 1


@pytest.mark.parametrize("shape", [(4,), (4, 2), (4, 2, 1, 1)])
def test_expand_multiplies_along_the_batch(shape):
    t = times(1, 2, 3, 4)
    product = expand(t, torch.ones(shape)) * torch.ones(shape)
    assert product.shape == shape
    assert torch.equal(product.reshape(4, -1)[:, 0], t)
