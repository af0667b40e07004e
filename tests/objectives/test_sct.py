"""Continuous-time consistency: its tangent against finite differences and an exact function."""

import pytest
import torch
from denoiser import MEAN, SD, STD
from support import ALL_KERNELS, KERNELS, randomise, tiny_network
from test_edm import batch
from torch import nn

from vct.kernels import LinearInterpolation, expand
from vct.networks.adm import ADM
from vct.networks.edm2 import EDM2
from vct.networks.mlp import MLP
from vct.networks.unet import DDPMpp
from vct.objectives.sct import SCT
from vct.preconditioning import ConsistencyFunction, plain_scalings
from vct.rng import Draw
from vct.tangents import derivative

SHAPE = (1, 8, 8)
SMALL = {"mult": [1, 2], "blocks": 1, "attention": [4]}
NETWORKS = {
    "mlp": lambda **more: MLP(SHAPE, 1, width=8, depth=2, **more),
    "ddpmpp": lambda **more: DDPMpp(SHAPE, 1, channels=8, **SMALL, **more),
    "adm": lambda **more: ADM(SHAPE, 1, channels=64, **SMALL, **more),
    "edm2": lambda **more: EDM2(SHAPE, 1, channels=64, **SMALL, **more),
}


def function(network, kernel):
    return ConsistencyFunction(network, kernel, SD, None)


def angle(kernel, t):
    return torch.atan2(t, SD * kernel.data_scale(t))


def time(kernel, angle):
    """t of an angle: t / s, which rises with t, is sd tan(a)."""
    low = torch.zeros_like(angle)
    high = torch.full_like(angle, kernel.t_max)
    for _ in range(80):
        middle = (low + high) / 2
        below = middle < SD * torch.tan(angle) * kernel.data_scale(middle)
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return middle


@pytest.mark.parametrize("name", ALL_KERNELS)
def test_tangent_is_the_derivative_along_the_path(name):
    """cos(a) df/da, by finite differences in double precision."""
    kernel, pair = ALL_KERNELS[name], batch(count=16)
    network = randomise(tiny_network(1)).double()
    t = torch.logspace(-1, 1, 16, dtype=torch.float64)

    class Double(ConsistencyFunction):
        def __call__(self, x_t, t, labels=None):
            scalings = plain_scalings(kernel, t, SD)
            raw = network(expand(scalings.c_in, x_t) * x_t, torch.log(t) / 4, None)
            return expand(scalings.c_skip, x_t) * x_t + expand(scalings.c_out, x_t) * raw

    f = Double(network, kernel, SD, None)
    x, z = pair.x.double(), pair.z.double()
    exact = type(pair)(x, z, pair.kl.double())
    found = SCT(SD).tangent(f, exact, t)
    a, step = angle(kernel, t), 1e-5

    def at(a):
        t = time(kernel, a)
        return f(kernel(x, z, t), t)

    slope = (at(a + step) - at(a - step)) / (2 * step)
    torch.testing.assert_close(found, expand(a.cos(), x) * slope, rtol=1e-5, atol=1e-7)


class Exact(nn.Module):
    """F for which f is the exact consistency function of N(MEAN, STD^2) with independent noise."""

    def __init__(self, kernel):
        super().__init__()
        self.kernel = kernel

    def forward(self, scaled, c_noise, labels=None):
        t = torch.exp(4 * c_noise.double())
        scalings, s = plain_scalings(self.kernel, t, SD), self.kernel.data_scale(t)
        x_t = scaled.double() / expand(scalings.c_in, scaled)
        std = torch.sqrt(s**2 * STD**2 + t**2)
        goal = MEAN + STD * (x_t - expand(s, x_t) * MEAN) / expand(std, x_t)
        return (goal - expand(scalings.c_skip, x_t) * x_t) / expand(scalings.c_out, x_t)


@pytest.mark.parametrize("name", ALL_KERNELS)
def test_exact_function_has_no_tangent_but_for_chance(name):
    """E[g | x_t] = 0: g is uncorrelated with anything that x_t tells."""
    kernel, pair = ALL_KERNELS[name], batch()
    t = torch.full((len(pair.x),), 0.3)
    g = SCT(SD).tangent(function(Exact(kernel), kernel), pair, t).double().flatten()
    x_t = kernel(pair.x, pair.z, t).double().flatten()
    assert g.std() > 0.01
    unit = (x_t - x_t.mean()) / x_t.std()
    for known in (torch.ones_like(unit), unit, unit**2 - 1):
        score = (g * known).mean() / ((g * known).std() / len(g) ** 0.5)
        assert abs(score) < 4
    early = SCT(SD).tangent(function(Exact(kernel), kernel), pair, t, ready=0.5).double().flatten()
    score = (early * unit).mean() / ((early * unit).std() / len(g) ** 0.5)
    assert abs(score) > 10


