"""Training is a function of its settings and seed, however often it is killed."""

import os
import signal
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support import COUPLINGS, MLP, UNET, dataset, randomise, run_settings

from vct.averages.ema import power_exponent
from vct.couplings.base import Coupling
from vct.lab import build
from vct.lab.data.dataset import Dataset
from vct.lab.errors import UserError
from vct.lab.settings.run import RunSettings
from vct.lab.settings.runtime import RuntimeSettings
from vct.lab.training import checkpoint
from vct.lab.training.checkpoint import Identity
from vct.lab.training.outputs import SUMMARY_SAMPLES
from vct.lab.training.signals import Interrupted
from vct.lab.training.trainer import Trainer
from vct.preconditioning import ConsistencyFunction
from vct.rng import Draw
from vct.samplers.few_step import FewStep

STEPS = 24
RUNTIME = RuntimeSettings(device="cpu", checkpoint_every=7)
OBJECTIVES = {
    "ict": {"kind": "ict", "s0": 2, "s1": 8},
    "ecm": {"kind": "ecm", "stages": 3},
}


class Killed(Exception):
    """Stands for SIGKILL: nothing runs any more after it."""


@dataclass
class Case:
    """A run that can be started again and again."""

    settings: RunSettings
    state: Path
    data: Dataset = field(default_factory=dataset)
    runtime: RuntimeSettings = RUNTIME

    def trainer(self, before_step=lambda trainer, step: None):
        identity = Identity(self.settings.model_dump(mode="json"), self.data.sha256, 1)
        trainer = Trainer(self.settings, 3, self.data, self.runtime, self.state, identity)
        original = trainer._step

        def step(number):
            before_step(trainer, number)
            original(number)

        trainer._step = step
        trainer.resume()
        return trainer

    def killed_at(self, at):
        def die(trainer, step):
            if step == at:
                raise Killed

        trainer = self.trainer(die)
        with pytest.raises(Killed):
            trainer.run()
        return trainer


def settings(coupling="independent", **train):
    defaults = {"steps": STEPS, "log_every": 5, "snapshots": 3, "objective": OBJECTIVES["ict"]}
    return run_settings(coupling, **{**defaults, **train})


def outcome(trainer, result):
    """Everything that a training leaves behind, as bytes."""
    pending = trainer.pending
    files = [*pending.snapshots.values(), *pending.averages.values()]
    weights = {
        **{f"model.{key}": value for key, value in trainer.model.state_dict().items()},
        **{f"ema.{key}": value for key, value in result.model.state_dict().items()},
    }
    return {
        "weights": {key: value.numpy().tobytes() for key, value in weights.items()},
        "csv": trainer.log.csv(),
        "files": {file.name: file.read_bytes() for file in files},
        "counts": (result.nonfinite_steps, result.clipped_steps),
    }


def undisturbed(settings, folder, **options):
    trainer = Case(settings, folder, **options).trainer()
    return outcome(trainer, trainer.run())


def disturbed(settings, folder, kills, **options):
    case = Case(settings, folder, **options)
    for at in kills:
        case.killed_at(at)
    trainer = case.trainer()
    return outcome(trainer, trainer.run())


def middle_norm(coupling, folder, **train):
    """Median norm of the gradients of a training: a limit that bites in about half of its steps."""
    trainer = Case(settings(coupling, **{**train, "log_every": 1}), folder).trainer()
    trainer.run()
    return statistics.median(row.grad_norm for row in trainer.log.rows)


# Before the first checkpoint, just before and after one, within an interval, at the end.
KILLS = (3, 6, 8, 12, 21, 23)


@pytest.mark.parametrize("kernel", ["ve", "li"])
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("coupling", COUPLINGS)
def test_killed_and_resumed_is_the_same_training(tmp_path, coupling, objective, kernel):
    train = {"kernel": kernel, "objective": OBJECTIVES[objective]}
    kind = "radam" if kernel == "ve" else "adam"
    optimizer = {"kind": kind, "learning_rate": 0.01, "schedule": "cosine"}
    limit = middle_norm(coupling, tmp_path / "free", optimizer=optimizer, **train)
    run = settings(coupling, optimizer={**optimizer, "clip_grad_norm": limit}, **train)
    expected = undisturbed(run, tmp_path / "a")
    assert disturbed(run, tmp_path / "b", KILLS) == expected
    assert 0 < expected["counts"][1] < STEPS  # some were cut, some not


