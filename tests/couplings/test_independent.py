"""The independent coupling changes nothing."""

import torch
from support import pairing

from vct.couplings.independent import Independent


def test_noise_stays_as_it_is_and_costs_nothing():
    x, eps = torch.randn(4, 2, 3, 3), torch.randn(4, 2, 3, 3)
    coupling = Independent()
    pair = coupling.pair(x, eps, pairing(4))
    assert torch.equal(pair.x, x)
    assert torch.equal(pair.z, eps)
    assert torch.equal(coupling.couple(x, eps), eps)
    assert pair.kl.tolist() == [0] * 4
    assert not list(coupling.parameters())
    assert coupling.summary(x) == {}
