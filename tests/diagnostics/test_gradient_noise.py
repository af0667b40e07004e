"""Noise of gradients against Gaussian gradients of known moments, and a jackknife by hand."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import t as student

from vct.diagnostics import gradient_noise as module
from vct.diagnostics.gradient_noise import GradientRows, gradient_noise, gram_matrix
from vct.misfit import Misfit
from vct.rng import generator


def gradients(count, spread, length, *key):
    """Gaussian gradients (count, P) with standard deviations `spread` (P,) and |mean| `length`."""
    eps = torch.randn(count, len(spread), generator=generator(*key), dtype=torch.float64)
    return length / math.sqrt(len(spread)) + spread * eps


def spread_of(size):
    return torch.linspace(0.1, 2, size, dtype=torch.float64)


def test_moments_are_those_of_the_gradients():
    g = gradients(9, spread_of(5), 1.0, 0)
    found = gradient_noise(gram_matrix(g))
    trace = np.trace(np.cov(g.numpy().T))
    assert found.trace == pytest.approx(trace, rel=1e-12)
    assert found.signal == pytest.approx(float(g.mean(0).square().sum()) - trace / 9, rel=1e-12)
    assert found.ratio == pytest.approx(found.trace / found.signal, rel=1e-12)


def test_trace_and_signal_are_unbiased():
    spread = spread_of(20)
    found = [gradient_noise(gram_matrix(gradients(4, spread, 0.5, k))) for k in range(2000)]
    trace = float(spread.square().sum())
    assert np.mean([each.trace for each in found]) == pytest.approx(trace, rel=0.02)
    assert np.mean([each.signal for each in found]) == pytest.approx(0.25, abs=0.3)
    assert min(each.signal for each in found) < 0  # of noise alone, it is as often below zero


def test_interval_is_the_jackknife_of_the_share_of_the_mean():
    g = gradients(12, spread_of(30), 3.0, 1)

    def share(rows):
        rows = rows.numpy()
        trace = rows.var(axis=0, ddof=1).sum()
        signal = (rows.mean(axis=0) ** 2).sum() - trace / len(rows)
        return signal / (trace + signal)

    without = np.array([share(torch.cat([g[:b], g[b + 1 :]])) for b in range(12)])
    error = math.sqrt(11 / 12 * ((without - without.mean()) ** 2).sum())
    low, high = share(g) + error * student(11).ppf([0.05, 0.95])
    found = gradient_noise(gram_matrix(g), level=0.9)
    assert found.lower == pytest.approx(1 / high - 1, rel=1e-9)
    assert found.upper == pytest.approx(1 / low - 1, rel=1e-9)


def coverage(size, length, truth, repetitions=500):
    """Share of intervals from 32 minibatches that hold the true ratio."""
    keys = [(length, size, k) for k in range(repetitions)]
    given = [gradients(32, spread_of(size), length, *map(str, key)) for key in keys]
    found = [gradient_noise(gram_matrix(each)) for each in given]
    return np.mean([each.lower <= truth <= each.upper for each in found])


@pytest.mark.parametrize(
    ("size", "length", "most"),
    [(200, 300.0, 0.975), (200, 10.0, 0.975), (6, 1.0, 0.975), (2000, 4.0, 1.0)],
)
def test_interval_covers_the_ratio(size, length, most):
    """Noise far below the mean and like it; far above it, the jackknife covers more."""
    truth = float(spread_of(size).square().sum()) / length**2
    assert 0.92 < coverage(size, length, truth) <= most


def test_interval_is_open_above_where_there_is_no_mean():
    assert coverage(200, 0.0, math.inf) > 0.97


def test_ratio_does_not_change_with_the_scale_or_the_axes():
    g = gradients(16, spread_of(40), 5.0, 2)
    turn = torch.linalg.qr(torch.randn(40, 40, generator=generator(3), dtype=torch.float64)).Q
    one, other = (gradient_noise(gram_matrix(each)) for each in (g, 1e-6 * g @ turn))
    assert other.trace == pytest.approx(1e-12 * one.trace, rel=1e-9)
    for name in ("ratio", "lower", "upper"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-9)


def test_equal_gradients_have_no_noise():
    found = gradient_noise(gram_matrix(torch.full((8, 5), 0.3)))
    assert (found.ratio, found.lower, found.upper) == pytest.approx((0, 0, 0), abs=1e-9)


def test_gradients_that_cancel_have_no_bound_above():
    found = gradient_noise(gram_matrix(torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])))
    assert found.signal < 0 and found.ratio == math.inf and found.upper == math.inf


def test_gradients_that_are_not_finite_are_not_called_noise():
    g = gradients(5, spread_of(3), 1.0, 0)
    g[2, 1] = math.nan
    assert math.isnan(gradient_noise(gram_matrix(g)).ratio)


def test_blocks_streams_and_stacks_give_one_matrix(monkeypatch):
    g = gradients(6, spread_of(50), 1.0, 4).float()
    expected = g.double() @ g.double().T
    monkeypatch.setattr(module, "COLUMNS", 7)
    for given in (g, list(g), iter(g)):
        torch.testing.assert_close(gram_matrix(given), expected)


def test_groups_together_are_the_gradient_of_both():
    rows, g = GradientRows(), gradients(6, spread_of(12), 1.0, 5)
    buffer = torch.zeros_like(g[0])
    for row in g:
        buffer.copy_(row)  # as `grad` does
        rows.add(network=[buffer[:4].reshape(2, 2), buffer[4:7]], encoder=[buffer[7:]])
    found = rows.noise()
    assert found["network"] == gradient_noise(gram_matrix(g[:, :7]))
    assert found["encoder"] == gradient_noise(gram_matrix(g[:, 7:]))
    assert found["all"].ratio == pytest.approx(gradient_noise(gram_matrix(g)).ratio, rel=1e-9)


def test_misfits_are_named():
    with pytest.raises(Misfit, match="3 minibatches or more, not 2"):
        gradient_noise(gram_matrix(torch.ones(2, 5)))
    with pytest.raises(Misfit, match="a gradient has shape"):
        gram_matrix([torch.ones(3), torch.ones(4)])
