"""A toy member of every family, by its dotted path, from data to table (`toy_family`).

Extractors need images; theirs is in `tests/lab/metrics/test_own.py`.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from support import ROOT

from vct.lab import cli
from vct.lab.runs import provenance
from vct.lab.settings import params, reading  # noqa: F401
from vct.lab.settings.base import FamilySettings, OwnSettings, members
from vct.lab.settings.own_code import own_code
from vct.lab.settings.sample import SampleSettings

TRAIN = {
    "dataset": "rings",
    "kernel": "toy_family.Squared",
    "objective": {"kind": "toy_family.Fixed", "options": {"ratio": 0.25}},
    "network": {"kind": "toy_family.Affine", "options": {"scale": 0.5}},
    "optimizer": {"kind": "toy_family.Signed", "learning_rate": 0.01},
    "ema": {"kind": "toy_family.Latest"},
    "batch_size": 16,
    "steps": 4,
    "snapshots": 2,
}
PARAMS = {
    "datasets": {"rings": {"source": "toy_family.rings", "options": {"count": 32}}},
    "experiments": {
        "toys": {
            "train": TRAIN,
            "variants": ["reversed", "independent"],
            "couplings": {
                "reversed": {"kind": "toy_family.Reversed", "options": {"flip": True}},
                "independent": {},
            },
            "seeds": [0],
            "sample": {
                "num_samples": 8,
                "sampler": {"kind": "toy_family.Halves"},
                "snapshot_samples": 4,
            },
            "score": {"metric": "toy_family.Radius", "options": {"power": 2}},
        }
    },
    "suites": {"toys-suite": ["toys"]},
    "runtime": {"tracking": False},
}
RUNS = [f"toys/{name}/seed0" for name in ("reversed", "independent")]
STAGES = [
    *("check", "data rings"),
    *(f"{stage} {run}" for run in RUNS for stage in ("train", "sample", "score")),
    *("floor toys", "table toys-suite", "figures toys-suite/toys", "dvc toys-suite"),
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "tests/toy_family.py", tmp_path)
    Path("params.yaml").write_text(yaml.safe_dump(PARAMS))
    return tmp_path


def test_every_family_takes_a_class_of_the_users():
    families = [base for base in FamilySettings.__subclasses__() if base is not OwnSettings]
    assert {base.family for base in families} == {
        *("coupling", "objective", "network", "kernel", "data source"),
        *("metric", "extractor", "sampler", "optimizer", "average"),
    }
    for base in families:
        assert [word for _, word in members(base)].count("own") == 1


def test_toys_of_all_families_come_from_data_to_table(here, capsys, monkeypatch):
    for stage in STAGES:
        assert cli.main(stage.split()) == 0, (stage, capsys.readouterr().err)
    table = Path("results/toys-suite/table.md").read_text()
    assert "error of the radius ↓, Halves, 2 steps" in table
    assert "| reversed |" in table and "| independent |" in table and "toy\\_family.Fixed" in table
    record = json.loads(Path("results/toys/reversed/seed0/config.json").read_text())
    assert record["settings"]["train"]["kernel"] == "toy_family.Squared"
    assert len(record["own_code"]) == 6  # source, sampler and metric are no part of a training
    with np.load("results/toys/reversed/seed0/samples.npz") as file:
        assert file["halves2"].shape == (8, 2, 1, 1) and np.isfinite(file["halves2"]).all()
        assert {"snapshot2", "snapshot4"} <= set(file)
    floor = json.loads(Path("results/toys/floor.json").read_text())
    assert floor["scores"]["radius_error"] == pytest.approx(0, abs=1e-6)
    monkeypatch.setattr(provenance, "own_code", other_sampler)
    assert cli.main(["score", RUNS[0]]) == 2
    assert "drawn with other code of your sampler" in capsys.readouterr().err


def other_sampler(part):
    """Hashes of classes, of a sampler as after a change of its code."""
    found = own_code(part)
    if isinstance(part, SampleSettings):
        assert list(found["own_code"]) == ["toy_family.Halves"]
        return {"own_code": {"toy_family.Halves": "0" * 64}}
    return found


@pytest.mark.parametrize(
    ("where", "value", "said"),
    [
        ("kernel", "toy_family.Halves", "is no vct.kernels.Kernel"),
        ("objective", {"kind": "toy_family.Squared"}, "is no vct.objectives.base.Objective"),
        ("network", {"kind": "toy_family.rings"}, "is no torch.nn.Module"),
        ("optimizer", {"kind": "torch.optim.SGD", "options": {"pace": 1}}, "pace"),
        ("optimizer", {"kind": "torch.optim.SGD", "betas": [0.5, 0.9]}, "under 'options'"),
        ("ema", {"kind": "toy_family.Affine"}, "does not take these settings"),
        ("ema", {"kind": "nowhere.Average"}, "the average 'nowhere.Average' cannot be imported"),
    ],
)
def test_a_wrong_class_is_one_sentence(here, capsys, where, value, said):
    changed = json.loads(json.dumps(PARAMS))
    changed["experiments"]["toys"]["train"][where] = value
    Path("params.yaml").write_text(yaml.safe_dump(changed))
    cli.main(["data", "rings"])
    capsys.readouterr()
    assert cli.main(["train", "toys/independent/seed0"]) == 2
    message = capsys.readouterr().err
    assert said in message and message.startswith("vct: error: ") and message.count("\n") == 1
