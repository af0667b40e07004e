"""A training that diverges stops, says with what, and leaves its good checkpoints alone."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
import yaml
from support import dataset, params, run_settings

from vct.couplings.independent import Independent
from vct.couplings.variational import Variational
from vct.lab import cli
from vct.lab.errors import UserError
from vct.lab.settings.runtime import RuntimeSettings
from vct.lab.training import checkpoint
from vct.lab.training.checkpoint import Identity
from vct.lab.training.divergence import Diverged, DivergenceWatch
from vct.lab.training.signals import Interrupted
from vct.lab.training.trainer import Trainer
from vct.objectives.base import LossRecord

CPU = torch.device("cpu")
STEPS = 40


class FailsAt(Independent):
    """Noise of one sample is not finite in `steps`, so the loss there is not."""

    steps: range

    def __init__(self, first=10, last=STEPS, **given):
        super().__init__(**given)
        self.steps = range(first, last)

    def pair(self, x, eps, context):
        made = super().pair(x, eps, context)
        if context.draw.step in self.steps:
            made.z[int(context.t.argmax())] = torch.nan
        return made


class KLFailsAt(Variational):
    """The KL is infinite from step 10 on."""

    def pair(self, x, eps, context):
        made = super().pair(x, eps, context)
        if context.draw.step >= 10:
            made.kl[0] = torch.inf
        return made


def trainer(folder, coupling=None, limit=5, log_every=8, every=4, **train):
    runtime = RuntimeSettings(device="cpu", checkpoint_every=every, stop_after_nonfinite=limit)
    own = {"kind": f"{__name__}.FailsAt", "options": coupling or {}}
    options = {"steps": STEPS, "log_every": log_every, "snapshots": 0, **train}
    settings = run_settings(own, **options)
    made = Trainer(settings, 0, dataset(), runtime, folder, Identity({}, "", 1))
    made.resume()
    return made


def kept(folder):
    return sorted(path.name for path in folder.glob("*.ckpt"))


def diverges(made):
    with pytest.raises(Diverged) as caught:
        made.run()
    return str(caught.value)


def killed_before(at, made):
    step = made._step

    def die(number):
        if number == at:
            raise KeyboardInterrupt
        step(number)

    made._step = die
    with pytest.raises(KeyboardInterrupt):
        made.run()


@pytest.fixture(autouse=True)
def _here(monkeypatch):
    """The couplings of this file can be named by its module."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def test_it_stops_and_names_step_term_levels_and_checkpoint(tmp_path):
    made = trainer(tmp_path)
    message = diverges(made)
    # The first is seen at the next look after five in a row: the log of step 16.
    assert made.step == 16
    assert "from step 11 on the consistency loss and the weighted loss and the gradient" in message
    assert "1 samples at noise levels t from" in message
    assert str(tmp_path / "checkpoint-000000008.ckpt") in message
    assert "runtime.stop_after_nonfinite" in message
    assert kept(tmp_path) == ["checkpoint-000000004.ckpt", "checkpoint-000000008.ckpt"]


def test_the_noise_level_named_is_that_of_the_sample(tmp_path):
    made, seen = trainer(tmp_path, every=1), []
    draw = made.loss.objective.levels
    made.loss.objective.levels = lambda *given: seen.append(draw(*given)) or seen[-1]
    message = diverges(made)
    highest = f"{float(seen[10].t.max()):.3g}"
    assert f"t from {highest} to {highest}" in message


def test_it_stops_between_two_rows_of_the_log_and_writes_one(tmp_path):
    made = trainer(tmp_path, log_every=1000)
    diverges(made)
    assert made.step == 16
    (row,) = made.log.rows
    assert row.step == 16
    assert row.nonfinite_fraction == 6 / 16
    assert str(row.loss_max) == "nan"


