"""EDM2: unit magnitude everywhere, attention, labels, published sizes."""

import copy
import math

import pytest
import torch

from vct.networks.edm2 import EDM2, EDM2Block
from vct.networks.levels import Place
from vct.networks.magnitude import MPConv


def small(shape=(3, 8, 8), outputs=3, **options):
    return EDM2(shape, outputs, channels=8, **{"mult": [1, 2], "blocks": 1, **options})


def awake(network, gain=1.0):
    """`network` with all gains at `gain`; they start at zero."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("gain"):
                parameter.fill_(gain)
    return network


def variance(x):
    return x.square().mean().item()


def norms(network):
    """Root mean square of the weights of every output of every layer."""
    layers = [layer for layer in network.modules() if isinstance(layer, MPConv)]
    return torch.cat([layer.weight.detach().flatten(1).square().mean(1).sqrt() for layer in layers])


def test_output_has_unit_variance_at_the_start():
    """With the output's gain at one instead of zero; and so has every block on the way."""
    torch.manual_seed(3)
    network = EDM2((3, 16, 16), 3, channels=64, mult=[1, 2, 2], blocks=2, attention=[8], classes=5)
    with torch.no_grad():
        network.out_gain.fill_(1)
    seen = {}
    for name, block in [*network.enc.items(), *network.dec.items()]:
        block.register_forward_hook(lambda module, _, y, name=name: seen.setdefault(name, y))
    x, labels = torch.randn(32, 3, 16, 16), torch.eye(5)[torch.arange(32) % 5]
    y = network(x, torch.randn(32), labels)
    assert variance(y) == pytest.approx(1, abs=0.25)
    assert len(seen) >= 12
    for name, activation in seen.items():
        assert 0.7 < variance(activation) < 1.4, name


def test_output_is_zero_at_the_start():
    network = small()
    y = network(torch.randn(2, 3, 8, 8), torch.tensor([-1.5, 1.0]))
    assert y.shape == (2, 3, 8, 8)
    assert (y == 0).all()


def test_weights_have_unit_norm_after_a_step():
    """A step moves them off; the next student pass brings them back, a teacher pass does not."""
    network = awake(small(attention=[4])).train()
    x, time = torch.randn(4, 3, 8, 8), torch.randn(4)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    network(x, time).pow(2).sum().backward()
    torch.testing.assert_close(norms(network), torch.ones_like(norms(network)), rtol=1e-3, atol=0)
    optimizer.step()
    drifted = norms(network)
    assert (drifted - 1).abs().max() > 5e-3
    with torch.no_grad():
        network(x, time)
    assert torch.equal(norms(network), drifted)
    network(x, time)
    torch.testing.assert_close(norms(network), torch.ones_like(drifted), rtol=1e-3, atol=0)


def test_teacher_between_students_passes_leaves_the_gradient_alone():
    network = awake(small()).train()
    twin = copy.deepcopy(network)
    x, time = torch.randn(4, 3, 8, 8), torch.randn(4)
    network(x, time).pow(2).sum().backward()
    loss = twin(x, time).pow(2).sum()
    with torch.no_grad():
        twin(x, time - 1)
    loss.backward()
    for one, other in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def attended(x, qkv_weight, heads):
    """Cosine attention in plain loops; roles alternate along the channels of a head."""
    batch, channels = x.shape[:2]
    pixels = x.reshape(batch, channels, -1)
    direction = qkv_weight / qkv_weight.flatten(1).norm(dim=1)[:, None, None, None]
    roles = torch.einsum("oc,bcn->bon", direction[:, :, 0, 0], pixels)
    out, size = torch.empty_like(pixels), channels // heads
    for head in range(heads):
        part = roles[:, 3 * size * head : 3 * size * (head + 1)]
        unit = [role / role.norm(dim=1, keepdim=True) for role in (part[:, i::3] for i in range(3))]
        query, key, value = (math.sqrt(size) * role for role in unit)
        scores = torch.einsum("bcq,bck->bqk", query, key) / math.sqrt(size)
        out[:, size * head : size * (head + 1)] = torch.einsum(
            "bqk,bck->bcq", scores.softmax(dim=2), value
        )
    return out.reshape(x.shape)


def test_attention_has_heads_of_64_channels():
    block = awake(EDM2Block(Place("", 128, 128, 4, attention=True), 16, 0.0, True)).eval()
    x, embedding = torch.randn(2, 128, 4, 4), torch.randn(2, 16)
    y = block(x, embedding)
    block.heads = 0
    plain = block(x, embedding)
    inside = block.attn_proj(attended(plain, block.attn_qkv.weight, heads=2))
    expected = (0.7 * plain + 0.3 * inside) / math.sqrt(0.7**2 + 0.3**2)
    torch.testing.assert_close(y, expected, rtol=1e-3, atol=2e-3)


def test_activations_are_clipped():
    block = EDM2Block(Place("", 8, 8, 4), 16, 0.0, encodes=False)
    y = block(1e4 * torch.randn(2, 8, 4, 4), torch.randn(2, 16))
    assert y.abs().max() == 256


def test_depends_on_image_time_and_label():
    network = awake(small(classes=3)).eval()
    x, time, labels = torch.randn(3, 3, 8, 8), torch.zeros(3), torch.eye(3)
    y = network(x, time, labels)
    assert not torch.allclose(network(x.flip(3), time, labels), y)
    assert not torch.allclose(network(x, time + 1, labels), y)
    assert not torch.allclose(network(x, time, labels.roll(1, dims=0)), y)
    torch.testing.assert_close(network(x, time, None), network(x, time, 0 * labels))


def test_samples_do_not_see_each_other():
    network = awake(EDM2((3, 8, 8), 3, channels=64, mult=[1, 1], blocks=1, attention=[4])).eval()
    x, time = torch.randn(4, 3, 8, 8), torch.randn(4)
    alone = network(x[2:3], time[2:3])
    torch.testing.assert_close(network(x, time)[2:3], alone, rtol=1e-4, atol=1e-4)


def test_every_parameter_learns():
    network = awake(EDM2((3, 8, 8), 3, channels=64, mult=[1, 1], blocks=1, classes=3))
    network(torch.randn(3, 3, 8, 8), torch.randn(3), torch.eye(3)).pow(2).sum().backward()
    idle = [name for name, p in network.named_parameters() if not p.grad.abs().sum() > 0]
    assert not idle


@pytest.mark.parametrize(("limit", "drops"), [(None, {8, 4, 2}), (4, {4, 2}), (1, set())])
def test_dropout_up_to_a_size(limit, drops):
    network = small(mult=[1, 1, 1], dropout=0.5, dropout_up_to=limit)
    blocks = {**network.enc, **{f"{name}_": block for name, block in network.dec.items()}}
    found = {
        int(name.split("x")[0])
        for name, block in blocks.items()
        if isinstance(block, EDM2Block) and block.dropout == 0.5
    }
    assert found == drops


def test_dropout_only_in_training():
    network = awake(small(dropout=0.5)).train()
    x, time = torch.randn(2, 3, 8, 8), torch.zeros(2)
    assert not torch.allclose(network(x, time), network(x, time))
    network.eval()
    assert torch.equal(network(x, time), network(x, time))


@pytest.mark.parametrize(("channels", "millions"), [(128, 124.7), (192, 280.2), (256, 497.8)])
def test_published_sizes_on_imagenet(channels, millions):
    """EDM2, table 2: XS, S and M."""
    with torch.device("meta"):
        network = EDM2((3, 64, 64), 3, channels=channels, mult=[1, 2, 3, 4], classes=1000)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.06)
