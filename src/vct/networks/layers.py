"""Layers of the U-Nets; parameter names as public EDM checkpoints have them."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from vct.networks.dropout import dropped
from vct.networks.groups import group_count


def xavier_uniform_(module: nn.Conv2d | nn.Linear, gain: float = 1.0) -> None:
    """Xavier-uniform weights, times `gain`, and zero bias (EDM, Appendix F)."""
    nn.init.xavier_uniform_(module.weight)
    with torch.no_grad():
        module.weight.mul_(gain)
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def linear(inputs: int, outputs: int) -> nn.Linear:
    """Linear layer with Xavier-uniform weights."""
    layer = nn.Linear(inputs, outputs)
    xavier_uniform_(layer)
    return layer


def group_norm(channels: int, eps: float = 1e-6) -> nn.GroupNorm:
    """GroupNorm with at most 32 groups of at least 4 channels."""
    return nn.GroupNorm(group_count(channels), channels, eps=eps)


def resampled(x: Tensor, low_pass: Tensor, resample: str, shift: int = 0) -> Tensor:
    """x (B, C, H, W) with twice ("up") or half ("down") the height and width.

    Args:
        low_pass: the filter (1, 1, K, K), K even, with sum one.
        shift: pixels by which the image is already wider on each side.
    """
    channels = x.shape[1]
    filters = low_pass.to(x.dtype).expand(channels, 1, -1, -1)
    padding = (filters.shape[-1] - 1) // 2 - shift
    if resample == "up":
        return functional.conv_transpose2d(
            x, 4 * filters, stride=2, padding=padding, groups=channels
        )
    return functional.conv2d(x, filters, stride=2, padding=padding, groups=channels)


class ResampledConv(nn.Conv2d):
    """Convolution (odd kernel, same padding) with an optional factor-two resampling.

    Args:
        resample: "up", "down" or None.
        taps: the separable low-pass filter of the resampling, such as (1, 1).
        gain: factor of the initial weights.
        filter_last: convolve first, then filter and subsample (the residual branch of NCSN++).
    """

    resample_filter: Tensor
    bias: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        resample: str | None = None,
        taps: tuple[int, ...] = (1, 1),
        gain: float = 1.0,
        filter_last: bool = False,
    ) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2)
        xavier_uniform_(self, gain)
        self.resample, self.filter_last = resample, filter_last
        if resample:
            line = torch.tensor(taps, dtype=torch.float32)
            plane = torch.outer(line, line) / line.sum() ** 2
            self.register_buffer("resample_filter", plane[None, None])

    def forward(self, x: Tensor) -> Tensor:
        if self.resample is None:
            return super().forward(x)
        if not self.filter_last:
            return super().forward(resampled(x, self.resample_filter, self.resample))
        # The filter's padding is given to the convolution, so borders see zeros beyond the image.
        border = (self.resample_filter.shape[-1] - 1) // 2
        wide = functional.conv2d(x, self.weight, None, padding=self.kernel_size[0] // 2 + border)
        filtered = resampled(wide, self.resample_filter, self.resample, shift=border)
        return filtered + self.bias.reshape(1, -1, 1, 1)


class PositionalEmbedding(nn.Module):
    """sin and cos of c_noise at `channels`/2 frequencies from 1 down to 1e-4 (DDPM++)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.frequencies = channels // 2

    def forward(self, c_noise: Tensor) -> Tensor:
        exponents = torch.arange(self.frequencies, device=c_noise.device) / (self.frequencies - 1)
        angles = torch.outer(c_noise, 1e-4**exponents)
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class FourierEmbedding(nn.Module):
    """sin and cos of c_noise at random frequencies with standard deviation `scale` (NCSN++)."""

    freqs: Tensor

    def __init__(self, channels: int, scale: float) -> None:
        super().__init__()
        self.register_buffer("freqs", scale * torch.randn(channels // 2))

    def forward(self, c_noise: Tensor) -> Tensor:
        angles = torch.outer(c_noise, 2 * math.pi * self.freqs)
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class UNetBlock(nn.Module):
    """Residual block with optional resampling and self-attention; the sum is scaled by sqrt(1/2).

    Args:
        inputs, outputs: channels.
        embedding: channels of the noise embedding.
        dropout: probability of dropping an activation before the last convolution.
        attention: add single-head self-attention.
        resample, taps: see `ResampledConv`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        embedding: int,
        dropout: float,
        attention: bool = False,
        resample: str | None = None,
        taps: tuple[int, ...] = (1, 1),
    ) -> None:
        super().__init__()
        self.inputs, self.dropout, self.attention = inputs, dropout, attention
        self.norm0 = group_norm(inputs)
        self.conv0 = ResampledConv(inputs, outputs, 3, resample, taps)
        self.affine = linear(embedding, outputs)
        self.norm1 = group_norm(outputs)
        self.conv1 = ResampledConv(outputs, outputs, 3, gain=1e-5)
        changes = inputs != outputs or resample is not None
        self.skip = ResampledConv(inputs, outputs, 1, resample, taps) if changes else None
        if attention:
            self.norm2 = group_norm(outputs)
            self.qkv = ResampledConv(outputs, 3 * outputs, 1, gain=math.sqrt(0.2))
            self.proj = ResampledConv(outputs, outputs, 1, gain=1e-5)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        residual = self.conv0(functional.silu(self.norm0(x)))
        residual = residual + self.affine(embedding)[:, :, None, None]
        residual = functional.silu(self.norm1(residual))
        residual = self.conv1(dropped(residual, self.dropout, self.training))
        x = (residual + (x if self.skip is None else self.skip(x))) * math.sqrt(0.5)
        return (self._attend(x) + x) * math.sqrt(0.5) if self.attention else x

    def _attend(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        # The three roles alternate along the channels; checkpoints depend on this order.
        triple = self.qkv(self.norm2(x)).reshape(batch, channels, 3, height * width)
        query, key, value = (part.transpose(1, 2) for part in triple.unbind(2))
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).reshape(x.shape))
