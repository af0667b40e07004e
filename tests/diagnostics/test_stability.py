"""Critical times that are known: two points, two Gaussians, both kernels, many dimensions."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from support import KERNELS

from vct.diagnostics import stability
from vct.diagnostics.oracle import finite, mixture
from vct.diagnostics.stability import critical_time, fixed_point, leading_eigenvalue, rests

A = 0.5
TIMES = [float(t) for t in np.geomspace(2, 0.05, 20)]


def generator():
    return np.random.default_rng(0)


def pair(size, a=A):
    """Two points at distance a from 0, in a direction of no axis."""
    direction = torch.arange(1, size + 1, dtype=torch.float64)
    direction = a * direction / direction.norm()
    return torch.stack([direction, -direction])


def critical(oracle, **more):
    start = oracle.shares @ oracle.x
    return critical_time(oracle.denoise, start, TIMES, generator(), **more)


@pytest.mark.parametrize(
    ("size", "std", "exact"),
    [(1, 0.0, 400), (1, 0.3, 400), (30, 0.0, 400), (30, 0.05, 400), (30, 0.05, 2)],
)
def test_two_gaussians_decide_where_their_variance_reaches_their_distance(
    size, std, exact, monkeypatch
):
    """D = (s^2 x + t^2 a tanh(a x/v))/v with v = s^2 + t^2 has slope 1 at 0 where v = a^2."""
    monkeypatch.setattr(stability, "EXACT", exact)
    found = critical(mixture(KERNELS["ve"], pair(size), std))
    assert found == pytest.approx(math.sqrt(A**2 - std**2), rel=2e-4)


def test_interpolation_decides_where_the_scaled_points_do():
    """Slope s a^2/t^2 with s = 1 - t/T."""
    a = 40.0
    times = [float(t) for t in np.geomspace(75, 1, 40)]
    points = finite(KERNELS["li"], pair(2, a))
    found = critical_time(points.denoise, torch.zeros(2).double(), times, generator())
    assert found == pytest.approx((-(a**2) / 80 + math.sqrt((a**2 / 80) ** 2 + 4 * a**2)) / 2, 2e-4)


def test_no_critical_time_where_gaussians_are_wider_than_apart():
    assert critical(mixture(KERNELS["ve"], pair(2), 0.6)) is None


def test_unequal_shares_decide_without_a_loss_of_stability():
    shares = torch.tensor([0.4, 0.6], dtype=torch.float64)
    points = dataclasses.replace(finite(KERNELS["ve"], pair(1)), shares=shares)
    assert critical(points) is None
    path = list(rests(points.denoise, shares @ points.x, TIMES, generator()))
    values = [rest.eigenvalue for rest in path]
    assert values[-1] < 0.1 < 0.5 < max(values) < 1
    # All fixed points satisfy x = D(x); the last one is the likelier point.
    for rest in path:
        here = points.denoise(rest.x[None], rest.t)[0]
        torch.testing.assert_close(here, rest.x, rtol=0, atol=1e-6)
    torch.testing.assert_close(path[-1].x, points.x[1], rtol=0, atol=1e-4)


def test_eigenvalue_of_a_rotation_is_its_real_part(monkeypatch):
    angle = torch.tensor(0.5, dtype=torch.float64)
    block = 0.9 * torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).reshape(2, 2)
    matrix = torch.block_diag(block, *[torch.eye(2).double() * c for c in (-3, 0.1, 0.2, 0.3)])
    for exact in (400, 2):
        monkeypatch.setattr(stability, "EXACT", exact)
        found = leading_eigenvalue(
            lambda x, t: x @ matrix.T, torch.zeros(10).double(), 1.0, generator()
        )
        assert found == pytest.approx(0.9 * math.cos(0.5), rel=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1e-110, 1e-200, 0.0])
def test_eigenvalue_of_next_to_nothing_is_found(scale):
    """As of data that are decided: rows of a matrix of rank 1, of very different sizes."""
    draw = np.random.default_rng(2)
    rows = draw.standard_normal(34) * 10.0 ** -draw.integers(0, 50, 34)
    matrix = torch.from_numpy(np.outer(rows, draw.standard_normal(34)))
    here = torch.zeros(34).double()
    found = leading_eigenvalue(lambda x, t: x @ (scale * matrix.T), here, 1.0, generator())
    assert found == pytest.approx(scale * max(float(matrix.trace()), 0), rel=1e-6, abs=0)


def test_failures_say_what_to_do():
    points = finite(KERNELS["ve"], pair(1))
    with pytest.raises(ValueError, match="begin later"):
        critical_time(points.denoise, torch.zeros(1).double(), [0.1, 0.05], generator())
    with pytest.raises(ArithmeticError, match="after 3 iterations"):
        fixed_point(lambda x, t: -x, torch.ones(1), 1.0, iterations=3)
