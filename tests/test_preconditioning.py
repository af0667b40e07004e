"""Laws of the scalings: the boundary condition, and unit variance of what the network sees."""

import pytest
import torch
from support import KERNELS, tiny_network
from torch import nn

from vct.kernels import LinearInterpolation, VarianceExploding
from vct.misfit import Misfit
from vct.preconditioning import ConsistencyFunction, boundary_scalings, plain_scalings

T_MIN = 0.002
TIMES = torch.tensor([0.002, 0.01, 0.3, 1.0, 7.0, 40.0, 79.0], dtype=torch.float64)
# With a small T data and noise still balance where the linear kernel has shrunk the data.
SHORT = {"ve": VarianceExploding(1.0), "li": LinearInterpolation(1.0)}
SHORT_TIMES = torch.tensor([0.002, 0.1, 0.3, 0.5, 0.7, 0.9], dtype=torch.float64)


def noisy(seed=0, size=5):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, 2, 5, 5, generator=generator, dtype=torch.float64)


def test_an_answer_of_another_shape_is_refused():
    """It would be broadcast, and train to its end."""
    f = ConsistencyFunction(nn.Flatten(), KERNELS["ve"], 0.5, None)
    network = f.network
    network.forward = lambda x, c, labels=None: x.flatten(1)
    with pytest.raises(Misfit, match=r"the answer of Flatten has shape \(5, 50\), not"):
        f(noisy(), torch.ones(5))


def test_numbers_of_classes_are_refused_where_one_hot_labels_are_wanted():
    """A network takes those of as many samples as classes for one row, and broadcasts it."""
    f = ConsistencyFunction(tiny_network(), KERNELS["ve"], 0.5, None)
    with pytest.raises(Misfit, match=r"labels have shape \(5,\), not \(B, K\)"):
        f(noisy(), torch.ones(5), torch.arange(5))


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("t_min", [0.002, 0.5])
def test_identity_at_t_min_for_any_network(name, t_min):
    f = ConsistencyFunction(tiny_network(), KERNELS[name], 0.5, t_min)
    x = noisy()
    assert torch.equal(f(x, torch.full((5,), t_min, dtype=torch.float64)), x)


@pytest.mark.parametrize("name", KERNELS)
def test_not_the_identity_later(name):
    f = ConsistencyFunction(tiny_network(), KERNELS[name], 0.5, T_MIN)
    x = noisy()
    assert not torch.allclose(f(x, torch.full((5,), 1.0, dtype=torch.float64)), x, atol=0.1)


@pytest.mark.parametrize("name", KERNELS)
def test_plain_scalings_tend_to_the_identity_at_zero(name):
    f = ConsistencyFunction(tiny_network(), KERNELS[name], 0.5, None)
    x = noisy()
    near, nearer = (
        (f(x, torch.full((5,), t, dtype=torch.float64)) - x).abs().max() for t in (1e-3, 1e-6)
    )
    assert nearer < 1e-4 < near


@pytest.mark.parametrize("name", KERNELS)
def test_plain_is_boundary_at_t_min_zero(name):
    plain = plain_scalings(KERNELS[name], TIMES, 0.7)
    limit = boundary_scalings(KERNELS[name], TIMES, 0.7, 1e-12)
    for field in ("c_in", "c_skip", "c_out"):
        torch.testing.assert_close(getattr(limit, field), getattr(plain, field))


@pytest.mark.parametrize("t_min", [0.002, 0.5])
def test_nothing_of_the_data_is_left_at_t_max_of_the_linear_kernel(t_min):
    """Its scales fall in a straight line from 1, at 0 or t_min, to 0."""
    kernel, end = KERNELS["li"], torch.tensor([80.0], dtype=torch.float64)
    assert kernel.data_scale(end) == kernel.boundary_scale(end, t_min) == 0
    middle = torch.tensor([(80.0 + t_min) / 2], dtype=torch.float64)
    assert kernel.boundary_scale(middle, t_min).item() == pytest.approx(0.5, rel=1e-12)
    for scalings in (plain_scalings(kernel, end, 0.5), boundary_scalings(kernel, end, 0.5, t_min)):
        assert scalings.c_skip == 0


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("sigma_data", [0.5, 0.75])
def test_network_sees_unit_variance(name, sigma_data):
    kernel = SHORT[name]
    generator = torch.Generator().manual_seed(1)
    x = sigma_data * torch.randn(100_000, 1, generator=generator)
    z = torch.randn(100_000, 1, generator=generator)
    for t in SHORT_TIMES.float():
        many = t.expand(100_000)
        for c_in in (
            plain_scalings(kernel, t, sigma_data).c_in,
            boundary_scalings(kernel, t, sigma_data, T_MIN).c_in,
        ):
            assert (c_in * kernel(x, z, many)).var() == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("name", KERNELS)
def test_network_must_answer_with_unit_variance(name):
    """EDM chose the plain scalings so that (x - c_skip x_t) / c_out has variance one."""
    kernel = SHORT[name]
    generator = torch.Generator().manual_seed(1)
    x = 0.5 * torch.randn(100_000, 1, generator=generator, dtype=torch.float64)
    z = torch.randn(100_000, 1, generator=generator, dtype=torch.float64)
    for t in SHORT_TIMES:
        scalings = plain_scalings(kernel, t, 0.5)
        wanted = (x - scalings.c_skip * kernel(x, z, t.expand(100_000))) / scalings.c_out
        assert wanted.var() == pytest.approx(1, rel=0.02)


def test_precision_of_the_state_is_kept_and_the_network_computes_in_single():
    seen = {}

    def network(x, c_noise, labels):
        seen.update(x=x.dtype, c_noise=c_noise, labels=labels)
        return x

    f = ConsistencyFunction(network, KERNELS["ve"], 0.5, T_MIN)
    labels = torch.eye(5)
    y = f(noisy(), torch.full((5,), 2.0, dtype=torch.float64), labels)
    assert y.dtype == torch.float64
    assert seen["x"] == torch.float32
    assert seen["labels"] is labels
    torch.testing.assert_close(torch.exp(4 * seen["c_noise"]), torch.full((5,), 2.0))
