"""Errors of the model and of crossing paths are told apart."""

import pytest
import torch
from support import KERNELS

from vct.diagnostics.cells import origins
from vct.diagnostics.consistency_error import consistency_errors
from vct.diagnostics.exact_consistency import ExactConsistency
from vct.diagnostics.oracle import finite

POINTS = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
TIMES = [0.05, 3.0, 80.0]


def pairs(count=400):
    generator = torch.Generator().manual_seed(0)
    eps = torch.randn(count, 1, generator=generator, dtype=torch.float64)
    return POINTS[torch.arange(count) % 2], eps


def test_perfect_model_has_none_and_a_shift_its_square():
    exact = ExactConsistency(finite(KERNELS["ve"], POINTS), steps=24)
    x, z = pairs()
    right = consistency_errors(exact, exact, KERNELS["ve"], x, z, TIMES)
    assert right.model.tolist() == [0, 0, 0]
    off = consistency_errors(lambda x, t: exact(x, t) + 0.3, exact, KERNELS["ve"], x, z, TIMES)
    torch.testing.assert_close(off.model, torch.full((3,), 0.09, dtype=torch.float64))
    assert torch.equal(off.paths, right.paths)


def test_crossing_paths_cost_what_a_coin_would():
    """With independent noise, at late times the end says nothing of x: (+-1 - +-1)^2 is 2."""
    exact = ExactConsistency(finite(KERNELS["ve"], POINTS), steps=24)
    x, z = pairs()
    errors = consistency_errors(exact, exact, KERNELS["ve"], x, z, TIMES)
    assert errors.paths[0] == pytest.approx(0, abs=1e-9)
    assert errors.paths[2] == pytest.approx(2, abs=0.3)


def test_paths_that_do_not_cross_cost_nothing():
    _, z = pairs()
    x, g = z.sign(), torch.zeros(2)

    def exact(x_t, t):
        return POINTS[origins(KERNELS["ve"], POINTS, g, x_t, t)]

    errors = consistency_errors(exact, exact, KERNELS["ve"], x, z, TIMES)
    assert errors.paths.tolist() == [0, 0, 0]


def test_is_a_mean_over_pairs_and_dimensions_whatever_the_block():
    x, z = torch.zeros(3, 2, 1, 1), torch.ones(3, 2, 1, 1)

    def exact(x_t, t):
        return torch.zeros_like(x_t)

    def f(x_t, t):
        return x_t * torch.tensor([1.0, 2.0]).reshape(1, 2, 1, 1)

    errors = consistency_errors(f, exact, KERNELS["li"], x, z, [2.0], block=2)
    assert errors.model.tolist() == [pytest.approx((4 + 16) / 2)]
