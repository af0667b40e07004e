"""Memory, disk and hours are what real runs have, and what the arithmetic of the table gives."""

import io

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from support import COUPLINGS, MLP, dataset, params, run_settings

from vct.couplings.independent import Independent
from vct.couplings.weighted import Weighted
from vct.lab import build, cli
from vct.lab.estimate import costs
from vct.lab.estimate.costs import Device
from vct.lab.estimate.counting import count
from vct.lab.estimate.rows import rows
from vct.lab.files.layout import RunId
from vct.lab.sampling import priors
from vct.lab.settings import reading
from vct.lab.settings.runtime import RuntimeSettings
from vct.lab.settings.sample import SampleSettings
from vct.lab.training import checkpoint
from vct.lab.training.checkpoint import Identity
from vct.lab.training.trainer import Trainer

CPU = torch.device("cpu")
ASIDE = ("interval", "watch")
POST_HOC = {"kind": "post_hoc", "widths": [0.05, 0.1, 0.2], "kept": 2}


def bytes_of(state):
    """All tensors in nested dictionaries, but for sums of the log and what a watch noted."""
    if torch.is_tensor(state):
        return state.nbytes
    if isinstance(state, dict):
        return sum(bytes_of(part) for key, part in state.items() if key not in ASIDE)
    return sum(map(bytes_of, state)) if isinstance(state, list | tuple) else 0


@pytest.mark.parametrize("kind", ["radam", "adam"])
@pytest.mark.parametrize("ema", [{"decay": 0.9}, {"kind": "power"}, POST_HOC])
def test_memory_is_that_of_a_trainer_after_a_step(kind, ema, tmp_path):
    optimizer = {"kind": kind, "learning_rate": 1e-3}
    settings = run_settings("variational", ema=ema, optimizer=optimizer)
    data = dataset()
    held = costs.memory(settings.train, count(settings, data, 8))
    identity = Identity(settings.model_dump(mode="json"), "0", 1)
    trainer = Trainer(settings, 0, data, RuntimeSettings(device="cpu"), tmp_path, identity)
    trainer._step(0)
    model = trainer.model
    assert held.weights == bytes_of(model.state_dict())
    assert held.gradients == sum(p.grad.nbytes for p in model.parameters())
    assert held.optimizer == bytes_of(trainer.optimizer.state_dict())
    assert held.averages == bytes_of(trainer.ema.state_dict())
    trainer.step = 1
    trainer.save()
    (file,) = tmp_path.glob("*.ckpt")
    payload = file.read_bytes().split(b"\n", 2)[2]
    assert held.checkpoint == bytes_of(torch.load(io.BytesIO(payload), weights_only=True))


@pytest.mark.parametrize(("experiment", "ema"), [("small", POST_HOC), ("pictures", {"decay": 0.9})])
def test_disk_is_what_a_run_writes(experiment, ema, tmp_path, monkeypatch):
    changes = {"train.ema": ema, "train.steps": 4, "train.snapshots": 2, "seeds": [0]}
    changes |= {
        "train.network": MLP,
        "variants": ["ot"],
        "sample.snapshot_samples": 5,
        "sample.num_samples": 11,
    }
    changes = {f"experiments.{experiment}.{key}": value for key, value in changes.items()}
    content = params({**changes, "suites": {"one": [experiment]}, "runtime.tracking": False})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    run = f"{experiment}/ot/seed0"
    data = content["experiments"][experiment]["train"]["dataset"]
    stages = (["data", data], ["train", run], ["sample", run])
    assert [cli.main(stage) for stage in stages] == [0] * 3
    written = 0
    for file in tmp_path.glob(f"results/{run}/*"):
        if file.suffix == ".safetensors":
            written += bytes_of(load_file(file))
        elif file.suffix == ".npz":
            arrays = dict(np.load(file))
            written += sum(array.nbytes for name, array in arrays.items() if name != "record")
    (row,) = rows(reading.load(), "one", Device(1.0, 1.0))
    assert row.cost.disk.results == written
    assert row.cost.disk.checkpoints == checkpoint.KEEP * row.cost.memory.checkpoint


def rows_of(changes):
    return rows(reading.validate(params(changes)), "one", Device(1.0, 0.5))


def test_hours_are_those_of_all_evaluations():
    variational, *_ = reversed(rows_of({"experiments.small.sample.snapshot_samples": 3}))
    counts = variational.cost.counts
    training = 20 * 8 * counts.step
    # 16 samples at three times, the encoder before the second and third; 2 snapshots of 3 samples.
    sampling = 16 * (3 * counts.forward + 2 * counts.couple) + 2 * 3 * counts.forward
    assert counts.couple > 0
    assert variational.cost.hours == pytest.approx((training + sampling) / 0.5e12 / 3600)


def test_hours_of_a_diffusion_network():
    experiment = "experiments.small"
    heun = {"num_samples": 16, "snapshot_samples": 3, "sampler": {"kind": "heun", "steps": 5}}
    changes = {f"{experiment}.train.objective": {"kind": "edm"}, f"{experiment}.sample": heun}
    row = rows_of(changes)[0]
    counts = row.cost.counts
    evaluations = 9 * (16 + 2 * 3)
    flop = 160 * counts.step + evaluations * counts.forward
    assert row.cost.hours == pytest.approx(flop / 0.5e12 / 3600)


