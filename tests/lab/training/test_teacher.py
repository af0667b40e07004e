"""Runs whose pairs another run's flow makes."""

import hashlib
import json
import pickle
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from support import PARAMS, dataset, params

from vct.lab import cli, records
from vct.lab.data.dataset import load as data_of
from vct.lab.errors import UserError
from vct.lab.files.layout import RunId
from vct.lab.files.tensors import save_tensors
from vct.lab.records import RunRecord
from vct.lab.settings import reading
from vct.lab.settings.run import run_settings
from vct.lab.training import preparation
from vct.lab.training.teacher import Flow
from vct.lab.workflow import dvc, graph, smoke

FLOW = PARAMS["experiments"]["small"] | {
    "train": PARAMS["experiments"]["small"]["train"] | {"objective": {"kind": "edm"}},
    "variants": ["independent"],
    "couplings": {"independent": {}},
    "seeds": [0, 1],
    "sample": {"num_samples": 32, "sampler": {"kind": "heun", "steps": 3}},
}
SAMPLER = {"kind": "heun", "steps": 3}
REFLOW = {"kind": "reflow", "teacher": "flow/independent", "pairs": 32, "sampler": SAMPLER}
CHANGES = {
    "experiments.flow": FLOW,
    "experiments.small.couplings": {"reflow": REFLOW},
    "experiments.small.variants": ["reflow"],
    "experiments.small.seeds": [1],
    "runtime.tracking": False,
    "runtime.checkpoint_every": 1,
    "suites": {"cpu": ["flow", "small"]},
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(yaml.safe_dump(params(deepcopy(CHANGES))))
    assert cli.main(["data", "points"]) == 0


def test_the_run_with_its_seed_teaches_it(project, capsys, monkeypatch):
    from vct.objectives.base import Objective

    assert cli.main(["prepare", "small/reflow/seed1"]) == 2
    assert "train that run first: vct train flow/independent/seed1" in capsys.readouterr().err
    assert cli.main(["train", "flow/independent/seed1"]) == 0
    assert cli.main(["sample", "flow/independent/seed1"]) == 0
    assert cli.main(["prepare", "small/reflow/seed1"]) == 0
    seen, whole = [], Objective.loss

    def noted(objective, f, pair, *others):
        seen.append((pair.x, pair.z))
        return whole(objective, f, pair, *others)

    with monkeypatch.context() as patch:
        patch.setattr(Objective, "loss", noted)
        assert cli.main(["train", "small/reflow/seed1"]) == 0
    found = reading.load("params.yaml")
    taught = found.experiments["small"].couplings["reflow"].taught()
    flow = Flow.of(taught, 1, dataset((2, 1, 1)))
    for x, z in (seen[0], seen[-1]):
        torch.testing.assert_close(x, flow(z, None).float())
    # Which is what the flow's own samples are made by.
    with np.load("results/flow/independent/seed1/samples.npz") as file:
        made = flow(torch.from_numpy(file["noise"]), None).float()
        torch.testing.assert_close(made, torch.from_numpy(file["heun3"]))
    assert pickle.loads(pickle.dumps(flow)).run == flow.run
    record = json.loads(Path("results/small/reflow/seed1/config.json").read_text())
    assert len(record["teacher_sha256"]) == 64
    assert cli.main(["sample", "small/reflow/seed1"]) == 0


def test_a_training_goes_on_under_the_same_teacher_only(project, capsys, monkeypatch):
    from vct.lab.training.trainer import Trainer

    assert cli.main(["train", "flow/independent/seed1"]) == 0
    assert cli.main(["prepare", "small/reflow/seed1"]) == 0
    step = Trainer._step

    def stop(self, number):
        if number == 2:
            raise KeyboardInterrupt
        step(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", stop)
        assert cli.main(["train", "small/reflow/seed1"]) == 130
    folder = Path("results/flow/independent/seed1")
    weights, config = folder / "model.safetensors", folder / "config.json"
    kept, said = weights.read_bytes(), config.read_text()
    save_tensors(weights, {name: 2 * tensor for name, tensor in load_file(weights).items()})
    assert cli.main(["train", "small/reflow/seed1"]) == 2
    assert "is not the file that config.json beside it records" in capsys.readouterr().err
    # Weights that another training left there.
    config.write_text(said.replace(file_sha256_of(kept), file_sha256_of(weights.read_bytes())))
    assert cli.main(["train", "small/reflow/seed1"]) == 2
    assert "is of other weights of its teacher; make it again" in capsys.readouterr().err
    assert cli.main(["prepare", "small/reflow/seed1"]) == 0
    assert cli.main(["train", "small/reflow/seed1"]) == 2
    assert "teacher_sha256" in capsys.readouterr().err
    weights.write_bytes(kept)
    config.write_text(said)
    assert cli.main(["prepare", "small/reflow/seed1"]) == 0
    assert cli.main(["train", "small/reflow/seed1"]) == 0
    record = records.read(RunRecord, "results/small/reflow/seed1/config.json")
    run, found = RunId.parse("small/reflow/seed1"), reading.load()
    given = run, run_settings(found, run), data_of("points")
    assert record.teacher_sha256 == file_sha256_of(kept)
    assert preparation.checked(*given, record) is not None
    other = {"teacher_sha256": "0", "prepared_sha256": None}  # of before it was recorded
    with pytest.raises(UserError, match="small/reflow/seed1 was trained with another"):
        preparation.checked(*given, record.model_copy(update=other))


def file_sha256_of(content):
    return hashlib.sha256(content).hexdigest()


def test_both_engines_train_the_teacher_first():
    found = reading.validate(params(deepcopy(CHANGES)))
    needed = {
        f"results/flow/independent/seed{{seed}}/{file}"
        for file in ("model.safetensors", "config.json")
    }
    assert needed <= set(graph.inputs(found, "small")["prepare"])
    for other in (graph.inputs(found, "small", "ot"), graph.inputs(found, "flow")):
        assert not any("results/flow" in path for path in other["prepare"])
    stage = yaml.safe_load(dvc.text(found, "cpu"))["stages"]["prepare-small"]
    assert "results/flow/independent/seed${item.seed}/model.safetensors" in stage["deps"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"experiments.small.couplings.reflow.teacher": "flaw/independent"}, "did you mean flow"),
        ({"experiments.small.couplings.reflow.teacher": "flow/ot"}, "no coupling 'ot'"),
        ({"experiments.small.couplings.reflow.teacher": "small/reflow"}, "trains no flow"),
        ({"experiments.small.couplings.reflow.teacher": "flow"}, "teacher"),
        (
            {
                "experiments.flow.train.objective": {"kind": "ict"},
                "experiments.flow.sample": {"num_samples": 32},
            },
            "flow trains no flow",
        ),
        (
            {
                "experiments.flow.couplings.again": {**REFLOW, "teacher": "small/reflow"},
                "experiments.small.train.objective": {"kind": "edm"},
                "experiments.small.sample": FLOW["sample"],
                "experiments.small.seeds": [0, 1],
            },
            "waits for its own runs",
        ),
        (
            {
                "experiments.small.couplings.reflow.sampler": {
                    "kind": "euler",
                    "steps": 10_000,
                    "rho": 9,
                }
            },
            "euler's last time",
        ),
        (
            {
                "experiments.small.couplings.reflow": {
                    "kind": "generator_augmented",
                    "base": {**REFLOW, "teacher": "nix/ot"},
                }
            },
            r"couplings\.reflow\.base\.teacher",
        ),
        (
            {
                "experiments.flow.couplings": {
                    "independent": {"kind": "conditional", "hidden": 0.5}
                },
                "experiments.flow.train.kernel": "li",
                "experiments.flow.train.t_max": 1.0,
            },
            "independent restores images, and makes none of noise",
        ),
        ({"experiments.small.seeds": [1, 2]}, "flow has no run with seed 2"),
        ({"experiments.flow.train.conditional": True}, "not both trained with labels"),
    ],
)
def test_teachers_that_cannot_be_are_refused(changes, said):
    with pytest.raises(UserError, match=said):
        reading.validate(params({**deepcopy(CHANGES), **changes}))


def test_a_smoke_suite_has_the_teachers_of_its_runs():
    """Whatever the first seeds are."""
    reduced = smoke.reduced_suite(reading.validate(params(deepcopy(CHANGES))), "cpu", 3)
    flow, small = (reduced.experiments[smoke.smoke_name(name)] for name in ("flow", "small"))
    assert small.seeds == [1] and set(flow.seeds) == {0, 1}
    assert small.couplings["reflow"].pairs == smoke.SAMPLES
