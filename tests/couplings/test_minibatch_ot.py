"""The plan is a permutation, no other one is cheaper, and images keep their places."""

import itertools

import pytest
import torch
from support import KERNELS, pairing

from vct.couplings.loom import Loom
from vct.couplings.minibatch_ot import MinibatchOT, assignment
from vct.couplings.model_ot import ModelOT
from vct.couplings.semidiscrete import Semidiscrete
from vct.samplers.few_step import FewStep

SHAPE = (2, 2, 2)
COUPLING = MinibatchOT()


def batch(seed, size=6):
    return torch.randn(size, *SHAPE, generator=torch.Generator().manual_seed(seed))


def cost(x, eps, t_max=80.0):
    return ((x.double() - t_max * eps.double()) ** 2).sum().item()


@pytest.mark.parametrize("t_max", [1.0, 80.0])
@pytest.mark.parametrize("seed", range(4))
def test_no_permutation_is_cheaper(seed, t_max):
    x, eps = batch(seed), batch(seed + 100)
    every = [
        cost(x, eps[list(permutation)], t_max) for permutation in itertools.permutations(range(6))
    ]
    assert cost(x, COUPLING.couple(x, eps), t_max) == pytest.approx(min(every), rel=1e-9)


@pytest.mark.parametrize("size", [1, 2, 64])
def test_plan_is_a_permutation_of_the_noise(size):
    x, eps = batch(0, size), batch(1, size)
    plan = assignment(x, eps)
    assert sorted(plan.tolist()) == list(range(size))
    assert torch.equal(COUPLING.couple(x, eps), eps[plan])
    assert cost(x, eps[plan]) <= cost(x, eps)


def test_order_of_the_noise_does_not_matter():
    x, eps, shuffle = batch(0, 32), batch(1, 32), torch.randperm(32)
    assert torch.equal(COUPLING.couple(x, eps[shuffle]), COUPLING.couple(x, eps))


def test_noise_follows_its_image():
    x, eps, shuffle = batch(0, 32), batch(1, 32), torch.randperm(32)
    assert torch.equal(COUPLING.couple(x[shuffle], eps), COUPLING.couple(x, eps)[shuffle])


def test_images_keep_their_places_beside_their_labels():
    x, eps = batch(0), batch(1)
    pair = COUPLING.pair(x, eps, pairing(6))
    assert torch.equal(pair.x, x)
    assert torch.equal(pair.z, COUPLING.couple(x, eps))
    assert pair.kl.tolist() == [0] * 6


def test_plan_does_not_follow_gradients():
    x = batch(0).requires_grad_()
    eps = batch(1)
    assert not COUPLING.couple(x, eps).requires_grad


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf, 3e38])
@pytest.mark.parametrize("where", ["x", "eps"])
def test_what_is_not_finite_has_no_plan(value, where):
    """A model that diverged is seen by its samples and losses; no pairing hides it."""
    x, eps = batch(0), batch(1)
    given = {"x": x, "eps": eps}[where]
    given[2] = value
    given[2].view(-1)[0] = -value
    assert COUPLING.couple(x, eps).isnan().all()


def test_a_diverged_model_is_sampled_as_one():
    """In two steps too, which pair its samples anew."""

    def f(x_t, t, labels):
        return torch.full_like(x_t, torch.nan)

    f.kernel = KERNELS["ve"]
    for samples in FewStep([80.0, 1.0])(f, COUPLING, [batch(0), batch(1)]):
        assert samples.isnan().all()


@pytest.mark.parametrize(
    "coupling",
    [
        ModelOT(80.0),
        Loom(40),
        Semidiscrete(lambda: (torch.ones(2, 2, 1, 1), None), 0),
        Semidiscrete(lambda: (torch.ones(2, 2, 1, 1), None), 0, entropy=0.2),
    ],
    ids=["model-ot", "loom", "semidiscrete", "entropic"],
)
def test_what_trains_within_classes_is_sampled_so_too(coupling):
    """Else the noise of a class would lean towards its data, as that of no training does."""
    generator = torch.Generator().manual_seed(0)
    which = torch.arange(40) % 2
    x = torch.randn(40, 2, 1, 1, generator=generator) + 3.0 * (which - 0.5)[:, None, None, None]
    eps = torch.randn(40, 2, 1, 1, generator=generator)
    z = coupling.couple(x, eps, torch.nn.functional.one_hot(which, 2).float())
    for label in (0, 1):
        among = {tuple(row) for row in eps[which == label].flatten(1).tolist()}
        assert {tuple(row) for row in z[which == label].flatten(1).tolist()} <= among
    assert not torch.equal(z, eps)
