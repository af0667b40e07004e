"""Pairs outside of a training are those of it: of a pool, with labels, in their places."""

import pytest
import torch
from support import KERNELS, dataset, randomise

from vct.couplings.base import Coupling
from vct.couplings.minibatch_ot import MinibatchOT
from vct.couplings.variational import Variational
from vct.couplings.weighted import Weighted
from vct.lab.data.batches import Batches
from vct.lab.sampling.pairing import Pairing
from vct.networks.mlp import MLP
from vct.objectives.ecm import ECM
from vct.objectives.ict import ICT
from vct.preconditioning import ConsistencyFunction

CPU, SIZE = torch.device("cpu"), 8


def of_pool(coupling, first=0, conditional=False, objective=None):
    """x, z, and the base noise and batches that they are of."""
    data = dataset((2, 1, 1))
    batches = Batches(data, SIZE, 0, CPU, conditional=conditional)
    f = ConsistencyFunction(torch.nn.Identity(), KERNELS["ve"], 0.5, 0.002)
    pairing = Pairing(coupling, f, KERNELS["ve"], objective or ICT(80.0), batches, SIZE)
    draw = torch.Generator().manual_seed(1)
    eps = torch.randn(coupling.pool * SIZE, 2, 1, 1, generator=draw)
    parts = [batches.at(step) for step in range(first, first + coupling.pool)]
    return *pairing.of_pool(first, 100, 0, eps), eps, parts


def test_a_pool_is_planned_as_one():
    x, z, eps, parts = of_pool(MinibatchOT(pool=3), first=3)
    assert torch.equal(x, torch.cat([part.x for part in parts]))
    assert torch.equal(z, MinibatchOT().couple(x, eps))


def test_labels_are_those_of_the_images():
    encoder = randomise(MLP((2, 1, 1), 4, 8, 2, classes=3))
    x, z, eps, (part,) = of_pool(Variational(encoder, 1.0), conditional=True)
    assert torch.equal(z, Variational(encoder, 1.0).couple(x, eps, part.labels))
    assert not torch.equal(z, Variational(encoder, 1.0).couple(x, eps, part.labels.roll(1, 0)))


class Told(Coupling):
    """Knows what it was told when it last paired."""

    def couple(self, x, eps, labels=None):
        raise AssertionError("the sampler's rule")

    def pair(self, x, eps, context):
        self.seen = context
        return MinibatchOT().pair(x, eps, context)


def test_what_pairs_at_the_end_of_a_training_is_asked_for_its_pairs():
    coupling = Told()
    _, _, _, (part,) = of_pool(coupling, first=2)
    assert torch.equal(coupling.seen.indices, part.indices) and coupling.seen.labels is None
    grid = ICT(80.0).levels(99, 100, 4096, torch.Generator().manual_seed(0))
    assert set(coupling.seen.t.tolist()) <= set(grid.t.tolist())


def test_weighted_pairs_are_shown_with_the_noise_that_their_weights_come_to():
    coupling = Weighted((2, 1, 1), 0.5, 0.3)
    x, z, eps, _ = of_pool(coupling)
    assert torch.equal(z, coupling.couple(x, eps)) and not torch.equal(z, eps)


@pytest.mark.parametrize("objective", [ICT(80.0), ECM(80.0)])
def test_models_are_asked_with_the_scalings_of_training(objective):
    coupling = Told()
    of_pool(coupling, objective=objective)
    assert coupling.seen.averaged.t_min == objective.train_t_min
