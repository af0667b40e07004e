"""Heun's method on a denoiser whose flow is known."""

import pytest
import torch
from denoiser import MEAN, SD, STD, GaussianDenoiser
from support import ALL_KERNELS, KERNELS
from torch import nn

from vct.kernels import expand
from vct.preconditioning import ConsistencyFunction
from vct.samplers.heun import heun, heun_times
from vct.schedules import karras_grid

T, T_MIN = 80.0, 0.002


class Double(ConsistencyFunction):
    """f in double precision throughout, so that small errors are those of the method."""

    def __call__(self, x_t, t, labels=None):
        s = self.kernel.data_scale(t)
        gain = s * STD**2 / (s**2 * STD**2 + t**2)
        return MEAN + expand(gain, x_t) * (x_t - expand(s, x_t) * MEAN)


def exact(name, noise, end):
    """The flow keeps (x_t - s(t) MEAN) / std(x_t)."""
    kernel = ALL_KERNELS[name]

    def parts(t):
        t = torch.tensor(t, dtype=torch.float64)
        s = kernel.data_scale(t)
        return s, torch.sqrt(s**2 * STD**2 + t**2)

    (s, std), (s_end, std_end) = parts(T), parts(end)
    return s_end * MEAN + (T * noise - s * MEAN) / std * std_end


def draw(count=64):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 1, 1, 1, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name", ALL_KERNELS)
def test_convergence_is_of_second_order(name):
    """Twice the steps, a quarter of the error."""
    noise, f = draw(), Double(nn.Identity(), ALL_KERNELS[name], SD, None)
    errors = []
    for steps in (40, 80, 160):
        times = heun_times(steps, T, 0.02, 7.0)[:-1]
        errors.append((heun(f, times, noise) - exact(name, noise, 0.02)).abs().max().item())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.15)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.1)
    assert errors[2] < 1e-3


@pytest.mark.parametrize("name", ALL_KERNELS)
def test_samples_are_those_of_the_exact_flow(name):
    """With the scalings and the network in between."""
    network = GaussianDenoiser(ALL_KERNELS[name])
    f = ConsistencyFunction(network, ALL_KERNELS[name], SD, None)
    noise = draw()
    x = heun(f, heun_times(72, T, T_MIN, 7.0), noise)
    assert x.dtype == torch.float64
    assert network.calls == 2 * 72 - 1
    assert (x - exact(name, noise, 0.0)).abs().max() < 0.02 * STD


def test_last_step_is_the_denoiser():
    f = Double(nn.Identity(), KERNELS["ve"], SD, None)
    noise = draw()
    expected = f(0.7 * noise, torch.full((64,), 0.7, dtype=torch.float64))
    torch.testing.assert_close(heun(f, [0.7, 0.0], noise), expected)


def test_labels_reach_the_denoiser():
    seen, labels = [], torch.eye(64)

    class Denoiser(ConsistencyFunction):
        def __call__(self, x_t, t, labels=None):
            seen.append(labels)
            return x_t / 2

    heun(Denoiser(nn.Identity(), KERNELS["ve"], SD, None), [1.0, 0.5, 0.0], draw(), labels)
    assert len(seen) == 3
    assert all(given is labels for given in seen)


@pytest.mark.parametrize("steps", [2, 3, 18])
def test_times_are_those_of_the_training_grid_and_zero(steps):
    times = heun_times(steps, T, T_MIN, 7.0)
    assert times[0] == T
    assert times[-2:] == [T_MIN, 0.0]
    torch.testing.assert_close(torch.tensor(times[:-1]), karras_grid(steps, T_MIN, T, 7.0).flip(0))
