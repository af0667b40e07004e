"""The perceptron."""

import pytest
import torch
from support import randomise

from vct.networks.mlp import MLP


@pytest.mark.parametrize("shape", [(2, 1, 1), (1, 8, 8), (3, 4, 4)])
@pytest.mark.parametrize("factor", [1, 2])
def test_shape_and_start(shape, factor):
    network = MLP(shape, factor * shape[0], width=32, depth=3)
    y = network(torch.randn(5, *shape), torch.linspace(-2, 2, 5))
    assert y.shape == (5, factor * shape[0], *shape[1:])
    assert y.abs().max() < 0.1


def test_depends_on_image_time_and_label():
    network = randomise(MLP((2, 1, 1), 2, width=16, depth=2, classes=3))
    x, time, labels = torch.randn(4, 2, 1, 1), torch.zeros(4), torch.eye(3)[[0, 1, 2, 0]]
    y = network(x, time, labels)
    assert not torch.allclose(network(x + 1, time, labels), y)
    assert not torch.allclose(network(x, time + 1, labels), y)
    assert not torch.allclose(network(x, time, labels.roll(1, dims=1)), y)


def test_samples_do_not_see_each_other():
    network = randomise(MLP((1, 4, 4), 1, width=16, depth=3))
    x, time = torch.randn(6, 1, 4, 4), torch.randn(6)
    torch.testing.assert_close(network(x, time)[2:3], network(x[2:3], time[2:3]))


def test_dropout_only_in_training():
    network = randomise(MLP((2, 1, 1), 2, width=16, depth=3, dropout=0.5))
    x, time = torch.randn(4, 2, 1, 1), torch.zeros(4)
    network.train()
    assert not torch.allclose(network(x, time), network(x, time))
    network.eval()
    assert torch.equal(network(x, time), network(x, time))


def test_depth_is_the_number_of_hidden_layers():
    def count(depth):
        return sum(p.numel() for p in MLP((2, 1, 1), 2, width=10, depth=depth).parameters())

    assert count(3) - count(2) == count(2) - count(1) > 100
