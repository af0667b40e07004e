"""Noise around what is known of an image: its law, and the way back for Gaussian data."""

import numpy as np
import pytest
import torch
from support import pairing

from vct.couplings.conditional import Conditional
from vct.couplings.generator_augmented import GeneratorAugmented
from vct.couplings.independent import Independent
from vct.kernels import LinearInterpolation
from vct.misfit import Misfit
from vct.samplers.heun import Heun

SHAPE = (1, 4, 4)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_what_is_shown_are_the_means_of_blocks_and_noise(factor):
    coupling = Conditional(SHAPE, factor=factor, std=0.3)
    x, eps = normal(5, *SHAPE), normal(5, *SHAPE, seed=1)
    blocks = x.reshape(5, 4 // factor, factor, 4 // factor, factor)
    means = blocks.mean(dim=(2, 4), keepdim=True).expand_as(blocks).reshape(x.shape)
    torch.testing.assert_close(coupling.couple(x, eps), means + 0.3 * eps)
    torch.testing.assert_close(coupling.pair(x, eps, pairing()).z, means + 0.3 * eps)


@pytest.mark.parametrize(("hidden", "side"), [(0.5, 2), (0.25, 1), (0.75, 3)])
def test_a_central_square_is_noise_alone(hidden, side):
    coupling = Conditional(SHAPE, hidden=hidden, std=0.3)
    x, eps = normal(3, *SHAPE), normal(3, *SHAPE, seed=1)
    z = coupling.couple(x, eps)
    same = (z == eps).all(dim=0)[0]
    assert same.sum() == side**2 and torch.equal(z, coupling.couple(x * ~same, eps))
    torch.testing.assert_close(z[..., ~same], (x + 0.3 * eps)[..., ~same])
    if side == 2:
        assert same[1:3, 1:3].all()


@pytest.mark.parametrize("hidden", [0.3, 0.5, 0.8])
def test_what_is_hidden_tells_nothing_of_blocks_that_the_square_cuts(hidden):
    coupling = Conditional((1, 8, 8), factor=2, hidden=hidden)
    x, eps = normal(3, 1, 8, 8), normal(3, 1, 8, 8, seed=1)
    other = torch.where(coupling.mask, 100.0, x)
    assert torch.equal(coupling.couple(x, eps), coupling.couple(other, eps))


def test_images_of_either_size_are_restored_from_the_same_start():
    coupling = Conditional((2, 6, 4), factor=2, hidden=0.4)
    x, eps = normal(3, 2, 6, 4), normal(3, 2, 6, 4, seed=1)
    known = x.masked_fill(coupling.mask, torch.nan)  # the square cuts two blocks, and hides halves
    small = known.unflatten(3, (2, 2)).unflatten(2, (3, 2)).nanmean(dim=(3, 5))
    expected = coupling.couple(x, eps)
    torch.testing.assert_close(coupling.begin(small, eps), expected)
    torch.testing.assert_close(coupling.begin(coupling.degraded(x), eps), expected)
    torch.testing.assert_close(coupling.begin(x, eps), expected)
    over = GeneratorAugmented(coupling)
    assert over.from_data and torch.equal(over.begin(small, eps), coupling.begin(small, eps))


@pytest.mark.parametrize("shape", [(1, 3, 3), (1, 8, 8), (3, 4, 4), (1, 2, 4)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(Misfit, match="images to restore has shape"):
        Conditional(SHAPE, factor=2).begin(normal(2, *shape), normal(2, *SHAPE))


@pytest.mark.parametrize(("hidden", "pixels"), [(0.05, 0), (0.99, 16)])
def test_a_square_that_hides_nothing_or_all_is_refused(hidden, pixels):
    with pytest.raises(Misfit, match=f"hidden: {hidden} hides {pixels} of 16 pixels"):
        Conditional(SHAPE, hidden=hidden)


def test_blocks_must_fill_the_image():
    with pytest.raises(Misfit, match="factor: 3 divides no images of 4 by 4"):
        Conditional(SHAPE, factor=3)


class Linear(torch.nn.Module):
    """E[x | x_t] of Gaussian data and noise that is D x + S eps: as (B, C, H, W) of it."""

    def __init__(self, covariance, degrade, noise):
        super().__init__()
        self.covariance, self.degrade, self.noise = covariance, degrade, noise

    def forward(self, x_t, t, labels=None):
        t = t[0]
        into = (1 - t) * torch.eye(len(self.covariance), dtype=t.dtype) + t * self.degrade
        spread = into @ self.covariance @ into.T + t**2 * self.noise
        gain = torch.linalg.solve(spread, into @ self.covariance).T
        return (x_t.flatten(1) @ gain.T).reshape(x_t.shape)


@pytest.mark.parametrize("options", [{"factor": 2, "std": 0.5}, {"hidden": 0.5, "std": 0.3}])
def test_the_exact_flow_of_gaussian_data_leads_back_to_them(options):
    """What is restored has the covariance of the data, and is near to what was degraded."""
    coupling, count = Conditional(SHAPE, **options), 20_000
    root = normal(16, 16, seed=3) / 4
    covariance = root @ root.T + 0.1 * torch.eye(16, dtype=torch.float64)
    x = (normal(count, 16) @ torch.linalg.cholesky(covariance).T).reshape(count, *SHAPE)
    basis = torch.eye(16, dtype=torch.float64).reshape(16, *SHAPE)
    zero = torch.zeros_like(basis)
    degrade = coupling.couple(basis, zero).reshape(16, 16).T
    noise = coupling.couple(zero, basis).reshape(16, 16)
    exact = Linear(covariance, degrade, noise @ noise.T)
    z = coupling.begin(coupling.degraded(x), normal(count, *SHAPE, seed=1))

    class Function(torch.nn.Module):
        kernel, t_min, train_t_min = LinearInterpolation(1.0), 1e-4, None

        def forward(self, x_t, t, labels=None):
            return exact(x_t, t)

    *_, found = Heun(1.0, 60, t_min=1e-4)(Function(), Independent(), [z], None)
    flat = found.flatten(1)
    np.testing.assert_allclose(np.cov(flat.T), covariance, atol=0.03)
    near, far = (found - other for other in (x, x.roll(1, dims=0)))
    assert near.square().mean() < 0.7 * far.square().mean()
