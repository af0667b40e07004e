"""ADM: what golden numbers do not show (attention, initial weights, published size)."""

import math

import pytest
import torch
from support import randomise
from torch.nn import functional

from vct.networks.adm import ADM, ADMBlock, CosineEmbedding, Resample
from vct.networks.levels import Place


def small(shape=(3, 8, 8), outputs=3, **options):
    return ADM(shape, outputs, channels=8, **{"mult": [1, 2], "blocks": 1, **options})


def attended(x, qkv_weight, qkv_bias, heads):
    """Multi-head attention in plain loops; roles alternate along the channels of a head."""
    batch, channels = x.shape[:2]
    pixels = x.reshape(batch, channels, -1)
    roles = torch.einsum("oc,bcn->bon", qkv_weight[:, :, 0, 0], pixels) + qkv_bias[:, None]
    out, size = torch.empty_like(pixels), channels // heads
    for head in range(heads):
        part = roles[:, 3 * size * head : 3 * size * (head + 1)]
        query, key, value = part[:, 0::3], part[:, 1::3], part[:, 2::3]
        scores = torch.einsum("bcq,bck->bqk", query, key) / math.sqrt(size)
        out[:, size * head : size * (head + 1)] = torch.einsum(
            "bqk,bck->bcq", scores.softmax(dim=2), value
        )
    return out.reshape(x.shape)


def test_attention_has_heads_of_64_channels():
    block = ADMBlock(Place("", 128, 128, 4, attention=True), 16, 0.0)
    randomise(block, 0.1)
    x, embedding = torch.randn(2, 128, 4, 4), torch.randn(2, 16)
    y = block(x, embedding)
    block.heads = 0
    plain = block(x, embedding)
    inside = attended(block.norm2(plain), block.qkv.weight, block.qkv.bias, heads=2)
    torch.testing.assert_close(y, plain + block.proj(inside), rtol=1e-4, atol=1e-4)


def test_blocks_attend_where_asked_if_they_have_64_channels():
    network = ADM((3, 16, 16), 3, channels=64, mult=[1, 1, 1], blocks=1, attention=[8])
    blocks = {**network.enc, **{f"dec.{name}": block for name, block in network.dec.items()}}
    with_attention = {name for name, block in blocks.items() if hasattr(block, "qkv")}
    assert with_attention == {"8x8_block0", "dec.4x4_in0", "dec.8x8_block0", "dec.8x8_block1"}
    narrow = ADM((3, 16, 16), 3, channels=32, mult=[1, 1], blocks=1, attention=[16, 8])
    assert not [name for name in narrow.state_dict() if "qkv" in name]


def test_scale_and_shift_come_from_the_embedding():
    block = ADMBlock(Place("", 8, 8, 4), 16, 0.0)
    randomise(block)
    x, embedding = torch.randn(2, 8, 4, 4), torch.randn(2, 16)
    scale, shift = block.affine(embedding).split(8, dim=1)
    hidden = block.norm1(block.conv0(functional.silu(block.norm0(x))))
    hidden = hidden + hidden * scale[:, :, None, None] + shift[:, :, None, None]
    expected = x + block.conv1(functional.silu(hidden))
    torch.testing.assert_close(block(x, embedding), expected, rtol=1e-4, atol=1e-4)


def test_resampling_averages_and_repeats():
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(Resample("down")(x), functional.avg_pool2d(x, 2))
    torch.testing.assert_close(
        Resample("up")(x), x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    )


def test_embedding_is_on_circles():
    time = torch.tensor([-1.5, 0.0, 0.7])
    y = CosineEmbedding(16)(time)
    torch.testing.assert_close(y[:, :8] ** 2 + y[:, 8:] ** 2, torch.ones(3, 8))
    torch.testing.assert_close(y[:, 8], torch.sin(time))
    torch.testing.assert_close(y[:, 12], torch.sin(1e-2 * time))


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((1, 8, 8), {}),
        ((3, 16, 16), {"mult": [1, 2, 3], "blocks": 2}),
        ((1, 28, 28), {"mult": [2, 2, 2]}),
        ((2, 1, 1), {"mult": [1]}),
    ],
)
def test_starts_at_zero_with_the_shape_that_is_asked_for(shape, options):
    network = small(shape, 2 * shape[0], **options)
    y = network(torch.randn(2, *shape), torch.tensor([-1.5, 1.0]))
    assert y.shape == (2, 2 * shape[0], *shape[1:])
    assert (y == 0).all()


def test_initial_weights_are_uniform_within_the_root_of_the_fan_in():
    layer = small(mult=[4, 4]).enc["8x8_block0"].conv0
    bound = 1 / math.sqrt(32 * 9)
    assert layer.weight.abs().max().item() == pytest.approx(bound, rel=0.01)
    assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert 0 < layer.bias.abs().max() <= bound


def test_normalisation_has_the_published_constant():
    """Golden numbers do not tell 1e-5 from the 1e-6 of DDPM++."""
    norms = [layer for layer in small().modules() if isinstance(layer, torch.nn.GroupNorm)]
    assert {layer.eps for layer in norms} == {1e-5}


def test_depends_on_image_time_and_label():
    network = randomise(small(classes=3)).eval()
    x, time, labels = torch.randn(3, 3, 8, 8), torch.zeros(3), torch.eye(3)
    y = network(x, time, labels)
    assert not torch.allclose(network(x.flip(3), time, labels), y)
    assert not torch.allclose(network(x, time + 1, labels), y)
    assert not torch.allclose(network(x, time, labels.roll(1, dims=0)), y)
    torch.testing.assert_close(network(x, time, None), network(x, time, 0 * labels))


def test_samples_do_not_see_each_other():
    network = ADM((3, 8, 8), 3, channels=64, mult=[1, 1], blocks=1, attention=[4])
    randomise(network, 0.05).eval()
    x, time = torch.randn(4, 3, 8, 8), torch.randn(4)
    alone = network(x[2:3], time[2:3])
    torch.testing.assert_close(network(x, time)[2:3], alone, rtol=1e-4, atol=1e-4)


def test_dropout_only_in_training():
    network = randomise(small(dropout=0.5), 0.1).train()
    x, time = torch.randn(2, 3, 8, 8), torch.zeros(2)
    assert not torch.allclose(network(x, time), network(x, time))
    network.eval()
    assert torch.equal(network(x, time), network(x, time))


def test_published_size_on_imagenet():
    """EDM, table 7: 296 million parameters at 64 px."""
    with torch.device("meta"):
        network = ADM(
            (3, 64, 64), 3, channels=192, mult=[1, 2, 3, 4], attention=[32, 16, 8], classes=1000
        )
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count / 1e6 == pytest.approx(296, abs=0.5)
