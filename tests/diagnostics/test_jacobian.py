"""Spectra of data on a linear manifold, whose denoiser and consistency function are linear."""

import pytest
import torch
from support import KERNELS

from vct.diagnostics import jacobian
from vct.diagnostics.exact_consistency import ExactConsistency
from vct.diagnostics.jacobian import (
    gap_dimension,
    leading_singular_values,
    mean_spectra,
    singular_values,
)
from vct.diagnostics.oracle import Oracle

SIZE, K = 24, 5
STD = torch.linspace(1.5, 0.5, K, dtype=torch.float64)


def generator():
    return torch.Generator().manual_seed(3)


def draw(*shape):
    return torch.randn(shape, generator=generator(), dtype=torch.float64)


def manifold():
    """A Gaussian of deviations STD on the first K axes."""
    spread = torch.cat([STD, STD.new_zeros(SIZE - K)])[None]
    zero = STD.new_zeros(1, 1)
    return Oracle(KERNELS["ve"], STD.new_zeros(1, SIZE), zero, zero + 1, spread, STD.new_ones(1))


def turned(f):
    """f of data that are turned so that no axis is special."""
    turn = torch.linalg.qr(draw(SIZE, SIZE)).Q
    return lambda x, t: (f(x.flatten(1) @ turn, t) @ turn.T).reshape(x.shape)


@pytest.mark.parametrize("t", [0.01, 1.0])
def test_denoiser_keeps_the_share_of_its_variance(t):
    found = singular_values(turned(manifold().denoise), draw(2, 2, 3, 4), t)
    known = torch.cat([STD**2 / (STD**2 + t**2), STD.new_zeros(SIZE - K)])
    torch.testing.assert_close(found, known.expand(2, SIZE))
    assert gap_dimension(found.mean(dim=0)) == (K if t < 0.1 else gap_dimension(known))


def test_consistency_function_keeps_the_deviation():
    t, t_min = 0.2, 0.01
    f = turned(ExactConsistency(manifold(), t_min, steps=64))
    known = ((STD**2 + t_min**2) / (STD**2 + t**2)).sqrt()
    known = torch.cat([known, STD.new_full((SIZE - K,), t_min / t)])
    found = singular_values(f, draw(1, SIZE), t)
    torch.testing.assert_close(found, known[None], rtol=0, atol=1e-6)
    assert gap_dimension(found[0]) == K


def test_leading_values_are_those_of_the_whole_matrix():
    """Also of a matrix that is far from symmetric and of full rank."""
    weight = draw(SIZE, SIZE)

    def bent(x, t):
        return torch.tanh(x / 3) @ weight

    x = draw(3, SIZE)
    whole = singular_values(bent, x, 1.0)
    some = leading_singular_values(bent, x, 1.0, 4, generator(), iterations=12)
    torch.testing.assert_close(some, whole[:, :4], rtol=1e-3, atol=0)
    assert (some <= whole[:, :4] * (1 + 1e-9)).all()
    every = leading_singular_values(bent, x, 1.0, 1000, generator())
    torch.testing.assert_close(every, whole)


def test_spectra_are_averaged_at_the_noisy_points_of_each_time(monkeypatch):
    """Where f squares each number, J is 2 |x_t|."""

    def square(x, t):
        return x * x

    x, z, times = draw(4, SIZE), draw(4, SIZE) - 2, [0.5, 2.0]
    found = mean_spectra(square, KERNELS["ve"], x, z, times, generator())
    known = [(2 * (x + t * z)).abs().sort(dim=1, descending=True).values.mean(0) for t in times]
    torch.testing.assert_close(found, torch.stack(known))
    monkeypatch.setattr(jacobian, "EXACT", 4)
    leading = mean_spectra(square, KERNELS["ve"], x, z, times, generator(), count=3)
    torch.testing.assert_close(leading, found[:, :3], rtol=0.02, atol=0)


def test_dimension_stands_before_the_largest_gap():
    assert gap_dimension(torch.tensor([1.0, 0.9, 0.8, 0.1, 0.0])) == 3
