"""How straight the paths of the flow are that a coupling's pairs average to."""

from collections.abc import Sequence
from typing import Literal

import torch

from vct.diagnostics.ambiguity import Ambiguity
from vct.kernels import Kernel


def straightness(
    curve: Sequence[Ambiguity], kernel: Kernel, measure: Literal["log", "time"] = "log"
) -> float:
    """Mean over t of E|v - E[v | x_t]|²/D with the velocity v = dx_t/dt of a pair's path.

    It is 0 where no two paths cross: the flow then follows the pairs (Liu et al., arXiv 2209.03003,
    Section 3, whose integral is over t/T). v = s' x + z = (x_t - c x)/t with c = s - t s', one of
    both kernels of the paper, and what x_t leaves open of v is E Var(x | x_t) (c/t)². With the
    kernel `ve` v is z. Independent noise gives 1 at small t, for data with a density, and
    E|x - E x|²/Dt² at large; upper bounds of the ambiguity give an upper bound.

    Args:
        curve: the ambiguity at two times or more, all positive, in ascending order.
        kernel: the one of that ambiguity.
        measure: the mean is over ln t, as levels of noise are drawn in training, or over t, which
            gives nearly all weight to times near T; from the first of the times to the last, by
            the rule of trapezoids.
    """
    t = torch.tensor([point.t for point in curve], dtype=torch.float64)
    values = torch.tensor([point.value for point in curve], dtype=torch.float64)
    values = values * (kernel.origin_scale(t) / t) ** 2
    place = t.log() if measure == "log" else t
    return float(torch.trapezoid(values, place) / (place[-1] - place[0]))
