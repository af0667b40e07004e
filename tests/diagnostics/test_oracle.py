"""The oracle obeys the laws of densities, flows and regression, whatever the coupling."""

import dataclasses

import pytest
import torch
from denoiser import MEAN, SD, STD, GaussianDenoiser
from support import KERNELS

from vct.diagnostics import oracle as module
from vct.diagnostics.oracle import Oracle, finite, mixture
from vct.misfit import Misfit
from vct.preconditioning import ConsistencyFunction
from vct.rng import sobol_normal


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def oracles(kernel, size=2):
    """Finite data under both couplings, and mixtures, the last one with everything at once."""
    x, mu, std = normal(5, size), normal(5, size, seed=1), normal(5, size, seed=2).exp() / 2
    shares = torch.tensor([0.1, 0.2, 0.3, 0.25, 0.15], dtype=torch.float64)
    return {
        "independent": finite(kernel, x),
        "variational": finite(kernel, x, mu, std),
        "mixture": mixture(kernel, x, 0.3, shares),
        "all": Oracle(kernel, x, mu, std, normal(5, size, seed=3).abs(), shares),
    }


CASES = [(kernel, name) for kernel in KERNELS for name in oracles(KERNELS["ve"])]


@pytest.fixture(params=CASES, ids=lambda case: "-".join(case))
def oracle(request):
    kernel, name = request.param
    return oracles(KERNELS[kernel])[name]


def test_the_two_means_make_up_the_noisy_point(oracle):
    x_t = normal(7, 2, seed=4)
    for t in (0.1, 1.0, 20.0):
        s = oracle.kernel.data_scale(torch.tensor(t))
        whole = s * oracle.denoise(x_t, t) + t * oracle.noise(x_t, t)
        torch.testing.assert_close(whole, x_t)


def test_score_is_the_gradient_of_the_log_density(oracle):
    x_t = normal(7, 2, seed=4).requires_grad_()
    (gradient,) = torch.autograd.grad(oracle.log_density(x_t, 0.7).sum(), x_t)
    torch.testing.assert_close(oracle.score(x_t, 0.7), gradient)


def test_density_is_carried_by_the_velocity(oracle):
    """The continuity equation, d log p/dt + v grad log p + div v = 0."""
    x_t = normal(7, 2, seed=4)
    t = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    rate = torch.autograd.functional.jacobian(lambda t: oracle.log_density(x_t, t), t)
    slope = torch.autograd.functional.jacobian(lambda x: oracle.velocity(x, 0.7).sum(0), x_t)
    divergence = slope.diagonal(dim1=0, dim2=2).sum(1)
    along = (oracle.velocity(x_t, 0.7) * oracle.score(x_t, 0.7)).sum(1)
    torch.testing.assert_close(rate + along + divergence, torch.zeros_like(rate))


@pytest.mark.parametrize("name", ["independent", "variational", "mixture", "all"])
def test_density_integrates_to_one(name):
    grid = torch.linspace(-30, 30, 20_001, dtype=torch.float64)
    density = oracles(KERNELS["ve"], size=1)[name].log_density(grid[:, None], 0.5).exp()
    assert torch.trapezoid(density, grid) == pytest.approx(1, abs=1e-6)


def test_means_are_regressions_on_what_is_drawn(oracle):
    """What is left of x, and of z, is orthogonal to every function of x_t."""
    count = 2**12
    draws = sobol_normal((count * len(oracle.x), 4), 0).double().reshape(len(oracle.x), count, 4)
    wide = oracle.x[:, None] * 0
    x = oracle.x[:, None] + (oracle.spread[:, None] + wide) * draws[..., :2]
    z = (oracle.mu[:, None] + wide) + (oracle.std[:, None] + wide) * draws[..., 2:]
    t = 0.8
    x_t = oracle.kernel.data_scale(torch.tensor(t)) * x + t * z
    points = x_t.flatten(0, 1)
    for left in (
        x.flatten(0, 1) - oracle.denoise(points, t),
        z.flatten(0, 1) - oracle.noise(points, t),
    ):
        weighted = left.reshape(x.shape) * oracle.shares[:, None, None]
        for function in (x_t, x_t.sin(), x_t.square().sum(-1, keepdim=True).neg().exp()):
            assert (weighted * function).mean(1).sum(0).abs().max() < 0.02


