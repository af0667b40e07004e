"""Gradients as the optimiser gets them."""

import torch
from torch import Tensor, nn


def mend(parameters: list[nn.Parameter], limit: float | None) -> tuple[Tensor, Tensor]:
    """Zero non-finite entries and clip; return the norm before, and whether it was cut.

    Args:
        limit: largest norm of all gradients together; None leaves them as long as they are.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    for gradient in gradients:
        torch.nan_to_num_(gradient, nan=0.0, posinf=0.0, neginf=0.0)
    if limit is None:
        return norm, torch.zeros_like(norm)
    mended = torch.nn.utils.get_total_norm(gradients)
    torch._foreach_mul_(gradients, (limit / (mended + 1e-6)).clamp(max=1.0))
    return norm, mended > limit
