"""DDPM++ and NCSN++ U-Nets (Song et al. 2021, as in EDM, arXiv 2206.00364, Appendix F).

Parameter names are those of public EDM checkpoints: `enc.32x32_block0.conv0.weight` and so on.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vct.networks.layers import (
    FourierEmbedding,
    PositionalEmbedding,
    ResampledConv,
    UNetBlock,
    group_norm,
    linear,
)
from vct.networks.spans import SpanMap, span_of


class _UNet(nn.Module):
    """What DDPM++ and NCSN++ share.

    Args:
        shape: (C, H, W) of the input, H and W divisible by 2^(levels - 1).
        outputs: channels of the output.
        channels: channels at multiplier 1.
        mult: multiplier of each level.
        blocks: residual blocks of a level.
        attention: heights in pixels at which blocks attend.
        dropout: probability in [0, 1).
        classes: number of classes K; 0 is unconditional.
        two_times: take a second time, r/t; None is r = 0.
    """

    taps: tuple[int, ...]
    residual_input: bool
    map_noise: nn.Module

    def __init__(
        self,
        shape: tuple[int, int, int],
        outputs: int,
        channels: int,
        mult: list[int],
        blocks: int = 4,
        attention: list[int] | None = None,
        dropout: float = 0.0,
        classes: int = 0,
        two_times: bool = False,
    ) -> None:
        super().__init__()
        self.shape, self.channels, self.mult, self.blocks = shape, channels, mult, blocks
        self.attention = [16] if attention is None else attention
        self.dropout, self.two_times = dropout, two_times
        noise_channels = self._noise_embedding()
        self.map_label = linear(classes, noise_channels) if classes else None
        self.map_span = SpanMap(noise_channels) if two_times else None
        self.map_layer0 = linear(noise_channels, 4 * channels)
        self.map_layer1 = linear(4 * channels, 4 * channels)
        self.enc = nn.ModuleDict()
        widths = self._encoder()
        self.dec = nn.ModuleDict()
        self._decoder(widths, outputs)

    def _noise_embedding(self) -> int:
        """Make `map_noise`; return its number of channels."""
        raise TypeError("use DDPMpp or NCSNpp")

    def _block(self, inputs: int, outputs: int, attention: bool, resample: str | None = None):
        width = 4 * self.channels
        return UNetBlock(inputs, outputs, width, self.dropout, attention, resample, self.taps)

    def _encoder(self) -> list[int]:
        """Fill `enc`; return the channels of each skip connection."""
        image_channels, size, _ = self.shape
        width, aux_width = self.channels, image_channels
        widths: list[int] = []
        for level, mult in enumerate(self.mult):
            pixels = size >> level
            name = f"{pixels}x{pixels}"
            if level == 0:
                self.enc[f"{name}_conv"] = ResampledConv(image_channels, width, 3)
            else:
                self.enc[f"{name}_down"] = self._block(width, width, False, "down")
                if self.residual_input:
                    self.enc[f"{name}_aux_residual"] = ResampledConv(
                        aux_width, width, 3, "down", self.taps, filter_last=True
                    )
                    aux_width = width
            widths.append(width)
            for index in range(self.blocks):
                outputs = self.channels * mult
                block = self._block(width, outputs, pixels in self.attention)
                self.enc[f"{name}_block{index}"] = block
                width = outputs
                widths.append(width)
        return widths

    def _decoder(self, widths: list[int], outputs: int) -> None:
        """Fill `dec`; `widths` are the channels of the skip connections."""
        size, last = self.shape[1], len(self.mult) - 1
        width = widths[-1]
        for level in range(last, -1, -1):
            pixels = size >> level
            name = f"{pixels}x{pixels}"
            if level == last:
                self.dec[f"{name}_in0"] = self._block(width, width, True)
                self.dec[f"{name}_in1"] = self._block(width, width, False)
            else:
                self.dec[f"{name}_up"] = self._block(width, width, False, "up")
            for index in range(self.blocks + 1):
                attends = index == self.blocks and pixels in self.attention
                wider = self.channels * self.mult[level]
                self.dec[f"{name}_block{index}"] = self._block(width + widths.pop(), wider, attends)
                width = wider
        self.dec[f"{name}_aux_norm"] = group_norm(width)
        self.dec[f"{name}_aux_conv"] = ResampledConv(width, outputs, 3, gain=1e-5)

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
        aux = x
        for name, layer in self.enc.items():
            if name.endswith("_aux_residual"):
                x = aux = (x + layer(aux)) * math.sqrt(0.5)
                skips[-1] = x
                continue
            x = layer(x, embedding) if isinstance(layer, UNetBlock) else layer(x)
            skips.append(x)
        for name, layer in self.dec.items():
            if "_block" in name:
                x = torch.cat([x, skips.pop()], dim=1)
            if isinstance(layer, UNetBlock):
                x = layer(x, embedding)
            else:
                x = functional.silu(layer(x)) if name.endswith("_aux_norm") else layer(x)
        return x

    def _embed(self, c_noise: Tensor, labels: Tensor | None, span: Tensor | None) -> Tensor:
        embedding = self.map_noise(c_noise)
        if self.map_span is not None and span is not None:
            embedding = embedding + self.map_span(self.map_noise(span))
        if self.map_label is not None and labels is not None:
            embedding = embedding + self.map_label(labels * math.sqrt(self.map_label.in_features))
        return functional.silu(self.map_layer1(functional.silu(self.map_layer0(embedding))))


class DDPMpp(_UNet):
    """DDPM++: positional embedding, box resampling filter."""

    taps = (1, 1)
    residual_input = False

    def _noise_embedding(self) -> int:
        self.map_noise = PositionalEmbedding(self.channels)
        return self.channels


class NCSNpp(_UNet):
    """NCSN++: random Fourier embedding, (1, 3, 3, 1) filter, the image fed to every level.

    Args:
        fourier_scale: standard deviation of the embedding's frequencies; 16 in EDM and its
            checkpoints, 0.02 in iCT (arXiv 2310.14189, Section 3.3) and VCT.
        args, others: those of DDPM++.
    """

    taps = (1, 3, 3, 1)
    residual_input = True

    def __init__(self, *args: Any, fourier_scale: float = 16.0, **others: Any) -> None:
        self.fourier_scale = fourier_scale
        super().__init__(*args, **others)

    def _noise_embedding(self) -> int:
        self.map_noise = FourierEmbedding(2 * self.channels, self.fourier_scale)
        return 2 * self.channels