@pytest.mark.parametrize("kernel", KERNELS)
def test_one_gaussian_is_denoised_linearly(kernel):
    known = ConsistencyFunction(GaussianDenoiser(KERNELS[kernel]), KERNELS[kernel], SD, None)
    one = mixture(KERNELS[kernel], torch.full((1, 3), MEAN, dtype=torch.float64), STD)
    x_t, t = normal(6, 3), torch.full((6,), 0.4, dtype=torch.float64)
    torch.testing.assert_close(one.denoise(x_t, t), known(x_t, t), rtol=1e-4, atol=1e-5)


def test_energy_is_that_of_a_modern_hopfield_network():
    x, x_t, t = normal(9, 4), normal(6, 4, seed=1), 0.6
    memory = torch.logsumexp((x_t @ x.T - x.square().sum(1) / 2) / t**2, dim=1)
    energy = x_t.square().sum(1) / 2 - t**2 * memory
    left = energy + t**2 * finite(KERNELS["ve"], x).log_density(x_t, t)
    torch.testing.assert_close(left, left[:1].expand(6))


def test_posterior_goes_from_the_shares_to_the_nearest_point():
    x = normal(9, 4)
    known = finite(KERNELS["ve"], x)
    far = known.posterior(1e5 * normal(3, 4), 1e5)
    torch.testing.assert_close(far, torch.full_like(far, 1 / 9), rtol=1e-3, atol=0)
    x_t = torch.cat([normal(3, 4, seed=1), torch.full((1, 4), 1e4)])  # one beyond all data
    near = known.posterior(x_t, 1e-4)
    assert torch.equal(near.argmax(1), torch.cdist(x_t, x).argmin(1))
    torch.testing.assert_close(near.amax(1), torch.ones(4, dtype=torch.float64))


def test_score_of_independent_noise_points_against_it():
    known = oracles(KERNELS["li"])["mixture"]
    x_t = normal(7, 2, seed=4)
    torch.testing.assert_close(known.score(x_t, 3.0), -known.noise(x_t, 3.0) / 3)


def test_samples_do_not_depend_on_their_block_or_shape(oracle, monkeypatch):
    x_t = normal(7, 2, seed=4)
    whole = [oracle.denoise(x_t, 1.0), oracle.log_density(x_t, 1.0), oracle.posterior(x_t, 1.0)]
    monkeypatch.setattr(module, "ENTRIES", 10)
    parts = [oracle.denoise(x_t, 1.0), oracle.log_density(x_t, 1.0), oracle.posterior(x_t, 1.0)]
    torch.testing.assert_close(parts, whole)
    images = x_t.reshape(7, 2, 1, 1)
    torch.testing.assert_close(oracle.denoise(images, 1.0), whole[0].reshape(7, 2, 1, 1))


def test_equal_points_share_what_one_would_get():
    x = normal(4, 2)
    twice = finite(KERNELS["ve"], torch.cat([x, x[:1]]))
    once = dataclasses.replace(
        finite(KERNELS["ve"], x), shares=torch.tensor([0.4, 0.2, 0.2, 0.2], dtype=torch.float64)
    )
    x_t = normal(7, 2, seed=4)
    torch.testing.assert_close(twice.velocity(x_t, 0.5), once.velocity(x_t, 0.5))


def test_several_times_are_refused():
    with pytest.raises(Misfit, match="one time"):
        finite(KERNELS["ve"], normal(4, 2)).denoise(normal(2, 2), torch.tensor([1.0, 2.0]))
