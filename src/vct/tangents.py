"""Forward-mode derivatives of networks and kernels."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel


def derivative(
    call: Callable[..., Tensor], at: tuple[Tensor, ...], along: tuple[Tensor, ...]
) -> tuple[Tensor, Tensor]:
    """The value of `call`, and its derivative in the direction `along`."""
    # Of torch's kernels of attention, the plain one alone has a forward-mode derivative.
    with forward_ad.dual_level(), sdpa_kernel(SDPBackend.MATH), warnings.catch_warnings():
        # torch's own formulas still use what it calls deprecated.
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
        pairs = zip(at, along, strict=True)
        value, change = forward_ad.unpack_dual(
            call(*(forward_ad.make_dual(*each) for each in pairs))
        )
    return value, torch.zeros_like(value) if change is None else change
