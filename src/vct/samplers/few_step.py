"""The few-step sampler (VCT, Algorithm 2; consistency models, arXiv 2303.01469, Algorithm 1)."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from vct.couplings.base import Coupling
from vct.preconditioning import ConsistencyFunction


def sample_steps(
    f: ConsistencyFunction,
    coupling: Coupling,
    times: Sequence[float],
    noise: Sequence[Tensor],
    labels: Tensor | None = None,
) -> Iterator[Tensor]:
    """Yield the samples (B, C, H, W) after each step.

    The first step is x = f(T z, T). Each later one pairs fresh noise with the current x the way
    training did, re-noises x with the kernel, and applies f.

    Args:
        times: T = t_1 > t_2 > ..., all above t_min.
        noise: base noise of each step (B, C, H, W), in the precision to compute in.
    """
    x = None
    for time, eps in zip(times, noise, strict=True):
        t = torch.full((len(eps),), time, dtype=eps.dtype, device=eps.device)
        x_t = time * eps if x is None else f.kernel(x, coupling.couple(x, eps), t)
        x = f(x_t, t, labels)
        yield x
