"""How often a sampler says that it asks the network, against how often it does."""

import pytest
import torch

from vct.couplings.independent import Independent
from vct.kernels import VarianceExploding
from vct.samplers.euler import Euler
from vct.samplers.few_step import FewStep
from vct.samplers.heun import Heun


@pytest.mark.parametrize(
    "sampler", [FewStep([80.0, 3.0, 0.5]), Heun(80.0, steps=5), Euler(80.0, steps=4)]
)
def test_calls_are_counted(sampler):
    asked = 0

    def f(x, t, labels=None):
        nonlocal asked
        asked += 1
        return x / (1 + expand(t, x))

    f.kernel = VarianceExploding()
    noise = [torch.randn(4, 2, 1, 1) for _ in range(sampler.noises)]
    results = sampler(f, Independent(), noise)
    for key, _ in zip(sampler.schedules, results, strict=True):
        assert asked == sampler.calls(key)


def expand(t, x):
    return torch.as_tensor(t).reshape(-1, 1, 1, 1).expand(len(x), 1, 1, 1)