@pytest.mark.parametrize("coupling", ["ot", "variational"])
def test_killed_and_resumed_with_dropout_flips_and_labels(tmp_path, coupling):
    network = {**UNET, "mult": [1], "dropout": 0.3}
    chosen = dict(COUPLINGS[coupling])
    if coupling == "variational":
        chosen["encoder"] = network
    run = settings(
        chosen,
        network=network,
        flip=True,
        conditional=True,
        batch_size=4,
        ema={"kind": "power", "width": 0.1},
        steps=12,
    )
    options = {
        "data": dataset((1, 4, 4)),
        "runtime": RuntimeSettings(device="cpu", checkpoint_every=4),
    }
    expected = undisturbed(run, tmp_path / "a", **options)
    assert disturbed(run, tmp_path / "b", (2, 6, 11), **options) == expected


class Jittered(Coupling):
    """A user's coupling that draws from torch's default generator."""

    scope = "sample"

    drawn: ClassVar[list[float]] = []

    def couple(self, x, eps, labels=None):
        own = torch.randn_like(eps)
        self.drawn.append(own.sum().item())
        return eps + 0.1 * own


def test_a_class_that_draws_from_the_default_generator_is_resumed_too(tmp_path):
    run = settings({"kind": f"{__name__}.Jittered"}, steps=12)
    torch.manual_seed(1)
    expected = undisturbed(run, tmp_path / "a")
    assert len(set(Jittered.drawn)) >= 12
    torch.manual_seed(2)
    assert disturbed(run, tmp_path / "b", (3, 8)) == expected


def test_coupling_sees_levels_labels_and_the_averaged_model(tmp_path):
    """What a generator-augmented coupling needs, at each step."""
    network = {**UNET, "mult": [1], "attention": []}
    run = settings(network=network, conditional=True, batch_size=4, steps=2, snapshots=0)
    trainer = Case(run, tmp_path, data=dataset((1, 4, 4))).trainer()
    original, seen = trainer.model.coupling.pair, []

    def pair(x, eps, context):
        with torch.no_grad():
            own = trainer.loss._f(trainer.ema.module.network)(x, context.t, context.labels)
            same = torch.equal(context.averaged(x, context.t, context.labels), own)
        seen.append((context.labels, context.draw, same, bool((context.r < context.t).all())))
        return original(x, eps, context)

    trainer.model.coupling.pair = pair
    trainer.run()
    for step, (labels, draw, same, ordered) in enumerate(seen):
        assert torch.equal(labels, trainer.batches.at(step).labels)
        assert draw == Draw(3, step)
        assert same and ordered
    assert len(seen) == 2


def test_killed_and_resumed_diffusion_pretraining(tmp_path):
    run = settings(objective={"kind": "edm"})
    expected = undisturbed(run, tmp_path / "a")
    assert disturbed(run, tmp_path / "b", KILLS) == expected


def test_kept_averages_survive_kills(tmp_path):
    run = settings(ema={"kind": "post_hoc", "kept": 4, "widths": [0.1, 0.2]})
    expected = undisturbed(run, tmp_path / "a")
    assert disturbed(run, tmp_path / "b", KILLS) == expected
    assert len([name for name in expected["files"] if name.startswith("average-")]) == 4 * 2


@pytest.mark.parametrize("width", [0.1, 0.2])
def test_tracked_averages_are_those_of_a_training_with_that_width(tmp_path, width):
    """What is tracked beside it changes no training."""
    trainer = Case(settings(ema={"kind": "power", "width": width}), tmp_path / "a").trainer()
    alone = trainer.run().model.state_dict()
    widths = [width, 0.3 - width]
    run = settings(ema={"kind": "post_hoc", "kept": 2, "widths": widths})
    beside = Case(run, tmp_path / "b").trainer().run().model.state_dict()
    for name, tensor in alone.items():
        assert torch.equal(tensor, beside[name])


