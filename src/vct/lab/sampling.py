"""Drawing samples, and storing them as they will be scored."""

import torch
from torch import Tensor


def to_uint8(x: Tensor) -> Tensor:
    """Images in [-1, 1] (values beyond are clipped) to 0..255, rounded."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
