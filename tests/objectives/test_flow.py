"""Flow matching: its loss is that of a velocity, and what minimises it."""

import pytest
import torch
from denoiser import SD
from scipy import stats
from support import KERNELS, tiny_network
from test_edm import Moved, batch

from vct.objectives.flow import Flow
from vct.preconditioning import ConsistencyFunction
from vct.rng import Draw

T = 80.0


def levels(objective, count=200_000, seed=1):
    return objective.levels(0, 1, count, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", KERNELS)
def test_it_is_the_error_of_the_velocity(name):
    """|u - dx_t/ds|^2 with s = t/T, the derivative by finite differences."""
    kernel, pair = KERNELS[name], batch(count=64)
    f = ConsistencyFunction(tiny_network(1), kernel, SD, None)
    given = levels(Flow(T, t_min=1.0), 64)
    loss = Flow(T, t_min=1.0).loss(f, pair, given, None, 0.0, Draw(0, 0))
    x, z, t = pair.x.double(), pair.z.double(), given.t.double()
    x_t, step = kernel(x, z, t), 1e-3
    velocity = T * (kernel(x, z, t + step) - kernel(x, z, t - step)) / (2 * step)
    found = T * (x_t - f(x_t.float(), given.t).double()) / t[:, None, None, None]
    expected = (found - velocity).square().flatten(1).sum(dim=1).mean()
    assert loss.total.item() == pytest.approx(expected.item(), rel=1e-3)


@pytest.mark.parametrize("times", ["uniform", "logit-normal"])
@pytest.mark.parametrize("direction", ["constant", "input", "time"])
def test_analytic_denoiser_has_the_least_loss(times, direction):
    """Moved either way by the same amount, the loss rises by the same amount."""
    objective, kernel = Flow(T, times=times), KERNELS["li"]
    pair, given = batch(), levels(objective)

    def loss(by):
        f = ConsistencyFunction(Moved(kernel, by, direction), kernel, SD, None)
        return objective.loss(f, pair, given, None, 0.0, Draw(0, 0)).total.item()

    least, up, down = loss(0.0), loss(1.0), loss(-1.0)
    assert min(up, down) > least
    assert up - least == pytest.approx(down - least, rel=0.1)


def test_times_have_the_law_that_is_asked_for():
    t = levels(Flow(T, t_min=2.0), 20_000).t
    assert stats.kstest(t.numpy(), stats.uniform(2.0, 78.0).cdf).pvalue > 1e-3
    t = levels(Flow(T, t_min=0.0, times="logit-normal", p_mean=-0.5, p_std=2.0), 20_000).t
    logit = torch.logit(t.double() / T)
    assert stats.kstest(logit.numpy(), stats.norm(-0.5, 2.0).cdf).pvalue > 1e-3


def test_no_teacher_is_asked_and_the_step_does_not_matter():
    asked = []

    class Counting(torch.nn.Module):
        def forward(self, x, c_noise, labels=None):
            asked.append(len(x))
            return torch.zeros_like(x)

    f = ConsistencyFunction(Counting(), KERNELS["li"], SD, None)
    objective, pair = Flow(T), batch(count=8)
    given = levels(objective, 8)
    objective.loss(f, pair, given, None, 0.0, Draw(0, 0))
    later = objective.levels(99, 100, 8, torch.Generator().manual_seed(1))
    assert asked == [8] and torch.equal(later.t, given.t)
