"""Couplings that pair several batches at once: which noise goes where, and from which step on."""

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from support import dataset, run_settings

from vct import rng
from vct.lab.settings.runtime import RuntimeSettings
from vct.lab.training.checkpoint import Identity
from vct.lab.training.trainer import Trainer
from vct.objectives.base import Objective

STEPS, SIZE = 7, 4
OT = {"kind": "ot", "pool": 3}


def trainer(state, coupling=OT, **train):
    state.mkdir(exist_ok=True)
    settings = run_settings(coupling, batch_size=SIZE, steps=STEPS, snapshots=0, **train)
    identity = Identity(settings.model_dump(mode="json"), "0", 1)
    runtime = RuntimeSettings(device="cpu")
    return Trainer(settings, 3, dataset((2, 1, 1)), runtime, state, identity)


@pytest.fixture
def pairs(monkeypatch):
    """x and z that the objective is given, step by step."""
    seen = []
    whole = Objective.loss

    def noted(objective, f, pair, *others):
        seen.append((pair.x.flatten(1).clone(), pair.z.flatten(1).clone()))
        return whole(objective, f, pair, *others)

    monkeypatch.setattr(Objective, "loss", noted)
    return seen


def noise(step):
    return rng.normal((SIZE, 2, 1, 1), 3, step, "noise", device=torch.device("cpu")).flatten(1)


@pytest.mark.parametrize("steps", [range(0, 3), range(3, 6), range(6, 7)])
def test_a_pool_is_paired_at_the_least_cost_and_uses_every_noise_once(pairs, steps, tmp_path):
    made = trainer(tmp_path)
    for step in steps:
        made.loss.backward(step, made.batches.at(step))
    x, z = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    eps = torch.cat([noise(step) for step in steps])
    assert sorted(map(tuple, z.tolist())) == sorted(map(tuple, eps.tolist()))
    torch.testing.assert_close(x, torch.cat([made.batches.at(s).x.flatten(1) for s in steps]))
    best = linear_sum_assignment((x @ eps.T).numpy(), maximize=True)
    assert float((x * z).sum()) == pytest.approx(float((x @ eps.T).numpy()[best].sum()), rel=1e-5)


def test_an_entropic_plan_is_one_of_all_batches_of_the_pool(pairs, tmp_path):
    """At little entropy it is the exact plan, which no batch's own plan is."""
    made = trainer(tmp_path, {"kind": "sinkhorn", "entropy": 0.005, "iterations": 5000, "pool": 3})
    exact = trainer(tmp_path / "exact")
    for training in (made, exact):
        for step in range(3):
            training.loss.backward(step, training.batches.at(step))
    entropic, expected = (torch.cat([z for _, z in part]) for part in (pairs[:3], pairs[3:]))
    torch.testing.assert_close(entropic, expected)


def test_a_training_that_goes_on_inside_a_pool_pairs_as_one_that_was_not_stopped(pairs, tmp_path):
    first, other = trainer(tmp_path / "a"), trainer(tmp_path / "b")
    for step in (3, 4, 5):
        first.loss.backward(step, first.batches.at(step))
    other.loss.backward(5, other.batches.at(5))
    assert torch.equal(pairs[2][1], pairs[3][1])


def test_the_averaged_model_pairs_all_batches_of_its_pool(pairs, tmp_path):
    """By hand: what the average of the pool's first step makes of every noise of the pool."""
    fast = {"ema": {"decay": 0.5}, "optimizer": {"kind": "adam", "learning_rate": 0.1}}
    made = trainer(tmp_path, {"kind": "model_ot", "pool": 3}, **fast)
    for step in range(3):
        made._step(step)
    pairs.clear()
    eps = torch.cat([noise(step) for step in (3, 4, 5)]).reshape(12, 2, 1, 1)
    f = made.loss._f(made.ema.module.network)
    t = torch.full((12,), made.train.t_max)
    with torch.no_grad():
        answers = f(f.kernel(torch.zeros_like(eps), eps, t), t).flatten(1)
    for step in (3, 4, 5):
        made._step(step)
    x, z = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    _, best = linear_sum_assignment((x @ answers.T).numpy(), maximize=True)
    assert torch.equal(z, eps.flatten(1)[best])


def test_what_is_used_up_is_not_saved(tmp_path):
    made = trainer(tmp_path)
    made._step(0)
    made._step(1)
    assert list(made.loss.state(2)) == [0] and made.loss.state(3) == {}


@pytest.mark.parametrize("stop", [2, 5])
def test_a_training_that_is_stopped_in_a_pool_goes_on_to_the_same_bits(pairs, stop, tmp_path):
    """The model that paired the pool has changed when it goes on."""
    coupling = {"kind": "model_ot", "pool": STEPS}
    fast = {"ema": {"decay": 0.1}, "optimizer": {"kind": "adam", "learning_rate": 0.1}}
    whole = trainer(tmp_path / "whole", coupling, **fast)
    whole.run()
    expected = [z for _, z in pairs]
    pairs.clear()
    first = trainer(tmp_path / "parts", coupling, **fast)
    while first.step < stop:
        first._step(first.step)
        first.step += 1
    first.save()
    other = trainer(tmp_path / "parts", coupling, **fast)
    assert other.resume() == stop
    other.run()
    assert all(torch.equal(a, b) for a, (_, b) in zip(expected, pairs, strict=True))
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, other.model.state_dict()[name]), name


def test_generated_points_keep_the_noise_of_the_pool(pairs, tmp_path):
    made = trainer(tmp_path, {"kind": "generator_augmented", "base": OT})
    made.loss.backward(1, made.batches.at(1))
    plain = trainer(tmp_path)
    plain.loss.backward(1, plain.batches.at(1))
    assert torch.equal(pairs[0][1], pairs[-1][1])
