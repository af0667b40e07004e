"""A batch means the same however it is divided over devices and micro-batches."""

import pytest
import torch
from gloo import together
from support import COUPLINGS, UNET, dataset, run_settings

from vct.couplings.minibatch_ot import MinibatchOT
from vct.couplings.sinkhorn import Sinkhorn
from vct.lab.settings.runtime import RuntimeSettings
from vct.lab.training.checkpoint import Identity
from vct.lab.training.trainer import Trainer
from vct.rng import Draw

SHAPES = {"points": (2, 1, 1), "images": (1, 8, 8)}
GC = {"kind": "generator_augmented", "noise": "recouple"}
PAIRINGS = {
    **COUPLINGS,
    "pooled-ot": {"kind": "ot", "pool": 4},
    "model-ot": {"kind": "model_ot", "pool": 4},
    "model-ot-uses": {"kind": "model_ot", "pool": 4, "uses": 2},
    "loom": {"kind": "loom", "kept": 2},
    "gc-ot": {**GC, "base": {"kind": "ot"}},
    "gc-vc": {**GC, "base": COUPLINGS["variational"]},
    "vc-ot": {**COUPLINGS["variational"], "base": {"kind": "ot"}},
    "vc-pooled-ot": {**COUPLINGS["variational"], "base": {"kind": "ot", "pool": 4}},
    "vc-model-ot": {**COUPLINGS["variational"], "base": {"kind": "model_ot", "pool": 2}},
    "gc-vc-ot": {
        **GC,
        "noise": "keep",
        "base": {**COUPLINGS["variational"], "base": {"kind": "ot"}},
    },
}
IMAGES = {"network": UNET, "flip": True, "conditional": True, "objective": {"kind": "ecm"}}


def trainer(state, coupling, runtime, data="points", **train):
    if data == "images":
        train = IMAGES | train
    settings = run_settings(coupling, batch_size=16, steps=6, snapshots=0, **train)
    identity = Identity(settings.model_dump(mode="json"), "0", 1)
    runtime = RuntimeSettings(device="cpu", **runtime)
    return Trainer(settings, 3, dataset(SHAPES[data]), runtime, state, identity)


def gradients(state, coupling, runtime, data="points", **train):
    """Loss, and gradients by name, of a step somewhere in a training."""
    made = trainer(state, coupling, runtime, data, **train)
    loss, _ = made.loss.backward(4, made.batches.at(4))
    found = {name: p.grad for name, p in made.model.named_parameters() if p.grad is not None}
    terms = {name: getattr(loss, name) for name in ("total", "consistency", "kl", "each")}
    return {**{f"loss {name}": value for name, value in terms.items()}, **found}


def norm(tensors):
    return torch.stack([tensor.double().norm() for tensor in tensors]).norm()


def assert_close(found, expected, tolerance=1e-6):
    """Losses and the whole gradient to `tolerance`; no parameter's gradient is far off either."""
    assert isinstance(found, dict), found
    names = [name for name in expected if not name.startswith("loss")]
    differences = {name: found[name] - value for name, value in expected.items()}
    whole = norm([differences[name] for name in names]) / norm([expected[name] for name in names])
    assert whole <= tolerance
    for name, value in expected.items():
        limit = (10 if name in names else 1) * tolerance * value.abs().max().clamp(min=1e-4)
        assert differences[name].abs().max() <= limit, name


@pytest.mark.parametrize("data", SHAPES)
@pytest.mark.parametrize("coupling", PAIRINGS)
def test_two_devices_have_the_gradients_of_one(coupling, data, tmp_path):
    settings = PAIRINGS[coupling]
    expected = gradients(tmp_path, settings, {}, data)
    assert expected["loss total"] > 0
    results = together(tmp_path / "group", 2, gradients, tmp_path, settings, {}, data)
    for found in results:
        assert_close(found, expected)
    assert all(torch.equal(results[0][name], results[1][name]) for name in expected)


@pytest.mark.parametrize("coupling", PAIRINGS)
def test_micro_batches_have_the_gradients_of_the_batch(coupling, tmp_path):
    settings = PAIRINGS[coupling]
    expected = gradients(tmp_path, settings, {})
    for size in (5, 8, 16, 100):
        assert_close(gradients(tmp_path, settings, {"micro_batch": size}), expected)


@pytest.mark.parametrize("kind", ["sct", "consistency_flow", "flow", "mean_flow"])
def test_other_objectives_are_divided_too(kind, tmp_path):
    given = {"objective": {"kind": kind}, "conditional": True}
    expected = gradients(tmp_path, COUPLINGS["variational"], {}, "images", **given)
    for size in (5, 16):
        found = gradients(
            tmp_path, COUPLINGS["variational"], {"micro_batch": size}, "images", **given
        )
        assert_close(found, expected, 1e-5)


