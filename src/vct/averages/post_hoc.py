"""Power-function averages of any width, rebuilt after training (EDM2, arXiv 2312.02696, Section 3).

A power-function average after n steps weighs the weights at step t by the profile
p(t) = (g + 1) t^g / n^(g+1) on [0, n]. Averages of a few widths are tracked and kept now and then;
another profile is the combination of theirs that is nearest to it in the least-squares sense.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from vct.averages.ema import Average, PowerAverage, power_exponent

M = TypeVar("M", bound=nn.Module)


class TrackedAverages(Average[M]):
    """Several power-function averages of a module.

    Args:
        trained: the module to follow.
        widths: relative widths; `module` is the average of the first.
    """

    def __init__(self, trained: M, widths: list[float]) -> None:
        self.averages = {width: PowerAverage(trained, width) for width in widths}
        self.module = self.averages[widths[0]].module

    def update(self, step: int) -> None:
        for average in self.averages.values():
            average.update(step)

    def state_dict(self) -> dict[str, Any]:
        return {repr(width): each.state_dict() for width, each in self.averages.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for width, average in self.averages.items():
            average.load_state_dict(state[repr(width)])


@dataclass(frozen=True)
class Profile:
    """The weights that a power-function average gives to the past.

    Args:
        width: relative width.
        steps: number n > 0 of steps done.
    """

    width: float
    steps: int


@dataclass(frozen=True)
class Combination:
    """How to rebuild an average.

    Args:
        coefficients: of the kept averages; their sum is 1.
        error: distance between the profile that they give and the one asked for, relative to the
            size of the latter (L2 norms); 0 is exact.
    """

    coefficients: NDArray[np.float64]
    error: float


def combine(kept: list[Profile], target: Profile) -> Combination:
    """The least-squares combination of the `kept` profiles for `target`.

    Profiles are scaled to norm one first. Directions in which neighbouring profiles hardly differ
    are left out: their huge coefficients of opposite sign would magnify the rounding of the kept
    averages. As in EDM2's code, coefficients are divided by their sum: a weight that never changed
    is rebuilt as it is.
    """
    lengths = np.sqrt([_inner(profile, profile) for profile in kept])
    gram = np.array([[_inner(one, other) for other in kept] for one in kept])
    gram /= np.outer(lengths, lengths)
    aim = np.array([_inner(profile, target) for profile in kept]) / lengths
    scaled = np.linalg.lstsq(gram, aim, rcond=1e-9)[0]
    scaled /= (scaled / lengths).sum()
    size = _inner(target, target)
    squared = size - 2 * scaled @ aim + scaled @ gram @ scaled
    return Combination(scaled / lengths, float(np.sqrt(max(squared, 0.0) / size)))


def _inner(one: Profile, other: Profile) -> float:
    """Integral of the product of two profiles."""
    a, b = power_exponent(one.width), power_exponent(other.width)
    first, second = sorted((one, other), key=lambda profile: profile.steps)
    later = b if second is other else a
    return (a + 1) * (b + 1) / (a + b + 1) * (first.steps / second.steps) ** later / second.steps
