"""Averages agree with closed forms, and follow buffers too."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from vct.averages.ema import (
    ConstantAverage,
    PowerAverage,
    power_decay,
    power_exponent,
    ramped_decay,
)
from vct.misfit import Misfit


class Scalar(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = nn.Parameter(torch.tensor([value], dtype=torch.float64))


def follow(start, values, decay, width=0.1):
    """The average after a training whose weight went through `values`."""
    model = Scalar(start)
    ema = PowerAverage(model, width) if decay is None else ConstantAverage(model, decay)
    for step, value in enumerate(values):
        with torch.no_grad():
            model.value.fill_(value)
        ema.update(step)
    return ema.module.value.item()


def test_constant_average_is_a_weighted_sum():
    values = np.random.default_rng(0).normal(size=50)
    decay, start = 0.9, 3.0
    weights = (1 - decay) * decay ** np.arange(49, -1, -1)
    expected = weights @ values + decay**50 * start
    assert weights.sum() + decay**50 == pytest.approx(1)
    assert follow(start, values, decay) == pytest.approx(expected, rel=1e-9)


def test_no_decay_is_the_last_weight():
    assert follow(3.0, [1.0, 5.0], 0.0) == 5.0


@pytest.mark.parametrize("width", [0.05, 0.1, 0.2])
def test_power_average_of_a_ramp(width):
    """Weights of a power-function average are ((k+1)^(g+1) - k^(g+1)) / n^(g+1)."""
    count, exponent = 400, power_exponent(width)
    ramp = np.arange(count, dtype=float)
    weights = np.diff((np.arange(count + 1) / count) ** (exponent + 1))
    assert weights.sum() == pytest.approx(1)
    average = follow(1e6, ramp, None, width)
    assert average == pytest.approx(weights @ ramp, rel=1e-9)


@pytest.mark.parametrize("width", [0.05, 0.1, 0.2])
def test_exponent_gives_the_relative_width(width):
    """The profile t^g on [0, 1] is a beta distribution, whose standard deviation is the width."""
    a = power_exponent(width) + 1
    deviation = math.sqrt(a / ((a + 1) ** 2 * (a + 2)))
    assert deviation == pytest.approx(width, rel=1e-9)


@pytest.mark.parametrize(("decay", "warm_up"), [(0.9999, 0.05), (0.9, 0.5), (0.0, 0.1)])
def test_half_life_never_exceeds_its_share_of_the_past(decay, warm_up):
    decays = [ramped_decay(step, decay, warm_up) for step in range(5000)]
    assert decays[0] == 0
    assert decays == sorted(decays)
    for step, beta in enumerate(decays):
        assert beta <= decay
        if 0 < beta < decay:
            # After one half-life of steps with this decay, half of the past is left.
            assert beta ** (warm_up * step) == pytest.approx(0.5)
    assert (decays[-1] == decay) == (decay**250 < 0.5)


def test_warm_up_forgets_the_start():
    values = [1.0] * 30
    model = Scalar(1e6)
    slow, ramped = ConstantAverage(model, 0.999), ConstantAverage(model, 0.999, warm_up=0.1)
    for step, value in enumerate(values):
        with torch.no_grad():
            model.value.fill_(value)
        slow.update(step)
        ramped.update(step)
    assert ramped.module.value.item() == 1
    assert slow.module.value.item() > 1e5


def test_power_decay_rises_from_zero_to_one():
    decays = [power_decay(step, 6.94) for step in range(1000)]
    assert decays[0] == 0
    assert decays == sorted(decays)
    assert 0.99 < decays[-1] < 1


def test_buffers_and_integers_are_followed():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    ema = ConstantAverage(model, 0.75)
    before = model[1].running_mean.clone()
    model(torch.randn(16, 3, generator=torch.Generator().manual_seed(0)))
    ema.update(0)
    expected = 0.75 * before + 0.25 * model[1].running_mean
    torch.testing.assert_close(ema.module[1].running_mean, expected)
    assert ema.module[1].num_batches_tracked == 1


class Noting(nn.Module):
    """Keeps a state of its own: what it saw last, which is not averaged, and a weight."""

    unaveraged = ("seen",)

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.register_buffer("seen", torch.zeros(3))
        self.register_buffer("mean", torch.zeros(3))


@pytest.mark.parametrize("nested", [False, True])
def test_buffers_that_a_part_names_are_taken_over(nested):
    made = Noting()
    model = nn.ModuleDict({"inner": made}) if nested else made
    ema = PowerAverage(model, 0.1)
    found = ema.module["inner"] if nested else ema.module
    for step in range(4):
        for tensor in (made.seen, made.mean, made.weight.data):
            tensor.fill_(step + 1.0)
        ema.update(step)
    assert torch.equal(found.seen, made.seen)
    assert not torch.equal(found.mean, made.mean)
    torch.testing.assert_close(found.mean[:2], found.weight)


def test_a_tensor_put_in_the_place_of_a_buffer_is_followed():
    """`self.mean = ...` makes another tensor of it."""
    model = nn.ModuleDict({"inner": Noting()})
    ema, inner = ConstantAverage(model, 0.5), model["inner"]
    inner.mean, inner.seen = inner.mean + 1, inner.seen + 2
    ema.update(0)
    inner.mean = 0.5 * inner.mean + 2.5
    ema.update(1)
    assert torch.equal(ema.module["inner"].mean, torch.full((3,), 1.75))
    assert torch.equal(ema.module["inner"].seen, torch.full((3,), 2.0))


@pytest.mark.parametrize("names", ["seen", ("sean",), ("weight",)])
def test_names_of_no_buffers_are_refused(monkeypatch, names):
    monkeypatch.setattr(Noting, "unaveraged", names)
    with pytest.raises(Misfit, match=r"Noting.unaveraged is .*, not names of its buffers"):
        PowerAverage(Noting(), 0.1)


def test_average_is_a_frozen_copy_in_evaluation_mode():
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)).train()
    ema = ConstantAverage(model, 0.9)
    assert not any(module.training for module in ema.module.modules())
    assert not any(parameter.requires_grad for parameter in ema.module.parameters())
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    untouched = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        model[0].weight.add_(1)
    torch.testing.assert_close(ema.module[0].weight, untouched["0.weight"])


def test_update_leaves_the_model_alone():
    model = Scalar(0.0)
    ema = ConstantAverage(model, 0.5)
    with torch.no_grad():
        model.value.fill_(2.0)
    ema.update(0)
    assert model.value.item() == 2.0
    assert ema.module.value.item() == 1.0
