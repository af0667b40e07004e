"""Paired comparisons: couplings of an experiment share network, data order and noise by seed."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.05
"""Of the intervals, and of what survives Holm's correction."""
EXACT = 20
"""Most seeds of which all 2^n changes of sign are tried; of more, so many at random."""


@dataclass(frozen=True)
class Paired:
    """Differences of two rows over the seeds that both have.

    Args:
        differences: the first minus the second, by seed.
    """

    differences: tuple[float, ...]

    @property
    def n(self) -> int:
        return len(self.differences)

    @property
    def mean(self) -> float:
        return float(np.mean(self.differences)) if self.n else math.nan

    @property
    def sd(self) -> float:
        """Sample standard deviation of a difference; NaN for a single seed."""
        return float(np.std(self.differences, ddof=1)) if self.n > 1 else math.nan

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Student's interval of the mean with confidence 1 - level; NaN for a single seed."""
        from scipy.special import stdtrit

        if self.n < 2:
            return math.nan, math.nan
        half = float(stdtrit(self.n - 1, 1 - level / 2)) * self.sd / math.sqrt(self.n)
        return self.mean - half, self.mean + half

    def p_value(self) -> float:
        """The two-sided p-value of the sign-flip test: if nothing differs, each difference is as
        likely as its negative, whatever its distribution. It is at least 2^(1 - n), and 1 where
        nothing is known: no two seeds, or a score that is not finite."""
        values = np.asarray(self.differences)
        if self.n < 2 or not np.isfinite(values).all():
            return 1.0
        sums = np.abs(_signs(self.n) @ values)
        # Equal sums of other orders differ in their last digits.
        return float(np.mean(sums >= abs(values.sum()) - 1e-12 * np.abs(values).sum()))


def _signs(n: int) -> NDArray[np.int8]:
    """All changes of sign (2^(n-1), n), up to a common one; of many seeds some at random."""
    if n <= EXACT:
        return np.array([(1, *rest) for rest in itertools.product((1, -1), repeat=n - 1)], np.int8)
    drawn = np.random.default_rng(0).choice(np.array([1, -1], np.int8), (2**EXACT // 8, n))
    drawn[0] = 1  # the one that was seen
    return drawn


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number (Holm 1979): below a level, they hold together at it."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, (len(order) - rank) * p_values[index])
        adjusted[index] = min(largest, 1.0)
    return adjusted


def seeds_needed(sd: float, difference: float, level: float, power: float = 0.8) -> int:
    """Seeds of a paired comparison that finds a mean `difference` with probability `power`.

    Args:
        sd: of a single difference, from a pilot.
        level: two-sided, after the correction for several comparisons.
    """
    from scipy.special import nctdtr, stdtrit

    for n in range(2, 10_000):
        critical = stdtrit(n - 1, 1 - level / 2)
        if 1 - nctdtr(n - 1, abs(difference) / sd * math.sqrt(n), critical) >= power:
            return n
    raise ValueError(f"a difference of {difference} is too small beside {sd}")
