"""Pairs that are made in a thread, ahead of their step, are those made when they are needed."""

import threading

import pytest
import torch
from support import dataset, run_settings

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


def test_what_goes_wrong_in_the_thread_is_said_at_the_step_that_needs_it(tmp_path, monkeypatch):
    training = trainer(tmp_path, KINDS["ot"], 2)
    monkeypatch.setattr(MinibatchOT, "couple", lambda _, x, eps, labels=None: eps[:3])
    with pytest.raises(Misfit, match=r"MinibatchOT.couple"):
        training._step(0)
