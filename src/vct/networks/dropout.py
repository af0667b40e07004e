"""Dropout whose masks cost little on a CPU."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_LEVELS = 2**16


def dropped(x: Tensor, probability: float, training: bool) -> Tensor:
    """x (any shape) with each element zeroed with `probability`, else divided by its complement.

    On a CPU torch draws a mask element by element and on one thread, which beside convolutions on
    two takes 14 % of a step. Here an element takes 16 bits of random words of the same default
    generator; so the probability is a multiple of 2^-16, and the division is by what that leaves.
    On other devices torch's own is one fused kernel, and does it.

    Args:
        probability: in [0, 1).
        training: False leaves x as it is.
    """
    if not training or not probability:
        return x
    if x.device.type != "cpu":
        return functional.dropout(x, probability)
    count = min(round(probability * _LEVELS), _LEVELS - 1)
    shorts = _random_words(-(-x.numel() // 4)).view(torch.int16)
    kept = shorts[: x.numel()].view(x.shape) >= count - _LEVELS // 2
    factor = _LEVELS / (_LEVELS - count)
    if torch.compiler.is_compiling():  # which chooses by itself what to keep, and what to fuse
        return _product(x, kept, factor)
    masked: Tensor = _Masked.apply(x, kept, factor)
    return masked


@torch.library.custom_op(
    "vct::random_words", mutates_args=(), tags=(torch.Tag.nondeterministic_seeded,)
)
def _random_words(count: int) -> Tensor:
    """`count` words of 64 bits, an operation of its own: a compiled network draws the same."""
    words = torch.empty(count, dtype=torch.int64)
    return words.random_(torch.iinfo(torch.int64).min, None)


@_random_words.register_fake
def _shape_of_words(count: int) -> Tensor:
    return torch.empty(count, dtype=torch.int64)


class _Masked(torch.autograd.Function):
    """x where it is kept, times a factor.

    As a product with numbers it takes less than half the time of torch's choice between two, which
    uses no vector instructions; the truth values, which are kept, a quarter of the memory of them.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: Tensor, factor: float) -> Tensor:
        ctx.save_for_backward(kept)
        ctx.save_for_forward(kept)
        ctx.factor = factor
        return _product(x, kept, factor)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (kept,) = ctx.saved_tensors
        return _product(gradients[0], kept, ctx.factor), None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        (kept,) = ctx.saved_tensors
        return _product(tangents[0], kept, ctx.factor)


def _product(x: Tensor, kept: Tensor, factor: float) -> Tensor:
    # Last the factor, which would be rounded in bfloat16.
    return kept.to(x.dtype).mul_(x).mul_(factor)
