"""Rebuilt averages against averages that were tracked all along."""

import numpy as np
import pytest
import torch
from torch import nn

from vct.averages.ema import PowerAverage, power_exponent
from vct.averages.post_hoc import Profile, TrackedAverages, combine

STEPS = 960
WIDTHS = [0.05, 0.1]


def kept(count, steps=STEPS, widths=WIDTHS):
    return [
        Profile(width, steps * index // count) for index in range(1, count + 1) for width in widths
    ]


def density(profile, times):
    exponent = power_exponent(profile.width)
    ratio = times / profile.steps
    return np.where(ratio <= 1, (exponent + 1) * ratio**exponent / profile.steps, 0)


class Walk(nn.Module):
    """A weight that settles down noisily, as weights do."""

    def __init__(self):
        super().__init__()
        self.value = nn.Parameter(torch.zeros(64))

    def move(self, step, generator):
        noise = torch.randn(64, generator=generator)
        with torch.no_grad():
            self.value += 0.02 * (1 - self.value) + 0.1 * noise


@pytest.fixture(scope="module")
def walk():
    """Kept averages and directly tracked ones of one training, all in single precision."""
    generator = torch.Generator().manual_seed(0)
    model, profiles = Walk(), kept(32)
    tracked = TrackedAverages(model, WIDTHS)
    direct = {width: PowerAverage(model, width) for width in (0.05, 0.06, 0.08, 0.1, 0.13, 0.15)}
    found = {}
    for step in range(STEPS):
        model.move(step, generator)
        tracked.update(step)
        for average in direct.values():
            average.update(step)
        for profile in profiles:
            if profile.steps == step + 1:
                found[profile] = tracked.averages[profile.width].module.value.clone()
    return found, {width: average.module.value for width, average in direct.items()}


@pytest.mark.parametrize("width", [0.05, 0.06, 0.08, 0.1, 0.13, 0.15])
def test_rebuilt_average_is_the_tracked_one(walk, width):
    found, direct = walk
    combination = combine(list(found), Profile(width, STEPS))
    assert combination.error < 0.01
    terms = zip(combination.coefficients, found.values(), strict=True)
    rebuilt = sum(factor * value.double() for factor, value in terms)
    difference = (rebuilt - direct[width]).norm() / direct[width].norm()
    assert difference < 1e-3
    # The two nearest kept averages, at the end, are much further away.
    if width not in WIDTHS:
        for near in WIDTHS:
            end = found[Profile(near, STEPS)]
            assert (end - direct[width]).norm() / direct[width].norm() > 10 * difference


@pytest.mark.parametrize("width", WIDTHS)
def test_a_kept_average_is_itself(width):
    combination = combine(kept(16), Profile(width, STEPS))
    assert combination.error < 1e-4


@pytest.mark.parametrize("width", [0.03, 0.08, 0.2])
def test_error_is_that_of_the_profile(width):
    times = (np.arange(400_000) + 0.5) * STEPS / 400_000
    profiles, target = kept(6), Profile(width, STEPS)
    found = combine(profiles, target)
    mixed = sum(
        factor * density(profile, times)
        for factor, profile in zip(found.coefficients, profiles, strict=True)
    )
    wanted = density(target, times)
    assert found.error == pytest.approx(
        np.linalg.norm(mixed - wanted) / np.linalg.norm(wanted), rel=1e-2, abs=1e-5
    )


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("width", [0.02, 0.05, 0.08, 0.15, 0.25])
def test_a_weight_that_never_changed_is_rebuilt_as_it_is(count, width):
    """Every average of it is the weight itself, and so must be their combination."""
    found = combine(kept(count), Profile(width, STEPS))
    assert found.coefficients.sum() == pytest.approx(1, abs=1e-12)


def test_coefficients_are_those_of_the_published_code():
    """Correlations and their solution as EDM2's phema.py has them, on few averages: where there are
    many, ours leaves out directions that hardly count."""

    def correlation(one, other):
        a, b = (power_exponent(profile.width) for profile in (one, other))
        ratio = one.steps / other.steps
        power = np.where(ratio < 1, b, -a)
        longest = max(one.steps, other.steps)
        return (a + 1) * (b + 1) * ratio**power / ((a + b + 1) * longest)

    profiles, target = kept(3), Profile(0.08, STEPS)
    matrix = np.array([[correlation(one, other) for other in profiles] for one in profiles])
    solved = np.linalg.solve(matrix, [correlation(one, target) for one in profiles])
    found = combine(profiles, target)
    np.testing.assert_allclose(found.coefficients, solved / solved.sum(), rtol=1e-6)
    assert abs(solved.sum() - 1) > 1e-3


def test_more_kept_averages_are_nearer():
    errors = [combine(kept(count), Profile(0.07, STEPS)).error for count in (2, 4, 8, 16)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 10


def test_a_width_out_of_reach_has_a_large_error():
    assert combine(kept(4), Profile(0.01, STEPS)).error > 0.3


def test_rounding_is_not_magnified():
    """Where profiles are nearly the same, their coefficients must not explode."""
    alike = kept(64, widths=[0.1, 0.1 + 1e-9])
    for width in (0.04, 0.07, 0.15, 0.25):
        assert np.abs(combine(alike, Profile(width, STEPS)).coefficients).sum() < 10


def test_the_unit_of_time_does_not_matter():
    first = combine(kept(8), Profile(0.08, STEPS)).coefficients
    second = combine(kept(8, 100 * STEPS), Profile(0.08, 100 * STEPS)).coefficients
    np.testing.assert_allclose(first, second, rtol=1e-6, atol=1e-9)


def test_state_goes_on_where_it_was():
    model, generator = Walk(), torch.Generator().manual_seed(0)
    first = TrackedAverages(model, WIDTHS)
    for step in range(10):
        model.move(step, generator)
        first.update(step)
    second = TrackedAverages(model, WIDTHS)
    second.load_state_dict(first.state_dict())
    for width in WIDTHS:
        assert torch.equal(first.averages[width].module.value, second.averages[width].module.value)
    assert second.module is second.averages[0.05].module
    assert not torch.equal(second.averages[0.05].module.value, second.averages[0.1].module.value)