def test_no_step_is_done_twice_but_those_after_the_checkpoint(tmp_path):
    case, done = Case(settings(), tmp_path), []
    case.killed_at(17)
    trainer = case.trainer(lambda trainer, step: done.append(step))
    trainer.run()
    assert done == list(range(14, STEPS))


def test_damaged_newest_checkpoint_costs_time_and_nothing_else(tmp_path, capsys):
    expected = undisturbed(settings(), tmp_path / "a")
    case = Case(settings(), tmp_path / "b")
    case.killed_at(17)
    newest = checkpoint.path_of(case.state, 14)
    newest.write_bytes(newest.read_bytes()[:-50])
    trainer = case.trainer()
    assert trainer.step == 7
    assert newest.name in capsys.readouterr().err
    assert outcome(trainer, trainer.run()) == expected


@pytest.mark.parametrize("damage", ["torn", "short", "gone"])
def test_damaged_log_costs_nothing(tmp_path, damage):
    expected = undisturbed(settings(), tmp_path / "a")
    case = Case(settings(), tmp_path / "b")
    case.killed_at(17)
    log = case.state / "log.jsonl"
    if damage == "torn":
        log.write_text(log.read_text() + '{"step": 20, "loss": 0.')
    elif damage == "short":
        log.write_text(log.read_text()[:50])
    else:
        log.unlink()
    trainer = case.trainer()
    assert outcome(trainer, trainer.run()) == expected


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_saves_and_the_same_training_goes_on(tmp_path, number):
    expected = undisturbed(settings(), tmp_path / "a")
    case = Case(settings(), tmp_path / "b")
    before = signal.getsignal(number)

    def stop(trainer, step):
        if step == 10:
            os.kill(os.getpid(), number)

    trainer = case.trainer(stop)
    with pytest.raises(Interrupted, match=f"{number.name} after step 11") as caught:
        trainer.run()
    assert caught.value.number == number
    assert signal.getsignal(number) == before
    resumed = case.trainer()
    assert resumed.step == 11
    assert outcome(resumed, resumed.run()) == expected


def test_signal_in_the_last_step_loses_nothing(tmp_path):
    expected = undisturbed(settings(), tmp_path / "a")
    case = Case(settings(), tmp_path / "b")

    def stop(trainer, step):
        if step == STEPS - 1:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        case.trainer(stop).run()
    resumed = case.trainer()
    assert outcome(resumed, resumed.run()) == expected


def test_how_often_it_is_saved_changes_nothing(tmp_path):
    expected = undisturbed(settings("variational"), tmp_path / "a")
    often = RuntimeSettings(device="cpu", checkpoint_every=1)
    assert undisturbed(settings("variational"), tmp_path / "b", runtime=often) == expected


def test_seeds_differ(tmp_path):
    case = Case(settings(), tmp_path / "a")
    identity = Identity({}, "", 1)
    other = Trainer(case.settings, 4, case.data, RUNTIME, tmp_path / "b", identity)
    other.resume()
    first = outcome(trainer := case.trainer(), trainer.run())
    second = outcome(other, other.run())
    assert first["weights"].keys() == second["weights"].keys()
    assert first["csv"] != second["csv"]


def test_checkpoint_of_other_settings_is_refused(tmp_path):
    Case(settings(), tmp_path).killed_at(12)
    changed = Case(settings(batch_size=9), tmp_path)
    with pytest.raises(UserError, match=r"train\.batch_size: 8 -> 9"):
        changed.trainer()


