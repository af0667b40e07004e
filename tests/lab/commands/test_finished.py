"""A finished training is not done again because an engine lost sight of it."""

import shutil

import pytest
import yaml

from vct.lab import cli
from vct.lab.errors import UserError
from vct.lab.files.layout import TRAIN_FILES, RunId
from vct.lab.training import outputs as owner
from vct.lab.training import trainer

RUN = RunId("small", "variational", 0)


@pytest.fixture
def trained(make_project):
    """A trained run; the bytes of its outputs."""
    make_project({"experiments.small.train.steps": 4})
    assert cli.main(["train", str(RUN)]) == 0
    return outputs()


@pytest.fixture
def steps(monkeypatch):
    """The steps that are trained from now on."""
    found = []
    step = trainer.Trainer._step

    def note(self, number):
        found.append(number)
        step(self, number)

    monkeypatch.setattr(trainer.Trainer, "_step", note)
    return found


def outputs():
    return {name: (RUN.directory / name).read_bytes() for name in TRAIN_FILES}


def change(key, value):
    with open("params.yaml", encoding="utf-8") as stream:
        content = yaml.safe_load(stream)
    content["experiments"]["small"]["train"][key] = value
    with open("params.yaml", "w", encoding="utf-8") as stream:
        yaml.safe_dump(content, stream)


@pytest.mark.parametrize("links", [True, False])
def test_outputs_that_an_engine_deleted_are_put_back(trained, steps, links, monkeypatch, capsys):
    if not links:
        monkeypatch.setattr("os.link", lambda *_: (_ for _ in ()).throw(OSError("no links")))
    shutil.rmtree(RUN.directory)
    assert cli.main(["train", str(RUN)]) == 0
    assert outputs() == trained and not steps
    assert "put back" in capsys.readouterr().err
    assert cli.main(["sample", str(RUN)]) == 0


def test_after_sampling_a_training_that_is_asked_for_is_done(trained, steps):
    assert cli.main(["sample", str(RUN)]) == 0
    assert cli.main(["train", str(RUN)]) == 0
    assert len(steps) == 4 and outputs() == trained


def test_fresh_trains(trained, steps):
    assert cli.main(["train", str(RUN), "--fresh"]) == 0
    assert len(steps) == 4 and outputs() == trained


@pytest.mark.parametrize("key,value", [("steps", 3), ("sigma_data", 0.4)])
def test_other_settings_train(trained, steps, key, value):
    change(key, value)
    assert cli.main(["train", str(RUN)]) == 0
    assert steps and outputs() != trained


def test_other_data_train(trained, steps):
    with open("params.yaml", encoding="utf-8") as stream:
        content = yaml.safe_load(stream)
    content["datasets"]["points"]["train"] = 63
    with open("params.yaml", "w", encoding="utf-8") as stream:
        yaml.safe_dump(content, stream)
    assert cli.main(["data", "points"]) == 0
    assert cli.main(["train", str(RUN)]) == 0
    assert steps and outputs() != trained


@pytest.mark.parametrize("name", [*TRAIN_FILES, "config.sha256"])
def test_damaged_copies_are_not_put_back(trained, steps, name):
    shutil.rmtree(RUN.directory)
    kept = RUN.state / "finished" / name
    kept.write_bytes(kept.read_bytes()[:-1] + b" ")
    assert cli.main(["train", str(RUN)]) == 0
    assert steps and outputs() == trained


def test_another_version_of_training_trains(trained, steps, monkeypatch):
    monkeypatch.setattr("vct.lab.versions.TRAINING", 10**6)
    assert cli.main(["train", str(RUN)]) == 0
    assert steps


def test_what_a_killed_training_left_half_written_is_removed(trained):
    for folder, name in (
        (RUN.directory, ".tmp-model-x.safetensors"),
        (RUN.state, ".tmp-checkpoint-000000003-x.ckpt"),
        (RUN.state, ".tmp-snapshot-000000002-x.safetensors"),
    ):
        (folder / name).touch()
    assert cli.main(["train", str(RUN)]) == 0
    assert not [*RUN.directory.glob(".tmp-*"), *RUN.state.glob(".tmp-*")]


def test_nothing_of_an_unfinished_training_stays_beside_what_was_put_back(trained, steps):
    """As where the first one was stopped while it cleaned up."""
    left = [
        RUN.state / name
        for name in ("unfinished", "checkpoint-000000002.ckpt", "snapshot-000000002.safetensors")
    ]
    for file in left:
        file.touch()
    assert cli.main(["train", str(RUN)]) == 0
    assert not steps and not [file for file in left if file.exists()]


def test_a_full_disk_for_the_second_name_takes_nothing_from_the_first(make_project, monkeypatch):
    make_project({"experiments.small.train.steps": 4})

    def full(*_):
        raise UserError("cannot write it: No space left on device; make room.")

    monkeypatch.setattr(owner, "_place", full)
    assert cli.main(["train", str(RUN)]) == 0
    assert cli.main(["sample", str(RUN)]) == 0
