"""The sampler on a case whose consistency function is known, and the way to 8 bits."""

import math

import numpy as np
import pytest
import torch
from support import KERNELS, dataset
from torch import nn

from vct.couplings.independent import Independent
from vct.kernels import expand
from vct.lab.data.batches import to_float
from vct.lab.sampling.drawing import to_uint8
from vct.preconditioning import ConsistencyFunction, boundary_scalings
from vct.samplers.few_step import FewStep

T, T_MIN, MEAN, STD = 80.0, 0.002, 0.3, 0.5
POINTS = (1, 1, 1)


class GaussianNetwork(nn.Module):
    """F for which f is exact when the data are N(MEAN, STD^2).

    The marginals are Gaussian, so the flow keeps (x_t - s(t) MEAN) / std(x_t) constant.
    """

    def __init__(self, kernel):
        super().__init__()
        self.kernel = kernel

    def forward(self, scaled, c_noise, labels=None):
        t, end = torch.exp(4 * c_noise.double()), torch.tensor(T_MIN, dtype=torch.float64)
        scalings = boundary_scalings(self.kernel, t, STD, T_MIN)
        scaled = scaled.double()
        x_t = scaled / expand(scalings.c_in, scaled)
        s, s_end = self.kernel.data_scale(t), self.kernel.data_scale(end)
        ratio = torch.sqrt((s_end**2 * STD**2 + end**2) / (s**2 * STD**2 + t**2))
        f = s_end * MEAN + expand(ratio, x_t) * (x_t - expand(s, x_t) * MEAN)
        return (f - expand(scalings.c_skip, x_t) * x_t) / expand(scalings.c_out, x_t)


def gaussian(name):
    return ConsistencyFunction(GaussianNetwork(KERNELS[name]), KERNELS[name], STD, T_MIN)


def noise(count, size):
    generator = torch.Generator().manual_seed(0)
    draw = torch.randn(count, size, *POINTS, generator=generator, dtype=torch.float64)
    return list(draw)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("times", [[T], [T, 0.821], [T, 5.0, 0.3]])
def test_samples_have_the_distribution_of_the_data(name, times):
    coupling = Independent()
    *_, last = FewStep(times)(gaussian(name), coupling, noise(len(times), 200_000))
    assert last.mean().item() == pytest.approx(MEAN, abs=6e-3)
    assert last.std().item() == pytest.approx(STD, rel=6e-3)


def test_one_step_is_f_at_the_largest_time():
    eps = noise(1, 10)
    (x,) = FewStep([T])(gaussian("ve"), Independent(), eps)
    expected = gaussian("ve")(T * eps[0], torch.full((10,), T, dtype=torch.float64))
    torch.testing.assert_close(x, expected)


class Recorder(Independent):
    """Pairs every sample with noise 7 and remembers what it was asked."""

    def couple(self, x, eps, labels=None):
        self.asked = [*getattr(self, "asked", []), (x, eps, labels)]
        return torch.full_like(eps, 7.0)


def test_later_steps_couple_as_training_does():
    seen, labels = [], torch.eye(10)

    class F:
        kernel = KERNELS["ve"]

        def __call__(self, x_t, t, given):
            seen.append((x_t, t, given))
            return torch.tanh(x_t)

    coupling, eps = Recorder(), noise(3, 10)
    steps = list(FewStep([T, 2.0, 0.5])(F(), coupling, eps, labels))
    assert len(steps) == 3
    assert all(entry[2] is labels for entry in coupling.asked)
    # The first step has nothing to pair with; later ones pair with what they re-noise.
    assert [entry[0] is step for entry, step in zip(coupling.asked, steps, strict=False)] == [
        True,
        True,
    ]
    assert [entry[1] is fresh for entry, fresh in zip(coupling.asked, eps[1:], strict=True)] == [
        True,
        True,
    ]
    torch.testing.assert_close(seen[0][0], T * eps[0])
    torch.testing.assert_close(seen[1][0], steps[0] + 2.0 * 7)
    torch.testing.assert_close(seen[2][0], steps[1] + 0.5 * 7)
    assert [t.unique().tolist() for _, t, _ in seen] == [[T], [2.0], [0.5]]
    assert all(given is labels for _, _, given in seen)


def test_each_step_needs_noise():
    with pytest.raises(ValueError):
        list(FewStep([T, 1.0])(gaussian("ve"), Independent(), noise(1, 2)))


def test_to_uint8_rounds_and_clips():
    x = torch.tensor([-3.0, -1.0, -1 + 0.49 / 127.5, -1 + 0.51 / 127.5, 0.999, 1.0, 1.7, math.inf])
    assert to_uint8(x).tolist() == [0, 0, 0, 1, 255, 255, 255, 255]
    assert to_uint8(x).dtype == torch.uint8


def test_to_uint8_undoes_the_scaling_of_the_data():
    every = np.arange(256, dtype=np.uint8).reshape(4, 1, 8, 8)
    scaled = to_float(dataset((1, 8, 8)), torch.from_numpy(every))
    assert scaled.min() == -1
    assert scaled.max() == 1
    assert np.array_equal(to_uint8(scaled).numpy(), every)


def test_samples_are_clipped_before_they_are_noised_again_and_not_after():
    """Inside the bounds nothing changes; the last result is never clipped."""

    def steps(bounds):
        torch.manual_seed(0)
        return list(FewStep([T, 2.0, 0.5], bounds)(gaussian("ve"), Independent(), noise(3, 50)))

    plain, wide, narrow = steps(None), steps((-1e3, 1e3)), steps((-0.1, 0.2))
    assert all(torch.equal(one, other) for one, other in zip(plain, wide, strict=True))
    assert torch.equal(plain[0], narrow[0]) and narrow[0].max() > 0.5
    eps = noise(3, 50)
    t = torch.full((50,), 2.0, dtype=torch.float64)
    expected = gaussian("ve")(plain[0].clamp(-0.1, 0.2) + 2 * eps[1], t)
    torch.testing.assert_close(narrow[1], expected)
