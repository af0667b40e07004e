"""The yardstick of `make bench` computes what we do, and its pieces are all of a step's."""

import sys

import pytest
import torch
from support import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
from bench import pieces, timing, yardstick
from bench.subjects import Subject, trainer

SMALL = Subject(1, 8, 8, 8, (1, 2), 8)


@pytest.mark.parametrize("coupling", SMALL.couplings(0))
def test_gradients_of_the_yardstick_are_ours(coupling, tmp_path):
    made = trainer(SMALL, tmp_path, SMALL.couplings(0)[coupling], dropout=0.0)
    assert yardstick.difference(made) < 1e-5
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in made.parameters:  # many begin as zero
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    assert yardstick.difference(made) < 1e-5


def test_a_step_of_the_yardstick_moves_its_weights_and_average(tmp_path):
    plain = yardstick.Yardstick(trainer(SMALL, tmp_path, {"kind": "ot"}))
    before = [parameter.detach().clone() for parameter in plain.parameters]
    assert plain.step(0) > 0
    assert any(not torch.equal(*each) for each in zip(before, plain.parameters, strict=True))
    assert any(not torch.equal(*each) for each in zip(before, plain.average, strict=True))


def test_pieces_of_a_step_are_counted_as_often_as_they_are_called():
    layer = torch.nn.Conv2d(2, 3, 3, padding=1)
    x = torch.randn(2, 2, 4, 4)
    with pieces.Pieces() as seen:
        (layer(x) + layer(x)).sum().backward()
        x.flatten(1) @ torch.randn(32, 5)
    names = {key.split(".")[1]: count for key, count in seen.calls.items()}
    assert names == {"convolution": 2, "convolution_backward": 2, "mm": 1}
    assert pieces.seconds(lambda: layer(x).sum().backward(), repeats=1) > 0


def test_things_take_turns_and_the_first_turn_does_not_count():
    calls = []
    found = timing.medians({"a": lambda n: calls.append(("a", n)), "b": lambda n: None}, 2, 2)
    assert [n for _, n in calls] == [0, 1, 2, 3, 4, 5] and set(found) == {"a", "b"}
