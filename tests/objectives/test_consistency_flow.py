"""Consistency flow matching: its two terms, its levels, and where the data are the target."""

import pytest
import torch
from denoiser import SD
from scipy import stats
from support import KERNELS, randomise, tiny_network
from test_edm import batch

from vct.objectives.consistency_flow import ConsistencyFlow
from vct.preconditioning import ConsistencyFunction
from vct.rng import Draw


def levels(objective, count=64, seed=1):
    return objective.levels(0, 1, count, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_loss_is_that_of_answers_and_velocities(name, alpha):
    """With v = T (x_t - f)/t of both, which the code does without."""
    kernel, pair, t_max = KERNELS[name], batch(count=64), KERNELS[name].t_max
    objective = ConsistencyFlow(t_max, gap=0.1, near=0.3, alpha=alpha)
    f = ConsistencyFunction(randomise(tiny_network(1)), kernel, SD, objective.train_t_min)
    given = levels(objective)
    found = objective.loss(f, pair, given, None, 0.0, Draw(0, 0))

    def at(t):
        x_t, t = kernel(pair.x, pair.z, t), t
        answer = f(x_t, t)
        return answer, t_max * (x_t - answer) / t[:, None, None, None]

    near = given.r == 0
    (student, v), (teacher, v_r) = at(given.t), at(torch.where(near, given.t, given.r))
    target = torch.where(near[:, None, None, None], pair.x, teacher.detach())
    answers = (student - target).square().flatten(1).sum(dim=1)
    velocities = (v - v_r.detach()).square().flatten(1).sum(dim=1)
    expected = (answers + alpha * torch.where(near, 0.0, velocities)).mean()
    assert found.total.item() == pytest.approx(expected.item(), rel=1e-3)
    wanted = torch.autograd.grad(expected, list(f.network.parameters()))
    gradients = torch.autograd.grad(found.total, list(f.network.parameters()))
    for one, two in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-2, atol=1e-3 * float(two.abs().max()))


def test_levels_are_even_and_a_gap_apart():
    given = levels(ConsistencyFlow(2.0, gap=0.01, near=0.25), 20_000)
    assert stats.kstest((given.t / 2).numpy(), stats.uniform(0.01, 0.99).cdf).pvalue > 1e-3
    far = given.r > 0
    torch.testing.assert_close(given.t[far] - given.r[far], torch.full_like(given.t[far], 0.02))
    assert given.r[far].min() > 0.5 and given.t[~far].max() <= 0.5 + 0.02 + 1e-5


def test_nothing_is_compared_with_itself_where_all_is_near():
    """near = 1: x is the target everywhere, and f learns E[x | x_t]."""
    objective, kernel = ConsistencyFlow(80.0, near=1.0), KERNELS["li"]
    pair, given = batch(count=32), levels(objective, 32)
    f = ConsistencyFunction(tiny_network(1), kernel, SD, objective.train_t_min)
    found = objective.loss(f, pair, given, None, 0.0, Draw(0, 0)).total
    answer = f(kernel(pair.x, pair.z, given.t), given.t)
    expected = (answer - pair.x).square().flatten(1).sum(dim=1).mean()
    torch.testing.assert_close(found, expected)
