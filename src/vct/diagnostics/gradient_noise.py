"""How much of a minibatch's gradient is noise, and how much its mean."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from scipy.special import stdtrit
from torch import Tensor

from vct.misfit import Misfit, check

COLUMNS = 2**16
"""Parameters that are taken to double precision at once: 32 MB for 64 minibatches."""


@dataclass(frozen=True)
class GradientNoise:
    """The gradient g of one minibatch as its mean and the noise about it.

    Args:
        trace: tr Cov g, unbiased.
        signal: |E g|², unbiased: |mean|² - trace / B. Below zero where noise hides the mean.
        ratio: trace / signal; infinite where signal is not positive. Times the batch size it is
            the simple noise scale of McCandlish et al. (arXiv 1812.06162, Section 2.2).
        lower, upper: an interval of the ratio, in [0, ∞].
    """

    trace: float
    signal: float
    ratio: float
    lower: float
    upper: float


def gram_matrix(gradients: Iterable[Tensor]) -> Tensor:
    """<g_a, g_b> (B, B), float64 on the CPU, of gradients (B, P) or of a stream of B, each (P,)."""
    rows = list(gradients)
    found = torch.zeros(len(rows), len(rows), dtype=torch.float64)
    for row in rows:
        check("a gradient", row, rows[0].shape)
    for start in range(0, rows[0].numel() if rows else 0, COLUMNS):
        part = torch.stack([row[start : start + COLUMNS] for row in rows]).double()
        found += (part @ part.T).cpu()
    return found


def gradient_noise(gram: Tensor, level: float = 0.95) -> GradientNoise:
    """Size of the noise of independent minibatch gradients, from their `gram_matrix` (B, B).

    The interval is a delete-one jackknife, with Student's t, of signal / (trace + signal), which
    lies in [0, 1] and has a finite variance where the ratio has none; the ratio is a decreasing
    function of it. Gradients must share their weights. For Gaussian gradients and B = 32 it covers
    0.95 as it should, up to 0.99 where the signal is far below trace / B (the jackknife is then too
    wide), and 0.88 where one direction has nearly all of the noise.

    Args:
        level: of the interval, in (0, 1).

    Raises:
        Misfit: B is below 3.
    """
    count = len(gram)
    if count < 3:
        raise Misfit(f"noise of gradients needs 3 minibatches or more, not {count}")
    squares, rows, total = gram.diagonal(), gram.sum(dim=1), gram.sum()
    trace, signal = _moments(squares.sum(), total, count)
    share = float(signal / (trace + signal))
    trace_without, signal_without = _moments(
        squares.sum() - squares, total - 2 * rows + squares, count - 1
    )
    without = signal_without / (trace_without + signal_without)
    error = math.sqrt((count - 1) * float(without.var(correction=0)))
    half = float(stdtrit(count - 1, (1 + level) / 2)) * error
    limits = _ratio(share + half), _ratio(share - half)
    return GradientNoise(float(trace), float(signal), _ratio(share), *limits)


def _moments(squares: Tensor, total: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """trace and signal of `count` gradients, from sum |g_b|² and |sum g_b|²."""
    trace = ((squares - total / count) / (count - 1)).clamp(min=0)  # rounding may go below
    return trace, (total - squares) / (count * (count - 1))


def _ratio(share: float) -> float:
    return math.inf if share <= 0 else 1 / min(share, 1.0) - 1


class GradientRows:
    """Gradients of minibatches, by groups of parameters; keeps B x P numbers on the CPU."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Tensor]] = defaultdict(list)

    def add(self, **groups: Iterable[Tensor]) -> None:
        """One minibatch's gradients of each group: `add(network=grads, encoder=grads)`."""
        for name, parts in groups.items():
            self.rows[name].append(torch.cat([part.detach().flatten().cpu() for part in parts]))

    def noise(self, level: float = 0.95) -> dict[str, GradientNoise]:
        """Each group's, and that of `all` together; groups of equally many minibatches."""
        grams = {name: gram_matrix(rows) for name, rows in self.rows.items()}
        for name, gram in grams.items():
            check(f"Gram matrix of {name}", gram, next(iter(grams.values())).shape)
        grams["all"] = torch.stack(list(grams.values())).sum(dim=0)
        return {name: gradient_noise(gram, level) for name, gram in grams.items()}
