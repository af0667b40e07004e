"""Runs whose pairs another run's flow makes."""

import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from support import PARAMS, params

import vct
from vct.lab import cli
from vct.lab.errors import UserError
from vct.lab.settings import reading
from vct.lab.workflow import dvc, graph

FLOW = PARAMS["experiments"]["small"] | {
    "train": PARAMS["experiments"]["small"]["train"] | {"objective": {"kind": "edm"}},
    "variants": ["independent"],
    "couplings": {"independent": {}},
    "seeds": [0, 1],
    "sample": {"num_samples": 32, "sampler": {"kind": "heun", "steps": 3}},
}
REFLOW = {"kind": "reflow", "teacher": "flow/independent", "pairs": 32}
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

    assert cli.main(["train", "small/reflow/seed1"]) == 2
    assert "train that run first: vct train flow/independent/seed1" in capsys.readouterr().err
    assert cli.main(["train", "flow/independent/seed1"]) == 0
    assert cli.main(["sample", "flow/independent/seed1"]) == 0
    seen, whole = [], Objective.loss

    def noted(objective, f, pair, *others):
        seen.append((pair.x, pair.z))
        return whole(objective, f, pair, *others)

    with monkeypatch.context() as patch:
        patch.setattr(Objective, "loss", noted)
        assert cli.main(["train", "small/reflow/seed1"]) == 0
    teacher = vct.load("results/flow/independent/seed1")
    for x, z in (seen[0], seen[-1]):
        torch.testing.assert_close(x, teacher.made_of(z).float())
    # Which is what the flow's own samples are made by.
    with np.load("results/flow/independent/seed1/samples.npz") as file:
        made = teacher.made_of(torch.from_numpy(file["noise"])).float()
        torch.testing.assert_close(made, torch.from_numpy(file["heun3"]))
    record = json.loads(Path("results/small/reflow/seed1/config.json").read_text())
    assert len(record["teacher_sha256"]) == 64
    assert cli.main(["sample", "small/reflow/seed1"]) == 0


def test_a_training_goes_on_under_the_same_teacher_only(project, capsys, monkeypatch):
    from vct.lab.training.trainer import Trainer

    assert cli.main(["train", "flow/independent/seed1"]) == 0
    step = Trainer._step

    def stop(self, number):
        if number == 2:
            raise KeyboardInterrupt
        step(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", stop)
        assert cli.main(["train", "small/reflow/seed1"]) == 130
    weights = Path("results/flow/independent/seed1/model.safetensors")
    kept = weights.read_bytes()
    weights.write_bytes(kept + b" ")
    assert cli.main(["train", "small/reflow/seed1"]) == 2
    assert "teacher_sha256" in capsys.readouterr().err
    weights.write_bytes(kept)
    assert cli.main(["train", "small/reflow/seed1"]) == 0


def test_both_engines_train_the_teacher_first():
    found = reading.validate(params(deepcopy(CHANGES)))
    needed = {
        f"results/flow/independent/seed{{seed}}/{file}"
        for file in ("model.safetensors", "config.json")
    }
    assert needed <= set(graph.inputs(found, "small")["train"])
    assert not any("results/flow" in path for path in graph.inputs(found, "flow")["train"])
    stage = yaml.safe_load(dvc.text(found, "cpu"))["stages"]["train-small"]
    assert "results/flow/independent/seed${item.seed}/model.safetensors" in stage["deps"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"experiments.small.couplings.reflow.teacher": "flaw/independent"}, "did you mean flow"),
        ({"experiments.small.couplings.reflow.teacher": "flow/ot"}, "no coupling 'ot'"),
        ({"experiments.small.couplings.reflow.teacher": "small/reflow"}, "by its own runs"),
        ({"experiments.small.couplings.reflow.teacher": "flow"}, "teacher"),
        (
            {
                "experiments.flow.train.objective": {"kind": "ict"},
                "experiments.flow.sample": {"num_samples": 32},
            },
            "objective ict trains no flow",
        ),
        ({"experiments.small.seeds": [1, 2]}, "flow has no run with seed 2"),
        ({"experiments.flow.train.conditional": True}, "one of both is trained with labels"),
    ],
)
def test_teachers_that_cannot_be_are_refused(changes, said):
    with pytest.raises(UserError, match=said):
        reading.validate(params({**deepcopy(CHANGES), **changes}))
