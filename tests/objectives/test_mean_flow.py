"""MeanFlow: its target against finite differences and exact mean velocities of a Gaussian."""

import pytest
import torch
from denoiser import MEAN, SD, STD
from scipy import stats
from support import ALL_KERNELS, Fading, randomise
from test_edm import batch
from test_sct import NETWORKS, SHAPE
from torch import nn

from vct.kernels import LinearInterpolation, expand
from vct.misfit import Misfit
from vct.networks.mlp import MLP
from vct.objectives.base import Levels
from vct.objectives.flow import Flow
from vct.objectives.mean_flow import MeanFlow
from vct.preconditioning import ConsistencyFunction, plain_scalings
from vct.rng import Draw
from vct.tangents import derivative

UNIT = {"ve": ALL_KERNELS["ve"], "li": LinearInterpolation(1.0), "own": Fading(1.0)}


def function(network, kernel):
    return ConsistencyFunction(network, kernel, SD, None)


def at(t, r, count):
    t, r = torch.full((count,), t), torch.full((count,), r)
    return Levels(t, r, torch.ones_like(t), 1.0, 0)


def target(f, pair, given):
    return MeanFlow(1.0).target(f, pair, given, None, Draw(0, 0))


class Exact(nn.Module):
    """F for which (x_t - f)/t is the mean velocity from t to r of the flow of N(MEAN, STD^2)."""

    def __init__(self, kernel, by=0.0):
        super().__init__()
        self.kernel, self.by = kernel, by

    def forward(self, scaled, c_noise, labels, c_span):
        t = torch.exp(4 * c_noise.double())
        r, scalings = c_span.double() * t, plain_scalings(self.kernel, t, SD)
        x_t = scaled.double() / expand(scalings.c_in, scaled)
        (mean, std), (mean_r, std_r) = self.moments(t), self.moments(r)
        gap = (t - r).clamp(min=1e-9)
        x_r = mean_r + std_r / std * (x_t.flatten() - mean)
        f = x_t.flatten() - t * (x_t.flatten() - x_r) / gap + self.by * x_t.flatten()
        return (expand(f, x_t) - expand(scalings.c_skip, x_t) * x_t) / expand(scalings.c_out, x_t)

    def moments(self, t):
        s = self.kernel.data_scale(t)
        return s * MEAN, torch.sqrt(s**2 * STD**2 + t**2)


def score(values, known):
    return float((values * known).mean() / ((values * known).std() / len(values) ** 0.5))


@pytest.mark.parametrize("name", UNIT)
@pytest.mark.parametrize(("t", "r"), [(0.9, 0.0), (0.5, 0.2), (0.3, 0.25)])
def test_the_exact_mean_velocity_meets_its_target_but_for_chance(name, t, r):
    """E[f - target | x_t] = 0: the difference is uncorrelated with anything that x_t tells."""
    kernel, pair = UNIT[name], batch()
    given = at(t, r, len(pair.x))
    x_t = kernel(pair.x, pair.z, given.t)
    unit = ((x_t - x_t.mean()) / x_t.std()).double().flatten()

    def miss(by):
        f = function(Exact(kernel, by), kernel)
        return (f(x_t, given.t, None, given.r) - target(f, pair, given)).double().flatten()

    assert miss(0.0).std() > 0.001
    for known in (torch.ones_like(unit), unit, unit**2 - 1):
        assert abs(score(miss(0.0), known)) < 4
    assert abs(score(miss(0.05), unit)) > 10


@pytest.mark.parametrize("name", ALL_KERNELS)
@pytest.mark.parametrize("r", [0.0, 0.3, 1.0])
def test_target_is_made_of_the_derivative_along_the_path(name, r):
    """The mean velocity's own definition, with du/dt by finite differences."""
    kernel, pair = ALL_KERNELS[name], batch(count=16)
    network = randomise(MLP((1, 1, 1), 1, width=8, depth=2, two_times=True)).double()

    class Double(ConsistencyFunction):
        def __call__(self, x_t, t, labels=None, r=None):
            scalings = plain_scalings(kernel, t, SD)
            raw = network(expand(scalings.c_in, x_t) * x_t, torch.log(t) / 4, None, r / t)
            return expand(scalings.c_skip, x_t) * x_t + expand(scalings.c_out, x_t) * raw

    f = Double(network, kernel, SD, None)
    x, z = pair.x.double(), pair.z.double()
    t = torch.linspace(1, 20, 16, dtype=torch.float64)
    lower = r * torch.ones_like(t)

    def velocity(t):
        x_t = kernel(x, z, t)
        return (x_t - f(x_t, t, None, lower)) / expand(t, x)

    given, step = Levels(t, lower, torch.ones_like(t), 1.0, 0), 1e-4
    change = (velocity(t + step) - velocity(t - step)) / (2 * step)
    v = (kernel(x, z, t + step) - kernel(x, z, t - step)) / (2 * step)
    wanted = kernel(x, z, t) - expand(t, x) * (v - expand(t - lower, x) * change)
    found = target(f, type(pair)(x, z, pair.kl.double()), given)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


