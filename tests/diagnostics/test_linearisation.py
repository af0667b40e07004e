"""Products with the Jacobian against torch's own whole Jacobian."""

import pytest
import torch
from torch.nn import functional

from vct.diagnostics import linearisation
from vct.diagnostics.linearisation import Linearisation

SHAPE = (2, 3, 2)


def draw(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def bent(x, t):
    weight = draw(12, 12, seed=0)
    return (torch.tanh(x.flatten(1) @ weight) * t[:, None]).reshape(x.shape)


def attending(x, t):
    return functional.scaled_dot_product_attention(x, 2 * x, x) * t[:, None, None, None]


@pytest.mark.parametrize("f", [bent, attending])
def test_matrix_and_products(f, monkeypatch):
    monkeypatch.setattr(linearisation, "BLOCK", 5)
    x = draw(*SHAPE, seed=1)
    t = torch.tensor([0.7], dtype=torch.float64)
    known = torch.autograd.functional.jacobian(lambda x: f(x[None], t)[0], x).reshape(12, 12)
    jacobian, rows = Linearisation(f, x, 0.7), draw(7, 12, seed=2)
    torch.testing.assert_close(jacobian.matrix(), known)
    torch.testing.assert_close(jacobian.jvp(rows), rows @ known.T)
    torch.testing.assert_close(jacobian.vjp(rows), rows @ known)
