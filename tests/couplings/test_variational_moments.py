"""A variational coupling that is held near to the moments of its own noise."""

import pytest
import torch
from support import MLP, dataset, pairing, randomise, run_settings

from vct.couplings.variational import Variational, gaussian_kl
from vct.lab import build
from vct.misfit import Misfit
from vct.moments import RATE
from vct.rng import Draw

SHAPE = (2, 4, 4)
MOMENTS = {"kind": "variational", "kl_weight": 3.0, "encoder": MLP, "prior": "moments"}
GC = {"kind": "generator_augmented", "mu": 1.0, "base": MOMENTS}


def built(coupling, seed=0):
    return randomise(build.model(run_settings(coupling), dataset(SHAPE), seed).coupling)


def images(size, seed=0):
    return torch.rand(size, *SHAPE, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def generated(x, t, labels):
    return images(len(x), seed=9)


def paired(coupling, size=6, **draw):
    context = pairing(size, averaged=generated, **draw)
    return coupling.pair(images(size), torch.zeros(size, *SHAPE), context)


def mean_of(coupling, x):
    with torch.no_grad():
        return coupling.posterior(x)[0].flatten(1).mean(dim=0)


def test_it_begins_as_the_published_one():
    coupling = built(MOMENTS)
    mean, std = coupling.posterior(images(6))
    torch.testing.assert_close(paired(coupling).kl, gaussian_kl(mean, std))


def test_moments_change_when_the_step_is_settled_and_then_once():
    coupling = built(MOMENTS)
    first = paired(coupling).kl
    assert torch.equal(paired(coupling).kl, first)
    coupling.settle()
    torch.testing.assert_close(coupling.moments.mean, RATE * mean_of(coupling, images(6)))
    assert not torch.allclose(paired(coupling).kl, first)
    paired(coupling)
    coupling.settle()
    known = coupling.moments.mean.clone()
    coupling.settle()
    assert torch.equal(coupling.moments.mean, known)


@pytest.mark.parametrize("noise", ["keep", "recouple"])
def test_generated_points_count_where_their_noise_is_used(noise):
    """All points are replaced: their posteriors count if they are encoded anew, else the data's."""
    coupling = built({**GC, "noise": noise})
    paired(coupling)
    coupling.settle()
    used = images(6, seed=9) if noise == "recouple" else images(6)
    torch.testing.assert_close(coupling.base.moments.mean, RATE * mean_of(coupling, used))


def test_parts_of_a_batch_count_together():
    whole, divided = built(MOMENTS), built(MOMENTS)
    paired(whole)
    whole.settle()
    for start in (4, 0):
        part = slice(start, min(start + 4, 6))
        context = pairing(part.stop - start, draw=Draw(0, 0, start, 6))
        divided.pair(images(6)[part], torch.zeros(part.stop - start, *SHAPE), context)
    divided.settle()
    for name, tensor in whole.moments.state_dict().items():
        torch.testing.assert_close(divided.moments.state_dict()[name], tensor)


def test_no_gradient_reaches_the_moments():
    coupling = built(MOMENTS)
    paired(coupling)
    coupling.settle()
    paired(coupling).kl.sum().backward()
    assert all(parameter.grad is not None for parameter in coupling.parameters())
    assert not any(buffer.requires_grad for buffer in coupling.buffers())


def test_it_needs_the_shape_of_the_data():
    with pytest.raises(Misfit, match="needs the shape"):
        Variational(torch.nn.Identity(), 1.0, prior="moments")
