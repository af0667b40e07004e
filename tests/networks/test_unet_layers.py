"""Resampling and embeddings against torch's own operators and closed forms."""

import math

import pytest
import torch
from torch.nn import functional

from vct.networks.layers import (
    FourierEmbedding,
    PositionalEmbedding,
    ResampledConv,
    UNetBlock,
    group_norm,
)


def resampler(resample, taps, channels=3, **options):
    """A convolution that resamples and does nothing else."""
    layer = ResampledConv(channels, channels, 1, resample, taps, **options)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(channels)[:, :, None, None])
    return layer


def test_box_filter_down_is_average_pooling():
    x = torch.randn(2, 3, 8, 8)
    expected = functional.avg_pool2d(x, 2)
    torch.testing.assert_close(resampler("down", (1, 1))(x), expected)
    torch.testing.assert_close(resampler("down", (1, 1), filter_last=True)(x), expected)


def test_box_filter_up_repeats_pixels():
    x = torch.randn(2, 3, 4, 4)
    expected = functional.interpolate(x, scale_factor=2, mode="nearest")
    torch.testing.assert_close(resampler("up", (1, 1))(x), expected)


@pytest.mark.parametrize("resample", ["up", "down"])
def test_wide_filter_keeps_constants_away_from_the_border(resample):
    y = resampler(resample, (1, 3, 3, 1))(torch.full((1, 3, 16, 16), 2.5))
    assert y.shape[-1] == (32 if resample == "up" else 8)
    torch.testing.assert_close(y[..., 2:-2, 2:-2], torch.full_like(y[..., 2:-2, 2:-2], 2.5))


def test_positional_embedding_is_on_circles():
    time = torch.tensor([-1.5, 0.0, 0.7])
    y = PositionalEmbedding(16)(time)
    torch.testing.assert_close(y[:, :8] ** 2 + y[:, 8:] ** 2, torch.ones(3, 8))
    torch.testing.assert_close(y[:, 0], torch.sin(time))
    torch.testing.assert_close(y[:, 7], torch.sin(1e-4 * time))


def test_fourier_embedding_is_on_circles_and_its_frequencies_are_kept():
    layer = FourierEmbedding(4096, scale=0.02)
    y = layer(torch.tensor([0.3, 1.0]))
    torch.testing.assert_close(y[:, :2048] ** 2 + y[:, 2048:] ** 2, torch.ones(2, 2048))
    assert layer.freqs.std().item() == pytest.approx(0.02, rel=0.1)
    assert "freqs" in layer.state_dict()


@pytest.mark.parametrize(("channels", "groups"), [(4, 1), (16, 4), (128, 32), (512, 32)])
def test_group_norm(channels, groups):
    assert group_norm(channels).num_groups == groups


def test_new_block_passes_the_image_on():
    """Initial residuals are nearly zero; each sum is scaled by sqrt(1/2)."""
    x, embedding = torch.randn(2, 8, 4, 4), torch.randn(2, 32)
    plain = UNetBlock(8, 8, 32, 0.0)(x, embedding)
    torch.testing.assert_close(plain, x * math.sqrt(0.5), atol=1e-3, rtol=1e-3)
    attending = UNetBlock(8, 8, 32, 0.0, attention=True)(x, embedding)
    torch.testing.assert_close(attending, x / 2, atol=1e-3, rtol=1e-3)
