"""Magnitude-preserving layers keep unit variance; weights keep unit norm in a student pass."""

import pytest
import torch

from vct.networks.magnitude import MPConv, MPFourier, mp_cat, mp_silu, mp_sum, normalise


def variance(x):
    return x.square().mean().item()


def rms(layer):
    """Root mean square of the weights of each output."""
    return layer.weight.detach().flatten(1).square().mean(dim=1).sqrt()


@pytest.mark.parametrize("dim", [[1], [2], [1, 2, 3]])
def test_normalise_gives_unit_mean_square_and_keeps_the_direction(dim):
    x = 7 * torch.randn(3, 8, 5, 5)
    y = normalise(x, dim)
    square = y.square().mean(dim=dim)
    torch.testing.assert_close(square, torch.ones_like(square), rtol=1e-3, atol=0)
    scale = (x / y).mean(dim=dim, keepdim=True)
    torch.testing.assert_close(y * scale, x)
    assert (normalise(torch.zeros(2, 3), [1]) == 0).all()


def test_sums_and_activations_keep_unit_variance():
    a, b = torch.randn(2, 400, 300)
    assert variance(mp_silu(a)) == pytest.approx(1, abs=0.02)
    for t in (0.0, 0.3, 0.5, 1.0):
        assert variance(mp_sum(a, b, t)) == pytest.approx(1, abs=0.02)
    torch.testing.assert_close(mp_sum(a, b, 0.0), a)
    torch.testing.assert_close(mp_sum(a, b, 1.0), b)


def test_both_parts_of_a_concatenation_count_the_same():
    a, b = torch.randn(64, 24, 10, 10), torch.randn(64, 8, 10, 10)
    y = mp_cat(a, b)
    assert y.shape[1] == 32
    assert variance(y) == pytest.approx(1, abs=0.02)
    power = y.square().sum(dim=(0, 2, 3))
    assert (power[:24].sum() / power[24:].sum()).item() == pytest.approx(1, abs=0.03)


def test_fourier_features_have_unit_variance_at_any_noise_level():
    y = MPFourier(20_000)(torch.tensor([-1.5, 0.0, 1.1]))
    assert y.square().mean(dim=1).tolist() == pytest.approx([1, 1, 1], abs=0.03)


@pytest.mark.parametrize("kernel", [None, 1, 3])
def test_output_has_unit_variance_however_large_the_weights(kernel):
    layer = MPConv(32, 64, kernel).eval()
    x = torch.randn((64, 32) if kernel is None else (16, 32, 32, 32))
    y = layer(x)
    y = y if kernel is None else y[:, :, 1:-1, 1:-1]
    assert variance(y) == pytest.approx(1, abs=0.1)
    with torch.no_grad():
        layer.weight.mul_(50)
    torch.testing.assert_close(layer(x), layer(x / 2, gain=2.0))
    y = layer(x) if kernel is None else layer(x)[:, :, 1:-1, 1:-1]
    assert variance(y) == pytest.approx(1, abs=0.1)


def test_a_student_pass_normalises_the_stored_weights():
    layer = MPConv(8, 6, 3).train()
    with torch.no_grad():
        layer.weight.mul_(torch.linspace(0.5, 30, 6)[:, None, None, None])
    direction = layer.weight.detach() / rms(layer)[:, None, None, None]
    layer(torch.randn(2, 8, 4, 4))
    torch.testing.assert_close(rms(layer), torch.ones(6), rtol=1e-3, atol=0)
    torch.testing.assert_close(layer.weight.detach(), direction, rtol=1e-3, atol=1e-5)


def test_a_teacher_pass_and_sampling_leave_the_stored_weights():
    layer = MPConv(8, 6, 3).train()
    with torch.no_grad():
        layer.weight.mul_(3)
    before = layer.weight.detach().clone()
    x = torch.randn(2, 8, 4, 4)
    with torch.no_grad():
        teacher = layer(x)
    sampler = layer.eval()(x)
    assert torch.equal(layer.weight, before)
    student = layer.train()(x)
    assert not torch.equal(layer.weight, before)
    torch.testing.assert_close(teacher, student.detach(), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(sampler, student, rtol=1e-3, atol=1e-4)


def test_several_student_passes_before_one_backward_pass():
    """Gradients of two passes are those of one pass over both inputs."""
    layer = MPConv(8, 6, 3).train()
    layer(torch.zeros(1, 8, 4, 4))
    first, second = torch.randn(2, 2, 8, 4, 4)
    (layer(first).pow(3).sum() + layer(second).pow(3).sum()).backward()
    apart = layer.weight.grad.clone()
    layer.weight.grad = None
    layer(torch.cat([first, second])).pow(3).sum().backward()
    torch.testing.assert_close(apart, layer.weight.grad, rtol=1e-4, atol=1e-3)


def test_gradient_is_orthogonal_to_the_weights():
    """The norm of the weights has no influence, so the loss has no slope along it (eq. 41)."""
    layer = MPConv(8, 6, 3).train()
    layer(torch.randn(2, 8, 4, 4)).pow(3).sum().backward()
    along = (layer.weight.grad * layer.weight.detach()).flatten(1).sum(dim=1)
    size = layer.weight.grad.flatten(1).norm(dim=1) * layer.weight.detach().flatten(1).norm(dim=1)
    assert (along.abs() < 1e-3 * size).all()