@pytest.mark.parametrize("lost", [True, False])
def test_a_snapshot_that_is_lost_or_damaged_is_found_at_once(tmp_path, lost):
    """And not after days, when outputs are put together; nor does it become part of one."""
    case = Case(settings(), tmp_path)
    case.killed_at(STEPS - 1)
    path = tmp_path / "snapshot-000000008.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink() if lost else path.write_bytes(content)
    with pytest.raises(UserError, match=rf"{path.name} is missing or damaged.*--fresh"):
        case.trainer()


@pytest.mark.parametrize("limit", [None, 1e-3])
def test_non_finite_gradients_are_zeroed_and_counted(tmp_path, limit):
    """One entry of one gradient is spoilt in three steps; the rest still learns, clipped or not."""
    seen = []

    def spoil(trainer, step):
        if step == 0:
            weight, bias = trainer.parameters[:2]
            values = {4: float("nan"), 9: float("inf"), 10: -float("inf")}

            def hook(gradient):
                gradient = gradient.clone()
                if trainer.step in values:
                    gradient.view(-1)[0] = values[trainer.step]
                return gradient

            weight.register_hook(hook)
            trainer.optimizer.register_step_pre_hook(
                lambda *_: seen.append((weight.grad.clone(), bias.grad.clone()))
            )

    run = settings(optimizer={"clip_grad_norm": limit})
    trainer = Case(run, tmp_path).trainer(spoil)
    result = trainer.run()
    assert result.nonfinite_steps == 3
    assert result.clipped_steps == (STEPS if limit else 0)
    for step, (weight, bias) in enumerate(seen):
        assert torch.isfinite(weight).all()
        assert bias.abs().sum() > 0
        assert (weight.view(-1)[0] == 0) == (step in (4, 9, 10))
        assert weight.view(-1)[1:].abs().sum() > 0
    assert all(torch.isfinite(parameter).all() for parameter in trainer.parameters)
    assert all(torch.isfinite(value).all() for value in result.model.state_dict().values())


def gradients(folder, limit):
    """All gradients as the optimiser got them, and the finished training."""
    found = []

    def watch(trainer, step):
        if step == 0:
            trainer.optimizer.register_step_pre_hook(
                lambda *_: found.append(
                    torch.cat([parameter.grad.flatten() for parameter in trainer.parameters])
                )
            )

    rates = {"kind": "adam", "learning_rate": 1e-12, "clip_grad_norm": limit}
    trainer = Case(settings(optimizer=rates), folder).trainer(watch)
    return found, trainer.run(), trainer.log.rows


def test_clipping_bounds_the_norm_and_keeps_the_direction(tmp_path):
    free, unlimited, free_rows = gradients(tmp_path / "a", None)
    norms = torch.stack(free).norm(dim=1)
    ordered = norms.sort().values
    below = int((ordered[1:] / ordered[:-1])[6:18].argmax()) + 6  # the widest gap in the middle
    limit = ordered[below : below + 2].mean().item()
    cut, limited, rows = gradients(tmp_path / "b", limit)
    assert unlimited.clipped_steps == 0
    assert limited.clipped_steps == int((norms > limit).sum())
    for before, after in zip(free, cut, strict=True):
        assert after.norm() <= limit * (1 + 1e-5)
        torch.testing.assert_close(after, before * min(1, limit / before.norm().item()))
    # What is logged is the norm before clipping.
    first = [entry[0].grad_norm for entry in (free_rows, rows)]
    assert first == pytest.approx([norms[:5].mean().item()] * 2, rel=1e-4)


def test_a_coupling_may_have_a_limit_of_its_own(tmp_path):
    """Published trainings clip the gradients of variational couplings alone."""

    def gradient(name, common, **own):
        optimizer = {"kind": "adam", "learning_rate": 1e-12, "clip_grad_norm": common}
        run = settings({**COUPLINGS["variational"], **own}, optimizer=optimizer)
        trainer = Case(run, tmp_path / name).trainer()
        trainer._step(0)
        return torch.cat([parameter.grad.flatten() for parameter in trainer.parameters])

    free = gradient("free", None)
    limit = free.norm().item() / 3
    torch.testing.assert_close(gradient("own", None, clip_grad_norm=limit), free / 3)
    torch.testing.assert_close(gradient("both", limit / 2, clip_grad_norm=limit), free / 3)
    torch.testing.assert_close(gradient("common", limit), free / 3)