def test_at_one_time_it_is_flow_matching():
    kernel, pair = UNIT["li"], batch(count=32)
    f = function(randomise(MLP((1, 1, 1), 1, width=8, depth=2, two_times=True)), kernel)
    objective = MeanFlow(1.0, apart=0.0, power=0.0)
    given = objective.levels(0, 1, 32, torch.Generator().manual_seed(0))
    assert torch.equal(given.r, given.t)
    found = objective.loss(f, pair, given, None, 0.0, Draw(0, 0))
    x_t = kernel(pair.x, pair.z, given.t)
    answer = f(x_t, given.t, None, given.t)
    wanted = Flow(1.0).weighted(Flow(1.0).distance(answer, pair.x), given).mean()
    assert found.total.item() == pytest.approx(wanted.item(), rel=1e-6)


def test_the_weight_holds_back_large_errors():
    """E d / sg(d + c)^p: its gradient is that of d over (d + c)^p, sample by sample."""
    d = torch.tensor([1e-4, 1.0, 1e4], requires_grad=True)
    given = at(1.0, 0.5, 3)
    for power in (0.0, 0.5, 1.0):
        each = MeanFlow(1.0, power=power, c=1e-3).weighted(d, given)
        (gradient,) = torch.autograd.grad(each.sum(), d)
        torch.testing.assert_close(gradient, 1 / (d.detach() + 1e-3) ** power)
        torch.testing.assert_close(each.detach(), (d * gradient).detach())


def test_times_are_two_draws_of_which_some_meet():
    objective = MeanFlow(1.0, t_min=0.0, apart=0.25)
    given = objective.levels(0, 1, 40_000, torch.Generator().manual_seed(0))
    apart = given.r < given.t
    assert apart.double().mean().item() == pytest.approx(0.25, abs=0.01)
    assert torch.equal(given.r[~apart], given.t[~apart])
    law = stats.norm(-0.4, 1.0)
    larger, smaller = torch.logit(given.t.double()), torch.logit(given.r[apart].double())
    assert stats.kstest(larger.numpy(), lambda y: law.cdf(y) ** 2).pvalue > 1e-3
    assert stats.kstest(smaller.numpy(), lambda y: 1 - law.sf(y) ** 2).pvalue > 1e-3


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_begin_as_those_of_one_time(name):
    torch.manual_seed(0)
    one = randomise(NETWORKS[name](), 0.1).eval()
    torch.manual_seed(0)
    two = NETWORKS[name](two_times=True).eval()
    x, c, span = torch.randn(2, *SHAPE), torch.randn(2), torch.tensor([0.2, 1.0])
    if name != "mlp":  # whose first layer has other columns
        two.load_state_dict({**two.state_dict(), **one.state_dict()})
        torch.testing.assert_close(two(x, c, None, span), one(x, c))
    assert torch.equal(two(x, c, None, span), two(x, c))
    randomise(two, 0.1)
    assert not torch.allclose(two(x, c, None, span), two(x, c))
    assert torch.equal(two(x, c, None, torch.zeros(2)), two(x, c))


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_have_a_derivative_in_both_times(name):
    network = randomise(NETWORKS[name](two_times=True), 0.1).eval()
    x, c, span = torch.randn(2, *SHAPE), torch.randn(2), torch.rand(2)

    def call(c, span):
        return network(x, c, None, span)

    with torch.no_grad():
        _, change = derivative(call, (c, span), (torch.ones(2), -torch.ones(2)))
        step = 1e-2
        slope = (call(c + step, span - step) - call(c - step, span + step)) / (2 * step)
    assert (change - slope).norm() <= 0.02 * slope.norm()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_of_one_time_refuses_a_second(name):
    with pytest.raises(Misfit, match="two_times=True"):
        NETWORKS[name]()(torch.zeros(2, *SHAPE), torch.zeros(2), None, torch.zeros(2))


def test_an_encoder_learns_from_it():
    """The gradient reaches what made the noise, through x_t."""
    kernel, pair = UNIT["li"], batch(count=8)
    z, objective = pair.z.requires_grad_(), MeanFlow(1.0)
    given = objective.levels(0, 1, 8, torch.Generator().manual_seed(0))
    f = function(randomise(MLP((1, 1, 1), 1, width=8, depth=2, two_times=True)), kernel)
    objective.loss(f, type(pair)(pair.x, z, pair.kl), given, None, 0.0, Draw(0, 0)).total.backward()
    assert z.grad.abs().min() > 0
