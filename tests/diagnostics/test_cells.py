"""Noisy points of the semidiscrete coupling know where they came from."""

import pytest
import torch
from support import KERNELS

from vct.diagnostics import cells
from vct.diagnostics.cells import origins


def draw(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("t", [0.01, 1.0, 60.0])
@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_point_of_a_cell_is_found_again_from_any_time(kernel, t, monkeypatch):
    """For any potentials, be their cells of equal mass or not."""
    x, g, eps = draw(30, 3, seed=0), draw(30, seed=1), draw(200, 3, seed=2)
    index = (eps @ x.T + g).argmax(dim=1)
    time = torch.full((200,), t, dtype=torch.float64)
    x_t = kernel(x[index], eps, time)
    assert torch.equal(origins(kernel, x, g, x_t, time), index)
    monkeypatch.setattr(cells, "ENTRIES", 1)
    assert torch.equal(origins(kernel, x, g, x_t, t), index)


def test_gap_between_the_images_of_two_cells_belongs_to_none():
    """Noise below g_0 - g_1 over 2 goes to -1, noise above it to 1; both images move apart."""
    x, g = torch.tensor([[-1.0], [1.0]]), torch.tensor([1.0, 0.0])
    x_t = torch.tensor([[-0.51], [-0.49], [0.0], [1.49], [1.51]])
    assert origins(KERNELS["ve"], x, g, x_t, 1.0).tolist() == [0, -1, -1, -1, 1]


def test_images_are_points_too():
    x, g = draw(4, 1, 2, 2, seed=0), torch.zeros(4)
    x_t = x + 0.5 * x  # a point's own direction is in its cell if it is the longest
    longest = int(x.flatten(1).norm(dim=1).argmax())
    assert origins(KERNELS["ve"], x, g, x_t, 0.5)[longest] == longest