def test_peaks_are_of_the_precision():
    assert Device(None, 0.5).hours(1e18, "tf32") == pytest.approx(1e18 / 78e12 / 3600)
    assert Device(100.0, 0.5).hours(1e18, "tf32") == Device(100.0, 0.5).hours(1e18, "float32")


def test_a_batch_is_shared_by_devices_and_micro_batches():
    def found(**runtime):
        changes = {f"runtime.{key}": value for key, value in runtime.items()}
        return rows_of({"experiments.small.train.batch_size": 24, **changes})[0].cost

    whole, shared, divided = found(), found(processes=3, device="cpu"), found(micro_batch=2)
    assert [each.micro_batch for each in (whole, shared, divided)] == [24, 8, 2]
    assert whole.memory.activations > shared.memory.activations > divided.memory.activations
    assert whole.memory.fixed == shared.memory.fixed == divided.memory.fixed
    assert whole.hours == shared.hours == divided.hours


def test_transport_costs_as_much_as_independent_pairs():
    variants = {"experiments.small.variants": ["independent", "ot", "variational"]}
    independent, ot, variational = rows_of(variants)
    assert independent.cost == ot.cost != variational.cost
    assert variational.cost.counts.coupling > 0 == ot.cost.counts.coupling


def test_transport_that_asks_the_model_costs_a_call_more():
    changes = {
        "experiments.small.variants": ["ot", "model"],
        "experiments.small.couplings.model": {"kind": "model_ot"},
    }
    ot, model = (row.cost.counts for row in rows_of(changes))
    assert model.step == ot.step + ot.forward


def test_a_coupling_that_learns_is_sampled_from_every_prior():
    few, many = (
        rows_of({"experiments.small.sample.priors": priors})
        for priors in (["standard"], ["standard", "fitted", "aggregate"])
    )
    independent, variational = zip(few, many, strict=True)
    assert independent[0].cost == independent[1].cost
    counts = variational[0].cost.counts
    more = 2 * 16 * (3 * counts.forward + 2 * counts.couple)
    hours = [row.cost.hours for row in variational]
    assert hours[1] - hours[0] == pytest.approx(more / 0.5e12 / 3600)
    sizes = [row.cost.disk.results for row in variational]
    assert sizes[1] - sizes[0] == 2 * 3 * 16 * 2 * 4  # times, samples, numbers, bytes


class Restoring(Weighted):
    """Has a posterior, and starts from images to restore all the same."""

    from_data = True


WEIGHTED = {"kind": "weighted"}
LI = {"kernel": "li", "t_max": 1.0}
STARTS = {
    "independent": ({"kind": "independent"}, {}),
    "ot": ({"kind": "ot"}, {}),
    "knn": ({"kind": "knn"}, {}),
    "own": ({"kind": "test_costs.Shifted"}, {}),
    "weighted": (WEIGHTED, {}),
    "variational": (COUPLINGS["variational"], {}),
    "variational over ot": ({**COUPLINGS["variational"], "base": {"kind": "ot"}}, {}),
    "gc": ({"kind": "generator_augmented"}, {}),
    "gc over ot": ({"kind": "generator_augmented", "base": {"kind": "ot"}}, {}),
    "gc over variational": (COUPLINGS["gc"], {}),
    "gc over weighted": ({"kind": "generator_augmented", "base": WEIGHTED}, {}),
    "restoring": ({"kind": "test_costs.Restoring"}, LI),
}


@pytest.mark.parametrize("names", [[], ["fitted"], ["fitted", "aggregate"], ["late"], "all"])
@pytest.mark.parametrize("coupling", STARTS)
def test_samples_are_counted_from_as_many_priors_as_they_are_drawn_from(
    coupling, names, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    names = ["fitted", "aggregate", "late"] if names == "all" else names
    late = {"late_start": 0.5} if "late" in names else {}
    sample = SampleSettings(num_samples=4, priors=["standard", *names], **late)
    kind, train = STARTS[coupling]
    settings, data, run = run_settings(kind, **train), dataset(), RunId("small", "some", 0)
    made = build.model(settings, data, 0).coupling.eval()
    priors.write(run, settings.train, sample, made, data, {}, CPU)
    drawn = priors.starts(run, settings.train, sample, made, data, {}, CPU)
    assert costs.starts(sample, settings.coupling, count(settings, data, 4)) == len(drawn)


def test_own_classes_are_counted_if_they_can_be():
    changes = {
        "experiments.small.variants": ["fine", "needs-values", "missing"],
        "experiments.small.couplings": {
            "fine": {"kind": "test_costs.Shifted"},
            "needs-values": {"kind": "test_costs.Sorted"},
            "missing": {"kind": "nowhere.Coupling"},
        },
    }
    fine, needs_values, missing = rows_of(changes)
    assert fine.cost is not None and fine.unknown == ""
    assert needs_values.cost is missing.cost is None
    assert needs_values.unknown.startswith("its own class cannot be counted")
    assert "cannot be imported" in missing.unknown


class Shifted(Independent):
    def couple(self, x, eps, labels=None):
        return eps + x.mean()


class Sorted(Independent):
    def couple(self, x, eps, labels=None):
        return eps[np.argsort(x.flatten(1)[:, 0].numpy())]