def steps(state, runtime):
    """Weights, averages and table after some steps of a coupling that keeps state."""
    made = trainer(state, {"kind": "loom", "kept": 2}, runtime, conditional=True)
    for step in range(5):
        made._step(step)
    return {**made.model.state_dict(), "average": made.ema.module.coupling.numbers}


def test_what_a_coupling_keeps_is_the_same_on_all_devices(tmp_path):
    expected = steps(tmp_path, {})
    assert not torch.equal(expected["average"], torch.arange(74).reshape(37, 2))
    for found in together(tmp_path / "g", 2, steps, tmp_path, {"micro_batch": 3}):
        assert torch.equal(found["coupling.numbers"], expected["coupling.numbers"])
        assert torch.equal(found["average"], expected["average"])


def test_micro_batches_of_two_devices(tmp_path):
    settings = COUPLINGS["variational"]
    expected = gradients(tmp_path, settings, {}, "images")
    divided = {"micro_batch": 3}
    for found in together(tmp_path / "g", 2, gradients, tmp_path, settings, divided, "images"):
        assert_close(found, expected)


def noises(state, coupling):
    """Data, noise, and what this process's data are coupled with."""
    made = trainer(state, coupling, {})
    batch = made.batches.at(0)
    eps = made.loss._noise(0, batch.x)
    levels = made.loss.objective.levels(0, 6, 16, torch.Generator().manual_seed(0))
    (part,) = made.loss._parts(0, batch, eps, levels)
    return batch.x, eps, part[1].z


@pytest.mark.parametrize("over", ["batch", "device"])
@pytest.mark.parametrize("kind", ["ot", "sinkhorn"])
def test_transport_is_over_what_the_setting_says(kind, over, tmp_path):
    """Two processes, against the plan of the whole batch and those of its halves."""
    plan = {"ot": MinibatchOT(), "sinkhorn": Sinkhorn()}[kind].couple
    found = together(tmp_path / "group", 2, noises, tmp_path, {"kind": kind, "over": over})
    x, eps = torch.cat([share for share, _, _ in found]), found[0][1]
    halves = torch.cat([plan(x[:8], eps[:8]), plan(x[8:], eps[8:])])
    whole = plan(x, eps)
    assert not torch.equal(whole, halves)
    z = torch.cat([share for _, _, share in found])
    assert torch.equal(z, whole if over == "batch" else halves)


def shares(state, count, micro_batch):
    """What `divided` makes of samples that every process has, and how many it asks at a time."""
    widths = []

    def doubled(eps, labels):
        assert torch.equal(labels, eps + 1)
        widths.append(len(eps))
        return 2 * eps

    eps = torch.arange(float(count))
    loss = trainer(state, COUPLINGS["independent"], {"micro_batch": micro_batch}).loss
    return loss._divided(doubled, eps, eps + 1), widths


@pytest.mark.parametrize(("count", "micro_batch"), [(32, None), (32, 3), (7, None), (1, None)])
def test_what_is_asked_of_samples_is_divided(count, micro_batch, tmp_path):
    found = together(tmp_path / "group", 2, shares, tmp_path, count, micro_batch)
    for made, widths in found:
        assert torch.equal(made, 2 * torch.arange(float(count)))
        # A half, in parts of no more than a half of the batch.
        assert sum(widths) == -(-count // 2) and max(widths) <= (micro_batch or 8)


def test_transport_per_device_pairs_what_the_device_holds(tmp_path):
    local = {"kind": "ot", "over": "device"}
    whole = gradients(tmp_path, local, {})
    assert_close(whole, gradients(tmp_path, {"kind": "ot"}, {}))
    first, second = together(tmp_path / "g", 2, gradients, tmp_path, local, {})
    assert_close(first, second, 0.0)
    assert (first["loss total"] - whole["loss total"]).abs() > 1e-3 * whole["loss total"]


def test_micro_batches_have_masks_of_dropout_of_their_own(tmp_path):
    network = {"kind": "mlp", "width": 8, "depth": 2, "dropout": 0.5}
    made = trainer(tmp_path, COUPLINGS["independent"], {"micro_batch": 8}, network=network)
    batch = made.batches.at(0)
    draws = {made.loss._draw(0, part) for part, _, _ in made.loss._parts(*parts_of(made, batch))}
    assert draws == {Draw(3, 0, 0, 16), Draw(3, 0, 8, 16)}


def parts_of(made, batch):
    levels = made.loss.objective.levels(0, 6, 16, torch.Generator().manual_seed(0))
    return 0, batch, torch.zeros_like(batch.x), levels
