"""A project in a temporary folder with three trained runs: points, images with classes, OT."""

import pytest
import yaml
from reused import IMAGES, PAIRED, POINTS
from support import MLP, UNET, params

from vct.lab import cli


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """Its folder; `vct` sampled and scored the runs as the workflow does."""
    folder = tmp_path_factory.mktemp("reuse")
    sample = {"num_samples": 16, "mid_times": [2.0, 0.5], "priors": ["standard", "fitted"]}
    changes = {
        "runtime.tracking": False,
        "experiments.small.variants": ["variational", "ot"],
        "experiments.small.sample": sample,
        "experiments.pictures.train.conditional": True,
        "experiments.pictures.train.network": {**UNET, "dropout": 0.5},
        "experiments.pictures.train.steps": 4,
        "experiments.pictures.train.snapshots": 2,
        "experiments.pictures.variants": ["variational"],
        "experiments.pictures.couplings": {"variational": {"kl_weight": 1, "encoder": MLP}},
        "experiments.pictures.sample": {**sample, "num_samples": 23, "batch_size": 5},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        folder.joinpath("params.yaml").write_text(yaml.safe_dump(params(changes)))
        stages = [["data", "points"], ["data", "images"]]
        for run in (POINTS, IMAGES, PAIRED):
            stages += [[stage, run] for stage in ("train", "prior", "sample")]
        stages.append(["score", POINTS])
        for stage in stages:
            assert cli.main(stage) == 0, stage
    return folder


@pytest.fixture
def here(project, monkeypatch):
    """The project as the folder where a test runs."""
    monkeypatch.chdir(project)
    return project
