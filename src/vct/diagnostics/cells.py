"""Which data point a noisy point comes from, where straight paths do not cross."""

import torch
from torch import Tensor

from vct.diagnostics.times import one_time
from vct.kernels import Kernel

ENTRIES = 2**22
"""Numbers of the largest table that is made at once."""


@torch.no_grad()
def origins(kernel: Kernel, x: Tensor, g: Tensor, x_t: Tensor, t: float | Tensor) -> Tensor:
    """The i (B,) for which eps = (x_t - s x_i)/t lies in cell i of the semidiscrete plan (arXiv
    2509.25519), the noises with <x_i, eps> + g_i largest; -1 where there is none.

    eps -> s x_i + t eps is the gradient of a strictly convex function of eps, so lines of different
    points never meet, and the consistency function of the coupling is exactly f*(x_t, t) = x_i. The
    images of the cells leave gaps, to which the coupling sends nothing: there, i is -1.

    Args:
        kernel: makes x_t; its s(t) is at least 0.
        x, g: points (N, ...), all different, and potentials (N,); see
            `vct.couplings.semidiscrete.potentials`.
        x_t, t: (B, ...), and one time > 0 (see `one_time`). Takes time for B N^2 numbers.
    """
    points, noisy = x.flatten(1).double(), x_t.flatten(1).to(x.device, torch.float64)
    time = one_time(t).to(points)
    # t (<x_j, eps> + g_j) for the eps of point i is reach_j - overlap_ij.
    reach = noisy @ points.T + time * g.to(points)
    overlap = kernel.data_scale(time) * points @ points.T
    own = reach - overlap.diagonal()
    best = torch.empty_like(reach)
    for some in torch.arange(len(x), device=x.device).split(max(1, ENTRIES // reach.numel())):
        best[:, some] = (reach[:, None] - overlap[some]).amax(dim=2)
    # The best is the same number as the point's own where i is the one.
    short, index = (best - own).min(dim=1)
    return torch.where(short == 0, index, -1)
