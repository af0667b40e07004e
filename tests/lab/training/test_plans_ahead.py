"""Pairs that are made in a thread, ahead of their step, are those made when they are needed."""

import threading

import pytest
import torch
from support import dataset, run_settings

from vct.couplings.base import Pair
from vct.couplings.minibatch_ot import MinibatchOT
from vct.lab.settings.runtime import RuntimeSettings
from vct.lab.training.checkpoint import Identity
from vct.lab.training.trainer import Trainer
from vct.misfit import Misfit

KINDS = {
    "ot": {"kind": "ot"},
    "pooled": {"kind": "ot", "pool": 3},
    "sinkhorn": {"kind": "sinkhorn", "iterations": 5},
    "c2ot": {"kind": "c2ot"},
    "gc": {"kind": "generator_augmented", "base": {"kind": "ot"}},
}


def trainer(state, coupling, ahead, **runtime):
    settings = run_settings(coupling, batch_size=8, steps=8, conditional=True, flip=True)
    identity = Identity(settings.model_dump(mode="json"), "0", 1)
    chosen = RuntimeSettings(device="cpu", prefetch=ahead, **runtime)
    return Trainer(settings, 3, dataset((1, 4, 4)), chosen, state, identity)


@pytest.mark.parametrize("kind", KINDS)
def test_the_training_is_the_same(kind, tmp_path):
    plain = trainer(tmp_path, KINDS[kind], 0)
    for step in range(8):
        plain._step(step)
    for ahead, micro_batch in ((2, None), (9, None), (2, 3)):
        other = trainer(tmp_path, KINDS[kind], ahead, micro_batch=micro_batch)
        for step in range(8):
            other._step(step)
        # Micro-batches sum in another order.
        near = torch.equal if micro_batch is None else torch.allclose
        pairs = zip(plain.model.parameters(), other.model.parameters(), strict=True)
        assert all(near(one, two) for one, two in pairs)


def test_plans_are_made_in_a_thread_before_they_are_asked_for_and_none_after_the_end(
    tmp_path, monkeypatch
):
    made, whole = [], MinibatchOT.couple

    def noted(coupling, x, eps, labels=None):
        made.append((threading.current_thread() is threading.main_thread(), len(x)))
        return whole(coupling, x, eps, labels)

    monkeypatch.setattr(MinibatchOT, "couple", noted)
    training = trainer(tmp_path, KINDS["pooled"], 1)
    training._step(0)
    training.loss._plans._pool.submit(int).result()  # what was submitted before is done
    assert made == [(False, 24), (False, 24)]
    for step in range(1, 8):
        training._step(step)
    training.loss._plans._pool.submit(int).result()
    assert made == [(False, 24), (False, 24), (False, 16)]


def test_couplings_that_look_at_the_model_are_not_planned_ahead(tmp_path):
    for coupling in (
        {"kind": "model_ot", "pool": 2},
        KINDS["gc"],
        {"kind": "ot", "over": "device"},
    ):
        assert trainer(tmp_path, coupling, 2).loss._plans is None


class Turned(MinibatchOT):
    """Asks for the plan of other data than those it is given."""

    def pair(self, x, eps, context):
        z = context.whole(lambda x, eps, labels: self.couple(-x, eps, labels), x, eps, None)
        return Pair(x, z, x.new_zeros(len(x)))


class Stateful(MinibatchOT):
    """Its pairs depend on when they are made."""

    def couple(self, x, eps, labels=None):
        return super().couple(x, eps + torch.rand(()), labels)


@pytest.mark.parametrize("kind", [Turned, Stateful])
def test_what_a_class_inherits_is_not_held_against_it(kind, tmp_path):
    training = trainer(tmp_path, {"kind": "ot"}, 2)
    training.model.coupling = kind()
    assert training.loss._plans is None
    if kind is Turned:
        batch = training.batches.at(0)
        eps = training.loss._noise(0, batch.x)
        levels = training.loss.objective.levels(0, 8, 8, torch.Generator().manual_seed(0))
        pair = training.loss._pair(0, slice(0, 8), batch, eps, levels)
        assert torch.equal(pair.z, MinibatchOT().couple(-batch.x, eps))


def test_a_training_that_ends_leaves_what_is_made_ahead(tmp_path, monkeypatch):
    begun, slow = [], threading.Event()

    def waiting(coupling, x, eps, labels=None):
        begun.append(None)
        if len(begun) > 1:
            slow.wait(20)
        return eps

    monkeypatch.setattr(MinibatchOT, "couple", waiting)
    training = trainer(tmp_path, KINDS["ot"], 5)
    thread = training.loss._plans._pool
    with pytest.raises(ZeroDivisionError), training.closing():
        training._step(0)
        raise ZeroDivisionError
    slow.set()
    thread.shutdown(wait=True)
    assert len(begun) <= 2
    assert training.batches.at(3).x.shape == (8, 1, 4, 4)  # what is asked for is still read


def test_what_goes_wrong_in_the_thread_is_said_at_the_step_that_needs_it(tmp_path, monkeypatch):
    training = trainer(tmp_path, KINDS["ot"], 2)
    monkeypatch.setattr(MinibatchOT, "couple", lambda _, x, eps, labels=None: eps[:3])
    with pytest.raises(Misfit, match=r"MinibatchOT.couple"):
        training._step(0)
