"""Layers that keep the variance of what passes through them (EDM2, arXiv 2312.02696, Appendix B).

For inputs of unit variance each has outputs of unit variance in expectation, whatever it learns:
weights count by their direction alone.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


def normalise(x: Tensor, dim: list[int]) -> Tensor:
    """x over its root mean square along `dim` (eq. 47); the constant keeps zero at zero."""
    norm = torch.linalg.vector_norm(x, dim=dim, keepdim=True, dtype=torch.float32)
    rms = norm * math.sqrt(norm.numel() / x.numel())
    return x / (1e-4 + rms).to(x.dtype)


def mp_silu(x: Tensor) -> Tensor:
    """SiLU over the root mean square that it gives a standard normal (eq. 81)."""
    return functional.silu(x) / 0.596


def mp_sum(a: Tensor, b: Tensor, t: float) -> Tensor:
    """a + t (b - a), scaled to keep unit variance of independent a and b (eq. 88)."""
    return torch.lerp(a, b, t) / math.sqrt((1 - t) ** 2 + t**2)


def mp_cat(a: Tensor, b: Tensor) -> Tensor:
    """a and b along the channels, scaled to contribute equally (eq. 103 with t = 1/2)."""
    first, second = a.shape[1], b.shape[1]
    half = math.sqrt((first + second) / 2)
    return torch.cat([a * (half / math.sqrt(first)), b * (half / math.sqrt(second))], dim=1)


class MPFourier(nn.Module):
    """sqrt(2) cos(freqs c_noise + phases) (B, channels), random and fixed (eq. 75)."""

    freqs: Tensor
    phases: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("freqs", 2 * math.pi * torch.randn(channels))
        self.register_buffer("phases", 2 * math.pi * torch.rand(channels))

    def forward(self, c_noise: Tensor) -> Tensor:
        angles = torch.outer(c_noise.float(), self.freqs) + self.phases
        return (math.sqrt(2) * angles.cos()).to(c_noise.dtype)


class MPConv(nn.Module):
    """Convolution (same padding) or, without `kernel`, linear layer with weights of unit norm.

    The weights are normalised for every use. In a student pass, which is one in training mode with
    gradients on, the stored weights are first replaced by their normalised selves (forced weight
    normalisation, eq. 66): a growing norm would shrink the effective learning rate.
    A teacher pass runs without gradients and leaves them alone: it comes between the student's
    forward and backward pass, and its function is the same.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int | None = None) -> None:
        super().__init__()
        shape = (outputs, inputs) if kernel is None else (outputs, inputs, kernel, kernel)
        self.weight = nn.Parameter(torch.randn(shape))

    def forward(self, x: Tensor, gain: Tensor | float = 1.0) -> Tensor:
        """`gain` times the layer's output for x (B, inputs) or (B, inputs, H, W)."""
        dim = list(range(1, self.weight.ndim))
        if self.training and torch.is_grad_enabled():
            # Through `data`, so that a second student pass before the backward pass does not
            # count as a change: it writes the same numbers again.
            self.weight.data.copy_(normalise(self.weight.data, dim))
        fan_in = self.weight[0].numel()
        weight = normalise(self.weight, dim) * (gain / math.sqrt(fan_in))
        weight = weight.to(x.dtype)
        if weight.ndim == 2:
            return functional.linear(x, weight)
        return functional.conv2d(x, weight, padding=weight.shape[-1] // 2)
