"""Transport with a price on noise that changes its class: limits, optimum, what it mends."""

import itertools

import pytest
import torch
from support import params
from torch.nn import functional

from vct.couplings.conditional_ot import ConditionalOT
from vct.couplings.minibatch_ot import MinibatchOT
from vct.couplings.sinkhorn import centred
from vct.lab.errors import UserError
from vct.lab.settings import reading


def batch(size=32, classes=3, seed=0):
    """Points whose classes lie apart, noise, one-hot labels."""
    generator = torch.Generator().manual_seed(seed)
    which = torch.randint(classes, (size,), generator=generator)
    x = torch.randn(size, 2, 2, 1, generator=generator)
    x[:, 0, 0, 0] += 3 * which
    return x, torch.randn(x.shape, generator=generator), functional.one_hot(which, classes).float()


def test_price_of_nothing_and_no_labels_are_plain_transport():
    x, eps, labels = batch()
    plain = MinibatchOT().couple(x, eps)
    assert torch.equal(ConditionalOT(0).couple(x, eps, labels), plain)
    assert torch.equal(ConditionalOT(5).couple(x, eps), plain)


def test_high_price_is_transport_within_each_class():
    x, eps, labels = batch()
    z, which = ConditionalOT(1e4).couple(x, eps, labels), labels.argmax(dim=1)
    for label in range(3):
        mine = which == label
        assert torch.equal(z[mine], MinibatchOT().couple(x[mine], eps[mine]))


@pytest.mark.parametrize("weight", [0.3, 1.0, 3.0])
def test_no_permutation_is_better(weight):
    x, eps, labels = batch(size=6, seed=3)
    gain = x.flatten(1).double() @ eps.flatten(1).double().T
    spread, which = centred(gain).std(correction=0), labels.argmax(dim=1)

    def value(plan):
        plan = torch.tensor(plan)
        changed = (which != which[plan]).sum()
        return gain[torch.arange(6), plan].sum() - weight * spread * changed

    best = max(map(value, itertools.permutations(range(6))))
    z = ConditionalOT(weight).couple(x, eps, labels)
    found = [int((eps == row).flatten(1).all(dim=1).nonzero()) for row in z]
    assert value(found) == pytest.approx(float(best), rel=1e-5)


def test_fewer_classes_change_as_the_price_rises_and_noise_of_a_class_is_less_skewed():
    """Mean of z within a class: 0 without the skew that plain transport gives (torchcfm#117)."""
    changes, skews = [], []
    for weight in (0.0, 0.5, 2.0, 1e4):
        changed, means = 0.0, []
        for seed in range(40):
            x, eps, labels = batch(size=64, seed=seed)
            z, which = ConditionalOT(weight).couple(x, eps, labels), labels.argmax(dim=1)
            origin = [int((eps == row).flatten(1).all(dim=1).nonzero()) for row in z]
            changed += float((which[origin] != which).float().mean()) / 40
            means.append(z[which == 2].mean(dim=0))
        changes.append(changed)
        skews.append(float(torch.stack(means).mean(dim=0).norm()))
    assert changes == sorted(changes, reverse=True) and changes[-1] == 0 < changes[-2]
    assert skews[0] > 0.7 and skews[-1] < 0.1 and skews == sorted(skews, reverse=True)


def test_price_means_the_same_at_every_scale():
    x, eps, labels = batch()
    coupling = ConditionalOT(0.7)
    assert torch.equal(coupling.couple(x, eps, labels), coupling.couple(9 * x, eps, labels))


def test_diverged_model_gives_nan():
    x, eps, labels = batch()
    x[0] = torch.inf
    assert ConditionalOT().couple(x, eps, labels).isnan().all()


def test_training_without_labels_is_refused():
    changes = {
        "experiments.small.variants": ["c2ot"],
        "experiments.small.couplings": {"c2ot": {"weight": 2.0}},
    }
    with pytest.raises(UserError, match="without labels coupling c2ot is minibatch transport"):
        reading.validate(params(changes))
    inside = {"gc": {"kind": "generator_augmented", "base": {"kind": "c2ot"}}}
    other = {"experiments.small.variants": ["gc"], "experiments.small.couplings": inside}
    with pytest.raises(UserError, match="without labels coupling c2ot is minibatch transport"):
        reading.validate(params(other))
    changes["experiments.small.train.conditional"] = True
    reading.validate(params(changes))
