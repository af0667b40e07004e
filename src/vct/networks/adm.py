"""The ADM U-Net (Dhariwal and Nichol, arXiv 2105.05233, as in EDM, arXiv 2206.00364, Appendix F).

Parameter names are those of public EDM checkpoints.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vct.networks import levels
from vct.networks.dropout import dropped
from vct.networks.layers import ResampledConv, group_norm, resampled
from vct.networks.spans import SpanMap, span_of


class Resample(nn.Module):
    """Factor-two resampling by a box filter: repeats pixels or averages them."""

    resample_filter: Tensor

    def __init__(self, resample: str) -> None:
        super().__init__()
        self.resample = resample
        self.register_buffer("resample_filter", torch.full((1, 1, 2, 2), 0.25))

    def forward(self, x: Tensor) -> Tensor:
        return resampled(x, self.resample_filter, self.resample)


def convolution(inputs: int, outputs: int, kernel: int, resample: str | None = None) -> nn.Conv2d:
    """Convolution with torch's own initial weights, U(±1/sqrt(fan-in)), as ADM has them."""
    layer = ResampledConv(inputs, outputs, kernel, resample)
    layer.reset_parameters()
    return layer


def zero(layer: nn.Conv2d) -> nn.Conv2d:
    """`layer` with zero weights and bias."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class CosineEmbedding(nn.Module):
    """cos and sin of c_noise at n = `channels`/2 frequencies 1e-4^(k/n), k = 0..n-1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.frequencies = channels // 2

    def forward(self, c_noise: Tensor) -> Tensor:
        exponents = torch.arange(self.frequencies, device=c_noise.device) / self.frequencies
        angles = torch.outer(c_noise, 1e-4**exponents)
        return torch.cat([angles.cos(), angles.sin()], dim=1)


class ADMBlock(nn.Module):
    """Residual block; noise level and class scale and shift its second normalisation.

    Args:
        place: channels, resampling and attention.
        embedding: channels of the embedding.
        dropout: probability of dropping an activation before the last convolution.
    """

    def __init__(self, place: levels.Place, embedding: int, dropout: float) -> None:
        super().__init__()
        inputs, outputs, resample = place.inputs, place.outputs, place.resample
        self.dropout = dropout
        self.heads = place.heads
        self.norm0 = group_norm(inputs, eps=1e-5)
        self.conv0 = convolution(inputs, outputs, 3, resample)
        self.affine = nn.Linear(embedding, 2 * outputs)
        self.norm1 = group_norm(outputs, eps=1e-5)
        self.conv1 = zero(convolution(outputs, outputs, 3))
        self.skip: nn.Module | None = None
        if inputs != outputs:
            self.skip = convolution(inputs, outputs, 1, resample)
        elif resample:
            self.skip = Resample(resample)
        if self.heads:
            self.norm2 = group_norm(outputs, eps=1e-5)
            self.qkv = convolution(outputs, 3 * outputs, 1)
            self.proj = zero(convolution(outputs, outputs, 1))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        residual = self.conv0(functional.silu(self.norm0(x)))
        scale, shift = self.affine(embedding)[:, :, None, None].chunk(2, dim=1)
        residual = functional.silu(self.norm1(residual) * (1 + scale) + shift)
        residual = self.conv1(dropped(residual, self.dropout, self.training))
        x = residual + (x if self.skip is None else self.skip(x))
        return x + self._attend(x) if self.heads else x

    def _attend(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        # Within a head the three roles alternate along the channels; checkpoints depend on it.
        shape = (batch, self.heads, channels // self.heads, 3, height * width)
        roles = self.qkv(self.norm2(x)).reshape(shape).unbind(3)
        query, key, value = (role.transpose(2, 3) for role in roles)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(2, 3).reshape(x.shape))


class ADM(nn.Module):
    """F of class-conditional ImageNet models.

    Args:
        shape: (C, H, W) of the input, H and W divisible by 2^(levels - 1).
        outputs: channels of the output.
        channels: channels at multiplier 1.
        mult: multiplier of each level.
        blocks: residual blocks of a level.
        attention: heights in pixels at which blocks of at least 64 channels attend.
        dropout: probability in [0, 1).
        classes: number of classes K; 0 is unconditional.
        two_times: take a second time, r/t; None is r = 0.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        outputs: int,
        channels: int,
        mult: list[int],
        blocks: int = 3,
        attention: list[int] | None = None,
        dropout: float = 0.0,
        classes: int = 0,
        two_times: bool = False,
    ) -> None:
        super().__init__()
        image_channels, size, _ = shape
        widths = [channels * factor for factor in mult]
        heights = [32, 16, 8] if attention is None else attention
        embedding = 4 * channels
        self.two_times = two_times
        self.map_noise = CosineEmbedding(channels)
        self.map_span = SpanMap(channels) if two_times else None
        self.map_layer0 = nn.Linear(channels, embedding)
        self.map_layer1 = nn.Linear(embedding, embedding)
        self.map_label: nn.Linear | None = None
        if classes:
            self.map_label = nn.Linear(classes, embedding, bias=False)
            nn.init.normal_(self.map_label.weight)
        self.enc = nn.ModuleDict({f"{size}x{size}_conv": convolution(image_channels, widths[0], 3)})
        for place in levels.encoder(size, widths, blocks, heights):
            self.enc[place.name] = ADMBlock(place, embedding, dropout)
        self.dec = nn.ModuleDict()
        for place in levels.decoder(size, widths, blocks, heights):
            self.dec[place.name] = ADMBlock(place, embedding, dropout)
        self.out_norm = group_norm(widths[0], eps=1e-5)
        self.out_conv = zero(convolution(widths[0], outputs, 3))

    def forward(
        self,
        x: Tensor,
        c_noise: Tensor,
        labels: Tensor | None = None,
        c_span: Tensor | None = None,
    ) -> Tensor:
        """F(x) (B, outputs, H, W) from x (B, C, H, W), c_noise (B,), one-hot labels (B, K), and r/t
        (B,) of `two_times`."""
        embedding = self._embed(c_noise, labels, span_of(c_span, c_noise, self.two_times))
        skips: list[Tensor] = []
        for layer in self.enc.values():
            x = layer(x, embedding) if isinstance(layer, ADMBlock) else layer(x)
            skips.append(x)
        for name, layer in self.dec.items():
            if "_block" in name:
                x = torch.cat([x, skips.pop()], dim=1)
            x = layer(x, embedding)
        return self.out_conv(functional.silu(self.out_norm(x)))

    def _embed(self, c_noise: Tensor, labels: Tensor | None, span: Tensor | None) -> Tensor:
        times = self.map_noise(c_noise)
        if self.map_span is not None and span is not None:
            times = times + self.map_span(self.map_noise(span))
        embedding = self.map_layer1(functional.silu(self.map_layer0(times)))
        if self.map_label is not None and labels is not None:
            embedding = embedding + self.map_label(labels)
        return functional.silu(embedding)
