"""The U-Nets: shapes, size, labels; the golden numbers are in test_golden_networks."""

import pytest
import torch
from support import randomise

from vct.networks.unet import DDPMpp, NCSNpp

BOTH = pytest.mark.parametrize("cls", [DDPMpp, NCSNpp])


def small(cls, shape=(3, 8, 8), outputs=3, **options):
    return cls(shape, outputs, channels=8, **{"mult": [1, 2], "blocks": 1, **options})


@BOTH
@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((1, 8, 8), {}),
        ((3, 8, 8), {"attention": [8, 4]}),
        ((3, 16, 16), {"mult": [1, 2, 2], "blocks": 2}),
        ((1, 28, 28), {"mult": [2, 2, 2], "attention": [14]}),
        ((2, 1, 1), {"mult": [1]}),
    ],
)
@pytest.mark.parametrize("factor", [1, 2])
def test_shape_and_start(cls, shape, options, factor):
    network = small(cls, shape, factor * shape[0], **options)
    y = network(torch.randn(2, *shape), torch.tensor([-1.5, 1.0]))
    assert y.shape == (2, factor * shape[0], *shape[1:])
    assert y.abs().max() < 1e-2


@BOTH
def test_depends_on_image_time_and_label(cls):
    network = randomise(small(cls, classes=3)).eval()
    x, time, labels = torch.randn(3, 3, 8, 8), torch.zeros(3), torch.eye(3)
    y = network(x, time, labels)
    assert not torch.allclose(network(x.flip(3), time, labels), y)
    assert not torch.allclose(network(x, time + 1, labels), y)
    assert not torch.allclose(network(x, time, labels.roll(1, dims=0)), y)
    assert not torch.allclose(network(x, time, None), y)


@BOTH
def test_samples_do_not_see_each_other(cls):
    network = randomise(small(cls, attention=[4]), 0.1).eval()
    x, time = torch.randn(4, 3, 8, 8), torch.randn(4)
    alone = network(x[2:3], time[2:3])
    torch.testing.assert_close(network(x, time)[2:3], alone, rtol=1e-4, atol=1e-4)


@BOTH
def test_dropout_only_in_training(cls):
    network = randomise(small(cls, dropout=0.5), 0.1).train()
    x, time = torch.randn(2, 3, 8, 8), torch.zeros(2)
    assert not torch.allclose(network(x, time), network(x, time))
    network.eval()
    assert torch.equal(network(x, time), network(x, time))


@BOTH
def test_every_parameter_learns(cls):
    network = randomise(small(cls, attention=[4], classes=3), 0.1)
    network(torch.randn(3, 3, 8, 8), torch.randn(3), torch.eye(3)).square().sum().backward()
    idle = [name for name, p in network.named_parameters() if not p.grad.abs().sum() > 0]
    # A shift that is the same for all keys cancels in the softmax, but for rounding.
    assert not idle


def test_published_size_on_cifar10():
    """EDM, table 7: 55.7 million parameters for DDPM++ at 32 px."""
    with torch.device("meta"):
        network = DDPMpp((3, 32, 32), 3, channels=128, mult=[2, 2, 2], blocks=4, attention=[16])
    assert sum(parameter.numel() for parameter in network.parameters()) == 55_732_739
    assert network.enc["32x32_conv"].weight.shape == (128, 3, 3, 3)
    assert network.dec["32x32_aux_conv"].weight.shape == (3, 256, 3, 3)


def test_attention_is_where_it_is_asked_for():
    network = small(DDPMpp, (3, 16, 16), mult=[1, 1, 1], attention=[8])
    with_attention = {name for name, block in network.enc.items() if hasattr(block, "qkv")}
    assert with_attention == {"8x8_block0"}
