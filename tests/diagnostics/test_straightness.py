"""Straightness of Gaussian flows in closed form; paths that do not cross have none to mend."""

import math

import pytest
import torch
from support import ALL_KERNELS, KERNELS

from vct.diagnostics.ambiguity import Ambiguity, ambiguity_bound
from vct.diagnostics.straightness import straightness
from vct.rng import generator


def gaussian(name, t):
    """Var(x | x_t) of x ~ N(0, 1/4) with independent noise."""
    s = float(ALL_KERNELS[name].data_scale(torch.tensor(t)))
    return Ambiguity(t, 0.25 * t**2 / (0.25 * s**2 + t**2), 0.0)


def test_mean_over_log_times_in_closed_form():
    """The integral of d/dt-variance 1/(1 + 4 t²) over ln t is -ln(1 + 1/(4 t²))/2."""
    low, high = 0.01, 80.0
    times = torch.logspace(math.log10(low), math.log10(high), 400, dtype=torch.float64).tolist()
    true = (math.log1p(0.25 / low**2) - math.log1p(0.25 / high**2)) / 2 / math.log(high / low)
    assert straightness([gaussian("ve", t) for t in times], KERNELS["ve"]) == pytest.approx(
        true, rel=1e-3
    )


def test_mean_over_times_in_closed_form():
    """That over t is atan(2 t)/2."""
    times = torch.linspace(0.01, 8, 2000, dtype=torch.float64).tolist()
    true = (math.atan(16) - math.atan(0.02)) / 2 / 7.99
    found = straightness([gaussian("ve", t) for t in times], KERNELS["ve"], "time")
    assert found == pytest.approx(true, rel=1e-3)


@pytest.mark.parametrize("name", ALL_KERNELS)
def test_is_the_variance_of_the_velocity_that_x_t_leaves_open(name):
    """At one time, by linear regression of dx_t/dt on x_t, which is exact for Gaussians."""
    t, count = 30.0, 200_000
    x, z = torch.randn(2, count, 1, generator=generator(0), dtype=torch.float64) * torch.tensor(
        [0.5, 1.0]
    ).reshape(2, 1, 1)

    def x_at(time):
        return ALL_KERNELS[name](x, z, torch.full((count,), time, dtype=torch.float64))

    velocity, place = (x_at(t + 1) - x_at(t - 1)) / 2, x_at(t)
    left = velocity - (velocity * place).mean() / place.square().mean() * place
    near = [gaussian(name, t - 1e-3), gaussian(name, t + 1e-3)]
    found = straightness(near, ALL_KERNELS[name])
    assert found == pytest.approx(float(left.square().mean()), rel=0.02)


def test_is_zero_where_no_paths_cross_and_one_for_noise_at_small_times():
    x, z = torch.randn(2, 1000, 1, generator=generator(1), dtype=torch.float64)
    times, kernel = (0.01, 0.1, 1.0, 10.0), KERNELS["ve"]
    assert straightness(ambiguity_bound(x, x.tanh(), kernel, times), kernel) < 0.01
    assert straightness(ambiguity_bound(x, z, kernel, times[:2]), kernel) == pytest.approx(
        1, rel=0.05
    )
