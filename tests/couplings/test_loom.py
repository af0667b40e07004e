"""Points keep noises and swap them: none is lost, and the cost of all pairs never rises."""

from dataclasses import replace

import pytest
import torch
from support import dataset, pairing, run_settings

from vct import rng
from vct.couplings.loom import Loom
from vct.couplings.minibatch_ot import MinibatchOT
from vct.lab.settings.runtime import RuntimeSettings
from vct.lab.training.checkpoint import Identity
from vct.lab.training.trainer import Trainer
from vct.misfit import Misfit
from vct.rng import Draw

COUNT, KEPT, SHAPE = 24, 3, (2, 1, 1)
DATA = torch.randn(COUNT, *SHAPE, generator=torch.Generator().manual_seed(0))


def loom(kept=KEPT):
    return Loom(COUNT, kept, noise_seed=5)


def pair(coupling, indices, step=0, labels=None):
    """Of a step of training, at the end of which it settles."""
    context = pairing(len(indices), labels=labels)
    context = replace(context, draw=Draw(0, step), indices=torch.tensor(indices))
    x = DATA[indices]
    found = coupling.pair(x, torch.zeros_like(x), context)
    coupling.settle()
    return found


def noise(numbers, seed=5):
    """The noises of these numbers."""
    drawn = [
        rng.normal(SHAPE, seed, "loom", number, device=torch.device("cpu"))
        for number in numbers.flatten().tolist()
    ]
    return torch.stack(drawn).reshape(*numbers.shape, *SHAPE)


def cost(coupling):
    """Sum of |x - eps|^2 over all pairs that are kept."""
    gaps = DATA[:, None].double() - noise(coupling.numbers).double()
    return float(gaps.square().sum())


def test_no_noise_is_lost_and_the_cost_of_all_pairs_never_rises():
    coupling, before = loom(), float("inf")
    first = cost(coupling)
    draw = torch.Generator().manual_seed(1)
    for step in range(40):
        pair(coupling, torch.randperm(COUNT, generator=draw)[:8].tolist(), step)
        assert sorted(coupling.numbers.flatten().tolist()) == list(range(COUNT * KEPT))
        assert cost(coupling) <= before + 1e-9
        before = cost(coupling)
    assert before < 0.8 * first


def test_a_batch_gets_the_best_plan_of_the_noises_that_its_points_kept():
    coupling, indices = loom(1), [3, 20, 7, 1, 11]
    kept = noise(coupling.numbers[indices, 0])
    z = pair(coupling, indices).z
    assert torch.equal(z, MinibatchOT().couple(DATA[indices], kept))
    assert torch.equal(noise(coupling.numbers[indices, 0]), z)
    # The next batch goes on from there: its own plan is found already.
    assert torch.equal(pair(coupling, indices, step=1).z, z)


def test_each_of_the_noises_is_taken_equally_often():
    coupling, taken = loom(), torch.zeros(COUNT, KEPT)
    kept = noise(coupling.numbers)
    for step in range(300):
        context = replace(pairing(2), draw=Draw(0, step), indices=torch.arange(2))
        z = coupling.pair(DATA[:2], DATA[:2], context).z
        for one in z:
            taken += (kept == one).flatten(2).all(dim=2)
    assert taken[2:].sum() == 0
    assert (taken[:2] / 300 - 1 / KEPT).abs().max() < 4 * (2 / 9 / 300) ** 0.5


def test_a_point_that_a_batch_has_twice_swaps_once():
    coupling, points = loom(1), [9, 4, 2]
    kept = noise(coupling.numbers[points, 0])
    z = pair(coupling, [9, 9, 4, 4, 2]).z
    assert torch.equal(z[0], z[1]) and torch.equal(z[2], z[3])
    assert torch.equal(z[[0, 2, 4]], MinibatchOT().couple(DATA[points], kept))
    assert torch.equal(z[[0, 2, 4]], noise(coupling.numbers[points, 0]))
    assert sorted(coupling.numbers.flatten().tolist()) == list(range(COUNT))


def test_a_pair_alone_swaps_nothing_and_runs_have_noises_of_their_own():
    coupling, other = loom(), Loom(COUNT, KEPT, noise_seed=6)
    start = coupling.numbers.clone()
    context = replace(pairing(8), indices=torch.arange(8))
    z = coupling.pair(DATA[:8], DATA[:8], context).z
    assert torch.equal(coupling.numbers, start)
    assert not torch.equal(other.pair(DATA[:8], DATA[:8], context).z, z)
    coupling.settle()
    assert not torch.equal(coupling.numbers, start)


def test_with_labels_noise_stays_in_its_class():
    coupling, which = loom(1), torch.arange(8) % 2
    for step in range(3):
        pair(coupling, list(range(8)), step, torch.eye(2)[which])
    assert coupling.numbers[:8, 0].tolist() != list(range(8))
    assert (coupling.numbers[:8, 0] % 2).tolist() == which.tolist()


def test_the_places_of_the_data_must_be_known():
    with pytest.raises(Misfit, match="indices"):
        Loom(COUNT).pair(DATA, DATA, pairing(COUNT))


def test_values_that_are_not_finite_give_no_pair():
    coupling = Loom(COUNT)
    context = replace(pairing(4), indices=torch.arange(4))
    x = torch.full((4, *SHAPE), torch.inf)
    assert coupling.pair(x, x, context).z.isnan().all()
    coupling.settle()
    assert sorted(coupling.numbers.flatten().tolist()) == list(range(COUNT * 4))


def trainer(state):
    state.mkdir(exist_ok=True)
    settings = run_settings({"kind": "loom", "kept": 2}, batch_size=8, steps=12, snapshots=0)
    identity = Identity(settings.model_dump(mode="json"), "0", 1)
    runtime = RuntimeSettings(device="cpu")
    return Trainer(settings, 3, dataset(SHAPE, size=COUNT), runtime, state, identity)


def test_a_training_that_is_stopped_goes_on_to_the_same_bits(tmp_path):
    whole = trainer(tmp_path / "whole")
    whole.run()
    start = torch.arange(2 * COUNT).reshape(COUNT, 2)
    assert not torch.equal(whole.model.coupling.numbers, start)
    assert whole.model.coupling.noise_seed == 3  # that of the run
    assert torch.equal(whole.ema.module.coupling.numbers, whole.model.coupling.numbers)
    first = trainer(tmp_path / "parts")
    while first.step < 5:
        first._step(first.step)
        first.step += 1
    first.save()
    other = trainer(tmp_path / "parts")
    assert other.resume() == 5
    other.run()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, other.model.state_dict()[name]), name
