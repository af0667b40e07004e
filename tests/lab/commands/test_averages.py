"""Any average can be sampled from after the training, and is the one that was tracked."""

import hashlib
import json
import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import vct
from vct.lab import cli
from vct.lab.commands import sample, score, train
from vct.lab.data.dataset import load
from vct.lab.errors import UserError
from vct.lab.files.layout import AVERAGES_FILE, RunId
from vct.lab.runs import weights
from vct.lab.settings.run import run_settings
from vct.lab.workflow import graph
from vct.moments import RunningMoments

RUN = RunId("small", "variational", 0)
KEPT = {"kind": "post_hoc", "widths": [0.05, 0.1], "kept": 40}


def changes(ema, **more):
    steps = {"experiments.small.train.steps": 80, "experiments.small.train.ema": ema}
    return {**steps, **more}


def test_rebuilt_average_is_the_one_of_a_training_with_that_width(make_project):
    loaded = make_project(changes({"kind": "power", "width": 0.08}))
    train.run(loaded, RUN)
    direct = load_file(RUN.directory / "model.safetensors")
    assert not (RUN.directory / AVERAGES_FILE).exists()
    train.run(make_project(changes(KEPT)), RUN, fresh=True)
    made = {file.name for file in RUN.directory.iterdir()}
    assert made == {*graph.train_files(make_project(changes(KEPT)), "small")}
    assert not list(RUN.state.glob("average-*"))
    rebuilt = weights.rebuilt(RUN.directory / AVERAGES_FILE, 0.08, ())
    plain = load_file(RUN.directory / "model.safetensors")
    assert rebuilt.keys() == direct.keys()
    moved, error = torch.zeros(2), torch.zeros(2)
    for name, tensor in direct.items():
        part = torch.tensor([0, 1]) == int(name.startswith("coupling."))
        moved += part * (plain[name] - tensor).square().sum()
        error += part * (rebuilt[name] - tensor).square().sum()
    # Both for the network and for the encoder.
    assert (error.sqrt() < 0.05 * moved.sqrt()).all()


def test_width_is_a_choice_of_sampling(make_project):
    train.run(make_project(changes(KEPT)), RUN)
    drawn, averages = {}, {}
    for width in (None, 0.05, 0.1, 0.07):
        loaded = make_project(changes(KEPT, **({"experiments.small.sample.ema_width": width})))
        sample.sample(loaded, str(RUN))
        score.score(loaded, str(RUN))
        with np.load(RUN.directory / "samples.npz") as file:
            drawn[width] = file["steps1"]
        averages[width] = json.loads((RUN.directory / "protocol.json").read_text())["ema"]
    # The first width is the default, and rebuilding it gives the same.
    np.testing.assert_allclose(drawn[None], drawn[0.05], atol=1e-5)
    assert not np.allclose(drawn[0.05], drawn[0.1], atol=1e-5)
    assert not np.allclose(drawn[0.05], drawn[0.07], atol=1e-5)
    assert averages == {
        None: "power 0.05",
        0.05: "power 0.05, rebuilt",
        0.1: "power 0.1, rebuilt",
        0.07: "power 0.07, rebuilt",
    }


def test_state_that_is_not_averaged_is_that_of_the_end(make_project, monkeypatch):
    """Of a rebuilt width too, whether the project or a user loads it."""
    monkeypatch.setattr(RunningMoments, "unaveraged", ("mean",), raising=False)
    moments = {"experiments.small.couplings.variational.prior": "moments"}
    loaded = make_project(changes(KEPT, **{"experiments.small.sample.ema_width": 0.07}, **moments))
    train.run(loaded, RUN)
    sample.sample(loaded, str(RUN))
    kept = load_file(RUN.directory / AVERAGES_FILE)
    name = "coupling.moments.mean"
    last, first = kept[f"80/0.05/{name}"], kept[f"2/0.05/{name}"]
    assert not torch.equal(last, first) and torch.equal(last, kept[f"80/0.1/{name}"])
    here = weights.load(RUN, run_settings(loaded, RUN), load("points"), torch.device("cpu"), 0.07)
    for module in (here, vct.load(str(RUN.directory))):
        assert torch.equal(module.state_dict()[name], last)
        other = module.state_dict()["coupling.moments.covariance"]
        assert not torch.equal(other, kept["80/0.05/coupling.moments.covariance"])


def test_a_width_out_of_reach_is_refused(make_project):
    few = {**KEPT, "kept": 4}
    train.run(make_project(changes(few)), RUN)
    loaded = make_project(changes(few, **{"experiments.small.sample.ema_width": 0.01}))
    with pytest.raises(UserError, match=r"ema_width: 0.01 cannot be rebuilt .* off by \d+%"):
        sample.sample(loaded, str(RUN))
    assert not (RUN.directory / "samples.npz").exists()
    (RUN.directory / AVERAGES_FILE).write_bytes(b"torn")
    with pytest.raises(UserError, match=r"averages.* train again: vct train small/vari"):
        sample.sample(loaded, str(RUN))


def flipped(content):
    return content[:-1] + bytes([content[-1] ^ 1])


def test_other_averages_than_those_of_the_training_are_seen(make_project, capsys):
    """By `show`, by sampling, and by scoring what was drawn from others."""
    width = {"experiments.small.sample.ema_width": 0.07}
    loaded, path = make_project(changes(KEPT, **width)), RUN.directory / AVERAGES_FILE
    for stage in ("train", "sample", "score"):
        assert cli.main([stage, str(RUN)]) == 0
    assert cli.main(["show", str(RUN)]) == 0
    said = capsys.readouterr().out
    for recorder in ("config.json", "samples.npz"):
        assert re.search(rf"ok +{path}, recorded in {recorder}", said)

    whole = path.read_bytes()
    path.write_bytes(flipped(whole))
    assert cli.main(["show", str(RUN)]) == 2
    said = capsys.readouterr().out
    for recorder in ("config.json", "samples.npz"):
        assert re.search(rf"differs +{path}, recorded in {recorder}", said)
    with pytest.raises(UserError, match=r"averages.* is not the file that config\.json"):
        sample.sample(loaded, str(RUN))

    config = RUN.directory / "config.json"
    record = json.loads(config.read_text())
    record["files"][AVERAGES_FILE] = hashlib.sha256(path.read_bytes()).hexdigest()
    config.write_text(json.dumps(record))
    with pytest.raises(UserError, match="drawn from other weights"):
        score.score(loaded, str(RUN))