def test_gradient_is_that_of_the_normalised_tangent():
    """2/D <g/(rms + c), dF>, averaged; the value is the square of what is divided."""
    kernel, pair = KERNELS["ve"], batch(count=32)
    network, objective = randomise(tiny_network(1)), SCT(SD, warm_up=0)
    f = function(network, kernel)
    given = objective.levels(0, 1, 32, torch.Generator().manual_seed(0))
    found = objective.loss(f, pair, given, None, 0.0, Draw(0, 0))
    g = objective.tangent(f, pair, given.t)
    unit = g / (g.square().flatten(1).mean(dim=1).sqrt()[:, None, None, None] + 0.1)
    assert found.total.item() == pytest.approx(unit.square().mean().item(), rel=1e-5)
    scalings = plain_scalings(kernel, given.t, SD)
    x_t = kernel(pair.x, pair.z, given.t)
    raw = network(expand(scalings.c_in, x_t) * x_t, torch.log(given.t) / 4, None)
    wanted = torch.autograd.grad(2 * (unit * raw).mean(), list(network.parameters()))
    gradients = torch.autograd.grad(found.total, list(network.parameters()))
    for one, two in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-5 * float(two.abs().max()))


def test_the_unstable_part_warms_up_by_the_step():
    kernel, pair = KERNELS["ve"], batch(count=8)
    f = function(randomise(tiny_network(1)), kernel)
    objective = SCT(SD, warm_up=100)
    given = objective.levels(0, 1, 8, torch.Generator().manual_seed(0))

    def loss(objective, step):
        return objective.loss(f, pair, given, None, 0.0, Draw(0, step)).total.item()

    plain = SCT(SD, warm_up=0)
    assert loss(objective, 100) == loss(objective, 10**6) == loss(plain, 0) == loss(plain, 7)
    assert len({loss(objective, step) for step in (0, 50, 100)}) == 3


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_have_a_derivative(name):
    network = randomise(NETWORKS[name](), 0.1).eval()
    x, c, dx, dc = torch.randn(2, 1, 8, 8), torch.randn(2), torch.randn(2, 1, 8, 8), torch.ones(2)
    with torch.no_grad():
        value, change = derivative(network, (x, c), (dx, dc))
        torch.testing.assert_close(value, network(x, c), rtol=1e-4, atol=1e-5)
        step = 1e-2
        ahead, behind = network(x + step * dx, c + step * dc), network(x - step * dx, c - step * dc)
    slope = (ahead - behind) / (2 * step)
    assert (change - slope).norm() <= 0.02 * slope.norm()


def test_levels_of_a_bounded_kernel_have_the_angles_of_the_other_one():
    """tan a is t/s(t) up to sigma_data, whatever the kernel; no sample lies at T, where g is 0."""
    levels = [
        SCT(SD, t_max=1.0, clip=clip).levels(0, 1, 5000, torch.Generator().manual_seed(0)).t
        for clip in (False, True)
    ]
    assert levels[1].max() < 1 < levels[0].max()
    ratio = levels[1] / LinearInterpolation(1.0).data_scale(levels[1])
    torch.testing.assert_close(ratio, levels[0], rtol=1e-3, atol=0)


def test_an_encoder_learns_from_it():
    """The gradient reaches what made the noise, through x_t."""
    kernel, pair = KERNELS["ve"], batch(count=8)
    z = pair.z.requires_grad_()
    objective = SCT(SD, warm_up=0)
    given = objective.levels(0, 1, 8, torch.Generator().manual_seed(0))
    f = function(randomise(tiny_network(1)), kernel)
    objective.loss(f, type(pair)(pair.x, z, pair.kl), given, None, 0.0, Draw(0, 0)).total.backward()
    assert z.grad.abs().min() > 0


def test_data_of_double_precision_are_trained_on():
    pair, network = batch(count=4), randomise(tiny_network(1))
    double = type(pair)(pair.x.double(), pair.z.double(), pair.kl)
    one, two = (
        SCT(SD, warm_up=0).tangent(function(network, KERNELS["ve"]), each, torch.ones(4))
        for each in (pair, double)
    )
    torch.testing.assert_close(two, one, rtol=1e-3, atol=1e-4)
