"""Laws of grids and step schedules, and independent oracles for their probabilities."""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vct.schedules import (
    ecm_lower_time,
    ecm_stage,
    grid_points,
    interval_probabilities,
    karras_grid,
    learning_rate_factor,
)

PROPERTY = settings(deadline=None, derandomize=True)


@given(
    total=st.integers(1, 10_000), s0=st.integers(1, 40), factor=st.integers(1, 40), data=st.data()
)
@PROPERTY
def test_grid_points_stay_in_range_and_never_fall(total, s0, factor, data):
    s1 = s0 * factor
    step = data.draw(st.integers(0, total - 1))
    now, later = (grid_points(k, total, s0, s1) for k in (step, min(step + 1, total - 1)))
    assert s0 + 1 <= now <= later <= s1 + 1
    assert later - 1 in (now - 1, 2 * (now - 1), s1)


@pytest.mark.parametrize(("s0", "s1"), [(10, 160), (10, 1280), (2, 8), (10, 10)])
def test_grid_points_double_from_s0_to_s1_in_equal_stages(s0, s1):
    total = 1000
    intervals = [grid_points(k, total, s0, s1) - 1 for k in range(total)]
    values, counts = np.unique(intervals, return_counts=True)
    assert values[0] == s0
    assert values[-1] == s1
    assert all(high == 2 * low for low, high in pairwise(values))
    assert counts.max() - counts.min() <= len(values)


@pytest.mark.parametrize(
    ("total", "s0", "s1", "length"), [(1007, 10, 1280, 125), (14, 2, 8, 4), (3, 2, 8, 1)]
)
def test_grid_points_double_after_whole_stages(total, s0, s1, length):
    """K' is rounded down where the stages do not divide K (iCT, eq. 13)."""
    intervals = [grid_points(k, total, s0, s1) - 1 for k in range(total)]
    rises = [k for k in range(1, total) if intervals[k] > intervals[k - 1]]
    assert rises == [length * stage for stage in range(1, round(math.log2(s1 / s0)) + 1)]


@pytest.mark.parametrize("rho", [1.0, 3.0, 7.0])
@pytest.mark.parametrize("n", [2, 11, 1281])
def test_karras_grid(n, rho):
    grid = karras_grid(n, 0.002, 80.0, rho)
    assert grid.shape == (n,)
    assert grid[0].item() == pytest.approx(0.002, rel=1e-6)
    assert grid[-1].item() == pytest.approx(80.0, rel=1e-6)
    assert (grid.diff() > 0).all()
    steps = (grid.double() ** (1 / rho)).diff()
    torch.testing.assert_close(steps, steps.mean().expand(n - 1), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("p_mean", "p_std"), [(-1.1, 2.0), (-0.8, 1.6), (2.0, 0.5)])
@pytest.mark.parametrize("n", [11, 161])
def test_interval_probabilities_are_those_of_a_lognormal(n, p_mean, p_std):
    grid = karras_grid(n, 0.002, 80.0, 7.0)
    probabilities = interval_probabilities(grid, p_mean, p_std)
    assert probabilities.sum().item() == pytest.approx(1, abs=1e-6)
    lognormal = scipy.stats.lognorm(s=p_std, scale=math.exp(p_mean))
    expected = np.diff(lognormal.cdf(grid.double().numpy()))
    np.testing.assert_allclose(probabilities, expected / expected.sum(), rtol=1e-4, atol=1e-7)


def test_interval_probabilities_match_a_histogram():
    grid = karras_grid(11, 0.002, 80.0, 7.0)
    draws = np.exp(np.random.default_rng(0).normal(-1.1, 2.0, 400_000))
    counts, _ = np.histogram(draws, bins=grid.double().numpy())
    expected = interval_probabilities(grid, -1.1, 2.0).numpy()
    np.testing.assert_allclose(counts / counts.sum(), expected, atol=3e-3)


@pytest.mark.parametrize(
    ("total", "stages"), [(8000, 8), (1000, 4), (100, 8), (10, 6), (7, 3), (3, 8), (1, 1)]
)
def test_ecm_stages_are_of_equal_length(total, stages):
    at = [ecm_stage(k, total, stages) for k in range(total)]
    assert at == sorted(at)
    assert at[0] == 0
    assert at[-1] <= stages - 1
    lengths = np.bincount(at, minlength=stages)
    assert lengths.max() - lengths.min() <= 1
    # Stage a begins with the first step that is not before a K / stages.
    for stage in set(at):
        assert at.index(stage) == math.ceil(Fraction(stage * total, stages))


@given(
    t=st.floats(1e-4, 1000),
    stage=st.integers(0, 7),
    q=st.floats(1.5, 4),
    kappa=st.floats(0, 20),
    b=st.floats(0.1, 5),
)
@PROPERTY
def test_ecm_lower_time_is_below_and_closes_in(t, stage, q, kappa, b):
    times = torch.tensor([t], dtype=torch.float64)
    now, later = (ecm_lower_time(times, a, q, kappa, b).item() for a in (stage, stage + 1))
    assert 0 <= now <= later < t
    assert (t - later) / t <= (1 + kappa) / q ** (stage + 2) + 1e-12
    if now > 0:
        assert (t - now) / (t - later) == pytest.approx(q, rel=1e-6)


def test_ecm_begins_at_the_data_for_small_times():
    """With q = 2 the first stage is diffusion training: r = 0 wherever 8 sigmoid(-t) > 1."""
    boundary = math.log(7)
    times = torch.tensor([0.003, boundary - 1e-3, boundary + 1e-3, 80.0])
    lower = ecm_lower_time(times, 0, 2.0, 8.0, 1.0)
    assert (lower > 0).tolist() == [False, False, True, True]


def test_constant_rate():
    assert {learning_rate_factor(k, 10, "constant") for k in range(11)} == {1.0}


def test_inverse_square_root_rate():
    factors = [learning_rate_factor(k, 9, "inverse_sqrt", reference_step=100) for k in range(1000)]
    assert set(factors[:101]) == {1.0}
    assert factors[400] == pytest.approx(1 / 2)
    assert factors[900] == pytest.approx(1 / 3)
    assert all(high > low for high, low in pairwise(factors[100:]))


@pytest.mark.parametrize(("decay_start", "final"), [(0.5, 0.05), (0.0, 0.0), (0.8, 0.5)])
def test_cosine_rate(decay_start, final):
    total, begin = 1000, round(1000 * decay_start)
    factors = [
        learning_rate_factor(k, total, "cosine", decay_start, final) for k in range(total + 1)
    ]
    assert set(factors[: begin + 1]) == {1.0}
    assert factors[-1] == pytest.approx(final)
    assert all(high > low for high, low in pairwise(factors[begin:]))
    # Half a cosine is symmetric about its middle.
    for early, late in zip(factors[begin:], reversed(factors), strict=False):
        assert early + late == pytest.approx(1 + final)
    # A quarter of the way a cosine has lost (1 - cos(pi/4)) / 2 = 0.146 of its height.
    quarter = begin + (total - begin) // 4
    assert (1 - factors[quarter]) / (1 - final) == pytest.approx(0.1464466, rel=1e-4)


def test_cosine_rate_without_decay():
    assert {learning_rate_factor(k, 10, "cosine", decay_start=1.0) for k in range(10)} == {1.0}
