"""A metric and an extractor of a user's, by dotted path, from params.yaml to the table."""

import json
from pathlib import Path

import pytest
import yaml
from support import params

from vct.lab import cli
from vct.lab.files.layout import StatisticsId
from vct.lab.workflow import graph

MODULE = '''
import numpy as np
import torch
from torch import nn

from vct.lab.files.tensors import load_sealed, save_sealed
from vct.lab.metrics.base import Label, Metric
from vct.lab.metrics.extractors.base import Extractor, ExtractorKind


class Shift(Metric):
    """How far the mean of the samples is from that of the training data."""

    labels = {
        "shift": Label(label="shift of the mean", lower_is_better=True),
        "spread": Label(label="spread", higher_is_better=True),
    }

    def __init__(self, reference, order=2):
        assert isinstance(reference, np.memmap)
        self.mean, self.order = reference.mean(axis=0), order

    def compute(self, samples):
        shift = (samples.mean(axis=0) - self.mean).ravel()
        return {"shift": np.linalg.norm(shift, self.order), "spread": samples.std()}


class Short(Shift):
    def compute(self, samples):
        return {"shift": 1.0}


class Long(Shift):
    def compute(self, samples):
        return {**super().compute(samples), "more": 1.0}


class Wild(Shift):
    def __init__(self, reference, value="nan", snapshots=False):
        super().__init__(reference)
        self.value, self.snapshots = float(value), snapshots

    def compute(self, samples):
        wild = (len(samples) == 4) == self.snapshots
        return {"shift": 1.0, "spread": self.value if wild else 1.0}


class Nameless(Metric):
    def compute(self, samples):
        return {}


class Means(ExtractorKind):
    """Random projections of the training images' deviations from their mean."""

    def __init__(self, features=4, gain=1.0):
        self.features, self.gain = features, gain

    def make(self, weights, data):
        draw = torch.Generator().manual_seed(0)
        x = torch.tensor(data.train.x[:]).double().flatten(1)
        projection = torch.randn(x.shape[1], self.features, generator=draw).double()
        tensors = {"mean": x.mean(dim=0), "projection": projection}
        save_sealed(weights, "means", {}, tensors)
        return {"images": len(x)}

    def load(self, weights):
        tensors = load_sealed(weights, "means", "vct extractor")[1]
        tensors["projection"] *= self.gain
        return Extractor(self.features, (1, 8, 8), lambda: Project(**tensors), on_cpu=True)


class Project(nn.Module):
    def __init__(self, mean, projection):
        super().__init__()
        self.mean, self.projection = mean, projection

    def forward(self, images):
        return (images.double().flatten(1) - self.mean) @ self.projection


class Silent(Means):
    def make(self, weights, data):
        pass


class Failing(Means):
    """Writes by itself, into the folder that is there for it, and fails."""

    def make(self, weights, data):
        weights.write_bytes(b"")
        weights.unlink()
        raise ZeroDivisionError("no images")


class Wrong(Means):
    def load(self, weights):
        return None
'''
P, RUN = "experiments.pictures", "pictures/ot/seed3"
MEANS = {"kind": "own_scores.Means", "dataset": "images", "options": {"features": 3}}
PLACES = [StatisticsId("images", "judge", what) for what in ("moments", "features")]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Write params.yaml with changes, beside the user's file."""
    monkeypatch.chdir(tmp_path)
    Path("own_scores.py").write_text(MODULE)

    def write(changes):
        content = params(
            {
                "runtime.tracking": False,
                "suites": {"own": ["pictures"]},
                f"{P}.sample.snapshot_samples": 4,
                **changes,
            }
        )
        Path("params.yaml").write_text(yaml.safe_dump(content))

    return write


def run(*stages):
    for stage in stages:
        assert cli.main(stage.split()) == 0, stage


def read(name):
    return json.loads(Path(f"results/{name}").read_text())