def rates(folder, **schedule):
    """The rate that the optimiser had in each step, and those that were logged, by step."""
    used = []

    def watch(trainer, step):
        if step == 0:
            trainer.optimizer.register_step_pre_hook(
                lambda optimizer, *_: used.append(optimizer.param_groups[0]["lr"])
            )

    chosen = {"learning_rate": 0.5, **schedule}
    trainer = Case(settings(optimizer=chosen), folder).trainer(watch)
    trainer.run()
    return used, {row.step: row.learning_rate for row in trainer.log.rows}


@pytest.mark.parametrize("start", [0.25, 0.5])
def test_learning_rate_follows_its_schedule(tmp_path, start):
    used, logged = rates(tmp_path, schedule="cosine", decay_start=start, final_fraction=0.1)
    constant = int(start * STEPS) + 1
    assert used[:constant] == [0.5] * constant
    assert used[constant] < 0.5 and 0.05 < used[-1] < 0.06
    assert logged == {step: used[step - 1] for step in (5, 10, 15, 20, 24)}


def test_learning_rate_falls_from_its_reference_step_on(tmp_path):
    used, _ = rates(tmp_path, schedule="inverse_sqrt", reference_step=5)
    assert used[:6] == [0.5] * 6
    assert used[20] == pytest.approx(0.25)
    assert used[6] == pytest.approx(0.5 / (6 / 5) ** 0.5)


def test_rows_are_means_over_their_interval(tmp_path):
    losses = []
    trainer = Case(settings("variational"), tmp_path).trainer()
    add = trainer.metrics.add
    trainer.metrics.add = lambda values: (losses.append([v.item() for v in values]), add(values))
    trainer.run()
    rows = trainer.log.rows
    assert [entry.step for entry in rows] == [5, 10, 15, 20, 24]
    assert [entry.grid_points for entry in rows] == [3, 5, 5, 9, 9]
    start = 0
    for entry in rows:
        part = torch.tensor(losses[start : entry.step], dtype=torch.float64).mean(dim=0)
        names = ("loss", "consistency_loss", "kl", "grad_norm")
        assert [getattr(entry, name) for name in names] == pytest.approx(part[:4].tolist())
        start = entry.step


@pytest.mark.parametrize(("steps", "count"), [(24, 3), (100, 8), (7, 7), (10, 0), (5, 4), (20, 7)])
def test_snapshots_are_evenly_spaced_up_to_the_end(steps, count):
    found = settings(steps=steps, snapshots=count).train.snapshot_steps
    assert len(found) == count
    assert found == sorted(set(found))
    assert all(1 <= step <= steps for step in found)
    assert found[-1:] == ([steps] if count else [])
    # Each is the step nearest to its place.
    for index, step in enumerate(found, start=1):
        assert abs(step - steps * index / count) <= 0.5


def paths(trainer):
    """Weights of the trained model after each step, by name, and what the training gave."""
    found, update = [], trainer._after_step

    def note():
        found.append({k: v.clone().double() for k, v in trainer.model.state_dict().items()})
        update()

    trainer._after_step = note
    result = trainer.run()
    return {name: torch.stack([each[name] for each in found]) for name in found[0]}, result


def test_average_and_snapshots_weigh_the_weights_after_each_step(tmp_path):
    """As EDM2's profile does, after as many steps as the snapshot says."""
    width = 0.2
    run = settings(ema={"kind": "power", "width": width}, optimizer={"learning_rate": 0.01})
    trainer = Case(run, tmp_path).trainer()
    path, result = paths(trainer)

    def average(name, steps):
        ends = (torch.arange(steps + 1, dtype=torch.float64) / steps) ** (power_exponent(width) + 1)
        return torch.tensordot(ends.diff(), path[name][:steps], dims=1)

    for name, tensor in result.model.state_dict().items():
        torch.testing.assert_close(tensor.double(), average(name, STEPS), atol=1e-6, rtol=1e-6)
    assert list(trainer.pending.snapshots) == [8, 16, 24]
    for step, file in trainer.pending.snapshots.items():
        for name, tensor in load_file(file).items():
            expected = average(f"network.{name}", step)
            torch.testing.assert_close(tensor.double(), expected, atol=1e-6, rtol=1e-6)


