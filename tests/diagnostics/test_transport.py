"""Transport costs against all pairings of few points, sorted points and monotone maps."""

import math
from itertools import permutations

import pytest
import torch

from vct.diagnostics.transport import transport_cost
from vct.rng import generator


def points(*shape, key=0):
    return torch.randn(*shape, generator=generator(key), dtype=torch.float64)


def test_references_are_the_mean_and_the_least_over_all_pairings():
    x, z = points(5, 3, key=0) + 2, points(5, 3, key=1)
    costs = [float((x - z[list(order)]).square().mean()) for order in permutations(range(5))]
    found = transport_cost(x, z)
    assert found.paired == pytest.approx(costs[0], rel=1e-12)
    assert found.independent == pytest.approx(sum(costs) / len(costs), rel=1e-12)
    assert found.optimal == pytest.approx(min(costs), rel=1e-12)


def test_order_kept_is_optimal_and_turned_round_is_worse_than_independent():
    x = points(50, 1).sort(dim=0).values
    assert transport_cost(x, x**3).share == pytest.approx(0, abs=1e-12)
    assert transport_cost(x, -(x**3)).share > 1.5


def test_gradient_of_a_convex_function_is_optimal():
    x, root = points(40, 4), points(4, 4, key=1)
    assert transport_cost(x, x @ (root @ root.T)).share == pytest.approx(0, abs=1e-12)


def test_independent_pairs_are_at_one():
    shares = [transport_cost(points(64, 2, key=k), points(64, 2, key=-k)).share for k in range(99)]
    assert sum(shares) / 99 == pytest.approx(1, abs=0.05)


def test_share_is_the_part_of_pairs_that_are_not_optimal():
    """Half of the pairs optimal, half independent."""
    x, z = points(1000, 1).sort(dim=0).values, points(1000, 1, key=1).sort(dim=0).values
    which = torch.randperm(1000, generator=generator(2))[:500]
    z[which] = z[which.flip(0)[torch.randperm(500, generator=generator(3))]]
    assert transport_cost(x, z).share == pytest.approx(0.5, abs=0.06)


def test_share_does_not_change_with_places_scales_axes_and_order():
    x, z = points(30, 2, 3, 1), points(30, 2, 3, 1, key=1)
    share = transport_cost(x, z).share
    turn = torch.linalg.qr(points(6, 6, key=2)).Q
    order = torch.randperm(30, generator=generator(3))
    for other in (
        (x + 7, 80 * z - 3),
        (x.flatten(1) @ turn, z.flatten(1) @ turn),
        (x[order], z[order]),
        (z, x),
    ):
        assert transport_cost(*other).share == pytest.approx(share, rel=1e-9)


def test_nothing_to_save_and_nothing_finite_are_nan():
    x = torch.ones(4, 2)
    assert math.isnan(transport_cost(x, points(4, 2)).share)
    assert math.isnan(transport_cost(x, x * math.nan).share)
