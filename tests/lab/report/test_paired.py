"""Paired tests against scipy, their promises by resampling, Holm's rule by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from vct.lab.report.paired import Paired, holm, seeds_needed


def test_interval_and_p_value_are_scipys():
    draw = np.random.default_rng(0)
    for n in (3, 8):
        one, other = draw.normal(1, 1, n), draw.normal(0, 1, n)
        pair = Paired(tuple(one - other))
        found = stats.ttest_rel(one, other).confidence_interval(0.95)
        assert pair.interval() == pytest.approx((found.low, found.high))
        exact = stats.permutation_test(
            (one - other,), np.sum, permutation_type="samples", n_resamples=np.inf
        )
        assert pair.p_value() == pytest.approx(exact.pvalue)


def test_smallest_p_value_and_ties():
    assert Paired((1.0, 2.0, 3.0, 0.5)).p_value() == pytest.approx(2 / 2**4)
    assert Paired((0.1, -0.1)).p_value() == 1
    assert Paired((2.0,)).p_value() == Paired(()).p_value() == 1
    assert Paired((1.0, 2.0, math.nan)).p_value() == 1
    assert math.isnan(Paired((2.0,)).interval()[0])
    # Exact ties of sums that rounding parts: 0.1 + 0.2 - 0.3.
    assert Paired((0.1, 0.2, -0.3)).p_value() == 1
    assert Paired((0.3, 0.0, -0.2, -0.1, 0.0, 0.2, -0.2)).p_value() == 1


def test_false_alarms_are_no_more_than_promised():
    draw = np.random.default_rng(1)
    p = [Paired(tuple(draw.laplace(0, 1, 7))).p_value() for _ in range(2000)]
    for level in (0.05, 0.2):
        assert np.mean(np.array(p) <= level) <= level + 3 * math.sqrt(level / 2000)


def test_intervals_hold_the_truth_as_often_as_promised():
    draw = np.random.default_rng(2)
    hit = [
        low <= 0.3 <= high
        for low, high in (Paired(tuple(draw.normal(0.3, 1, 5))).interval() for _ in range(2000))
    ]
    assert np.mean(hit) == pytest.approx(0.95, abs=0.015)


def test_many_seeds_are_flipped_at_random():
    draw = np.random.default_rng(3)
    values = draw.normal(0.5, 1, 30)
    assert Paired(tuple(values)).p_value() == pytest.approx(
        stats.ttest_1samp(values, 0).pvalue, rel=0.2
    )


def test_holm():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
    # Alone, nothing is corrected; the order does not matter.
    assert holm([0.02]) == [0.02]
    assert holm([0.03, 0.01, 0.04]) == pytest.approx([0.06, 0.03, 0.06])


def test_so_many_seeds_find_the_difference():
    n = seeds_needed(sd=2.0, difference=1.5, level=0.01, power=0.8)
    draw = np.random.default_rng(4)
    found = stats.ttest_1samp(draw.normal(1.5, 2.0, (20_000, n)), 0, axis=1).pvalue < 0.01
    assert 0.79 < found.mean() < 0.87
    assert seeds_needed(1.0, 3.0, 0.05) < seeds_needed(1.0, 1.0, 0.05)
