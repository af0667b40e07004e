"""What the default average leaves of the start, and when a stated one leaves too much."""

import numpy as np
import pytest
import torch
from support import PARAMS
from torch import nn

from vct.averages.ema import ramped_decay
from vct.lab import build
from vct.lab.settings.train import TrainSettings

STATED = {"kind": "constant", "decay": 0.99, "width": 0.1}


def average_settings(**train):
    """Settings of the average of a run whose `ema` is given or, by None, left out."""
    given = {"snapshots": 0, "ema": None, **train}
    section = {**PARAMS["experiments"]["small"]["train"], **given}
    if section["ema"] is None:
        del section["ema"]
    return TrainSettings.model_validate(section).ema


@pytest.fixture
def model():
    module = nn.Linear(1, 1, bias=False)
    nn.init.ones_(module.weight)
    return module


def left(settings, steps, module, until=0):
    """Share of the weights before step `until` in the average: they are 1, and later ones 0."""
    average = build.average(settings, module)
    with torch.no_grad():
        for step in range(steps):
            if step == until:
                module.weight.zero_()
            average.update(step)
    return average.module.weight.item()


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 100, 1500, 5000])
def test_the_default_forgets_the_start(steps, model):
    assert left(average_settings(steps=steps), steps, model) < 0.01
    # Nor does it remember the first tenth of the training.
    nn.init.ones_(model.weight)
    assert left(average_settings(steps=steps), steps, model, until=steps // 10) < 0.01


def test_the_default_of_a_long_training_is_the_published_one():
    """The weights that both give to each step of 400,000."""
    settings = average_settings()
    steps = np.arange(400_000)
    ramped = np.array([ramped_decay(step, settings.decay, settings.warm_up) for step in steps])
    published = np.full(400_000, 0.9999)

    def profile(decays):
        later = np.cumprod(np.append(1, decays[:0:-1]))[::-1]
        return (1 - decays) * later

    assert np.abs(profile(ramped) - profile(published)).sum() < 1e-9


@pytest.mark.parametrize("ema", [{}, {"kind": "constant"}])
def test_what_states_no_decay_is_the_default(ema):
    assert average_settings(ema=ema).warm_up == average_settings().warm_up == 0.05


def test_a_stated_average_is_what_it_always_was():
    """And so is the hash of its run."""
    assert average_settings(ema={"decay": 0.99}).model_dump() == STATED
    assert average_settings(ema={"warm_up": 0.1}).model_dump() == {
        **STATED,
        "decay": 0.9999,
        "warm_up": 0.1,
    }
    assert average_settings(ema={"warm_up": None}).model_dump() == {**STATED, "decay": 0.9999}
    again = average_settings(ema=average_settings().model_dump())
    assert again == average_settings()


@pytest.mark.parametrize("steps", [1, 30, 459])
@pytest.mark.parametrize(
    "ema",
    [
        None,
        {"decay": 0.0},
        {"decay": 0.5},
        {"decay": 0.99},
        {"decay": 0.9999},
        {"decay": 0.9999, "warm_up": 0.05},
        {"decay": 0.9999, "warm_up": 1.0},
        {"kind": "power", "width": 0.2},
        {"kind": "post_hoc", "kept": 2, "widths": [0.27, 0.1]},
    ],
)
def test_a_warning_says_what_the_average_leaves_of_the_start(ema, steps, model):
    settings = average_settings(ema=ema)
    share, caution = left(settings, steps, model), settings.caution(steps)
    assert (caution is not None) == (share > 0.01)
    if caution:
        assert f"after {steps} steps, a decay of {settings.decay} leaves {share:.1%}" in caution


def test_one_percent_is_not_too_much():
    assert average_settings(ema={"decay": 0.01}).caution(1) is None
    assert average_settings(ema={"decay": 0.01001}).caution(1) is not None


@pytest.mark.parametrize(
    ("ema", "says"),
    [
        ({"width": 0.1}, "width: is of kind power"),
        ({"decay": 0.9, "width": 0.2}, "it is for kind power"),
        ({"kind": "power", "decay": 0.9}, "it is for kind constant"),
        ({"kind": "power", "warm_up": 0.1}, "it is for kind constant"),
    ],
)
def test_what_its_kind_does_not_use_is_refused(ema, says):
    with pytest.raises(ValueError, match=says):
        average_settings(ema=ema)


def test_what_was_written_is_read_again():
    for ema in (None, {"decay": 0.99}, {"kind": "power", "width": 0.2}):
        settings = average_settings(ema=ema)
        assert average_settings(ema=settings.model_dump(mode="json")) == settings