def test_good_checkpoints_are_never_replaced(tmp_path, capsys, monkeypatch):
    """Saved at every step, and yet the two before the first bad step stay, bit by bit."""
    # A checkpoint holds the rows of the log, which say when they were written, and how fast.
    monkeypatch.setattr("vct.lab.training.log.time.time", lambda: 0.0)
    monkeypatch.setattr("vct.lab.training.log.Speed.rate", lambda self, step: 1.0)
    killed_before(10, trainer(tmp_path / "a", {"first": STEPS}, every=1))
    diverges(trainer(tmp_path / "b", every=1))
    names = kept(tmp_path / "b")
    assert names == ["checkpoint-000000009.ckpt", "checkpoint-000000010.ckpt"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert "step 11 is not finite and is not saved" in capsys.readouterr().err


def test_a_rerun_comes_to_the_same_end(tmp_path):
    first = diverges(trainer(tmp_path))
    again = trainer(tmp_path)
    assert again.step == 8
    assert diverges(again) == first


@pytest.mark.parametrize("limit", [5, None])
def test_fewer_in_a_row_are_counted_and_borne(tmp_path, limit, capsys):
    made = trainer(tmp_path, {"first": 10, "last": 14 if limit else STEPS - 1}, limit)
    finished = made.run()
    assert finished.nonfinite_steps == (4 if limit else STEPS - 11)
    assert all(torch.isfinite(value).all() for value in finished.model.state_dict().values())
    assert "was not finite in" in capsys.readouterr().err
    assert bool(kept(tmp_path))


@pytest.mark.parametrize("kill", [11, 13, 14])
def test_a_streak_is_counted_on_after_a_kill(tmp_path, kill):
    """Killed inside a streak, a training resumes before it, and counts from its beginning."""
    killed_before(kill, trainer(tmp_path, every=1))
    again = trainer(tmp_path, every=1)
    assert again.step == 10
    assert "from step 11 on" in diverges(again)
    assert again.step == 15


def test_a_kl_that_is_not_finite_is_named(tmp_path):
    runtime = RuntimeSettings(device="cpu", checkpoint_every=4, stop_after_nonfinite=5)
    settings = run_settings("variational", steps=STEPS, log_every=8, snapshots=0)
    made = Trainer(settings, 0, dataset(), runtime, tmp_path, Identity({}, "", 1))
    made.model.coupling.__class__ = KLFailsAt
    message = diverges(made)
    assert "from step 11 on the KL and the weighted loss is" in message.replace(
        " and the gradient", ""
    )
    assert "noise levels" not in message


@pytest.mark.parametrize("limit", [5, None])
@pytest.mark.parametrize("first", [STEPS - 1, STEPS - 4])
def test_a_training_whose_last_steps_are_not_finite_has_not_finished(tmp_path, first, limit):
    made = trainer(tmp_path, {"first": first}, limit)
    message = diverges(made)
    assert made.step == STEPS
    assert f"from step {first + 1} on the consistency loss" in message
    assert "up to the end; the last good checkpoint is" in message


def test_what_was_noted_of_a_streak_survives_a_kill(tmp_path):
    """Where any number is borne, a training may be stopped, and saved, at its last step."""
    expected = diverges(trainer(tmp_path / "a", {"first": 30}, limit=None, every=1000))
    made = trainer(tmp_path / "b", {"first": 30}, limit=None, every=1000)
    step = made._step

    def stop(number):
        step(number)
        if number == STEPS - 1:
            os.kill(os.getpid(), signal.SIGTERM)

    made._step = stop
    with pytest.raises(Interrupted):
        made.run()
    again = trainer(tmp_path / "b", {"first": 30}, limit=None, every=1000)
    assert again.step == STEPS
    begin = "from step 31 on"
    assert begin in expected and begin in diverges(again)


SPOILT = {
    "trained weights": ("model", 0, "the trained weights are not finite at the end"),
    "averaged weights": ("ema", 0, "the averaged weights are not finite at the end"),
    "answers": ("ema", 1, "the averaged model's answers are not finite at the end"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_what_is_not_finite_at_the_end_is_no_result(tmp_path, what):
    """Finite weights may give answers that are not: 1e30 is squared in the second layer."""
    whose, finite, expected = SPOILT[what]
    made = trainer(tmp_path, {"first": STEPS}, limit=None, every=1000)
    module = {"model": made.model, "ema": made.ema.module}[whose]
    step = made._step

    def spoil(number):
        step(number)
        if number == STEPS - 1:
            for parameter in module.parameters():
                torch.nn.init.constant_(parameter, 1e30 if finite else torch.inf)

    made._step = spoil
    assert expected in diverges(made)


@pytest.mark.parametrize("base", ["ot", "sinkhorn"])
@pytest.mark.parametrize("noise", ["keep", "recouple"])
def test_generated_points_that_are_not_finite_are_a_divergence(tmp_path, base, noise):
    """And no error of what pairs them."""
    coupling = {"kind": "generator_augmented", "mu": 1.0, "noise": noise, "base": {"kind": base}}
    runtime = RuntimeSettings(device="cpu", checkpoint_every=4, stop_after_nonfinite=5)
    settings = run_settings(coupling, steps=STEPS, log_every=8, snapshots=0)
    made = Trainer(settings, 0, dataset(), runtime, tmp_path, Identity({}, "", 1))

    def fail(module, given, answer):
        return answer * torch.nan if made.step >= 10 else answer

    made.ema.module.network.register_forward_hook(fail)
    assert "from step 11 on the consistency loss" in diverges(made)
    assert made.step == 16


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    made = trainer(tmp_path, {"first": STEPS}, limit=None)
    made.save()
    next(made.model.parameters()).data.view(-1)[0] = torch.nan
    made.step = 3
    made.save()
    assert kept(tmp_path) == ["checkpoint-000000000.ckpt"]


def record(value):
    number = torch.tensor(float(value))
    return LossRecord(number, number, torch.zeros(()), number[None])


@pytest.mark.parametrize("before", range(5))
def test_the_streak_that_counted_is_named_not_a_later_one(tmp_path, before):
    watch = DivergenceWatch(CPU, 3, tmp_path)
    bad, good = float("nan"), 1.0
    losses = [good] * before + [bad, good, bad, bad, bad, good, bad, good]
    for step, loss in enumerate(losses):
        watch.add(step, record(loss), torch.ones(()), torch.ones(1))
    assert watch.exceeded() and not watch.in_streak()
    with pytest.raises(Diverged, match=f"from step {before + 3} on"):
        watch.stop_if_exceeded()


def test_a_checkpoint_that_does_not_fit_is_the_users_error(tmp_path):
    made = trainer(tmp_path)
    made.save()
    (path,) = tmp_path.glob("*.ckpt")
    for state in ({}, {"model": {}}, {"model": 3}, [1], {"model": {"x": torch.zeros(2)}}):
        path.unlink()
        checkpoint.save(tmp_path, 0, Identity({}, "", 1), state)
        with pytest.raises(UserError, match=r"does not fit this network.*--fresh"):
            trainer(tmp_path)


@pytest.mark.parametrize(("first", "share"), [(3, 0.7), (9, 0.1), (17, 0.0)])
def test_the_command_ends_with_code_2(tmp_path, monkeypatch, capsys, first, share):
    """Also where the training's end came before the limit; no output is written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VCT_TRACKING", "off")
    own = {"kind": f"{__name__}.FailsAt", "options": {"first": first}}
    changes = {"experiments.small.couplings.mine": own, "runtime.stop_after_nonfinite": 4}
    text = yaml.safe_dump(params({**changes, "experiments.small.train.log_every": 10}))
    (tmp_path / "params.yaml").write_text(text)
    assert cli.main(["data", "points"]) == 0
    capsys.readouterr()
    assert cli.main(["train", "small/mine/seed0"]) == 2
    err = capsys.readouterr().err
    expected = f"vct: error: the training diverged: from step {first + 1} on"
    assert err.splitlines()[-1].startswith(expected)
    assert "Traceback" not in err
    assert not [path for path in (tmp_path / "results").rglob("*") if path.is_file()]
    rows = (tmp_path / "state/small/mine/seed0/log.jsonl").read_text().splitlines()
    assert json.loads(rows[0])["nonfinite_fraction"] == share


def test_what_is_noted_keeps_no_graph(tmp_path):
    loss = LossRecord(*(torch.ones((), requires_grad=True) for _ in range(3)), torch.ones(2))
    flag = DivergenceWatch(CPU, 3, tmp_path).add(0, loss, torch.ones(()), torch.ones(2))
    assert not flag.requires_grad
