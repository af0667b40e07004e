"""The magnitude-preserving U-Net of EDM2 (arXiv 2312.02696, config G, Appendix B).

Parameter names are those of public EDM2 checkpoints.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from vct.networks import levels
from vct.networks.dropout import dropped
from vct.networks.magnitude import MPConv, MPFourier, mp_cat, mp_silu, mp_sum, normalise
from vct.networks.spans import span_of

RESIDUAL_BALANCE = 0.3
"""Share of the residual branch, and of attention, in their sum with the main one (table 6)."""

LABEL_BALANCE = 0.5
"""Share of the class in the embedding."""

LIMIT = 256.0
"""Activations are clipped here, so that half precision does not overflow."""


class EDM2Block(nn.Module):
    """Residual block; the embedding scales the residual branch.

    Args:
        place: channels, resampling and attention.
        embedding: channels of the embedding.
        dropout: probability of dropping an activation before the last convolution.
        encodes: in the encoder, pixels are normalised first and the main branch has its
            convolution before the residual one; in the decoder, after it.
    """

    def __init__(self, place: levels.Place, embedding: int, dropout: float, encodes: bool) -> None:
        super().__init__()
        inputs, outputs = place.inputs, place.outputs
        self.resample, self.dropout, self.encodes = place.resample, dropout, encodes
        self.heads = place.heads
        self.emb_gain = nn.Parameter(torch.zeros([]))
        self.conv_res0 = MPConv(outputs if encodes else inputs, outputs, 3)
        self.emb_linear = MPConv(embedding, outputs)
        self.conv_res1 = MPConv(outputs, outputs, 3)
        self.conv_skip = MPConv(inputs, outputs, 1) if inputs != outputs else None
        if self.heads:
            self.attn_qkv = MPConv(outputs, 3 * outputs, 1)
            self.attn_proj = MPConv(outputs, outputs, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        x = self._resampled(x)
        if self.encodes:
            x = normalise(x if self.conv_skip is None else self.conv_skip(x), dim=[1])
        scale = 1 + self.emb_linear(embedding, gain=self.emb_gain)
        residual = mp_silu(self.conv_res0(mp_silu(x)) * scale[:, :, None, None])
        residual = dropped(residual, self.dropout, self.training)
        residual = self.conv_res1(residual)
        if not self.encodes and self.conv_skip is not None:
            x = self.conv_skip(x)
        x = mp_sum(x, residual, RESIDUAL_BALANCE)
        if self.heads:
            x = mp_sum(x, self._attend(x), RESIDUAL_BALANCE)
        return x.clamp(-LIMIT, LIMIT)

    def _resampled(self, x: Tensor) -> Tensor:
        if self.resample == "up":
            return functional.interpolate(x, scale_factor=2, mode="nearest")
        return functional.avg_pool2d(x, 2) if self.resample == "down" else x

    def _attend(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        # Within a head the three roles alternate along the channels; checkpoints depend on it.
        shape = (batch, self.heads, channels // self.heads, 3, height * width)
        roles = normalise(self.attn_qkv(x).reshape(shape), dim=[2]).unbind(3)
        query, key, value = (role.transpose(2, 3) for role in roles)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.attn_proj(mixed.transpose(2, 3).reshape(x.shape))


class EDM2(nn.Module):
    """F whose activations and weights keep their magnitude throughout training.

    Args:
        shape: (C, H, W) of the input, H and W divisible by 2^(levels - 1).
        outputs: channels of the output, which is zero at the start.
        channels: channels at multiplier 1.
        mult: multiplier of each level.
        blocks: residual blocks of a level.
        attention: heights in pixels at which blocks of at least 64 channels attend.
        dropout: probability in [0, 1).
        dropout_up_to: largest size in pixels at which blocks drop; None drops at all sizes.
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
        dropout_up_to: int | None = None,
        classes: int = 0,
        two_times: bool = False,
    ) -> None:
        super().__init__()
        image_channels, size, _ = shape
        widths = [channels * factor for factor in mult]
        heights = [16, 8] if attention is None else attention
        embedding = max(widths)
        self.classes, self.two_times = classes, two_times
        self.out_gain = nn.Parameter(torch.zeros([]))
        self.emb_fourier = MPFourier(widths[0])
        self.emb_noise = MPConv(widths[0], embedding)
        self.emb_label = MPConv(classes, embedding) if classes else None
        self.emb_span = None
        if two_times:
            self.emb_span = MPConv(widths[0], embedding)
            self.span_gain = nn.Parameter(torch.zeros([]))

        def block(place: levels.Place, encodes: bool) -> EDM2Block:
            drops = dropout_up_to is None or place.pixels <= dropout_up_to
            return EDM2Block(place, embedding, dropout if drops else 0.0, encodes)

        # One more channel of ones takes the place of biases.
        self.enc = nn.ModuleDict({f"{size}x{size}_conv": MPConv(image_channels + 1, widths[0], 3)})
        for place in levels.encoder(size, widths, blocks, heights):
            self.enc[place.name] = block(place, encodes=True)
        self.dec = nn.ModuleDict()
        for place in levels.decoder(size, widths, blocks, heights):
            self.dec[place.name] = block(place, encodes=False)
        self.out_conv = MPConv(widths[0], outputs, 3)

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
        x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
        skips: list[Tensor] = []
        for layer in self.enc.values():
            x = layer(x, embedding) if isinstance(layer, EDM2Block) else layer(x)
            skips.append(x)
        for name, layer in self.dec.items():
            if "_block" in name:
                x = mp_cat(x, skips.pop())
            x = layer(x, embedding)
        return self.out_conv(x, gain=self.out_gain)

    def _embed(self, c_noise: Tensor, labels: Tensor | None, span: Tensor | None) -> Tensor:
        embedding = self.emb_noise(self.emb_fourier(c_noise))
        if self.emb_span is not None and span is not None:
            embedding = embedding + self.emb_span(self.emb_fourier(span), gain=self.span_gain)
        if self.emb_label is not None:
            if labels is None:
                labels = embedding.new_zeros(len(embedding), self.classes)
            # A one-hot vector times sqrt(K) has unit magnitude.
            label = self.emb_label(labels * math.sqrt(self.classes))
            embedding = mp_sum(embedding, label, LABEL_BALANCE)
        return mp_silu(embedding)
