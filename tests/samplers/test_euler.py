"""Euler's method on a denoiser whose flow is known, and on straight paths."""

import pytest
import torch
from denoiser import SD, STD, GaussianDenoiser
from support import ALL_KERNELS, KERNELS
from test_heun import Double, T, draw, exact
from torch import nn

from vct.couplings.independent import Independent
from vct.preconditioning import ConsistencyFunction
from vct.samplers.euler import Euler


def drawn(f, noise, **settings):
    (x,) = Euler(T, **settings)(f, Independent(), [noise])
    return x


@pytest.mark.parametrize("name", ALL_KERNELS)
def test_convergence_is_of_first_order(name):
    """Twice the steps, half of the error."""
    noise, f = draw(), Double(nn.Identity(), ALL_KERNELS[name], SD, None)
    errors = [
        (drawn(f, noise, steps=steps, rho=7.0) - exact(name, noise, 0.0)).abs().max().item()
        for steps in (200, 400, 800)
    ]
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.1)
    assert errors[2] < 0.02 * STD


def test_samples_with_a_network_are_those_of_the_exact_flow():
    network = GaussianDenoiser(KERNELS["ve"])
    f = ConsistencyFunction(network, KERNELS["ve"], SD, None)
    x = drawn(f, draw(), steps=1000, rho=7.0)
    assert x.dtype == torch.float64 and network.calls == 1000
    assert (x - exact("ve", draw(), 0.0)).abs().max() < 0.05 * STD


@pytest.mark.parametrize("steps", [1, 3, 100])
def test_along_straight_paths_any_number_of_steps_is_exact(steps):
    """All noise goes to one point: velocity does not change along the way."""

    class Point(ConsistencyFunction):
        def __call__(self, x_t, t, labels=None):
            return torch.full_like(x_t, 0.3)

    x = drawn(Point(nn.Identity(), KERNELS["li"], SD, None), draw(), steps=steps)
    torch.testing.assert_close(x, torch.full_like(x, 0.3))


def test_times():
    assert Euler(80.0, steps=4).times == [80, 60, 40, 20, 0]
    assert Euler(80.0, steps=2, rho=2.0).times == [80, 20, 0]
    assert Euler(80.0, steps=4).schedules == {"euler4": [80, 60, 40, 20]}
