"""Dropout: the law of its masks, and that they are a function of what they are for."""

import pytest
import torch
from scipy import stats
from torch.autograd import forward_ad

from vct import rng
from vct.networks.dropout import dropped

COUNT = 1_000_003


def masks(probability, count=COUNT, *, key=0):
    with rng.dropout(key):
        return dropped(torch.ones(count), probability, training=True)


@pytest.mark.parametrize("probability", [0.3, 0.02, 0.5, 0.875])
def test_as_many_as_asked_for_are_dropped_and_the_mean_stays(probability):
    kept = masks(probability)
    dropped_ones = int((kept == 0).sum())
    assert stats.binomtest(dropped_ones, COUNT, probability).pvalue > 1e-3
    left = kept[kept != 0].unique()
    assert left.tolist() == [pytest.approx(1 / (1 - probability), rel=2e-4)]


def test_the_expectation_is_exact():
    """The factor belongs to the probability that 16 bits leave, not to the one asked for."""
    (factor,) = set(masks(0.3).tolist()) - {0.0}
    assert round(0.3 * 2**16) / 2**16 == pytest.approx(1 - 1 / factor, abs=1e-7)


def test_elements_of_one_word_and_of_neighbouring_words_are_independent():
    kept = (masks(0.3, 8 * 125_000) != 0).reshape(-1, 8).long()
    patterns = (kept * 2 ** torch.arange(8)).sum(dim=1)
    seen = torch.bincount(patterns, minlength=256).double()
    bits = (torch.arange(256)[:, None] // 2 ** torch.arange(8)) % 2
    expected = torch.where(bits == 1, 0.7, 0.3).double().prod(dim=1) * len(kept)
    assert stats.chisquare(seen.numpy(), expected.numpy()).pvalue > 1e-3


def test_one_key_one_mask_and_each_call_another():
    assert torch.equal(masks(0.3), masks(0.3))
    assert not torch.equal(masks(0.3), masks(0.3, key=1))
    with rng.dropout(0):
        first, second = (dropped(torch.ones(4000), 0.5, True) != 0 for _ in range(2))
    agreeing = int((first == second).sum())
    assert stats.binomtest(agreeing, 4000, 0.5).pvalue > 1e-3


@pytest.mark.parametrize("shape", [(3,), (2, 3, 5, 7), (4, 0)])
def test_gradients_go_where_values_went(shape):
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    y = dropped(x, 0.4, training=True)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert y.shape == x.shape and torch.equal(y, x * gradient)


def test_what_it_leaves_alone():
    x = torch.randn(5, 4)
    assert dropped(x, 0.5, training=False) is x and dropped(x, 0.0, training=True) is x
    assert torch.isfinite(dropped(x, 1 - 1e-12, training=True)).all()


def test_images_in_another_memory_format_have_the_same_mask():
    x = torch.randn(2, 8, 5, 5)
    with rng.dropout(0):
        rows = dropped(x, 0.5, True)
    with rng.dropout(0):
        channels = dropped(x.to(memory_format=torch.channels_last), 0.5, True)
    assert torch.equal(rows, channels)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_kept_is_divided_and_what_changes_with_it_is_too(dtype):
    """Also forward in mode: a derivative along a path has the mask of its value."""
    x, change = torch.randn(2, 50, 7).to(dtype)
    with rng.dropout(0), forward_ad.dual_level():
        pair = forward_ad.make_dual(x, change)
        value, moved = forward_ad.unpack_dual(dropped(pair, 0.25, True))
    kept = value != 0
    assert 0.1 < 1 - kept.double().mean() < 0.4
    factor = 1 / (1 - 0.25)
    assert torch.equal(value, torch.where(kept, x * factor, 0))
    assert torch.equal(moved, torch.where(kept, change * factor, 0))


def test_a_compiled_network_has_the_same_masks_in_one_graph():
    """Two places of one size have a mask each, also after another size made sizes symbols."""

    def twice(x):
        return dropped(dropped(x, 0.3, True) + 1, 0.3, True)

    compiled = torch.compile(twice, fullgraph=True, backend="aot_eager")
    for size in (4, 8, 6):
        x = torch.randn(size, 3, size, requires_grad=True)
        found = []
        for function in (twice, compiled):
            with rng.dropout(size):
                y = function(x)
            found.append((y, *torch.autograd.grad((y**2).sum(), x)))
        for exact, same in zip(*found, strict=True):
            torch.testing.assert_close(same, exact, rtol=0, atol=0)