def refused(stage, capsys):
    capsys.readouterr()
    assert cli.main(stage.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith("vct: error: ") and said.count("\n") == 1, said
    return said


def test_an_own_metric_comes_to_the_table(project, capsys):
    score = {"metric": "own_scores.Shift", "options": {"order": 1}}
    project({f"{P}.score": score})
    run("check", "data images", f"train {RUN}", f"sample {RUN}", f"score {RUN}", "floor pictures")
    scores = read(f"{RUN}/metrics.json")["steps1"]
    assert list(scores) == ["shift", "spread"] and scores["shift"] > 0
    assert Path(f"results/{RUN}/trajectory.csv").read_text().startswith("step,shift\n")
    protocol = read(f"{RUN}/protocol.json")
    assert protocol["metrics"] == ["shift", "spread"] and protocol["extractor"] is None
    assert protocol["extras"]["own_scores.Shift"]["order"] == "1"
    assert protocol["labels"]["spread"]["higher_is_better"]
    assert read("pictures/floor.json")["scores"].keys() == scores.keys()
    run("table own", "dvc own")
    table = Path("results/own/table.csv").read_text()
    assert all(f",{name}," in table for name in scores)

    for wrong in ("Short", "Long"):
        project({f"{P}.score": {"metric": f"own_scores.{wrong}"}})
        assert "must compute one number for each of its labels" in refused(f"score {RUN}", capsys)
    for options in ({}, {"value": "inf"}, {"value": "-inf", "snapshots": True}):
        project({f"{P}.score": {"metric": "own_scores.Wild", "options": options}})
        said = refused(f"score {RUN}", capsys)
        assert f"gives {options.get('value', 'nan')} for spread, which is no score" in said
    project({f"{P}.score": {"metric": "own_scores.Wild"}})
    assert "gives nan for spread" in refused("floor pictures", capsys)
    project({f"{P}.score": {"metric": "own_scores.Nameless"}})
    assert "must have labels" in refused(f"score {RUN}", capsys)
    project({f"{P}.score": {"metric": "own_scores.Means"}})
    assert "is no vct.lab.metrics.base.Metric" in refused(f"score {RUN}", capsys)
    project({f"{P}.score": {**score, "options": {"oder": 1}}})
    assert "does not take these settings" in refused(f"score {RUN}", capsys)
    assert read(f"{RUN}/metrics.json")["steps1"] == scores


def test_an_own_extractor_comes_to_the_table(project, capsys):
    score = {"metric": "fid", "extractor": "judge", "extras": ["kid"]}
    project({"extractors.judge": MEANS, f"{P}.score": score})
    run("check", "data images", "extractor judge")
    assert read("extractors/judge/metrics.json") == {"images": 1297}
    run(*(f"statistics {place}" for place in PLACES), "floor pictures")
    found = read("pictures/floor.json")
    assert found["scores"].keys() == {"fid_judge", "kid_judge"}
    assert found["extractor"]["kind"] == "own_scores.Means" and found["extractor"]["features"] == 3
    run(f"train {RUN}", f"sample {RUN}", f"score {RUN}", "table own", "dvc own")
    assert read(f"{RUN}/metrics.json")["steps1"]["fid_judge"] > found["scores"]["fid_judge"]
    assert ",fid_judge," in Path("results/own/table.csv").read_text()
    stages = yaml.safe_load(Path("dvc/own/dvc.yaml").read_text())["stages"]
    assert stages["extractor-judge"]["deps"] == ["data/images"]

    PLACES[1].file.unlink()
    message = f"make it with: vct statistics {PLACES[1]}"
    assert message in refused("floor pictures", capsys)
    project({"extractors.judge": {**MEANS, "kind": "own_scores.Wrong"}, f"{P}.score": score})
    assert "correct its method load" in refused("floor pictures", capsys)
    Path("results/extractors/judge/weights.safetensors").unlink()
    project({"extractors.judge": {**MEANS, "kind": "own_scores.Silent"}, f"{P}.score": score})
    assert "wrote no results/extractors/judge" in refused("extractor judge", capsys)
    Path("results/extractors/judge/metrics.json").unlink()
    project({"extractors.judge": {**MEANS, "kind": "own_scores.Failing"}, f"{P}.score": score})
    assert "in make: ZeroDivisionError: no images" in refused("extractor judge", capsys)
    assert not Path("results/extractors/judge").exists()


def test_an_own_extractor_is_another_with_other_options(project, capsys):
    """Also where its weights do not depend on them: nothing of before is compared with it."""
    score = {"metric": "fid", "extractor": "judge"}
    project({"extractors.judge": MEANS, f"{P}.score": score})
    place = PLACES[0]
    run("data images", "extractor judge", f"statistics {place}", "floor pictures")
    run(f"train {RUN}", f"sample {RUN}", f"score {RUN}", "table own")
    before = read(f"{RUN}/metrics.json")["steps1"]["fid_judge"]
    options = {"features": 3, "gain": 2.0}
    project({"extractors.judge": {**MEANS, "options": options}, f"{P}.score": score})
    run("extractor judge", "dvc own")
    assert "scored by another extractor" in refused("table own", capsys)
    assert f"make it again: vct statistics {place}" in refused(f"score {RUN}", capsys)
    run(f"statistics {place}", f"score {RUN}")
    assert "extractor differs from that of the runs" in refused("table own", capsys)
    run("floor pictures", "table own")
    assert read(f"{RUN}/metrics.json")["steps1"]["fid_judge"] == pytest.approx(4 * before)


def test_dvc_is_told_of_options_and_code_of_an_own_extractor(project, monkeypatch):
    """Its weights may be the same with others."""
    project({"extractors.judge": MEANS, f"{P}.score": {"metric": "fid", "extractor": "judge"}})
    monkeypatch.setattr(
        graph, "own_files", lambda part: ["mine.py"] if "own_scores.Means" in str(part) else []
    )
    run("dvc own")
    stages = yaml.safe_load(Path("dvc/own/dvc.yaml").read_text())["stages"]
    for stage in ("moments-images-in-judge", "floor-pictures", "score-pictures"):
        assert "extractors.judge" in stages[stage]["params"] and "mine.py" in stages[stage]["deps"]


def test_held_out_data_are_scored_with_the_options_of_the_scores(project, capsys):
    score = {"metric": "own_scores.Shift", "options": {"order": 1}}
    project({f"{P}.score": score})
    run("data images", f"train {RUN}", f"sample {RUN}", f"score {RUN}", "floor pictures")
    project({f"{P}.score": {**score, "options": {"order": 2}}})
    run(f"score {RUN}")
    for stage in ("table own", "figures own/pictures"):
        assert "make it again: vct floor pictures" in refused(stage, capsys)
    kept = Path("results/own/runs/pictures/floor.json")
    run("keep own")
    assert not kept.exists()
    run("floor pictures", "table own", "figures own/pictures", "keep own")
    assert kept.exists()
