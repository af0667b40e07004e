"""Pairs are noises and what a flow makes of them, drawn evenly, each class of its own."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from scipy import stats
from support import pairing

from vct.couplings.base import in_parts
from vct.couplings.reflow import Reflow
from vct.misfit import Misfit
from vct.rng import Draw

SHAPE = (2, 1, 1)


class Gaussian:
    """The flow from N(0, I) to N(m, 0.04 I), with a mean m for each class: a straight line."""

    def __init__(self):
        self.asked = []

    def __call__(self, eps, labels):
        self.asked.append(len(eps))
        mean = 0.3 if labels is None else labels.argmax(dim=1).float()[:, None, None, None]
        return mean + 0.2 * eps


def pair(coupling, count=64, step=0, **more):
    context = replace(pairing(count, **more), draw=Draw(0, step))
    x = torch.zeros(count, *SHAPE)
    return coupling.pair(x, torch.zeros_like(x), context)


def test_pairs_are_those_of_the_flow_which_is_asked_once():
    flow = Gaussian()
    coupling = Reflow(flow, pairs=100)
    copied = deepcopy(coupling)
    for step in range(3):
        found = pair(copied if step else coupling, step=step)
        torch.testing.assert_close(found.x, 0.3 + 0.2 * found.z)
        assert found.kl.eq(0).all()
    assert flow.asked == [100]


def test_the_batch_is_divided_as_all_calls_are():
    flow = Gaussian()
    pair(Reflow(flow, pairs=100), divided=lambda *given: in_parts(32, *given))
    assert flow.asked == [32, 32, 32, 4]


def test_every_pair_is_drawn_equally_often():
    coupling = Reflow(Gaussian(), pairs=10)
    drawn = torch.cat([pair(coupling, step=step).z for step in range(40)])
    every, counts = drawn.flatten(1).unique(dim=0, return_counts=True)
    assert len(every) == 10 and stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_with_labels_pairs_are_of_the_class():
    which = torch.arange(60) % 3
    for pairs in (30, 31):
        coupling = Reflow(Gaussian(), classes=3, pairs=pairs)
        found = pair(coupling, 60, labels=torch.eye(3)[which])
        mean = which.float()[:, None, None, None].expand(-1, *SHAPE)
        torch.testing.assert_close(found.x - 0.2 * found.z, mean)
        assert len(found.z.flatten(1).unique(dim=0)) > 20


def test_noise_is_that_of_the_seed():
    one, same, other = (pair(Reflow(Gaussian(), noise_seed=seed)).z for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert one.std() == pytest.approx(1, abs=0.2)


def test_the_sampler_noises_anew_with_independent_noise():
    x, eps = torch.randn(2, 8, *SHAPE)
    assert torch.equal(Reflow(Gaussian()).couple(x, eps), eps)


def test_without_a_flow_it_says_so():
    coupling = Reflow(pairs=4)
    with pytest.raises(Misfit, match="Reflow needs a flow"):
        pair(coupling)
    copied = deepcopy(coupling)
    coupling.learn_from(Gaussian())
    assert torch.equal(pair(coupling).x, pair(copied).x)


def test_a_flow_that_gives_something_else():
    with pytest.raises(Misfit, match=r"Reflow.flow has shape"):
        pair(Reflow(lambda eps, labels: eps[:, :1], pairs=8))
