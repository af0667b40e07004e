"""A diffusion network from data to table and figures, by the stages of every other run."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file
from support import params

from vct.lab.commands import (
    extractor,
    figures,
    floor,
    sample,
    score,
    statistics,
    table,
    train,
)
from vct.lab.errors import UserError
from vct.lab.files.layout import RunId
from vct.lab.reuse import load
from vct.lab.workflow import dvc

EDM = {
    "train.objective": {"kind": "edm"},
    "variants": ["independent"],
    "couplings": {"independent": {}},
    "seeds": [0],
    "sample": {
        "num_samples": 16,
        "snapshot_samples": 8,
        "sampler": {"kind": "heun", "steps": 5},
    },
}


def changes(experiment):
    return {
        **{f"experiments.{experiment}.{key}": value for key, value in EDM.items()},
        "suites.cpu": [experiment],
        "suites.one": [experiment],
    }


def test_ecm_starts_from_a_diffusion_run(make_project):
    start, run = RunId("small", "independent", 0), RunId("later", "variational", 1)
    weights = f"results/{start}/model.safetensors"
    content = params(
        {"experiments.small.seeds": [1], "experiments.small.variants": ["variational"]}
    )
    later = content["experiments"]["small"]
    later["train"] |= {"objective": {"kind": "ecm"}, "initial_weights": weights, "steps": 2}
    # So small that the weights of the end are those of the start.
    later["train"]["optimizer"] = {"kind": "adam", "learning_rate": 1e-12}
    both = {**changes("small"), "experiments.later": later, "suites.cpu": ["small", "later"]}
    loaded = make_project(both)
    with pytest.raises(
        UserError, match=rf"{weights} is missing; train that run: vct train {start}"
    ):
        train.run(loaded, run)
    train.run(loaded, start)
    train.run(loaded, run)
    made = load_file(run.directory / "model.safetensors")
    for name, tensor in load_file(weights).items():
        torch.testing.assert_close(made[name], tensor, rtol=1e-4, atol=1e-6)
    stages = yaml.safe_load(dvc.text(loaded, "cpu"))["stages"]
    assert weights in stages["train-later"]["deps"]
    assert weights not in stages["train-small"]["deps"]


@pytest.mark.parametrize(("experiment", "metric"), [("small", "w2"), ("pictures", "fid_judge")])
def test_denoiser_is_trained_sampled_scored_and_shown(make_project, experiment, metric):
    loaded = make_project(changes(experiment))
    run = RunId(experiment, "independent", 0)
    if metric != "w2":
        extractor.extractor(loaded, "judge")
        statistics.statistics(loaded, "images/judge/moments")
    train.run(loaded, run)
    sample.sample(loaded, str(run))
    floor.floor(loaded, experiment)
    score.score(loaded, str(run))
    with np.load(run.directory / "samples.npz") as file:
        assert not [key for key in file if key.startswith("steps")]
        assert len(file["heun5"]) == 16
        trained = max(int(key[8:]) for key in file if key.startswith("snapshot"))
        last = file[f"snapshot{trained}"]
        # The last snapshot is the final average, from the same noise.
        np.testing.assert_allclose(last, file["heun5"][:8], atol=1e-5)
    scores = json.loads((run.directory / "metrics.json").read_text())
    assert np.isfinite(scores["heun5"][metric])
    times = json.loads((run.directory / "protocol.json").read_text())["schedules"]["heun5"]
    assert [len(times), times[0], times[-1]] == [5, 80.0, 0.002]
    table.table(loaded, "cpu")
    figures.figures(loaded, f"cpu/{experiment}")
    text = (run.directory.parents[2] / "cpu/table.md").read_text()
    assert "| EDM | independent |" in text
    assert "Heun, 5 steps" in text
    assert "from 80 to 0.002 and 0 (9 network calls)" in text
    rows = pd.read_csv(run.directory.parents[2] / "cpu/table.csv")
    row = rows[rows["metric"] == metric].iloc[0]
    assert (row["sampler"], row["steps"]) == ("heun", 5)
    assert row["mean"] == pytest.approx(scores["heun5"][metric])


def test_flow_matching_is_trained_sampled_and_shown(make_project):
    flow = {"objective": {"kind": "flow"}, "kernel": "li"}
    sampled = {"num_samples": 16, "sampler": {"kind": "euler", "steps": 3}}
    given = {f"experiments.small.train.{key}": value for key, value in flow.items()}
    loaded = make_project({**changes("small"), **given, "experiments.small.sample": sampled})
    run = RunId("small", "independent", 0)
    train.run(loaded, run)
    sample.sample(loaded, str(run))
    floor.floor(loaded, "small")
    score.score(loaded, str(run))
    table.table(loaded, "cpu")
    text = (run.directory.parents[2] / "cpu/table.md").read_text()
    assert "| flow matching | independent |" in text and "Euler, 3 steps" in text
    assert "from 80 to 26.6667 and 0 (3 network calls)" in text
    with np.load(run.directory / "samples.npz") as file:
        stored = file["euler3"]
    np.testing.assert_allclose(load(run.directory).sample(16), stored, rtol=1e-6, atol=1e-6)
