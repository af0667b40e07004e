"""The share of crossing paths against Kendall's rank correlation."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from vct.diagnostics.crossings import crossings


def test_order_kept_turned_round_and_one_pair_exchanged():
    x = np.array([0.0, 1.0, 2.0])
    assert crossings(x, x**3) == 0
    assert crossings(x, -x) == 1
    assert crossings(x, np.array([1.0, 0.0, 2.0])) == pytest.approx(1 / 3)


@pytest.mark.parametrize("weight", [0.0, 0.5, -2.0])
def test_is_kendalls_tau_without_ties(weight):
    draw = np.random.default_rng(0).standard_normal
    x = draw(200)
    z = weight * x + draw(200)
    assert crossings(x, z) == pytest.approx((1 - kendalltau(x, z).statistic) / 2, rel=1e-12)


def test_equal_values_do_not_cross():
    assert crossings(np.array([1.0, 1.0, 0.0]), np.array([0.0, 5.0, 9.0])) == pytest.approx(2 / 3)
