"""Scores of point clouds: the exact 2-Wasserstein distance and the mass at each mode."""

import importlib
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from vct.lab.errors import UserError
from vct.lab.metrics.base import Metric
from vct.lab.records import Modes
from vct.lab.settings.score import label

POINTS = 2048
"""Most points in an exact transport plan: its cost grows with the cube, and this takes a second."""
# The network simplex needs a few pivots per point; this bound is only there to end a bad run.
MAX_PIVOTS = 50_000_000


class Wasserstein(Metric):
    """Exact W2 to as many training points as there are samples, at most `POINTS`, and the mass of
    each mode.

    Args:
        reference: float32 (M, C, H, W).
        modes: what meta.json says of them.
        chosen: gives the places of so many that stand for all; the first ones by itself.

    Raises:
        UserError: if nothing is known of the modes.
    """

    def __init__(
        self,
        reference: NDArray[np.float32],
        modes: Modes | None,
        chosen: Callable[[int], NDArray[np.int64]] = np.arange,
    ) -> None:
        if modes is None:
            raise UserError(
                "the data set records no modes, which the score of points needs; make it again "
                "with vct data, or score with another metric."
            )
        self.means, self.std = modes.means, modes.std
        self.reference, self.chosen = reference, chosen
        self.compared = min(len(reference), POINTS)
        self.masses = [f"mass_mode{index}" for index in range(len(self.means))]
        self.labels = {name: label(name) for name in ("w2", *self.masses, "mass_outside")}

    def compute(self, samples: NDArray[np.float32]) -> dict[str, float]:
        mass = mode_mass(samples, self.means, self.std)
        points = self.reference[self.chosen(min(len(samples), len(self.reference), POINTS))]
        distance = wasserstein2(samples, np.asarray(points))
        each = dict(zip(self.masses, mass.modes, strict=True))
        return {"w2": distance, **each, "mass_outside": mass.outside}


@dataclass(frozen=True)
class ModeMass:
    """Fractions of the samples; `modes` and `outside` sum to 1."""

    modes: tuple[float, ...]
    outside: float


def wasserstein2(samples: ArrayLike, reference: ArrayLike) -> float:
    """Exact 2-Wasserstein distance between two clouds of equally weighted points.

        W2² = min over plans P of Σ P_ij |samples_i - reference_j|²,
        where the rows of P sum to 1/N and its columns to 1/M

    (Peyré and Cuturi, Computational Optimal Transport, 2019, equation 2.11), solved by POT's
    network simplex in float64.

    Args:
        samples: (N, ...) points; the axes after the first are flattened to D.
        reference: (M, ...) points of the same D.

    Returns:
        The distance, at least 0; NaN if a sample is NaN or infinite, infinity if the squared
        distances overflow.

    Raises:
        UserError: if a cloud is empty, the dimensions differ, or the reference is not finite.
        RuntimeError: if the plan did not converge.
    """
    x, y = _points(samples, "samples"), _points(reference, "reference")
    if x.shape[1] != y.shape[1]:
        raise UserError(
            f"the samples have {x.shape[1]} dimensions and the reference {y.shape[1]}; "
            "compare points of the same space."
        )
    if not np.isfinite(y).all():
        raise UserError("the reference points hold NaN or infinity; make the data again.")
    if not np.isfinite(x).all():
        return math.nan
    # cdist subtracts first; expanding the square would lose half the digits of short distances.
    cost = cdist(x, y, "sqeuclidean")
    if not np.isfinite(cost).all():
        return math.inf
    return math.sqrt(max(0.0, _transport_cost(cost)))


def _transport_cost(cost: NDArray[np.float64]) -> float:
    ot = _pot()
    rows, columns = (np.full(size, 1 / size) for size in cost.shape)
    value, log = ot.emd2(rows, columns, cost, numItermax=MAX_PIVOTS, log=True)
    if log["warning"] is not None:
        raise RuntimeError(f"the transport plan is not optimal: {log['warning']}")
    return float(value)


def _pot() -> ModuleType:
    """POT on numpy. It would import torch, which takes seconds, to offer it as a backend.

    The environment says so only while POT is imported: other processes inherit it.
    """
    key = "POT_BACKEND_DISABLE_PYTORCH"
    given = os.environ.get(key)
    os.environ[key] = "1"
    try:
        return importlib.import_module("ot")
    finally:
        if given is None:
            del os.environ[key]
        else:
            os.environ[key] = given


def mode_mass(samples: ArrayLike, means: ArrayLike, std: float, radius: float = 4.0) -> ModeMass:
    """Share of the samples within `radius` standard deviations of each mode.

    A sample counts for the mode nearest to it alone, so the shares sum to 1 even where the balls
    overlap. A sample that is NaN or infinite is outside.

    Args:
        samples: (N, ...) points; the axes after the first are flattened to D.
        means: (K, D) centres of the modes.
        std: their common standard deviation, positive.
        radius: how many standard deviations still belong to the mode, positive.

    Raises:
        UserError: if there is no sample, or the dimensions differ.
    """
    x, centres = _points(samples, "samples"), _points(means, "modes")
    if x.shape[1] != centres.shape[1]:
        raise UserError(
            f"the samples have {x.shape[1]} dimensions and the modes {centres.shape[1]}; "
            "compare points of the same space."
        )
    finite = x[np.isfinite(x).all(axis=1)]
    distance = cdist(finite, centres)
    nearest = distance.argmin(axis=1)
    inside = distance.min(axis=1, initial=np.inf) <= radius * std
    counts = np.bincount(nearest[inside], minlength=len(centres))
    modes = tuple(float(count) / len(x) for count in counts)
    return ModeMass(modes=modes, outside=float(len(x) - counts.sum()) / len(x))


def _points(points: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(points, dtype=np.float64)
    if array.ndim < 2 or array.size == 0:
        raise UserError(f"the {name} have shape {array.shape}; expected (count, dimensions).")
    return array.reshape(len(array), -1)
