"""What is handed over gives the pairs of a coupling that makes it itself, bit for bit."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from support import pairing
from torch import nn

from vct.couplings.base import PreparingContext, in_parts
from vct.couplings.generator_augmented import GeneratorAugmented
from vct.couplings.independent import Independent
from vct.couplings.preparation import accept, prepare, prepares
from vct.couplings.reflow import Reflow
from vct.couplings.semidiscrete import Semidiscrete
from vct.couplings.variational import Variational
from vct.misfit import Misfit
from vct.rng import Draw

SHAPE = (2, 1, 1)
LIKE = torch.empty(0, *SHAPE)
LABELS = torch.arange(24) % 3


def points():
    draw = torch.Generator().manual_seed(5)
    return torch.randn(24, *SHAPE, generator=draw), LABELS


def flow(eps, labels):
    return 0.2 * eps + (0 if labels is None else labels.argmax(dim=1)[:, None, None, None])


def never(*_):
    pytest.fail("this was prepared")


def semidiscrete(ready=False, classes=0, entropy=0.0):
    given = points if classes else lambda: (points()[0], None)
    watched = never if ready else iter
    return Semidiscrete(given, classes, 40, 64, entropy, watched)


def reflow(ready=False, classes=0):
    return Reflow(never if ready else flow, classes, pairs=20, noise_seed=3)


class Doubled(nn.Module):
    """An encoder that answers half of its input, and deviations of ln 2."""

    def forward(self, x, time, labels):
        return torch.cat([x / 2, torch.zeros_like(x)], dim=1)


KINDS = {
    "semidiscrete": semidiscrete,
    "soft": lambda *given: semidiscrete(*given, entropy=0.5),
    "reflow": reflow,
}
OVER = {
    "": lambda base: base,
    "base.": lambda base: GeneratorAugmented(base, mu=0.0),
    "base.base.": lambda base: GeneratorAugmented(Variational(Doubled(), 1.0, base=base), mu=0.0),
}


def pair(coupling, classes, step=0):
    labels = torch.eye(3)[LABELS] if classes else None
    context = replace(pairing(24, labels=labels), draw=Draw(7, step))
    averaged = lambda x, t, labels: x  # noqa: E731
    eps = torch.randn(24, *SHAPE, generator=torch.Generator().manual_seed(step))
    return coupling.pair(points()[0], eps, replace(context, averaged=averaged))


@pytest.mark.parametrize("over", OVER)
@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_it_pairs_with_what_another_prepared_as_with_its_own(kind, classes, over):
    made = prepare(OVER[over](KINDS[kind](False, classes)), PreparingContext(LIKE))
    names = {"samples", "noise"} if kind == "reflow" else {"potentials"}
    assert set(made) == {over + name for name in names}
    lazy, ready = (OVER[over](KINDS[kind](given, classes)) for given in (False, True))
    copied = deepcopy(ready)
    accept(ready, made)
    for step in range(3):
        expected = pair(lazy, classes, step)
        for each in (ready, copied):
            found = pair(each, classes, step)
            assert torch.equal(found.x, expected.x) and torch.equal(found.z, expected.z)
    assert ready.state_dict().keys() == lazy.state_dict().keys()


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_prepared_is_used_by_the_coupling_itself(kind):
    coupling = KINDS[kind]()
    first = coupling.prepare(PreparingContext(LIKE))
    again = coupling.prepare(PreparingContext(LIKE))
    assert all(first[name] is again[name] for name in first)
    assert not coupling.state_dict()
    assert torch.equal(pair(coupling, 0).x, pair(KINDS[kind](), 0).x)


def test_potentials_of_classes_are_those_of_each_alone():
    made = semidiscrete(classes=3).prepare(PreparingContext(LIKE))["potentials"]
    x, _ = points()
    for label in range(3):
        mine = label == LABELS
        alone = Semidiscrete(lambda mine=mine: (x[mine], None), 0, 40, 64)
        assert torch.equal(made[mine], alone.prepare(PreparingContext(LIKE))["potentials"])
    assert not torch.equal(made, semidiscrete().prepare(PreparingContext(LIKE))["potentials"])


def test_the_work_is_divided_as_the_context_says():
    asked = []

    def divided(call, eps, labels):
        asked.append(len(eps))
        return in_parts(7, call, eps, labels)

    made = reflow().prepare(PreparingContext(LIKE, divided))
    assert asked == [20]
    assert torch.equal(made["samples"], reflow().prepare(PreparingContext(LIKE))["samples"])


def test_most_prepare_nothing():
    for coupling in (Independent(), GeneratorAugmented(Independent())):
        assert not prepares(coupling) and prepare(coupling, PreparingContext(LIKE)) == {}
        accept(coupling, {})
    assert prepares(semidiscrete()) and prepares(GeneratorAugmented(reflow()))


@pytest.mark.parametrize(
    ("coupling", "prepared", "said"),
    [
        (reflow, {"samples": torch.zeros(19, *SHAPE), "noise": torch.zeros(19, *SHAPE)}, "samples"),
        (reflow, {"samples": torch.zeros(20, *SHAPE), "noise": torch.zeros(20, 1)}, "noise"),
        (semidiscrete, {"potentials": torch.zeros(23)}, "potentials"),
    ],
)
def test_what_was_prepared_of_something_else(coupling, prepared, said):
    made = coupling()
    with pytest.raises(Misfit, match=rf"{said} has shape"):
        accept(made, prepared)
        pair(made, 0)


class Own(Independent):
    given = None

    def prepare(self, context):
        return self.given

    def accept(self, prepared):
        self.taken = dict(prepared)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "Own.prepare gives NoneType, not named tensors"),
        ({"a.b": torch.zeros(1)}, "'a.b'; names are without dots"),
        ({1: torch.zeros(1)}, "the name 1"),
        ({"a": [1.0]}, "a is list, not a tensor"),
    ],
)
def test_what_is_no_named_tensor_is_refused(given, said):
    coupling = Own()
    coupling.given = given
    with pytest.raises(Misfit, match=said):
        prepare(coupling, PreparingContext(LIKE))


def test_each_part_is_given_its_own():
    coupling, other = Own(), Own()
    for each in (coupling, other):
        each.inner = GeneratorAugmented(Own())
    coupling.given, coupling.inner.base.given = {"a": torch.ones(2)}, {"a": torch.zeros(3)}
    accept(other, prepare(coupling, PreparingContext(LIKE)))
    for part, expected in ((other, torch.ones(2)), (other.inner.base, torch.zeros(3))):
        assert part.taken.keys() == {"a"} and torch.equal(part.taken["a"], expected)


def test_what_is_handed_over_replaces_what_was_made():
    coupling, potentials = semidiscrete(), torch.zeros(24)
    pair(coupling, 0)
    potentials[7] = 1000.0  # a cell that is all of the space
    accept(coupling, {"potentials": potentials})
    assert torch.equal(pair(coupling, 0).x, points()[0][7].expand(24, *SHAPE))


def test_who_prepares_takes_it_too():
    for name in ("prepare", "accept"):
        with pytest.raises(Misfit, match="Half must define both prepare and accept, or neither"):
            type("Half", (Independent,), {name: lambda self, given: {}})