def test_average_without_decay_is_the_trained_model(tmp_path):
    trainer = Case(settings(ema={"decay": 0.0}), tmp_path).trainer()
    result = trainer.run()
    for name, tensor in trainer.model.state_dict().items():
        assert torch.equal(result.model.state_dict()[name], tensor)


def test_warm_up_reaches_the_average(tmp_path):
    """The first update forgets the start, the k-th has a half-life of a tenth of k."""
    ema = {"decay": 0.999, "warm_up": 0.1}
    trainer = Case(settings(ema=ema, optimizer={"learning_rate": 0.01}), tmp_path).trainer()
    path, result = paths(trainer)
    expected = {name: weights[0] for name, weights in path.items()}
    for step in range(1, STEPS):
        half = 0.5 ** (1 / (0.1 * step))
        expected = {k: half * v + (1 - half) * path[k][step] for k, v in expected.items()}
    for name, tensor in result.model.state_dict().items():
        torch.testing.assert_close(tensor.double(), expected[name], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_what_is_trained_has_the_scalings_of_settings_and_objective(tmp_path, objective):
    """The network sees x_t / sqrt(sd^2 + t^2); iCT trains with a boundary at t_min, ECM without."""
    run = settings(objective=OBJECTIVES[objective], sigma_data=2.0)
    trainer = Case(run, tmp_path).trainer()
    network, couple, seen = trainer.model.network, trainer.model.coupling.pair, []
    trainer.model.coupling.pair = lambda *given: seen.append(couple(*given)) or seen[0]
    network.register_forward_pre_hook(lambda _, given: seen.append(given))
    trainer._step(0)
    pair, (scaled, c_noise, _), _ = seen
    t = torch.exp(4 * c_noise)[:, None, None, None]
    torch.testing.assert_close(scaled * torch.sqrt(4 + t**2), pair.x + t * pair.z)
    t_min, f = trainer.loss.objective.t_min, trainer.loss._f(randomise(network))
    with torch.no_grad():
        off = (f(pair.x, torch.full((len(pair.x),), t_min)) - pair.x).abs().max()
    assert (off < 1e-6) if objective == "ict" else (off > 1e-5)


def test_the_grid_grows_by_the_number_of_steps_of_the_training(tmp_path):
    """23 steps have three stages of 7, 24 would have ones of 8."""
    trainer = Case(settings(steps=23, log_every=1, snapshots=0), tmp_path).trainer()
    trainer.run()
    points = [row.grid_points for row in trainer.log.rows]
    assert points == [3] * 7 + [5] * 7 + [9] * 9


@pytest.mark.parametrize("coupling", ["independent", "variational"])
def test_sizes_of_network_and_coupling_are_told_apart(tmp_path, coupling):
    trainer = Case(settings(coupling), tmp_path).trainer()
    summary = trainer.run().summary(dataset(), conditional=False)

    def size(module):
        return sum(parameter.numel() for parameter in module.parameters())

    assert summary["parameters"] == size(trainer.model.network)
    assert summary["coupling_parameters"] == size(trainer.model.coupling)
    assert (summary["coupling_parameters"] > 0) == (coupling == "variational")


def test_the_summary_is_of_images_that_stand_for_all(tmp_path):
    """Class by class, as in folders, the first ones are of one class."""
    model = Case(settings("variational"), tmp_path).trainer()
    trained, data = model.run(), dataset(size=5000)
    data.train.x[:] += np.linspace(0, 10, 5000, dtype=np.float32)[:, None, None, None]
    seen = []
    trained.model.coupling.summary = lambda x, labels: seen.append(x) or {}
    trained.summary(data, conditional=False)
    assert len(seen[0]) == SUMMARY_SAMPLES and float(seen[0].mean()) == pytest.approx(5, abs=0.1)


@pytest.mark.parametrize("kl_weight", [3.0, 0.5])
def test_the_loss_has_the_divergence_by_the_weight_of_its_coupling(tmp_path, kl_weight):
    run = settings({**COUPLINGS["variational"], "kl_weight": kl_weight})
    trainer = Case(run, tmp_path).trainer()
    randomise(trainer.model.coupling)
    loss, levels = trainer.loss.backward(0, trainer.batches.at(0))
    assert loss.kl > 0.01
    added = loss.total - loss.each.mean()
    torch.testing.assert_close(added, kl_weight * levels.kl_scale * loss.kl, rtol=1e-3, atol=0)


def test_an_encoder_starts_the_same_whatever_the_network():
    first, second = (
        build.model(settings("variational", network={**MLP, "width": width}), dataset(), 0)
        for width in (8, 9)
    )
    for name, tensor in first.coupling.state_dict().items():
        assert torch.equal(tensor, second.coupling.state_dict()[name])


def test_a_divided_conditional_training_comes_to_its_end(tmp_path):
    network = {**UNET, "mult": [1], "attention": []}
    run = settings(network=network, conditional=True, steps=2, snapshots=1)
    runtime = RuntimeSettings(device="cpu", micro_batch=3)
    case = Case(run, tmp_path, data=dataset((1, 4, 4)), runtime=runtime)
    assert case.trainer().run().nonfinite_steps == 0


@pytest.mark.parametrize("flip", [True, False])
def test_images_are_mirrored_where_the_settings_say_so(tmp_path, flip):
    data = dataset((1, 4, 4))
    data.train.x[:] = torch.arange(16, dtype=torch.uint8).reshape(4, 4).numpy()
    network = {**UNET, "mult": [1], "attention": []}
    trainer = Case(settings(network=network, flip=flip), tmp_path, data=data).trainer()
    seen = torch.cat([trainer.batches.at(step).x for step in range(4)]).flatten(1)
    assert len(seen.unique(dim=0)) == (2 if flip else 1)


def test_masks_of_dropout_differ_but_for_student_and_teacher(tmp_path):
    network = {**MLP, "dropout": 0.5}
    run = settings({**COUPLINGS["variational"], "encoder": network}, network=network)
    trainer = Case(run, tmp_path).trainer()
    drawn = []

    def note(module, given):
        assert all(layer.training for layer in module.modules())
        drawn.append(("network" if module is trainer.model.network else "encoder", torch.rand(())))

    for part in (trainer.model.coupling.encoder, trainer.model.network):
        part.register_forward_pre_hook(note)
    trainer._step(0)
    trainer._step(1)
    assert [name for name, _ in drawn] == 2 * ["encoder", "network", "network"]
    first, student, teacher, later, *_ = numbers = [number.item() for _, number in drawn]
    assert student == teacher
    assert len({first, student, later, numbers[4]}) == 4


def test_training_learns(tmp_path):
    """When all data are one point, every sample must become that point."""
    data, point = dataset(), torch.tensor([0.6, -0.4])[:, None, None]
    data.train.x[:] = point.numpy()
    run = settings(
        steps=300,
        t_max=5.0,
        objective={"kind": "ict", "s0": 5, "s1": 5},
        network={"kind": "mlp", "width": 32, "depth": 2},
        optimizer={"kind": "adam", "learning_rate": 1e-2, "schedule": "cosine"},
        batch_size=32,
        snapshots=0,
    )
    trainer = Case(run, tmp_path, data=data).trainer()
    result = trainer.run()
    f = ConsistencyFunction(result.model.network, trainer.loss.kernel, 0.5, 0.002)
    noise = torch.randn(200, 2, 1, 1, generator=torch.Generator().manual_seed(0))
    (x,) = FewStep([5.0])(f, result.model.coupling, [noise])
    assert (x - point).abs().mean() < 0.1
