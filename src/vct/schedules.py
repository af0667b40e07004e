"""Time grids and step schedules: pure functions of the training step k of K."""

import math

import torch
from torch import Tensor

from vct.misfit import one_of


def grid_points(step: int, total: int, s0: int, s1: int) -> int:
    """N(k) = min(s0 2^floor(k/K'), s1) + 1 with K' = floor(K / (log2(floor(s1/s0)) + 1)).

    Number of grid points of iCT at step k = `step` of K = `total` (arXiv 2310.14189, eq. 13).
    """
    doublings = math.log2(s1 // s0) + 1
    stage_length = max(1, math.floor(total / doublings))
    # Beyond log2(s1) doublings the minimum holds; the bound keeps the power small.
    stage = min(step // stage_length, 64)
    return min(s0 * 2**stage, s1) + 1


def karras_grid(n: int, t_min: float, t_max: float, rho: float) -> Tensor:
    """t_0 = t_min < ... < t_{n-1} = t_max, n points, float32 (EDM, eq. 5, in rising order)."""
    ramp = torch.linspace(0, 1, n, dtype=torch.float64)
    low, high = t_min ** (1 / rho), t_max ** (1 / rho)
    return ((low + ramp * (high - low)) ** rho).float()


def interval_probabilities(grid: Tensor, p_mean: float, p_std: float) -> Tensor:
    """Probability of each interval [t_i, t_{i+1}] of `grid` (N,): (N-1,), sums to one.

    A discretised lognormal (arXiv 2310.14189, eq. 10).
    """
    cumulative = torch.erf((grid.double().log() - p_mean) / (math.sqrt(2) * p_std))
    mass = cumulative[1:] - cumulative[:-1]
    return (mass / mass.sum()).float()


def ecm_stage(step: int, total: int, stages: int) -> int:
    """a = floor(k / (K / stages)), in [0, stages - 1] (arXiv 2406.14548)."""
    # In whole numbers: K / stages, rounded up, would begin some stages a step late.
    return min(step * stages // total, stages - 1)


def ecm_lower_time(t: Tensor, stage: int, q: float, kappa: float, b: float) -> Tensor:
    """r(t) = max(0, t (1 - q^-(a+1) (1 + kappa sigmoid(-b t)))), 0 <= r < t (arXiv 2406.14548)."""
    ratio = 1 - (1 + kappa * torch.sigmoid(-b * t)) / q ** (stage + 1)
    return torch.clamp(t * ratio, min=0)


def learning_rate_factor(
    step: int,
    total: int,
    schedule: str,
    decay_start: float = 0.5,
    final_fraction: float = 0.05,
    reference_step: int = 2000,
) -> float:
    """Factor of the learning rate at step k of K.

    `constant`: 1. `cosine`: 1 up to decay_start K, then half a cosine down to `final_fraction` at
    K. `inverse_sqrt`: 1/sqrt(max(k/reference_step, 1)) (EDM2, arXiv 2312.02696, eq. 67).
    """
    if schedule == "constant":
        return 1.0
    if schedule == "inverse_sqrt":
        return 1 / math.sqrt(max(step / reference_step, 1))
    one_of("schedule", schedule, ("constant", "cosine", "inverse_sqrt"))
    begin = decay_start * total
    if step <= begin:
        return 1.0
    progress = (step - begin) / max(total - begin, 1)
    return final_fraction + (1 - final_fraction) * 0.5 * (1 + math.cos(math.pi * progress))
