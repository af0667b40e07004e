"""The loss of diffusion pretraining: what minimises it, and how it weighs the noise levels."""

import pytest
import torch
from denoiser import MEAN, SD, STD, GaussianDenoiser
from support import KERNELS, tiny_network
from torch import nn

from vct.couplings.base import Pair
from vct.objectives.edm import EDM
from vct.preconditioning import ConsistencyFunction, plain_scalings
from vct.rng import Draw

COUNT = 200_000


def batch(seed=0, count=COUNT):
    x, z = torch.randn(2, count, 1, 1, 1, generator=torch.Generator().manual_seed(seed))
    return Pair(MEAN + STD * x, z, torch.zeros(count))


def levels(objective, count=COUNT, seed=1):
    return objective.levels(0, 1, count, torch.Generator().manual_seed(seed))


class Moved(nn.Module):
    """The analytic network, moved by `by` times a direction."""

    def __init__(self, kernel, by, direction):
        super().__init__()
        self.inner, self.by, self.direction = GaussianDenoiser(kernel), by, direction

    def forward(self, scaled, c_noise, labels=None):
        moves = {
            "constant": torch.ones_like(scaled),
            "input": scaled,
            "time": c_noise[:, None, None, None] * torch.ones_like(scaled),
        }
        return self.inner(scaled, c_noise) + self.by * moves[self.direction]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("direction", ["constant", "input", "time"])
def test_analytic_denoiser_has_the_least_loss(kernel, direction):
    """Moved either way by the same amount, the loss rises by the same amount."""
    objective = EDM(80.0, SD, clip=kernel == "li")
    pair, given = batch(), levels(objective)

    def loss(by):
        f = ConsistencyFunction(Moved(KERNELS[kernel], by, direction), KERNELS[kernel], SD, None)
        return objective.loss(f, pair, given, None, 0.0, Draw(0, 0)).total.item()

    least, up, down = loss(0.0), loss(1.0), loss(-1.0)
    assert min(up, down) > least
    assert up - least == pytest.approx(down - least, rel=0.05)


def test_weight_makes_every_level_count_the_same():
    """The weight is 1/c_out^2, so an error of F costs its square at any t."""
    objective, pair = EDM(80.0, SD), batch()
    given = levels(objective)

    def loss(by):
        network = Moved(KERNELS["ve"], by, "constant")
        f = ConsistencyFunction(network, KERNELS["ve"], SD, None)
        return objective.loss(f, pair, given, None, 0.0, Draw(0, 0)).total.item()

    assert (loss(0.3) + loss(-0.3)) / 2 - loss(0.0) == pytest.approx(0.09, rel=1e-3)


@pytest.mark.parametrize("sigma_data", [0.5, 2.0])
def test_weight_is_that_of_the_scalings(sigma_data):
    given = levels(EDM(80.0, sigma_data), 100)
    c_out = plain_scalings(KERNELS["ve"], given.t, sigma_data).c_out
    torch.testing.assert_close(given.weight, 1 / c_out**2)


@pytest.mark.parametrize(("p_mean", "p_std"), [(-1.2, 1.2), (-0.4, 0.5)])
def test_levels_are_lognormal(p_mean, p_std):
    drawn = levels(EDM(80.0, SD, p_mean=p_mean, p_std=p_std))
    logarithm = drawn.t.log()
    assert logarithm.mean().item() == pytest.approx(p_mean, abs=0.01)
    assert logarithm.std().item() == pytest.approx(p_std, abs=0.01)
    assert (drawn.r == 0).all()
    clipped = levels(EDM(0.5, SD, clip=True))
    assert clipped.t.max() == 0.5


def test_network_is_asked_once_and_keeps_its_gradient():
    class Counted(nn.Module):
        calls = 0

        def forward(self, *given):
            self.calls += 1
            return network(*given)

    network, counted = tiny_network(), Counted()
    objective = EDM(80.0, SD)
    x, z = torch.randn(2, 5, 2, 4, 4)
    f = ConsistencyFunction(counted, KERNELS["ve"], SD, objective.train_t_min)
    pair = Pair(x / 2, z, torch.arange(5.0))
    record = objective.loss(f, pair, levels(objective, 5), None, 0.5, Draw(0, 0))
    assert counted.calls == 1
    assert record.kl.item() == 2
    record.total.backward()
    assert network.w.grad.abs().sum() > 0


def test_sampler_gets_the_denoiser():
    """The scalings of sampling are those of training."""
    objective, network = EDM(80.0, SD), tiny_network()
    x_t, t = torch.randn(5, 2, 4, 4), torch.linspace(0.1, 80, 5)
    for kernel in KERNELS.values():
        trained = ConsistencyFunction(network, kernel, SD, objective.train_t_min)(x_t, t)
        sampled = ConsistencyFunction(network, kernel, SD, objective.t_min)(x_t, t)
        torch.testing.assert_close(sampled, trained)
